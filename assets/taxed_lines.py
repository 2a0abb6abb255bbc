"""taxed_lines: stage 8, taxes."""

import polars as pl

from assets._table import billing_asset
from transforms.s08_tax import tax
from transforms.terms import due


@billing_asset("taxed_lines", stage=8)
def taxed_lines(discounted_lines: pl.DataFrame, billing_terms: pl.DataFrame) -> pl.DataFrame:
    return tax(discounted_lines=discounted_lines, terms=due(billing_terms))
