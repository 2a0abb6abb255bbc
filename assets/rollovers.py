"""rollovers: stage 2, free units carried over."""

import polars as pl

from assets._table import billing_asset
from transforms.s02_rollover import rollover
from transforms.terms import due


@billing_asset("rollovers", stage=2)
def rollovers(billing_terms: pl.DataFrame) -> pl.DataFrame:
    return rollover(terms=due(billing_terms))
