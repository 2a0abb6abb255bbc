"""validated_events: only events that passed, each of them a raw event."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite

_SAME = ("tenant_id", "customer_id", "unit", "quantity", "occurred_at", "key_hash")


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    events, raw = frame.select("raw_seq", *_SAME), related["raw_events"].select("raw_seq", *_SAME)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_raw")) for name in _SAME)
    return [
        Cross(
            "raw_event_behind_it",
            f"be a raw event, with the same {', '.join(_SAME)}",
            events.join(raw, on="raw_seq", how="left", suffix="_raw").filter(differs),
        )
    ]


SUITE = Suite("validated_events", related=("raw_events",), crosses=_crosses)
