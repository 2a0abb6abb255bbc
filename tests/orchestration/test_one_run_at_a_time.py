"""A run has its month for itself, and a run after a killed one comes to the same numbers. Whom a gate holds: test_held_by_gate.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from sqlalchemy import update

from storage.bill_claims import BillClaim
from storage.database import engine_of, session_scope
from storage.repositories.bill_requests import STALE_AFTER, BillRequests, started
from storage.scope import Scope
from storage.tables.operations import BillRequestRow
from tests.orchestration.test_by_itself import ask, run_for, tick
from tests.scenarios import MARCH, event
from tests.world import World

MONEY = ("tenant_id", "customer_id", "number", "total", "content_hash")


def invoices(world: World) -> pl.DataFrame:
    return world.rows("invoices", month=MARCH).select(MONEY).sort("tenant_id", "number")


def failed_because(result: dg.ExecuteInProcessResult) -> str:
    failure, *_ = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    error = failure.error
    while error.cause is not None:
        error = error.cause
    return str(error.message)


def test_a_run_that_finds_its_month_taken_stops_before_it_writes_anything(billed: World):
    before = {name: billed.lake.version(name) for name in ("billing_terms", "invoices")}
    claim = BillClaim(engine_of(billed.database_url))
    claim.hold(Scope(MARCH, ("acme",)))
    result = billed.close(MARCH, expect=False)
    assert "is being billed by another run" in failed_because(result)
    assert {name: billed.lake.version(name) for name in before} == before
    billed.close(MARCH, tenants=["globex"])
    claim.release()
    billed.close(MARCH)


def test_a_request_waits_for_the_run_that_has_its_month(billed: World):
    ask(billed, auto_finalize=False)
    claim = BillClaim(engine_of(billed.database_url))
    claim.hold(Scope(MARCH))
    assert tick(billed) == []
    claim.release()
    assert len(tick(billed)) == 1


def test_a_run_that_died_frees_its_tenant_and_one_that_lives_does_not(billed: World):
    asked = ask(billed, auto_finalize=False)
    job = billed.defs.resolve_job_def("close_month")
    run = billed.instance.create_run_for_job(job, tags={"aforo/bill_run": asked, "dagster/partition": MARCH})
    billed.instance.handle_new_event(started_event(run.run_id))
    with session_scope(billed.database_url) as session:
        started(session, "acme", asked, run.run_id)
        old = update(BillRequestRow).values(started_at=BillRequestRow.started_at - 2 * STALE_AFTER)
        session.execute(old)
    claim = BillClaim(engine_of(billed.database_url))
    claim.hold(Scope(MARCH, ("acme",)))
    tick(billed)
    assert status(billed, asked)[0] == "RUNNING", "as long as it holds its month it lives"
    claim.release()
    tick(billed)
    assert status(billed, asked)[0] == "FAILED"
    again = ask(billed, auto_finalize=False)
    (request,) = tick(billed)
    run_for(billed, request)
    tick(billed)
    assert status(billed, again)[0] == "COMPLETED"


def started_event(run_id: str) -> dg.EventLogEntry:
    message = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name="close_month")
    return dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run_id,
        timestamp=time.time() - 2 * STALE_AFTER.total_seconds(),
        job_name="close_month",
        dagster_event=message,
    )


def status(world: World, asked: str) -> tuple[str, list[dict]]:
    with session_scope(world.database_url) as session:
        row = BillRequests(session, "acme").get(asked)
        return row.status, row.failures


def test_one_customer_without_a_price_is_named_and_the_others_are_billed(billed: World):
    billed.apply(
        """
tenant: {id: acme}
units: [{key: mystery, aggregation: SUM}]
"""
    )
    billed.send(
        "acme",
        [event("bob", "mystery", 3, "2026-03-20T00:00:00Z", "m-1")],
        received="2026-03-21T00:00:00",
    )
    billed.ingest()
    with session_scope(billed.database_url) as session:
        requests = BillRequests(session, "acme")
        asked = requests.execute(requests.create(MARCH).id).id
    (request,) = tick(billed)
    run_for(billed, request)
    tick(billed)
    found, failures = status(billed, asked)
    assert found == "PARTIALLY_FAILED"
    assert [(each["customerId"], each["reason"][:9]) for each in failures] == [("bob", "NO_PRICE:")]


@pytest.mark.slow
@pytest.mark.parametrize("table", ["rated_lines", "invoices"])
def test_a_run_killed_at_any_stage_leaves_nothing_a_new_one_does_not_put_right(
    billed: World, table: str, tmp_path: Path
):
    before, version = invoices(billed), billed.lake.version(table)
    code = "import sys\nfrom tests.orchestration.killed import run\nrun(*sys.argv[1:])"
    where = [billed.database_url, billed.redis_url, billed.lake_url, str(tmp_path / "data-docs")]
    process = subprocess.Popen([sys.executable, "-c", code, *where], cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 60
        while billed.lake.version(table) == version:
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    time.sleep(timedelta(seconds=0.5).total_seconds())  # for the server to see that the session is gone
    billed.close(MARCH)
    assert invoices(billed).equals(before)
