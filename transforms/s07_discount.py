"""Stage 7, Discount: coupons. Put here: what they take off each line. Keep out: which coupons apply
(terms)."""

from __future__ import annotations

import polars as pl

from transforms.frames import DISCOUNTED_LINES
from transforms.terms import refuse


def discount(*, committed_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """DISCOUNTED_LINES: the lines unchanged. Raises `UnsupportedTerms` for attached coupons."""
    refuse(terms, pl.col("coupons").list.len() > 0, stage="Discount", what="coupons")
    return DISCOUNTED_LINES.conform(committed_lines.with_columns(discount=pl.lit(0)))
