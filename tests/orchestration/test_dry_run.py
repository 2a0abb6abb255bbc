"""A month worked out as a bill and posted nowhere."""

import json
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from assets._dry_run import judged_dry_run
from domain.quantity import plain
from stack.cli import app
from storage.database import engine_of, session_scope
from storage.repositories.bill_requests import TEST, BillRequests
from storage.scope import Scope
from tests.orchestration.test_by_itself import run_for, tick
from tests.scenarios import MARCH, event
from tests.world import World


def tried(world: World, scope: Scope) -> dict:
    with session_scope(world.database_url) as session:
        return judged_dry_run(session, world.lake, scope)


def state(world: World) -> dict:
    with session_scope(world.database_url) as session:
        tables = session.scalars(
            text(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE ANY(:names)"
            ),
            {"names": ["invoice%", "wallet%", "adjustment%", "replays"]},
        ).all()
        rows = {name: session.scalar(text(f"SELECT count(*) FROM {name}")) for name in tables}
    versions = {name: world.lake.version(name) for name in ("billing_terms", "metered_events", "invoices")}
    return {**rows, **versions}


def test_a_trial_comes_to_what_the_bill_came_to_and_writes_nowhere(billed: World):
    before = state(billed)
    told = tried(billed, Scope(MARCH))
    posted = billed.rows("invoices", month=MARCH)
    assert {(each["tenantId"], each["customerId"], each["total"]) for each in told["invoices"]} == {
        (tenant, customer, plain(total))
        for tenant, customer, total in posted.select("tenant_id", "customer_id", "total").iter_rows()
    }
    assert all(gate["passed"] for gate in told["gates"])
    assert told["held"] == []
    assert state(billed) == before


def test_a_trial_knows_what_has_arrived_since_and_names_who_would_be_held(billed: World):
    billed.send(
        "acme",
        [event("ada", "gigabytes", 10, "2026-03-20T00:00:00Z", "late-1")],
        received="2026-03-21T00:00:00",
    )
    billed.ingest()
    (ada,) = tried(billed, Scope(MARCH, ("acme",), ("ada",)))["invoices"]
    (posted,) = billed.rows("invoices", month=MARCH, tenants=("acme",), customers=("ada",)).to_dicts()
    assert Decimal(ada["total"]) == posted["total"] + 5
    assert sum(Decimal(line["amount"]) for line in ada["lineItems"]) == Decimal(ada["subtotal"])


def test_a_test_run_asked_for_at_the_door_keeps_its_result_and_posts_nothing(billed: World):
    before = state(billed)
    with session_scope(billed.database_url) as session:
        requests = BillRequests(session, "acme")
        asked = requests.execute(requests.create(MARCH, environment=TEST).id).id
    (request,) = tick(billed)
    assert request.job_name == "dry_run_month"
    run_for(billed, request)
    tick(billed)
    with session_scope(engine_of(billed.database_url)) as session:
        row = BillRequests(session, "acme").get(asked)
        assert (row.status, row.invoices_generated, row.customers_processed) == ("COMPLETED", 2, 2)
        assert row.result is not None
        assert {each["tenantId"] for each in row.result["invoices"]} == {"acme"}
    assert state(billed) == before


def test_the_job_in_the_ui_links_a_page(billed: World):
    result = billed.run("dry_run_month", month=MARCH, tenants=["acme"])
    (made,) = result.get_asset_materialization_events()
    metadata = made.materialization.metadata
    assert metadata["gates_that_would_stop"].value == "none"
    assert isinstance(metadata["page"], dg.UrlMetadataValue)
    (page,) = (billed.docs / "dry-run").glob("*/index.html")
    assert "Nothing of this was posted" in page.read_text()


def test_the_command_shows_it_and_gives_it_as_json(
    billed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AFORO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AFORO_DATABASE_URL", billed.database_url)
    monkeypatch.setenv("AFORO_REDIS_URL", billed.redis_url)
    monkeypatch.setenv("AFORO_LAKE_URL", billed.lake_url)
    asked = ["bill", MARCH, "--tenant", "acme", "--test"]
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert {(each["customerId"], each["total"]) for each in told["invoices"]} == {
        ("ada", "22.75"),
        ("bob", "10"),
    }
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0
    assert "nothing is posted" in shown.output and "22.75" in shown.output
