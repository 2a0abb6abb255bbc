"""What a billed month comes to, and what a rerun leaves as it was."""

from decimal import Decimal

from storage.database import session_scope
from storage.repositories.invoice_states import InvoiceStates, locate
from tests.scenarios import MARCH, TWO_TENANTS, event
from tests.world import World


def totals(world: World, tenant: str) -> dict[str, Decimal]:
    return dict(
        world.rows("invoices", month=MARCH, tenants=(tenant,)).select("customer_id", "total").iter_rows()
    )


def documents(world: World) -> dict[str, list]:
    tables = ("metered_events", "usage_aggregates", "rated_lines", "settlements", "invoices", "invoice_lines")
    return {
        table: world.rows(table, month=MARCH).sort("tenant_id", *world_key(table)).to_dicts()
        for table in tables
    }


def world_key(table: str) -> list[str]:
    return {"metered_events": ["raw_seq"], "settlements": ["invoice_id"], "invoices": ["invoice_id"]}.get(
        table, ["line_id"]
    )


def test_usage_becomes_invoices(billed: World):
    assert totals(billed, "acme") == {"ada": Decimal("22.75"), "bob": Decimal("10.00")}


def test_every_line_leads_to_its_events(billed: World):
    lines = billed.rows("invoice_lines", month=MARCH, tenants=("acme",), customers=("ada",))
    line = lines.filter(lines["unit"] == "gigabytes").row(0, named=True)
    events = billed.rows("metered_events", month=MARCH).filter(line_id=line["line_id"])
    assert events["idempotency_key"].to_list() == ["ada-gb-1", "ada-gb-2"]
    assert events["running_total"].to_list() == [Decimal("8.5"), Decimal("12.5")]
    assert events["marginal_revenue"].sum() == line["unrounded"] == Decimal("11.25")


def test_a_rerun_gives_the_same_invoices_with_the_same_numbers(billed: World):
    before = documents(billed)
    billed.close(MARCH)
    assert documents(billed) == before


def test_a_rerun_for_one_tenant_touches_only_its_rows(billed: World):
    late = event("ada", "gigabytes", 100, "2026-03-20T00:00:00Z", "ada-gb-late")
    for tenant in TWO_TENANTS:
        billed.send(tenant, [late], received="2026-03-21T00:00:00")
    billed.ingest()
    billed.close(MARCH, tenants=["acme"])
    assert totals(billed, "acme") == {"ada": Decimal("72.75"), "bob": Decimal("10.00")}
    assert totals(billed, "globex") == {"ada": Decimal("22.75"), "bob": Decimal("10.00")}


def test_a_rerun_for_one_customer_touches_only_its_rows(billed: World):
    events = [event(who, "gigabytes", 1, "2026-03-20T00:00:00Z", f"{who}-more") for who in ("ada", "bob")]
    billed.send("acme", events, received="2026-03-21T00:00:00")
    billed.ingest()
    billed.close(MARCH, tenants=["acme"], customers=["bob"])
    assert totals(billed, "acme") == {"ada": Decimal("22.75"), "bob": Decimal("11.00")}


def test_usage_without_a_price_holds_its_customer_and_no_one_else(billed: World):
    billed.apply(
        TWO_TENANTS["acme"].replace("units:\n", "units:\n  - {key: gpu_hours, name: GPU, aggregation: SUM}\n")
    )
    billed.send(
        "acme",
        [event("bob", "gpu_hours", 3, "2026-03-20T00:00:00Z", "bob-gpu")],
        received="2026-03-21T00:00:00",
    )
    billed.ingest()
    billed.close(MARCH)
    held = billed.rows("routed_lines", month=MARCH).filter(destination="HELD")
    assert held["customer_id"].unique().to_list() == ["bob"]
    assert "gpu_hours" in held["hold_reason"][0]
    assert totals(billed, "acme") == {"ada": Decimal("22.75")}
    assert totals(billed, "globex") == {"ada": Decimal("22.75"), "bob": Decimal("10.00")}


def test_a_duplicate_and_a_refused_event_change_no_invoice(billed: World):
    sent = [
        event("ada", "gigabytes", "4", "2026-03-11T00:00:00Z", "ada-gb-2"),
        event("ada", "nonsense", 1, "2026-03-11T00:00:00Z", "x"),
    ]
    assert billed.send("acme", sent, received="2026-03-15T00:00:01") == "DX"
    before = totals(billed, "acme")
    billed.ingest()
    billed.close(MARCH)
    assert totals(billed, "acme") == before
    quarantined = billed.rows("quarantined_events", tenants=("acme",))
    assert dict(quarantined["code"].value_counts().iter_rows()) == {"DUPLICATE": 1, "UNKNOWN_METRIC": 1}


def test_every_materialization_tells_rows_money_and_the_suites_result(billed: World):
    metadata = billed.runs[-1].asset_materializations_for_node("rated_lines")[0].metadata
    assert metadata["dagster/row_count"].value == 12
    assert metadata["sum_amount"].value == "65.5000 USD"
    assert metadata["suite"].value.startswith("rated_lines: passed")
    page = metadata["data_docs"].value.split("/data-docs/")[1]
    assert "rated_lines" in (billed.docs / page).read_text()


def test_an_issued_invoice_stays_as_it_was_issued(billed: World):
    with session_scope(billed.database_url) as session:
        InvoiceStates(session, "acme").finalize(locate(session, "INV-2026-0001", "acme").id)
    issued = billed.rows("invoice_lines", month=MARCH, tenants=("acme",), customers=("ada",))
    late = [event(who, "gigabytes", 100, "2026-03-20T00:00:00Z", f"{who}-late") for who in ("ada", "bob")]
    billed.send("acme", late, received="2026-03-21T00:00:00")
    billed.ingest()
    result = billed.close(MARCH)
    assert totals(billed, "acme") == {"ada": Decimal("22.75"), "bob": Decimal("65.00")}
    assert billed.rows("invoice_lines", month=MARCH, tenants=("acme",), customers=("ada",)).equals(issued)
    metadata = result.asset_materializations_for_node("invoices")[0].metadata
    assert metadata["issued_but_now_different"].value == "INV-2026-0001"


def test_event_tables_tell_what_arrived_and_the_suites_result(billed: World):
    ingest = billed.runs[0]
    added = {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in ingest.get_asset_materialization_events()
    }
    assert {name: metadata["rows_added"].value for name, metadata in added.items()} == {
        "raw_events": 16, "validated_events": 16, "quarantined_events": 0,
    }  # fmt: skip
    assert all(metadata["suite"].value.startswith(f"{name}: passed") for name, metadata in added.items())
