"""rated_lines: stage 5, the charge of each line."""

import polars as pl

from assets._table import billing_asset
from transforms.s05_rate import rate
from transforms.terms import due


@billing_asset("rated_lines", stage=5)
def rated_lines(
    allowances: pl.DataFrame, usage_aggregates: pl.DataFrame, billing_terms: pl.DataFrame
) -> pl.DataFrame:
    return rate(allowances=allowances, usage_aggregates=usage_aggregates, terms=due(billing_terms))
