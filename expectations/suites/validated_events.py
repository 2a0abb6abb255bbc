"""validated_events: only events that passed, each of them a raw event."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    events = frame.select("raw_seq", "tenant_id", "unit", "quantity")
    raw = related["raw_events"].select("raw_seq", "tenant_id", "unit", "quantity")
    return [
        Cross(
            "raw_event_behind_it",
            "be a raw event, with the same tenant, unit and quantity",
            events.join(raw, on=["raw_seq", "tenant_id", "unit", "quantity"], how="anti"),
        )
    ]


SUITE = Suite("validated_events", related=("raw_events",), crosses=_crosses)
