"""invoice_lines: the lines of the invoices, with number and tiers; of issued invoices, the lines that were issued."""

import dagster as dg
import polars as pl
from sqlalchemy import Engine

from assets._table import billing_asset
from storage.database import session_scope
from storage.repositories.issued import issued_lines
from storage.scope import Scope
from transforms.frames import INVOICE_LINES
from transforms.invoice_lines import invoice_lines as lines_of


@billing_asset("invoice_lines", group="invoicing")
def invoice_lines(
    context: dg.AssetExecutionContext,
    routed_lines: pl.DataFrame,
    invoices: pl.DataFrame,
    database: dg.ResourceParam[Engine],
    scope: dg.ResourceParam[Scope],
) -> pl.DataFrame:
    with session_scope(database) as session:
        issued = pl.DataFrame(
            issued_lines(session, scope.of(context.partition_key)), schema=INVOICE_LINES.schema
        )
    return lines_of(routed_lines=routed_lines, invoices=invoices, issued_lines=issued)
