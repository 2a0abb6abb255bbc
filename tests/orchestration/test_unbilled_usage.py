"""Usage that comes after its bill was made: whose it is, and who bills it."""

from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg
from typer.testing import CliRunner

from orchestration.jobs import close_month
from orchestration.schedules import bill_unbilled_usage_daily
from stack.cli import app
from storage.bill_claims import BillClaim
from storage.database import engine_of, session_scope
from storage.repositories.invoice_states import InvoiceStates, Wanted, find_invoices
from storage.scope import Scope
from storage.unbilled_usage import unbilled_customers
from tests.scenarios import MARCH, TWO_TENANTS, event
from tests.world import QUIET, World


def send(world: World, at: str, key: str, tenant: str = "acme", who: str = "ada", **more: object) -> None:
    sent = [event(who, "gigabytes", 2, at, key, **more)]
    assert world.send(tenant, sent, received="2026-04-02T00:00:00") == "A"
    world.ingest()


def unbilled(world: World, **scope: tuple[str, ...]) -> list[tuple[str, str, int]]:
    return unbilled_customers(world.lake, Scope(MARCH, **scope)).rows()


def night(world: World, day: int = 2) -> list[dg.RunRequest]:
    """What the schedule asks for in a night of April."""
    context = dg.build_schedule_context(
        resources={"database": engine_of(world.database_url), "lake": world.lake},
        scheduled_execution_time=datetime(2026, 4, day, 2, 45, tzinfo=UTC),
        repository_def=world.defs.get_repository_def(),
    )
    return bill_unbilled_usage_daily.evaluate_tick(context).run_requests


def totals(world: World, tenant: str = "acme") -> dict[str, Decimal]:
    rows = world.rows("invoices", month=MARCH, tenants=(tenant,))
    return dict(rows.select("customer_id", "total").iter_rows())


def test_a_late_event_is_in_its_customers_draft_the_next_morning(billed: World):
    before = totals(billed)
    send(billed, "2026-03-20T00:00:00Z", "late-1")
    assert unbilled(billed) == [("acme", "ada", 1)]
    (request,) = night(billed)
    assert request.partition_key == MARCH
    assert request.run_config == {
        "resources": {"scope": {"config": {"tenants": ["acme"], "customers": ["ada"]}}}
    }
    result = billed.defs.resolve_job_def(close_month.name).execute_in_process(
        instance=billed.instance, partition_key=MARCH, run_config={**QUIET, **request.run_config}
    )
    assert result.success
    # 14.5 GB instead of 12.5, beyond 10 at 0.50.
    assert totals(billed) == {**before, "ada": before["ada"] + 1}
    assert (unbilled(billed), night(billed, day=3)) == ([], [])


def test_where_all_usage_is_billed_no_run_starts(billed: World):
    assert (unbilled(billed), night(billed)) == ([], [])


def test_the_month_that_is_billed_today_is_left_to_its_own_run(billed: World):
    send(billed, "2026-03-20T00:00:00Z", "late-1")
    assert night(billed, day=1) == []


def test_usage_of_another_month_and_of_nobodys_bill_waits_for_no_bill(billed: World):
    send(billed, "2026-04-01T00:00:00Z", "april-1")
    send(billed, "2026-03-31T23:59:59Z", "stranger", who="nobody")
    assert unbilled(billed) == []
    assert unbilled_customers(billed.lake, Scope("2026-02")).is_empty()


def test_usage_that_no_term_of_the_bill_prices_waits_for_no_bill(billed: World):
    seats = "units:\n  - {key: seats, name: Seats, aggregation: SUM}\n"
    billed.apply(TWO_TENANTS["acme"].replace("units:\n", seats))
    sent = [event("ada", "seats", 2, "2026-03-20T00:00:00Z", "seat-1")]
    assert billed.send("acme", sent, received="2026-04-02T00:00:00") == "A"
    billed.ingest()
    assert unbilled(billed) == []


def test_each_tenant_sees_its_own_unbilled_usage(billed: World):
    send(billed, "2026-03-31T23:59:59.999999Z", "late-1", tenant="globex")
    send(billed, "2026-03-01T00:00:00Z", "late-2", tenant="acme", who="bob")
    assert unbilled(billed) == [("acme", "bob", 1), ("globex", "ada", 1)]
    assert unbilled(billed, tenants=("globex",)) == [("globex", "ada", 1)]


def test_a_tenant_that_is_being_billed_is_left_to_that_run(billed: World):
    for tenant in ("acme", "globex"):
        send(billed, "2026-03-20T00:00:00Z", "late-1", tenant=tenant)
    claim = BillClaim(engine_of(billed.database_url))
    claim.hold(Scope(MARCH, ("acme",)))
    try:
        (request,) = night(billed)
    finally:
        claim.release()
    assert request.run_config["resources"]["scope"]["config"]["tenants"] == ["globex"]


def test_usage_that_was_metered_by_a_run_that_died_is_still_unbilled(billed: World):
    send(billed, "2026-03-20T00:00:00Z", "late-1")
    result = billed.defs.resolve_job_def("close_month").execute_in_process(
        instance=billed.instance,
        partition_key=MARCH,
        run_config=QUIET,
        asset_selection=[dg.AssetKey("metered_events")],
    )
    assert result.success
    assert unbilled(billed) == [("acme", "ada", 1)]


def test_usage_after_an_issued_invoice_becomes_a_finding_once(billed: World):
    with session_scope(billed.database_url) as session:
        for row in find_invoices(session, Wanted(tenant="acme", month=MARCH, status="DRAFT")):
            InvoiceStates(session, "acme").finalize(row.id)
    billed.close(MARCH)
    before = totals(billed)
    send(billed, "2026-03-20T00:00:00Z", "late-1")
    assert unbilled(billed) == [("acme", "ada", 1)]
    billed.close(MARCH, tenants=["acme"], customers=["ada"])
    assert (totals(billed), unbilled(billed)) == (before, [])


def test_the_command_finds_the_customers_itself():
    refused = CliRunner().invoke(app, ["bill", MARCH, "--unbilled", "--customer", "ada"])
    assert refused.exit_code == 2
    assert "--unbilled finds the customers itself" in refused.output
