"""What finance does in the UI: approve drafts, and read what happened to a customer's money."""

from __future__ import annotations

import dagster as dg
import pytest

from storage.bill_claims import BillClaim
from storage.customer_story import NothingToTell, story
from storage.database import engine_of, session_scope
from storage.repositories.audit_trail import verify
from storage.repositories.invoice_states import Wanted, find_invoices
from storage.scope import Scope
from storage.services.draft_approval import MonthNotEnded, require_ended
from tests.scenarios import MARCH
from tests.world import QUIET, World


def started(world: World, job: str, op: str, **config: object) -> dg.ExecuteInProcessResult:
    return world.defs.resolve_job_def(job).execute_in_process(
        instance=world.instance,
        run_config={**QUIET, "ops": {op: {"config": config}}},
        raise_on_error=False,
    )


def approved(world: World, **config: object) -> dict:
    result = started(world, "approve_drafts", "issue_approved_drafts", month=MARCH, **config)
    assert result.success
    (output,) = [event for event in result.all_node_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: each.value for name, each in output.step_output_data.metadata.items()}


def states(world: World) -> dict[tuple[str, str], str]:
    with session_scope(world.database_url) as session:
        return {(row.tenant_id, row.customer_id): row.status for row in find_invoices(session, Wanted())}


def test_drafts_are_approved_for_some_then_for_all_and_again_changes_nothing(billed: World):
    first = approved(billed, tenants=["acme"], customers=["ada"], approved_by="grace")
    assert (first["issued"], first["not_issued"]) == (1, 0)
    assert "| acme | INV-2026-0001 | ada |" in first["invoices"]
    assert states(billed) == {
        ("acme", "ada"): "OPEN",
        ("acme", "bob"): "DRAFT",
        ("globex", "ada"): "DRAFT",
        ("globex", "bob"): "DRAFT",
    }
    assert approved(billed)["issued"] == 3
    assert set(states(billed).values()) == {"OPEN"}
    assert approved(billed)["issued"] == 0
    with session_scope(billed.database_url) as session:
        assert verify(session, "acme").what is None


def test_while_a_month_is_being_billed_none_of_its_drafts_is_issued(billed: World):
    claim = BillClaim(engine_of(billed.database_url))
    claim.hold(Scope(MARCH))
    told = approved(billed, tenants=["acme"])
    claim.release()
    assert (told["issued"], told["not_issued"]) == (0, 2)
    assert "is being billed" in told["reasons"][0]["reason"]
    assert set(states(billed).values()) == {"DRAFT"}


def test_a_month_that_has_not_ended_is_not_approved(billed: World):
    with session_scope(billed.database_url) as session, pytest.raises(MonthNotEnded, match="2099-01"):
        require_ended(session, "2099-01")


def test_the_story_of_a_customer_shows_every_stage_and_links_its_page(billed: World):
    result = started(
        billed, "customer_story", "tell_customers_story", month=MARCH, tenant="acme", customer="ada"
    )
    assert result.success
    (page,) = (billed.docs / "stories").glob("*.html")
    text = page.read_text()
    for said in ("1 QuotaCheck", "5 Rate", "10 Settle", "Gigabytes", "11.25", "INV-2026-0001", "22.75"):
        assert said in text
    chapters = {chapter.title: chapter.rows for chapter in story(billed.lake, "acme", "ada", MARCH)}
    assert [row["amount"] for row in chapters["5 Rate"]] == ["10", "1.5", "11.25"]
    assert sum(row["events"] for row in chapters["Usage, day by day"]) == 7


def test_a_customer_nobody_knows_has_no_story(billed: World):
    with pytest.raises(NothingToTell, match="'eve'"):
        story(billed.lake, "acme", "eve", MARCH)
