"""validated_events: only events that passed, each of them a raw event."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite

_SAME = ("tenant_id", "customer_id", "unit", "quantity", "occurred_at", "key_hash")
_SAID = pl.struct("raw_seq", *_SAME).hash().alias("said")
"""What an event says, as one number: two events that differ have the same one less than once in 10^19."""


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    failing = _unlike(frame.select("raw_seq", *_SAME), related["raw_events"].select("raw_seq", *_SAME))
    return [Cross("raw_event_behind_it", f"be a raw event, with the same {', '.join(_SAME)}", failing)]


def _unlike(events: pl.LazyFrame, raw: pl.LazyFrame) -> pl.LazyFrame:
    """Events that differ from the raw event, beside it. Which these are is found by number: the texts of millions need not be laid
    side by side, and in a good table none are read at all."""
    found = (
        events.select("raw_seq", _SAID)
        .join(raw.select(_SAID), on="said", how="anti")
        .select("raw_seq")
        .collect(engine="streaming")
    )
    if found.is_empty():
        return found.lazy()
    events = events.filter(pl.col("raw_seq").is_in(found["raw_seq"].implode()))
    return events.join(raw, on="raw_seq", how="left", suffix="_raw")


SUITE = Suite("validated_events", related=("raw_events",), crosses=_crosses)
