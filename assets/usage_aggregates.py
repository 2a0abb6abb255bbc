"""usage_aggregates: stage 3, the month's events reduced to one value per line."""

import polars as pl

from assets._table import billing_asset
from transforms.s03_aggregate import aggregate
from transforms.terms import due


@billing_asset("usage_aggregates", stage=3)
def usage_aggregates(
    metered_events: pl.LazyFrame, quota_checks: pl.DataFrame, billing_terms: pl.DataFrame
) -> pl.DataFrame:
    return aggregate(metered_events=metered_events, quota_checks=quota_checks, terms=due(billing_terms))
