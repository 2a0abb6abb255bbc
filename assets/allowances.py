"""allowances: stage 4, what is left to pay after free units and bonus units."""

import polars as pl

from assets._table import billing_asset
from transforms.s04_allowance import allowance
from transforms.terms import due


@billing_asset("allowances", stage=4)
def allowances(
    usage_aggregates: pl.DataFrame,
    rollovers: pl.DataFrame,
    billing_terms: pl.DataFrame,
    metered_events: pl.LazyFrame,
    bonus_balances: pl.DataFrame,
) -> pl.DataFrame:
    return allowance(
        usage_aggregates=usage_aggregates,
        rollovers=rollovers,
        terms=due(billing_terms),
        metered_events=metered_events,
        bonus_balances=bonus_balances,
    )
