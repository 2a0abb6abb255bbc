"""quota_checks: stage 1, hard caps."""

import polars as pl

from assets._table import billing_asset
from transforms.s01_quota_check import quota_check
from transforms.terms import due


@billing_asset("quota_checks", stage=1)
def quota_checks(
    metered_events: pl.LazyFrame, billing_terms: pl.DataFrame, rollovers: pl.DataFrame
) -> pl.DataFrame:
    return quota_check(metered_events=metered_events, terms=due(billing_terms), rollovers=rollovers)
