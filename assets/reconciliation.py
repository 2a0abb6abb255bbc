"""reconciliation: a month's ledger, invoices, lines and events compared, and the edge's counters with the lake; each a check."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from redis import Redis
from sqlalchemy import Engine

from assets._table import MONTHS
from storage.database import session_scope
from storage.lake import Lake
from storage.reconciliation import edge_counters, reconcile

CHECKS = (
    "ledger_sums_to_zero", "lake_has_the_invoices", "lines_make_the_invoice", "drafts_are_as_rated", "events_make_the_line",
    "edge_counters",
)  # fmt: skip


@dg.asset(
    name="reconciliation",
    partitions_def=MONTHS,
    deps=["invoice_lines"],
    check_specs=[dg.AssetCheckSpec(name, asset="reconciliation") for name in CHECKS],
    description="Ledger = invoices = rated lines = events, and how far the edge's counters are from the lake. Changes nothing.",
    group_name="proof",
    kinds={"postgres", "deltalake", "valkey"},
)
def reconciliation(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Engine],
    redis: dg.ResourceParam[Redis],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    with session_scope(database) as session:
        found = reconcile(session, lake, context.partition_key)
        found.append(edge_counters(session, redis, lake, as_of=datetime.now(UTC)))
    yield dg.MaterializeResult(metadata={each.name: each.compared for each in found})
    for each in found:
        # A counter ahead of the lake is usually an event still in the log, so drift warns and does not fail.
        soft = each.name == "edge_counters"
        yield dg.AssetCheckResult(
            check_name=each.name,
            passed=each.holds,
            severity=dg.AssetCheckSeverity.WARN if soft else dg.AssetCheckSeverity.ERROR,
            metadata={
                "compared": each.compared,
                "disagree": ", ".join(each.wrong) or "none",
                "means": each.doc,
            },
        )
