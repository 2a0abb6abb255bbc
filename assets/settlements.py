"""settlements: stage 10, what each invoice comes to."""

import polars as pl

from assets._table import billing_asset
from transforms.s10_settle import settle
from transforms.terms import due


@billing_asset("settlements", stage=10)
def settlements(routed_lines: pl.DataFrame, billing_terms: pl.DataFrame) -> pl.DataFrame:
    return settle(routed_lines=routed_lines, terms=due(billing_terms))
