"""Stage 1, QuotaCheck: hard caps. Put here: what a cap means for the period. Keep out: free units
(Allowance)."""

from __future__ import annotations

import polars as pl

from transforms.frames import QUOTA_CHECKS
from transforms.terms import LINE_ORDER, refuse


def quota_check(*, terms: pl.DataFrame) -> pl.DataFrame:
    """QUOTA_CHECKS: one row per due USAGE term. A cap whose overage is charged limits nothing.

    Raises `UnsupportedTerms` for a cap that blocks or ignores usage.
    """
    usage = terms.filter(pl.col("kind") == "USAGE").sort(LINE_ORDER)
    limits = pl.col("cap").is_not_null() & (pl.col("cap_behavior").fill_null("BLOCK") != "CHARGE")
    refuse(usage, limits, stage="QuotaCheck", what="a hard cap that blocks or ignores usage")
    return QUOTA_CHECKS.conform(usage.with_columns(verdict=pl.lit("UNCAPPED")))
