"""What makes things run when something happens. Put here: sensors. Keep out: what they run (jobs.py).

The control API never calls Dagster: it queues a request in PostgreSQL. This sensor starts a run for each request and writes
back how the run went.
"""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from assets._table import BILL_RUN
from orchestration.jobs import close_month, dry_run_month
from storage.bill_claims import is_billed_now
from storage.database import session_scope
from storage.dry_run_report import held
from storage.lake import Lake
from storage.repositories import bill_requests as requests
from storage.scope import Scope
from storage.services.draft_approval import Drafts, issue_drafts
from storage.tables.operations import BillRequestRow
from transforms.frames import TABLES

JOB_OF = {requests.LIVE: close_month.name, requests.TEST: dry_run_month.name}


@dg.sensor(
    jobs=[close_month, dry_run_month],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def bill_requests(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[Engine], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Run what the control API asked for, and record how it went. While somebody else bills the tenant's month, a request waits."""
    with session_scope(database) as session:
        waiting, running = requests.queued(session), requests.unfinished(session)
        for row in [*waiting, *running]:
            _follow(context, session, lake, row)
        ready = [row for row in waiting if not _must_wait(session, row)]
    for row in ready:
        yield run_of(row)
    if not ready:
        yield dg.SkipReason(f"No new requests; {len(waiting)} wait, {len(running)} under way.")


def run_of(row: BillRequestRow) -> dg.RunRequest:
    """The run a request asks for: its tenant's rows of the month, once however often the sensor ticks."""
    scope = {"tenants": [row.tenant_id], "customers": list(row.customers)}
    return dg.RunRequest(
        run_key=row.id,
        job_name=JOB_OF[row.environment],
        partition_key=row.month,
        run_config={"resources": {"scope": {"config": scope}}},
        tags={BILL_RUN: row.id, "aforo/tenant": row.tenant_id},
    )


def _must_wait(session: Session, row: BillRequestRow) -> bool:
    return row.environment == requests.LIVE and is_billed_now(session, row.tenant_id, row.month)


def _follow(context: dg.SensorEvaluationContext, session: Session, lake: Lake, row: BillRequestRow) -> None:
    runs = context.instance.get_runs(filters=dg.RunsFilter(tags={BILL_RUN: row.id}), limit=1)
    if not runs:
        return
    run = runs[0]
    requests.started(session, row.tenant_id, row.id, run.run_id)
    if run.status == dg.DagsterRunStatus.SUCCESS:
        requests.finished(session, row.tenant_id, row.id, **_outcome_of(session, lake, row))
    elif run.is_finished:
        error = f"run {run.run_id} ended as {run.status.value}; see it in the Dagster UI"
        requests.finished(session, row.tenant_id, row.id, "FAILED", error=error)
    elif (
        run.status == dg.DagsterRunStatus.STARTED and requests.is_stale(session, row) and _died(context, run)
    ):
        error = f"run {run.run_id} died without a word; a new run replaces whatever it left"
        requests.finished(session, row.tenant_id, row.id, "FAILED", error=error)
    else:
        made = context.instance.get_run_stats(run.run_id).materializations
        requests.progressed(session, row, made * 100 // len(TABLES))


def _died(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> bool:
    """Whether a run that does not hold its month has been silent for long, and did not end while we looked."""
    last = context.instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    silent = time.time() - last[0].event_log_entry.timestamp if last else requests.STALE_AFTER.total_seconds()
    now = context.instance.get_run_by_id(run.run_id)
    return silent >= requests.STALE_AFTER.total_seconds() and now is not None and not now.is_finished


def _outcome_of(session: Session, lake: Lake, row: BillRequestRow) -> dict[str, Any]:
    """How a run that succeeded ended, as `finished` wants it: with customers it could not bill it is PARTIALLY_FAILED."""
    if row.environment == requests.TEST:
        session.refresh(row)
        if row.result is None:
            return {"status": "FAILED", "error": "the run ended without a result; request it again"}
        result = row.result
        invoiced, customers = len(result["invoices"]), {each["customerId"] for each in result["invoices"]}
        failures = result["held"]
    else:
        scope = Scope(row.month, (row.tenant_id,), tuple(row.customers))
        invoices = lake.scan("invoices", scope).select("customer_id").collect()
        invoiced, customers = invoices.height, set(invoices["customer_id"])
        failures = held(lake.scan("routed_lines", scope).collect())
        if row.auto_finalize:
            failures += issue_drafts(
                session, Drafts(row.tenant_id, row.month, row.customers), row.requested_by
            )[1]
    known = [{"customerId": each["customerId"], "reason": each["reason"]} for each in failures]
    names = {each["customerId"] for each in known}
    return {
        "status": "PARTIALLY_FAILED" if known else "COMPLETED",
        "invoices_generated": invoiced,
        "customers_processed": len(customers | names),
        "failures": known,
        "error": f"not done for {', '.join(sorted(names)[:10])}; failures says why" if known else None,
    }


SENSORS = [bill_requests]
