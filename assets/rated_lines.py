"""rated_lines: stage 5, the charge of each line."""

import dagster as dg
import polars as pl

from assets._table import billing_asset
from storage.gate_holds import left_out
from storage.lake import Lake
from storage.scope import Scope
from transforms.held_by_gate import BEFORE_RATE, held_before_rate
from transforms.s05_rate import rate
from transforms.terms import due


@billing_asset("rated_lines", stage=5)
def rated_lines(
    context: dg.AssetExecutionContext,
    allowances: pl.DataFrame,
    usage_aggregates: pl.DataFrame,
    billing_terms: pl.DataFrame,
    lake: dg.ResourceParam[Lake],
    scope: dg.ResourceParam[Scope],
) -> pl.DataFrame:
    rated = rate(allowances=allowances, usage_aggregates=usage_aggregates, terms=due(billing_terms))
    month = context.partition_key
    return held_before_rate(rated, left_out(lake, scope.of(month), BEFORE_RATE), month)
