"""billing_terms: one price for each use, frozen."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, _: Frames) -> list[Cross]:
    who = ["tenant_id", "customer_id", "unit"]
    units = frame.filter(pl.col("kind") == "USAGE", pl.col("dimension_value").is_null())
    usage = units.sort(*who, "active_start")
    overlapping = usage.with_columns(before=pl.col("active_end").shift(1).over(who)).filter(
        pl.col("before") > pl.col("active_start")
    )
    fees = frame.filter(pl.col("kind") != "USAGE", pl.col("flat_amount").is_null())
    return [
        Cross("one_price_at_a_time", "price a customer's unit by one subscription at a time", overlapping),
        Cross("fee_has_amount", "state the amount of each fee", fees),
    ]


SUITE = Suite("billing_terms", crosses=_crosses)
