"""Stage 6, Commit: minimum and maximum spend. Put here: the top-up or cut. Keep out: coupons (Discount)."""

from __future__ import annotations

import polars as pl

from transforms.frames import COMMITTED_LINES
from transforms.terms import refuse


def commit(*, rated_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """COMMITTED_LINES: the lines unchanged. Raises `UnsupportedTerms` for a minimum or maximum spend."""
    refuse(terms, pl.col("minimum_spend") > 0, stage="Commit", what="a minimum spend")
    refuse(terms, pl.col("maximum_spend").is_not_null(), stage="Commit", what="a maximum spend")
    return COMMITTED_LINES.conform(rated_lines.with_columns(commit_adjustment=pl.lit(0)))
