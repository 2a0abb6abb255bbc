"""Adjustments of closed months as lines. Put here: their charge. Keep out: how much of a credit an invoice carries (adjustments)."""

from __future__ import annotations

import polars as pl

from transforms.frames import EXACT, QUANTITY, TIER_CHARGES

ADJUSTMENT = "ADJUSTMENT"


def adjustment_lines(terms: pl.DataFrame) -> pl.DataFrame:
    """The terms of ADJUSTMENT with their `charge` and what else Rate wants to know of a line."""
    nothing = pl.lit(None, dtype=QUANTITY)
    return terms.filter(pl.col("kind") == ADJUSTMENT).with_columns(
        pl.col("flat_amount").cast(EXACT),
        charge=pl.col("flat_amount").cast(EXACT),
        line_type=pl.lit(ADJUSTMENT),
        events=pl.lit(0),
        quantity=nothing,
        included=nothing,
        billable=nothing,
        tiers=pl.lit(None, dtype=TIER_CHARGES),
    )
