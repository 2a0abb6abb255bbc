"""A month paid from wallets, through the whole lineage; and what time does to wallets by itself."""

from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg
import pytest

from orchestration.schedules import keep_wallets_every_five_minutes
from storage.database import engine_of
from storage.repositories import wallet_billing
from storage.services.wallet_grants import Grants
from storage.services.wallets import Wallets
from storage.tenancy import tenant_tx
from tests.scenarios import MARCH, MARCH_USAGE, TWO_TENANTS, event
from tests.world import World

HYBRID = TWO_TENANTS["acme"].replace(
    "currency: USD}\ncustomers", "currency: USD, billingMode: HYBRID}\ncustomers"
)
PREPAID = HYBRID.replace("HYBRID", "PREPAID")


def opened(world: World, customer: str, cash: str, promo: str) -> str:
    with tenant_tx(world.database_url, "acme") as tx:
        wallet = Wallets(tx).create({"customerId": customer, "initialBalance": cash}).id
        Grants(tx).create(wallet, {"type": "PROMOTIONAL", "amount": promo})
    return wallet


def balance(world: World, wallet: str) -> Decimal:
    with tenant_tx(world.database_url, "acme") as tx:
        return Wallets(tx).get(wallet).balance


@pytest.mark.slow
def test_the_wallet_pays_what_it_can_and_a_rerun_pays_once(world: World):
    world.apply(HYBRID)
    wallet = opened(world, "ada", "15", "5")
    world.send("acme", MARCH_USAGE, received="2026-03-15T00:00:00")
    world.ingest()
    for _ in range(2):
        world.close(MARCH)
        bills = world.rows("invoices", month=MARCH).sort("customer_id")
        due = bills.select("customer_id", "total", "wallet_amount", "amount_due").rows()
        assert due == [
            ("ada", Decimal("22.75"), Decimal(20), Decimal("2.75")), ("bob", Decimal(10), Decimal(0), Decimal(10)),
        ]  # fmt: skip
        assert balance(world, wallet) == 0
    late = event("ada", "gigabytes", 4, "2026-03-12T00:00:00Z", "ada-gb-3")
    world.send("acme", [late], received="2026-03-15T00:00:00")
    world.ingest()
    with tenant_tx(world.database_url, "acme") as tx:
        Wallets(tx).top_up(wallet, {"amount": "100"})
    world.close(MARCH)
    assert balance(world, wallet) == Decimal("95.25")


def test_a_prepaid_customer_without_funds_waits_and_the_others_go_on(world: World):
    world.apply(PREPAID)
    wallet = opened(world, "ada", "15", "5")
    opened(world, "bob", "10", "5")
    world.send("acme", MARCH_USAGE, received="2026-03-15T00:00:00")
    world.ingest()
    world.close(MARCH)
    assert world.rows("invoices", month=MARCH).select("customer_id", "amount_due").rows() == [
        ("bob", Decimal(0))
    ]
    held = world.rows("routed_lines", month=MARCH, customers=("ada",))["hold_reason"].unique().to_list()
    assert held[0].startswith("PREPAID_FUNDS_SHORT: the wallet lacks 2.75 USD")
    with tenant_tx(world.database_url, "acme") as tx:
        Wallets(tx).top_up(wallet, {"amount": "3"})
    world.close(MARCH, tenants=["acme"], customers=["ada"])
    assert world.rows("invoices", month=MARCH)["amount_due"].to_list() == [Decimal(0), Decimal(0)]
    assert balance(world, wallet) == Decimal("0.25")


@pytest.mark.slow
def test_a_wallet_spent_from_during_the_run_holds_its_customer_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.apply(HYBRID)
    wallet = opened(world, "ada", "15", "5")
    world.send("acme", MARCH_USAGE, received="2026-03-15T00:00:00")
    world.ingest()
    frozen = wallet_billing.frozen_balances

    def and_then_spent(*args, **named):
        """What the asset reads; then, before the bill is written, somebody spends."""
        rows = frozen(*args, **named)
        with tenant_tx(world.database_url, "acme") as tx:
            Wallets(tx).debit({"customer_id": "ada", "amount": "12"})
        return rows

    with monkeypatch.context() as patched:
        patched.setattr("assets.wallet_balances.frozen_balances", and_then_spent)
        result = world.close(MARCH)
    metadata = result.asset_materializations_for_node("invoices")[0].metadata
    assert metadata["held_before_their_invoice"].value == "acme/ada"
    assert world.rows("invoices", month=MARCH)["customer_id"].to_list() == ["bob"]
    reasons = world.rows("routed_lines", month=MARCH, customers=("ada",))["hold_reason"].unique().to_list()
    assert len(reasons) == 1 and reasons[0].startswith("WALLET_MOVED: ")
    assert balance(world, wallet) == 8
    world.close(MARCH)
    assert world.rows("invoices", month=MARCH).sort("customer_id")["wallet_amount"].to_list() == [8, 0]


def test_wallets_are_kept_every_five_minutes(world: World):
    world.apply(HYBRID)
    with tenant_tx(world.database_url, "acme", at=datetime(2026, 1, 1, tzinfo=UTC)) as tx:
        wallet = Wallets(tx).create({"customerId": "ada"}).id
        sent = {"type": "PROMOTIONAL", "amount": 5, "expiresAt": "2026-02-01T00:00:00Z"}
        Grants(tx).create(wallet, sent)

    def runs_at(moment: datetime) -> int:
        context = dg.build_schedule_context(
            resources={"database": engine_of(world.database_url)}, scheduled_execution_time=moment
        )
        return len(keep_wallets_every_five_minutes.evaluate_tick(context).run_requests)

    assert [runs_at(datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 2)] == [0, 1]
    world.run("keep_wallet_books")
    assert runs_at(datetime(2026, 2, 1, tzinfo=UTC)) == 0
