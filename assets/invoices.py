"""invoices: the settlements numbered and written to PostgreSQL as drafts; issued invoices stay as they were issued."""

import dagster as dg
import polars as pl
from sqlalchemy import Engine

from assets._table import billing_asset
from storage.code_version import code_version
from storage.database import session_scope
from storage.gate_holds import left_out
from storage.lake import Lake
from storage.repositories.adjustments import record_bills
from storage.repositories.billed import billed_lines
from storage.repositories.issued import invoices_of
from storage.repositories.settling import held_lines, keep_held, reasons, settle_all, who
from storage.scope import Scope
from storage.services.corrections import approve_if_agreed
from storage.services.proposals import propose_lines
from transforms.compare import compare
from transforms.frames import INVOICES
from transforms.inputs import input_hashes


@billing_asset("invoices", group="invoicing")
def invoices(
    context: dg.AssetExecutionContext,
    settlements: pl.DataFrame,
    routed_lines: pl.DataFrame,
    metered_events: pl.LazyFrame,
    billing_terms: pl.DataFrame,
    rollovers: pl.DataFrame,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Engine],
    scope: dg.ResourceParam[Scope],
) -> pl.DataFrame:
    here = scope.of(context.partition_key)
    unsettled = reasons(left_out(lake, here, ["settlements"]))
    lines = routed_lines.filter(pl.col("destination") != "HELD", who(unsettled))
    inputs = input_hashes(
        metered_events=metered_events,
        terms=billing_terms,
        routed_lines=lines,
        rollovers=rollovers,
        code=code_version(),
    )
    with session_scope(database) as session:
        settled, held = settle_all(session, settlements, lines, scope=here, inputs=inputs)
        held |= unsettled
        routed_lines = held_lines(routed_lines, held)
        record_bills(session, here, lines.filter(who(held)))
        compared = compare(billed=billed_lines(session, here, drafts=False), routed_lines=routed_lines)
        proposals = propose_lines(session, context.partition_key, compared, source="RUN")
        approved = approve_if_agreed(session, proposals)
        stored = invoices_of(session, here)
    keep_held(lake, here, routed_lines, held)
    differing = [row["number"] for row in settled if row["differs"]]
    context.add_output_metadata(
        {
            "held_before_their_invoice": ", ".join("/".join(each) for each in held) or "none",
            "issued_but_now_different": ", ".join(differing) or "none",
            "corrections_proposed": ", ".join(each["id"] for each in proposals) or "none",
            "corrections_approved": ", ".join(approved) or "none",
        }
    )
    return INVOICES.of_rows(stored)
