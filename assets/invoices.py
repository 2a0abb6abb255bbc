"""invoices: the settlements numbered and written to PostgreSQL as drafts; issued invoices stay as they were issued."""

import dagster as dg
import polars as pl
from sqlalchemy import Engine

from assets._table import billing_asset
from storage.code_version import code_version
from storage.database import session_scope
from storage.lake import Scope
from storage.repositories.invoices import settle
from storage.repositories.issued import invoices_of
from transforms.frames import INVOICES
from transforms.inputs import input_hashes


@billing_asset("invoices", group="invoicing")
def invoices(
    context: dg.AssetExecutionContext,
    settlements: pl.DataFrame,
    routed_lines: pl.DataFrame,
    metered_events: pl.LazyFrame,
    billing_terms: pl.DataFrame,
    database: dg.ResourceParam[Engine],
    scope: dg.ResourceParam[Scope],
) -> pl.DataFrame:
    here = scope.of(context.partition_key)
    lines = routed_lines.filter(pl.col("destination") == "INVOICE")
    inputs = input_hashes(
        metered_events=metered_events, terms=billing_terms, routed_lines=lines, code=code_version()
    )
    with session_scope(database) as session:
        differing = [
            row["number"]
            for row in settle(session, settlements, lines, scope=here, inputs=inputs)
            if row["differs"]
        ]
        stored = invoices_of(session, here)
    context.add_output_metadata({"issued_but_now_different": ", ".join(differing) or "none"})
    return pl.DataFrame(stored, schema=INVOICES.schema)
