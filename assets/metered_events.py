"""metered_events: the month's events with customer, subscription, line, running total and marginal revenue."""

import dagster as dg
import polars as pl

from assets._table import billing_asset
from transforms.engine import Parts
from transforms.meter import meter_by_customers


@billing_asset("metered_events", group="metering")
def metered_events(
    context: dg.AssetExecutionContext,
    validated_events: pl.LazyFrame,
    billing_terms: pl.DataFrame,
    rollovers: pl.DataFrame,
    bonus_balances: pl.DataFrame,
) -> Parts:
    return meter_by_customers(
        validated_events=validated_events,
        terms=billing_terms,
        rollovers=rollovers,
        bonus_balances=bonus_balances,
        month=context.partition_key,
    )
