"""Interim invoices: cut once per crossing, given back by the closing bill to the cent, and nothing billed twice or dropped."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg
import pytest

from orchestration.schedules import watch_thresholds_hourly
from storage.database import engine_of, session_scope
from storage.reconciliation import reconcile
from storage.replay import replay
from storage.repositories.interim_bills import InterimDeducted, InterimNotDeducted
from storage.repositories.invoice_states import InvoiceStates, Wanted, find_invoices, lines_of
from storage.scope import Scope
from storage.services import threshold_invoices
from storage.services.threshold_invoices import Round, ThresholdInvoices, cut_invoices
from storage.tables.invoices import InvoiceRow
from storage.tenancy import installation_tx
from tests.scenarios import MARCH, TWO_TENANTS, event
from tests.world import World

THRESHOLD = TWO_TENANTS["acme"].replace(
    "startDate: 2026-01-01}", "startDate: 2026-01-01, billingThreshold: 10}", 1
)
assert "billingThreshold" in THRESHOLD


def used(world: World, gigabytes: object, day: int, key: str) -> None:
    at = f"2026-03-{day:02}T00:00:00Z"
    world.send("acme", [event("ada", "gigabytes", gigabytes, at, key)], received=at.removesuffix("Z"))
    world.ingest()


def look(world: World, day: int) -> Round:
    return cut_invoices(engine_of(world.database_url), world.lake, datetime(2026, 3, day, tzinfo=UTC))


def invoices(world: World, **wanted: str) -> list[InvoiceRow]:
    with session_scope(world.database_url) as session:
        found = find_invoices(session, Wanted(tenant="acme", customer="ada", month=MARCH, **wanted))
        session.expunge_all()
    return found


def totals(world: World) -> list[tuple[str, str, Decimal]]:
    return [(row.kind, row.status, row.total) for row in invoices(world)]


@pytest.mark.slow
def test_one_is_cut_per_crossing_and_the_closing_bill_charges_the_rest(world: World) -> None:
    world.apply(THRESHOLD)
    used(world, 9, 5, "gb-1")
    assert look(world, 6) == Round(), "9.00 is not 10.00"
    used(world, 4, 10, "gb-2")
    first = look(world, 11)
    assert (len(first.cut), first.stuck) == (1, {})
    assert look(world, 11) == look(world, 12) == Round(), "what is billed does not cross again"
    used(world, 30, 15, "gb-3")
    used(world, 1, 3, "gb-late")
    assert len(look(world, 20).cut) == 1
    assert totals(world) == [
        ("THRESHOLD", "OPEN", Decimal("11.50")),  # 10 at 1.00, 3 at 0.50
        ("THRESHOLD", "OPEN", Decimal("15.50")),  # 31 at 0.50
    ]
    world.close(MARCH)
    closing = next(row for row in invoices(world) if row.kind == "PERIOD")
    # 44 GB: 10 + 17; base 10.00; calls nothing. 27.00 is billed already.
    assert closing.total == 10 and sum(row.total for row in invoices(world)) == 37
    with session_scope(world.database_url) as session:
        lines = [(line["line_type"], line["amount"]) for line in lines_of(session, closing)]
    assert sorted(lines[-2:]) == [("CREDIT", Decimal("-15.50")), ("CREDIT", Decimal("-11.50"))]
    with session_scope(world.database_url) as session:
        InvoiceStates(session, "acme").finalize(closing.id)
    world.close(MARCH)
    assert sum(row.total for row in invoices(world)) == 37, "a rerun of the issued month changes nothing"
    with session_scope(world.database_url) as session:
        assert replay(session, world.lake, Scope(MARCH)).is_equal
        assert [each.name for each in reconcile(session, world.lake, MARCH) if not each.holds] == []
    interim = next(row for row in invoices(world) if row.kind == "THRESHOLD")
    with pytest.raises(InterimDeducted, match=closing.number), session_scope(world.database_url) as session:
        InvoiceStates(session, "acme").void(interim.id, "by mistake")


@pytest.mark.slow
def test_a_draft_that_does_not_give_back_what_was_cut_since_is_not_issued(world: World) -> None:
    world.apply(THRESHOLD)
    used(world, 14, 5, "gb-1")
    world.close(MARCH)
    look(world, 6)
    (draft,) = invoices(world, status="DRAFT")
    refused = pytest.raises(InterimNotDeducted, match=f"bill {MARCH} again")
    with refused, session_scope(world.database_url) as session:
        InvoiceStates(session, "acme").finalize(draft.id)
    world.close(MARCH)
    (interim,) = invoices(world, status="OPEN")
    with session_scope(world.database_url) as session:
        InvoiceStates(session, "acme").void(interim.id, "by mistake")
    with session_scope(world.database_url) as session, pytest.raises(InterimNotDeducted):
        InvoiceStates(session, "acme").finalize(draft.id)
    world.close(MARCH)
    with session_scope(world.database_url) as session:
        assert InvoiceStates(session, "acme").finalize(draft.id).total == 22


def test_of_two_at_once_one_cuts_and_one_killed_before_its_commit_leaves_nothing(world: World) -> None:
    world.apply(THRESHOLD)
    used(world, 14, 5, "gb-1")
    at = datetime(2026, 3, 6, tzinfo=UTC)

    class Killed(BaseException):
        pass

    with pytest.raises(Killed), installation_tx(world.database_url, at=at) as tx:
        assert ThresholdInvoices(tx.of("acme"), world.lake).cut("sub-ada")
        raise Killed
    assert invoices(world) == []
    with ThreadPoolExecutor(3) as pool:
        rounds = list(pool.map(lambda _: look(world, 6), range(3)))
    assert sorted(len(each.cut) for each in rounds) == [0, 0, 1]
    assert [row.total for row in invoices(world)] == [Decimal(12)]


def test_what_cannot_be_worked_out_is_named_and_not_billed(world: World) -> None:
    unpriced = THRESHOLD.replace("ratePlans:", "  - {key: seats, name: Seats, aggregation: MAX}\nratePlans:")
    world.apply(unpriced)
    used(world, 14, 5, "gb-1")
    seats = event("ada", "seats", 5, "2026-03-05T00:00:00Z", "seats")
    world.send("acme", [seats], received="2026-03-05T00:00:00")
    world.ingest()
    done = look(world, 6)
    assert done.cut == [] and "NO_PRICE: unit seats" in done.stuck["acme/sub-ada"]
    assert invoices(world) == []


def test_nobody_looks_where_there_is_no_threshold(world: World) -> None:
    world.apply(TWO_TENANTS["acme"])
    context = dg.build_schedule_context(
        resources={"database": engine_of(world.database_url)},
        scheduled_execution_time=datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert not watch_thresholds_hourly.evaluate_tick(context).run_requests
    assert threshold_invoices.with_threshold(engine_of(world.database_url)) == []
