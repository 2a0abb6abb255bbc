"""Stage 2, Rollover: free units carried in from the period before. Put here: how many. Keep out: using them
up."""

from __future__ import annotations

import polars as pl

from transforms.frames import ROLLOVERS
from transforms.terms import LINE_ORDER


def rollover(*, terms: pl.DataFrame) -> pl.DataFrame:
    """ROLLOVERS: one row per due USAGE term; nothing is carried. Terms that roll over hold their customer
    (transforms.terms.NOT_HONOURED)."""
    usage = terms.filter(pl.col("kind") == "USAGE").sort(LINE_ORDER)
    return ROLLOVERS.conform(usage.with_columns(carried=pl.lit(0)))
