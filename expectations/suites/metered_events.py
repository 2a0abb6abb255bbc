"""metered_events: each event once, with a line that exists, and none lost on the way."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite, repeated
from expectations.suites._lines import due_usage, known_lines
from transforms.in_force import in_force

_WHO = ["tenant_id", "customer_id", "unit"]


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    billable = (
        frame.filter(pl.col("disposition") == "BILLABLE")
        .select("line_id", "raw_seq", "unit")
        .unique("line_id")
    )
    return [
        known_lines(billable, related["billing_terms"]),
        Cross(
            "event_once",
            "hold each idempotency key once",
            repeated(frame, ("tenant_id", "key_hash", "idempotency_key")),
        ),
        Cross(
            "no_event_lost",
            "hold every validated event that falls into a period that is due",
            _lost(frame, related["billing_terms"], related["validated_events"]),
        ),
    ]


def _lost(frame: pl.LazyFrame, terms: pl.LazyFrame, validated: pl.LazyFrame) -> pl.LazyFrame:
    """Validated events that a due line should have, up to the newest event here: later ones may have come since."""
    due = (
        due_usage(terms)
        .filter(pl.col("dimension_value").is_null())
        .select(*_WHO, "line_id", "active_start", "active_end")
    )
    at, month = pl.col("occurred_at"), pl.col("occurred_month")
    start, end = pl.col("active_start").min(), pl.col("active_end").max()
    reach = due.select(start=start, end=end, first=start.dt.strftime("%Y-%m"), last=end.dt.strftime("%Y-%m"))
    reached = {name: pl.lit(value) for name, value in reach.collect().row(0, named=True).items()}
    newest = frame.select(pl.col("raw_seq").max()).collect().item()
    owed = (
        in_force(validated)
        .filter(
            month.is_between(reached["first"], reached["last"]),
            at.is_between(reached["start"], reached["end"], closed="left"),
            pl.col("raw_seq") <= pl.lit(newest),
        )
        .select(*_WHO, "raw_seq", "occurred_at", "quantity")
        .join(due, on=_WHO, how="inner")
        .filter(at.is_between(pl.col("active_start"), pl.col("active_end"), closed="left"))
    )
    return owed.join(frame.select("raw_seq"), on="raw_seq", how="anti")


SUITE = Suite("metered_events", related=("billing_terms", "validated_events"), crosses=_crosses)
