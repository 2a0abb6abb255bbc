"""routed_lines: stage 9, where each line goes."""

import polars as pl

from assets._table import billing_asset
from transforms.s09_route import route
from transforms.terms import due


@billing_asset("routed_lines", stage=9)
def routed_lines(
    taxed_lines: pl.DataFrame, billing_terms: pl.DataFrame, wallet_balances: pl.DataFrame
) -> pl.DataFrame:
    return route(taxed_lines=taxed_lines, terms=due(billing_terms), wallet_balances=wallet_balances)
