"""routed_lines: stage 9, where each line goes."""

import dagster as dg
import polars as pl

from assets._table import billing_asset
from storage.gate_holds import left_out
from storage.lake import Lake
from storage.scope import Scope
from transforms.held_by_gate import held
from transforms.s09_route import route
from transforms.terms import due


@billing_asset("routed_lines", stage=9)
def routed_lines(
    context: dg.AssetExecutionContext,
    taxed_lines: pl.DataFrame,
    billing_terms: pl.DataFrame,
    wallet_balances: pl.DataFrame,
    lake: dg.ResourceParam[Lake],
    scope: dg.ResourceParam[Scope],
) -> pl.DataFrame:
    routed = route(taxed_lines=taxed_lines, terms=due(billing_terms), wallet_balances=wallet_balances)
    no_wallet = left_out(lake, scope.of(context.partition_key), ["wallet_balances"])
    return held("routed_lines", routed.lazy(), no_wallet).collect()
