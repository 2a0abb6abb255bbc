"""What makes things run when something happens. Put here: sensors. Keep out: what they run (jobs.py).

The control API never calls Dagster: it queues a request in PostgreSQL. This sensor starts a run for each request and writes
back how the run went.
"""

from collections.abc import Iterator

import dagster as dg
import polars as pl
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from orchestration.jobs import close_month
from storage.database import session_scope
from storage.lake import Lake, Scope
from storage.repositories import bill_requests as requests
from storage.repositories.invoice_states import InvoiceStates, Wanted, count_invoices, find_invoices
from storage.tables.operations import BillRequestRow

REQUEST = "aforo/bill_run"


@dg.sensor(job=close_month, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def bill_requests(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[Engine], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Run what the control API asked for, and record how it went."""
    with session_scope(database) as session:
        waiting, running = requests.queued(session), requests.unfinished(session)
        for row in [*waiting, *running]:
            _follow(context, session, lake, row)
    for row in waiting:
        yield run_of(row)
    if not waiting:
        yield dg.SkipReason(f"No new requests; {len(running)} under way.")


def run_of(row: BillRequestRow) -> dg.RunRequest:
    """The run a request asks for: its tenant's rows of the month, once however often the sensor ticks."""
    scope = {"tenants": [row.tenant_id], "customers": list(row.customers)}
    return dg.RunRequest(
        run_key=row.id,
        partition_key=row.month,
        run_config={"resources": {"scope": {"config": scope}}},
        tags={REQUEST: row.id, "aforo/tenant": row.tenant_id},
    )


def _follow(context: dg.SensorEvaluationContext, session: Session, lake: Lake, row: BillRequestRow) -> None:
    runs = context.instance.get_runs(filters=dg.RunsFilter(tags={REQUEST: row.id}), limit=1)
    if not runs:
        return
    run = runs[0]
    requests.started(session, row.tenant_id, row.id, run.run_id)
    if run.status == dg.DagsterRunStatus.SUCCESS:
        if row.auto_finalize:
            _issue(session, row)
        invoiced, held = outcome(lake, Scope(row.month, (row.tenant_id,), tuple(row.customers)))
        requests.finished(
            session,
            row.tenant_id,
            row.id,
            "PARTIALLY_FAILED" if held else "COMPLETED",
            invoices_generated=invoiced,
            customers_processed=invoiced + held,
            error=f"{held} customers are held; see routed_lines of {row.month}" if held else None,
        )
    elif run.is_finished:
        error = f"run {run.run_id} ended as {run.status.value}; see it in the Dagster UI"
        requests.finished(session, row.tenant_id, row.id, "FAILED", error=error)


def _issue(session: Session, row: BillRequestRow) -> None:
    """Finalize the drafts the request asked to have issued at once."""
    states = InvoiceStates(session, row.tenant_id, actor=row.requested_by)
    for customer in row.customers or [None]:
        wanted = Wanted(tenant=row.tenant_id, customer=customer, month=row.month, status="DRAFT")
        for invoice in find_invoices(session, wanted, limit=count_invoices(session, wanted)):
            states.finalize(invoice.id)


def outcome(lake: Lake, scope: Scope) -> tuple[int, int]:
    """(invoices, customers held) of a scope, as its last run left them."""
    invoiced = lake.scan("invoices", scope).select(pl.len()).collect().item()
    held = lake.scan("routed_lines", scope).filter(pl.col("destination") == "HELD")
    return invoiced, held.select(pl.col("customer_id").n_unique()).collect().item()


SENSORS = [bill_requests]
