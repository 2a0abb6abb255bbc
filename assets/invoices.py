"""invoices: the settlements numbered and written to PostgreSQL, as drafts; issued invoices are never edited."""

import dagster as dg
import polars as pl
from sqlalchemy import Engine
from storage.repositories.invoices import settle

from assets._table import billing_asset
from storage.database import session_scope
from storage.lake import Scope
from transforms.frames import INVOICES


@billing_asset("invoices")
def invoices(
    context: dg.AssetExecutionContext,
    settlements: pl.DataFrame,
    routed_lines: pl.DataFrame,
    database: dg.ResourceParam[Engine],
    scope: dg.ResourceParam[Scope],
) -> pl.DataFrame:
    lines = routed_lines.filter(pl.col("destination") == "INVOICE")
    with session_scope(database) as session:
        numbered = settle(session, settlements, lines, scope=scope.of(context.partition_key))
    return pl.DataFrame(numbered, schema=INVOICES.schema)
