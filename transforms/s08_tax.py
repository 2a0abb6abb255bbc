"""Stage 8, Tax: what is taxable, and the tax on it. Put here: the arithmetic. Keep out: asking a tax
engine."""

from __future__ import annotations

import polars as pl

from transforms.frames import TAXED_LINES
from transforms.terms import refuse


def tax(*, discounted_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """TAXED_LINES: taxable = amount + commit adjustment − discount; no tax. Raises `UnsupportedTerms` for a
    tax code."""
    refuse(terms, pl.col("tax_code").is_not_null(), stage="Tax", what="a tax code")
    taxable = pl.col("amount") + pl.col("commit_adjustment") - pl.col("discount")
    return TAXED_LINES.conform(discounted_lines.with_columns(taxable=taxable, tax=pl.lit(0)))
