"""What runs without anyone asking: schedules and the sensor, evaluated for real."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from orchestration.jobs import close_month
from orchestration.schedules import (
    close_month_on_the_first,
    ingest_every_minute,
    keep_subscriptions_every_five_minutes,
)
from orchestration.sensors import bill_requests
from storage.database import engine_of, session_scope
from storage.repositories.bill_requests import BillRequests, Target
from storage.repositories.invoice_states import locate
from tests.scenarios import MARCH, MARCH_USAGE, TWO_TENANTS
from tests.world import QUIET, World


def minute(world: World) -> Any:
    resources = {"redis": world.redis, "database": engine_of(world.database_url)}
    return ingest_every_minute.evaluate_tick(dg.build_schedule_context(resources=resources))


def test_a_minute_without_events_starts_no_run(world: World):
    tick = minute(world)
    assert not tick.run_requests
    assert tick.skip_message == "The event log is empty."


def test_a_minute_with_events_starts_a_run(world: World):
    world.apply(TWO_TENANTS["acme"])
    world.send("acme", MARCH_USAGE, received="2026-03-15T00:00:00")
    tick = minute(world)
    assert len(tick.run_requests) == 1


def test_the_daily_round_of_invoices_and_the_hourly_one_of_thresholds_run(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.apply(TWO_TENANTS["acme"])
    monkeypatch.setenv("AFORO_HOME", str(world.docs.parent))
    result = world.run("keep_invoices_daily")
    order = [event.step_key for event in result.get_step_success_events()]
    assert order == ["take_due_payments", "move_invoices_on", "carry_what_waits"]
    world.run("watch_thresholds")


def test_the_month_that_ended_is_closed_on_the_first(world: World):
    repository = world.defs.get_repository_def()
    moment = datetime(2026, 4, 1, 12, 30, tzinfo=UTC)
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository)
    assert close_month_on_the_first.cron_schedule == "30 12 1 * *"
    assert [run.partition_key for run in close_month_on_the_first.evaluate_tick(context).run_requests] == [
        MARCH
    ]


def tick(world: World) -> list[dg.RunRequest]:
    resources = {"database": engine_of(world.database_url), "lake": world.lake}
    context = dg.build_sensor_context(
        instance=world.instance, resources=resources, repository_def=world.defs.get_repository_def()
    )
    return bill_requests.evaluate_tick(context).run_requests


def ask(world: World, *, auto_finalize: bool) -> str:
    with session_scope(world.database_url) as session:
        requests = BillRequests(session, "acme")
        row = requests.create(MARCH, target=Target("CUSTOMER", ["ada"], ["ada"]), auto_finalize=auto_finalize)
        return requests.execute(row.id).id


def run_for(world: World, request: dg.RunRequest) -> None:
    """What the daemon does with the sensor's request, in this process."""
    result = world.defs.resolve_job_def(request.job_name or close_month.name).execute_in_process(
        instance=world.instance,
        partition_key=request.partition_key,
        run_config={**QUIET, **request.run_config},
        tags=request.tags,
    )
    assert result.success


@pytest.mark.parametrize("auto_finalize", [False, True])
def test_a_requested_bill_run_is_run_and_its_outcome_recorded(world: World, auto_finalize: bool):
    world.apply(TWO_TENANTS["acme"])
    world.send("acme", MARCH_USAGE, received="2026-03-15T00:00:00")
    world.ingest()
    request_id = ask(world, auto_finalize=auto_finalize)
    (request,) = tick(world)
    assert request.run_key == request_id
    run_for(world, request)
    tick(world)
    with session_scope(world.database_url) as session:
        row = BillRequests(session, "acme").get(request_id)
        assert (row.status, row.invoices_generated, row.customers_processed) == ("COMPLETED", 1, 1)
        assert locate(session, "INV-2026-0001", "acme").status == ("OPEN" if auto_finalize else "DRAFT")
    assert world.rows("invoices", month=MARCH)["customer_id"].to_list() == ["ada"]


def test_subscriptions_move_on_by_themselves_every_five_minutes(world: World):
    world.apply(
        TWO_TENANTS["acme"].replace("startDate: 2026-01-01}", "startDate: 2026-01-01, endDate: 2099-01-01}")
    )

    def runs_at(moment: datetime) -> int:
        context = dg.build_schedule_context(
            resources={"database": engine_of(world.database_url)}, scheduled_execution_time=moment
        )
        return len(keep_subscriptions_every_five_minutes.evaluate_tick(context).run_requests)

    assert runs_at(datetime(2098, 1, 1, tzinfo=UTC)) == 0
    assert runs_at(datetime(2099, 1, 1, tzinfo=UTC)) == 1
    assert keep_subscriptions_every_five_minutes.cron_schedule == "*/5 * * * *"
    world.run("keep_subscriptions")
