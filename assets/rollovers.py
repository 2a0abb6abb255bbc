"""rollovers: stage 2, free units carried over."""

import dagster as dg
import polars as pl

from assets._table import billing_asset
from storage.earlier import earlier_allowances
from storage.lake import Lake
from storage.scope import Scope
from transforms.s02_rollover import earlier_months, rollover
from transforms.terms import due


@billing_asset("rollovers", stage=2)
def rollovers(
    billing_terms: pl.DataFrame, lake: dg.ResourceParam[Lake], scope: dg.ResourceParam[Scope]
) -> pl.DataFrame:
    # The allowances of months before come from the lake: as an input of the graph they would go round in a circle.
    earlier = earlier_allowances(lake, scope, earlier_months(billing_terms))
    return rollover(terms=due(billing_terms), earlier_allowances=earlier)
