"""Stage 1, QuotaCheck: hard caps. Put here: what a cap means for the period. Keep out: free units
(Allowance)."""

from __future__ import annotations

import polars as pl

from transforms.frames import QUOTA_CHECKS
from transforms.terms import LINE_ORDER


def quota_check(*, terms: pl.DataFrame) -> pl.DataFrame:
    """QUOTA_CHECKS: one row per due USAGE term. A cap whose overage is charged limits nothing; one that blocks or ignores usage
    cannot be honoured yet, and holds its customer (transforms.terms.NOT_HONOURED)."""
    usage = terms.filter(pl.col("kind") == "USAGE").sort(LINE_ORDER)
    return QUOTA_CHECKS.conform(usage.with_columns(verdict=pl.lit("UNCAPPED")))
