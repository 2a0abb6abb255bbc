"""A part of a period costs a part of its price. Put here: prices reduced to the time a subscription was live. Keep out:
charging, rounding."""

from __future__ import annotations

import polars as pl

from domain.money import prorate
from transforms.table import EXACT

PART = (pl.col("active_start") != pl.col("period_start")) | (pl.col("active_end") != pl.col("period_end"))
"""The subscription was live for a part of the period only."""


def prorated(terms: pl.DataFrame) -> pl.DataFrame:
    """The terms with `flat_amount` (EXACT) reduced to the part of the period the subscription was live, by elapsed time.

    Rate charges by these terms and estimate_revenue shares out the same charges among events, so both must ask here.
    """
    exact = terms.with_columns(pl.col("flat_amount").cast(EXACT))
    part = exact.filter(PART)
    shares = [
        None if amount is None else prorate(amount, live_end - live_start, end - start)
        for amount, live_start, live_end, start, end in part.select(
            "flat_amount", "active_start", "active_end", "period_start", "period_end"
        ).iter_rows()
    ]
    reduced = part.with_columns(pl.Series("flat_amount", shares, dtype=EXACT))
    return pl.concat([exact.filter(~PART), reduced])
