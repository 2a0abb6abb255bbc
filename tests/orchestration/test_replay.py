"""A closed month worked out again: equal, different, put right by the next bill, and never twice."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from stack.cli import app
from storage.database import engine_of, session_scope
from storage.replay import Known, NothingBilled, Replay, replay
from storage.replay_report import page, report
from storage.repositories.invoice_states import InvoiceStates, Wanted, find_invoices, lines_of, locate
from storage.repositories.paging import PageQuery
from storage.scope import Scope
from storage.services.corrections import Corrections, StaleReplay
from storage.services.credit_notes import CreditNotes
from storage.services.invoice_upkeep import keep_invoices
from storage.services.proposals import propose
from storage.tables.tenants import OrganizationSettingsRow
from storage.tenancy import tenant_tx
from tests.scenarios import MARCH, event
from tests.world import World, micros

APRIL, MAY = "2026-04", "2026-05"


def replayed(
    world: World, scope: Scope | None = None, known: Known | None = None, batch: int = 1000
) -> Replay:
    with session_scope(world.database_url) as session:
        return replay(session, world.lake, scope or Scope(MARCH), known, batch=batch)


def issue(world: World, month: str, tenant: str = "acme") -> None:
    with session_scope(world.database_url) as session:
        for row in find_invoices(session, Wanted(tenant=tenant, month=month, status="DRAFT")):
            InvoiceStates(session, tenant).finalize(row.id)


def late(world: World, quantity: object, key: str, who: str = "ada") -> None:
    world.send(
        "acme",
        [event(who, "gigabytes", quantity, "2026-03-20T00:00:00Z", key)],
        received="2026-04-02T00:00:00",
    )
    world.ingest()


def proposals(world: World) -> list[dict]:
    found = replayed(world)
    with session_scope(world.database_url) as session:
        return propose(session, found, source="REPLAY")


def approve(world: World, replay_id: str) -> list[tuple[Decimal, str]]:
    with session_scope(world.database_url) as session:
        return [
            (row.amount, row.status) for row in Corrections(session, "acme").approve(replay_id, "late usage")
        ]


def adjustment_lines(world: World, month: str) -> list[tuple[Decimal, str]]:
    with session_scope(world.database_url) as session:
        (row,) = find_invoices(session, Wanted(tenant="acme", customer="ada", month=month))
        return [
            (line["taxable"], line["description"])
            for line in lines_of(session, row)
            if line["line_type"] == "ADJUSTMENT"
        ]


def total(world: World, month: str, customer: str = "ada") -> Decimal:
    with session_scope(world.database_url) as session:
        (row,) = find_invoices(session, Wanted(tenant="acme", customer=customer, month=month))
        return row.total


def test_a_month_replayed_from_raw_is_what_was_billed_in_any_batches(billed: World):
    versions = {
        name: billed.lake.version(name) for name in ("validated_events", "metered_events", "invoices")
    }
    for batch in (1000, 3, 1):
        found = replayed(billed, batch=batch)
        assert found.is_equal
        assert found.lines["verdict"].to_list() == ["EQUAL"] * 12
        assert found.invoices["same_inputs"].to_list() == [True] * 4
    one = replayed(billed, Scope(MARCH, ("globex",), ("ada",)))
    assert (one.is_equal, one.lines.height) == (True, 3)
    assert {name: billed.lake.version(name) for name in versions} == versions, "replays write nowhere"


def test_a_month_nobody_billed_cannot_be_compared(billed: World):
    with pytest.raises(NothingBilled, match="2026-01"):
        replayed(billed, Scope("2026-01"))


def test_a_late_event_shows_as_a_changed_line_and_not_before_it_was_known(billed: World):
    issue(billed, MARCH)
    late(billed, 10, "late-1")
    found = replayed(billed)
    told = report(found)
    (row,) = told["differences"]
    assert (row["verdict"], row["billed"], row["replayed"], row["difference"]) == (
        "CHANGED",
        "11.25",
        "16.25",
        "5",
    )
    assert {each["field"] for each in row["changes"]} == {
        "events",
        "quantity",
        "billable",
        "amount",
        "taxable",
    }
    assert not told["equal"]
    assert "11.25" in page(told)
    assert replayed(billed, known=Known(before=_at("2026-04-01T00:00:00"))).is_equal


def _at(text: str):
    return datetime.fromtimestamp(micros(text) / 1e6, UTC)


@pytest.mark.slow
def test_what_is_approved_is_billed_once_with_the_next_invoice_and_names_its_month(billed: World):
    issue(billed, MARCH)
    late(billed, 10, "late-1")
    (proposal,) = proposals(billed)
    assert proposals(billed) == [proposal], "the same finding is the same proposal"
    assert approve(billed, proposal["id"]) == approve(billed, proposal["id"]) == [(Decimal(5), "PENDING")]
    assert replayed(billed).is_equal, "an adjustment counts as soon as it is approved"
    billed.close(APRIL)
    billed.close(APRIL)
    assert adjustment_lines(billed, APRIL) == [(Decimal(5), "Adjustment for 2026-03: Gigabytes")]
    assert total(billed, APRIL) == Decimal(15)
    issue(billed, APRIL)
    billed.close(MAY)
    assert adjustment_lines(billed, MAY) == []
    billed.close(APRIL)
    assert replayed(billed, Scope(APRIL)).is_equal
    assert [status for _, status in approve(billed, proposal["id"])] == ["BILLED"]


@pytest.mark.slow
def test_a_credit_takes_no_invoice_below_zero_and_goes_on_with_the_next(billed: World):
    for number in range(3):
        late(billed, 10, f"more-{number}")
    billed.close(MARCH)
    issue(billed, MARCH)
    assert total(billed, MARCH) == Decimal("37.75")
    with session_scope(billed.database_url) as session:
        # As if the usage had been billed at a higher price: 26.25 billed, 11.25 owed.
        row = locate(session, "INV-2026-0001", "acme")
        line = next(each for each in lines_of(session, row) if each["unit"] == "gigabytes")
    assert line["amount"] == Decimal("26.25")
    found = replayed(billed, known=Known(before=_at("2026-04-01T00:00:00")))
    with session_scope(billed.database_url) as session:
        (proposal,) = propose(session, found, source="REPLAY")
    assert approve(billed, proposal["id"]) == [(Decimal(-15), "PENDING")]
    billed.close(APRIL)
    assert (adjustment_lines(billed, APRIL)[0][0], total(billed, APRIL)) == (Decimal(-10), 0)
    billed.close(MAY)
    assert (adjustment_lines(billed, MAY)[0][0], total(billed, MAY)) == (Decimal(-5), Decimal(5))
    assert [status for _, status in approve(billed, proposal["id"])] == ["BILLED"]


@pytest.mark.slow
def test_what_the_next_invoice_has_no_room_for_becomes_a_credit_note_where_the_tenant_wants_that(
    billed: World, monkeypatch: pytest.MonkeyPatch
):
    late(billed, 30, "more")
    billed.close(MARCH)
    issue(billed, MARCH)
    then = Known(before=_at("2026-04-01T00:00:00"))
    found = replayed(billed, known=then)
    with session_scope(billed.database_url) as session:
        (proposal,) = propose(session, found, source="REPLAY")
    assert approve(billed, proposal["id"]) == [(Decimal(-15), "PENDING")]
    billed.close(APRIL)
    issue(billed, APRIL)

    def kept() -> int:
        return keep_invoices(engine_of(billed.database_url), datetime.now(UTC)).credited

    assert kept() == 0, "it goes on with the next invoice unless the settings say otherwise"
    with tenant_tx(billed.database_url, "acme") as tx:
        tx.session.add(
            OrganizationSettingsRow(tenant_id="acme", settings={"corrections": {"credits": "CREDIT_NOTE"}})
        )
    assert (kept(), kept()) == (1, 0)
    with tenant_tx(billed.database_url, "acme") as tx:
        (note,), _, _ = CreditNotes(tx).page(PageQuery())
        assert (note.status, note.total, note.applied) == ("APPLIED", 5, 5)
        assert note.invoice_id == locate(tx.session, "INV-2026-0001").id
    billed.close(MAY)
    assert (adjustment_lines(billed, MAY), total(billed, MAY)) == ([], 10)
    assert [status for _, status in approve(billed, proposal["id"])] == ["BILLED"]
    assert replayed(billed, known=then).is_equal

    monkeypatch.setenv("AFORO_HOME", str(billed.docs.parent))
    monkeypatch.setenv("AFORO_DATABASE_URL", billed.database_url)
    monkeypatch.setenv("AFORO_REDIS_URL", billed.redis_url)

    def cli(*words: str, code: int = 0) -> str:
        ran = CliRunner().invoke(app, ["credit-note", *words])
        assert ran.exit_code == code, (ran.output, ran.exception)
        return ran.stdout

    made = json.loads(
        cli(
            "create",
            "INV-2026-0001",
            "--tenant",
            "acme",
            "--amount",
            "2.50",
            "--reason",
            "GOODWILL",
            "--json",
        )
    )
    assert json.loads(cli("issue", made["id"], "--json"))["number"] == "INV-CN-2026-0002"
    assert json.loads(cli("apply", "INV-CN-2026-0002", "--json"))["applied"] == "2.50"
    assert [each["status"] for each in json.loads(cli("list", "--json"))] == ["APPLIED", "APPLIED"]
    assert "GOODWILL" in cli("show", made["id"])
    cli("create", code=2)


def test_a_run_that_comes_to_something_else_proposes_the_correction(billed: World):
    issue(billed, MARCH)
    late(billed, 10, "late-1")
    result = billed.close(MARCH)
    metadata = result.asset_materializations_for_node("invoices")[0].metadata
    (proposal,) = proposals(billed)
    assert metadata["corrections_proposed"].value == proposal["id"]
    assert metadata["corrections_approved"].value == "none"


def test_two_findings_of_one_line_are_not_both_posted(billed: World):
    issue(billed, MARCH)
    late(billed, 10, "late-1")
    (first,) = proposals(billed)
    late(billed, 2, "late-2")
    (second,) = proposals(billed)
    approve(billed, second["id"])
    with pytest.raises(StaleReplay):
        approve(billed, first["id"])


def test_the_lineage_shows_a_replay_and_its_page(billed: World):
    issue(billed, MARCH)
    late(billed, 10, "late-1")
    metadata = billed.run("replay_month", month=MARCH).asset_materializations_for_node("replay")[0].metadata
    assert (metadata["equal"].value, metadata["lines"].value, metadata["lines_different"].value) == (
        False,
        12,
        1,
    )
    page_of = metadata["page"].value.split("/data-docs/")[1]
    assert "16.25" in (billed.docs / page_of).read_text()


def test_the_daily_reconciliation_agrees_and_names_what_does_not(billed: World):
    def checks() -> dict[str, bool]:
        result = billed.run("reconcile", month=MARCH)
        return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}

    agreed = checks()
    assert len(agreed) == 6
    assert all(agreed.values()), agreed
    lines = billed.rows("rated_lines", month=MARCH)
    billed.lake.replace("rated_lines", lines.with_columns(amount=lines["amount"] + 1), Scope(MARCH))
    broken = checks()
    assert [name for name, passed in broken.items() if not passed] == ["drafts_are_as_rated"]
