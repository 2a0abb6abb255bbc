"""discounted_lines: stage 7, coupons."""

import polars as pl

from assets._table import billing_asset
from transforms.s07_discount import discount
from transforms.terms import due


@billing_asset("discounted_lines", stage=7)
def discounted_lines(committed_lines: pl.DataFrame, billing_terms: pl.DataFrame) -> pl.DataFrame:
    return discount(committed_lines=committed_lines, terms=due(billing_terms))
