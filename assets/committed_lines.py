"""committed_lines: stage 6, minimum and maximum spend."""

import polars as pl

from assets._table import billing_asset
from transforms.s06_commit import commit
from transforms.terms import due


@billing_asset("committed_lines", stage=6)
def committed_lines(rated_lines: pl.DataFrame, billing_terms: pl.DataFrame) -> pl.DataFrame:
    return commit(rated_lines=rated_lines, terms=due(billing_terms))
