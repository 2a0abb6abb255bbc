"""Grants, holds, breakage and refills: what is given is spent, lapsed, taken back or still there, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text

from domain.actor import OPERATOR
from domain.catalog.fields import FieldProblem
from domain.collection import FAILED, SUCCEEDED, Charge, Outcome
from domain.errors import AforoError, TransientFailure
from providers.refills import Manual
from storage.database import session_scope
from storage.repositories.rights import customer_rights
from storage.services.wallet_grants import GrantReserved, Grants
from storage.services.wallet_holds import HoldIsOver, Holds
from storage.services.wallet_top_ups import TopUps
from storage.services.wallet_upkeep import keep_wallets
from storage.services.wallets import WalletHasHolds, Wallets
from storage.tables.wallet_grants import AlertRow, WalletTopUpRow
from storage.tenancy import Tx, tenant_tx
from tests.storage.worlds import acme, applied

D = Decimal
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def shop(engine: Engine) -> Engine:
    with session_scope(engine) as session:
        applied(session, acme())
    return engine


@pytest.fixture
def tx(shop: Engine) -> Iterator[Tx]:
    with tenant_tx(shop, "acme", at=NOW) as found:
        yield found


def opened(tx: Tx, **sent: Any) -> str:
    return Wallets(tx).create({"customerId": "ann", **sent}).id


def give(tx: Tx, wallet: str, kind: str, amount: str, **sent: Any) -> str:
    return Grants(tx).create(wallet, {"type": kind, "amount": amount, **sent}).id


def debit(tx: Tx, amount: str, **sent: Any) -> dict[str, Decimal]:
    """What each grant gave."""
    row = Wallets(tx).debit({"customer_id": "ann", "amount": amount, **sent})
    return {each.grant_id: -each.amount for each in Wallets(tx).entries([row])[row.id] if each.grant_id}


def later(tx: Tx, by: timedelta) -> Tx:
    return Tx(tx.session, tx.tenant_id, tx.actor, tx.at + by)


def test_promotional_money_goes_before_cash_and_what_expires_first_goes_first(tx: Tx) -> None:
    wallet = opened(tx)
    cash = give(tx, wallet, "CASH", "10")
    ever = give(tx, wallet, "PROMOTIONAL", "10")
    late = give(tx, wallet, "PROMOTIONAL", "10", expiresAt=str(NOW + 9 * DAY), priority=5)
    first = give(tx, wallet, "PROMOTIONAL", "10", expiresAt=str(NOW + 9 * DAY), priority=1)
    assert debit(tx, "35") == {first: D(10), late: D(10), ever: D(10), cash: D(5)}


def test_a_restricted_grant_is_spent_on_its_units_only(tx: Tx) -> None:
    wallet = opened(tx, initialBalance="10")
    mine = give(tx, wallet, "PROMOTIONAL", "10", units=["calls"])
    sold = give(tx, wallet, "PROMOTIONAL", "10", products=["api"])
    assert mine not in debit(tx, "1") and sold not in debit(tx, "1")
    assert debit(tx, "15", unit="calls") == {mine: D(10), sold: D(5)}


def test_what_expires_is_booked_as_breakage_at_the_instant_it_does(tx: Tx) -> None:
    wallet = opened(tx)
    give(tx, wallet, "PROMOTIONAL", "10", expiresAt=str(NOW + DAY))
    debit(tx, "4")
    tomorrow = later(tx, 2 * DAY)
    assert Wallets(tomorrow).get(wallet).balance == 0
    summary = Grants(tomorrow).summary(wallet)["waterfall"]["PROMOTIONAL"]
    assert (summary["granted"], summary["burned"], summary["breakage"], summary["remaining"]) == (10, 4, 6, 0)
    at, kind = tx.session.execute(
        text("SELECT at, kind FROM wallet_transactions ORDER BY seq DESC LIMIT 1")
    ).one()
    assert (at, kind) == (NOW + DAY, "EXPIRY")


def test_a_grant_that_takes_effect_later_is_in_the_wallet_from_then_on(tx: Tx) -> None:
    wallet = opened(tx)
    give(tx, wallet, "PROMOTIONAL", "10", effectiveAt=str(NOW + DAY))
    assert Wallets(tx).get(wallet).balance == 0
    assert Wallets(later(tx, DAY)).get(wallet).balance == 10


def test_bonus_units_are_counted_apart_and_are_no_money(tx: Tx) -> None:
    wallet = opened(tx)
    give(tx, wallet, "BONUS_UNITS", "10000", unit="calls", expiresAt=str(NOW + 14 * DAY))
    assert Wallets(tx).get(wallet).balance == 0
    assert Grants(tx).summary(wallet)["units"]["calls"]["remaining"] == 10000
    assert Grants(later(tx, 14 * DAY)).summary(wallet)["units"]["calls"]["breakage"] == 10000


def test_what_is_left_of_a_grant_can_be_taken_back_once(tx: Tx) -> None:
    wallet = opened(tx)
    promo = give(tx, wallet, "PROMOTIONAL", "10")
    debit(tx, "4")
    Grants(tx).revoke(wallet, promo, "mistake")
    assert Grants(tx).revoke(wallet, promo).remaining == 0
    assert Grants(tx).summary(wallet)["waterfall"]["PROMOTIONAL"]["revoked"] == 6


def test_the_same_key_gives_once(tx: Tx) -> None:
    wallet = opened(tx)
    assert len({give(tx, wallet, "CASH", "5", idempotencyKey="k") for _ in range(3)}) == 1
    assert Wallets(tx).get(wallet).balance == 5


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ({"type": "LOAN", "amount": 1}, "type: 'LOAN' is not known"),
        ({"type": "CASH", "amount": 0}, "amount: must be above 0"),
        ({"type": "CASH", "amount": "0.001"}, "amount: 0.001 has more decimal places"),
        ({"type": "CASH", "amount": 1, "unit": "calls"}, "unit: goes with BONUS_UNITS"),
        ({"type": "BONUS_UNITS", "amount": 1}, "unit: is missing"),
        ({"type": "BONUS_UNITS", "amount": 1, "unit": "nope"}, "unit: there is no unit 'nope'"),
        ({"type": "CASH", "amount": 1, "products": ["nope"]}, r"products\[0\]: there is no product"),
        ({"type": "CASH", "amount": 1, "expiresAt": "2026-02-01T00:00:00Z"}, "expiresAt: .* is not after"),
    ],
)
def test_a_grant_is_read_strictly(tx: Tx, sent: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FieldProblem, match=complaint):
        Grants(tx).create(opened(tx), sent)


def test_what_is_held_cannot_be_spent_revoked_or_paid_back(tx: Tx) -> None:
    wallet = opened(tx)
    promo = give(tx, wallet, "PROMOTIONAL", "10")
    hold = Holds(tx).create({"customer_id": "ann", "amount": "7"})
    with pytest.raises(AforoError, match="holds 3 USD, less than 4"):
        debit(tx, "4")
    with pytest.raises(GrantReserved):
        Grants(tx).revoke(wallet, promo)
    with pytest.raises(WalletHasHolds):
        Wallets(tx).archive(wallet, confirmed=True)
    Holds(tx).release(hold.id)
    assert debit(tx, "10") == {promo: D(10)}


def test_a_hold_is_settled_for_less_and_the_rest_is_free_again(tx: Tx) -> None:
    wallet = opened(tx, initialBalance="10")
    hold = Holds(tx).create({"customer_id": "ann", "amount": "7"})
    for _ in range(2):
        assert Holds(tx).settle(hold.id, {"amount": "2.5"}).status == "SETTLED"
    assert (Wallets(tx).get(wallet).balance, Wallets(tx).held(wallet)) == (D("7.5"), 0)
    with pytest.raises(HoldIsOver, match="is SETTLED; only pending holds can be released"):
        Holds(tx).release(hold.id)


def test_what_is_held_does_not_expire_until_the_hold_is_over(tx: Tx) -> None:
    wallet = opened(tx)
    give(tx, wallet, "PROMOTIONAL", "10", expiresAt=str(NOW + DAY))
    hold = Holds(tx).create({"customer_id": "ann", "amount": "7", "ttl_seconds": 3 * 24 * 3600})
    after = later(tx, 2 * DAY)
    assert Wallets(after).get(wallet).balance == 7
    Holds(after).settle(hold.id, {"amount": "5"})
    assert Wallets(after).get(wallet).balance == 0


def test_a_hold_lapses_when_its_time_is_over(tx: Tx) -> None:
    wallet = opened(tx, initialBalance="10")
    hold = Holds(tx).create({"customer_id": "ann", "amount": "7", "ttl_seconds": 60})
    after = later(tx, timedelta(seconds=60))
    assert Holds(after).get(hold.id).status == "EXPIRED"
    assert Wallets(after).held(wallet) == 0


def test_a_hundred_parallel_holds_never_reserve_more_than_there_is(shop: Engine) -> None:
    with tenant_tx(shop, "acme") as tx:
        wallet = opened(tx, initialBalance="10")

    def attempt(place: int) -> str:
        try:
            with tenant_tx(shop, "acme") as tx:
                sent = {"customer_id": "ann", "amount": "0.30", "idempotency_key": f"h{place % 50}"}
                return Holds(tx).create(sent).status
        except AforoError as error:
            return error.code

    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(attempt, range(100)))
    with tenant_tx(shop, "acme") as tx:
        assert Wallets(tx).held(wallet) == D("9.90")
        assert len(list(tx.session.execute(text("SELECT id FROM wallet_holds")))) == 33
    assert set(found) == {"PENDING", "INSUFFICIENT_FUNDS"}


def test_a_dip_asks_for_one_refill_and_raises_one_alert_however_many_spend_at_once(shop: Engine) -> None:
    topping = {
        "autoTopupEnabled": True,
        "autoTopupAmount": 50,
        "autoTopupThreshold": 20,
        "lowBalanceThreshold": 15,
    }
    with tenant_tx(shop, "acme", at=NOW) as tx:
        wallet = opened(tx, initialBalance="30", **topping)

    def spend(_: int) -> None:
        with tenant_tx(shop, "acme", at=NOW) as tx:
            debit(tx, "1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(spend, range(25)))
    taken: list[Charge] = []

    def collect(charge: Charge) -> Outcome:
        taken.append(charge)
        return Outcome(SUCCEEDED, "pay_1")

    for _ in range(2):
        assert keep_wallets(shop, NOW, collect).stuck == {}
    assert [(each.amount, each.currency, each.customer_id) for each in taken] == [(50, "USD", "ann")]
    with tenant_tx(shop, "acme") as tx:
        assert Wallets(tx).get(wallet).balance == 55
        assert [row.kind for row in tx.session.scalars(select(AlertRow))] == ["LOW_BALANCE"]


def test_a_refill_that_fails_is_an_alert_and_is_not_tried_again_in_the_same_dip(shop: Engine) -> None:
    topping = {"autoTopupEnabled": True, "autoTopupAmount": 50, "autoTopupThreshold": 20}
    with tenant_tx(shop, "acme", at=NOW) as tx:
        wallet = opened(tx, initialBalance="30", **topping)
        debit(tx, "15")
    keep_wallets(shop, NOW, lambda charge: Outcome(FAILED, None, "card declined"))
    with tenant_tx(shop, "acme", at=NOW) as tx:
        debit(tx, "1")
        assert [row.status for row in tx.session.scalars(select(WalletTopUpRow))] == ["FAILED"]
        assert [row.kind for row in tx.session.scalars(select(AlertRow))] == ["TOP_UP_FAILED"]
        assert Wallets(tx).get(wallet).balance == 14


def test_a_provider_that_is_away_is_asked_again_and_a_manual_one_is_confirmed(shop: Engine) -> None:
    topping = {"autoTopupEnabled": True, "autoTopupAmount": 50, "autoTopupThreshold": 20}
    with tenant_tx(shop, "acme", at=NOW) as tx:
        wallet = opened(tx, initialBalance="30", **topping)
        debit(tx, "15")

    def away(charge: Charge) -> Outcome:
        raise TransientFailure("no answer")

    assert list(keep_wallets(shop, NOW, away).stuck.values()) == ["no answer"]
    assert keep_wallets(shop, NOW, Manual().collect).asked == 1
    with tenant_tx(shop, "acme", at=NOW) as tx:
        (asked,) = tx.session.scalars(select(WalletTopUpRow))
        assert asked.status == "PENDING"
        for _ in range(2):
            TopUps(tx).confirm(wallet, asked.id)
        assert Wallets(tx).get(wallet).balance == 65


def test_the_job_books_what_time_does_to_every_wallet(shop: Engine) -> None:
    with tenant_tx(shop, "acme", at=NOW) as tx:
        wallet = opened(tx)
        give(tx, wallet, "PROMOTIONAL", "10", expiresAt=str(NOW + DAY))
    assert keep_wallets(shop, NOW, Manual().collect).kept == 0
    assert keep_wallets(shop, NOW + DAY, Manual().collect).kept == 1
    assert keep_wallets(shop, NOW + DAY, Manual().collect).kept == 0
    with session_scope(shop) as session:
        assert session.execute(text("SELECT balance FROM wallets")).scalar_one() == 0


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["PROMOTIONAL", "CASH", "debit", "hold", "settle", "release", "revoke", "wait"]),
        st.integers(1, 900),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_entries_sum_to_zero_and_the_balance_is_what_is_left_of_the_grants(
    shop: Engine, acts: list[tuple[str, int]]
) -> None:
    with tenant_tx(shop, "acme", OPERATOR, at=NOW) as tx:
        wallet = opened(tx)
        _play(tx, wallet, acts)
        _agree(tx, wallet)
        tx.session.rollback()


def _play(tx: Tx, wallet: str, acts: list[tuple[str, int]]) -> None:
    holds: list[str] = []
    grants: list[str] = []
    for place, (act, cents) in enumerate(acts):
        amount = str(D(cents) / 100)
        try:
            with tx.session.begin_nested():
                if act in ("PROMOTIONAL", "CASH"):
                    span = {"expiresAt": str(tx.at + DAY)} if cents % 2 else {}
                    grants.append(give(tx, wallet, act, amount, **span))
                elif act == "debit":
                    debit(tx, amount)
                elif act == "hold":
                    holds.append(Holds(tx).create({"customer_id": "ann", "amount": amount}).id)
                elif act == "settle" and holds:
                    Holds(tx).settle(holds[cents % len(holds)], {})
                elif act == "release" and holds:
                    Holds(tx).release(holds[cents % len(holds)])
                elif act == "revoke" and grants:
                    Grants(tx).revoke(wallet, grants[cents % len(grants)])
                elif act == "wait":
                    tx = later(tx, timedelta(hours=cents / 30))
        except AforoError:
            pass
        assert place >= 0


def _agree(tx: Tx, wallet: str) -> None:
    found = tx.session.execute(
        text(
            "SELECT (SELECT coalesce(sum(amount), 0) FROM wallet_entries), (SELECT balance FROM wallets WHERE id = :w), "
            "(SELECT coalesce(sum(remaining), 0) FROM wallet_grants WHERE wallet_id = :w), "
            "(SELECT coalesce(sum(held), 0) FROM wallet_grants WHERE wallet_id = :w), "
            "(SELECT coalesce(sum(amount - settled), 0) FROM wallet_holds WHERE wallet_id = :w AND status = 'PENDING')"
        ),
        {"w": wallet},
    ).one()
    total, balance, left, held, pending = found
    assert (total, balance, held) == (0, left, pending)
    for sums in Grants(tx).summary(wallet)["waterfall"].values():
        outside = sums["burned"] + sums["breakage"] + sums["revoked"]
        assert sums["granted"] == outside + sums["remaining"] and min(sums.values()) >= 0


@pytest.mark.parametrize(("escrow", "unfunded"), [(None, "BLOCK"), ({"behavior": "ALERT"}, "ALERT")])
def test_the_edge_knows_when_a_prepaid_wallet_is_empty(
    engine: Engine, escrow: dict[str, Any] | None, unfunded: str
) -> None:
    prepaid = {"code": "pro", "ratePlan": "pro", "billingMode": "PREPAID"} | (
        {"escrowConfig": escrow} if escrow else {}
    )
    with session_scope(engine) as session:
        applied(session, acme(offerings=[prepaid]))

    def edge() -> str:
        with session_scope(engine) as session:
            return customer_rights(session, "acme", ["ann"], NOW)["ann"].subscriptions[0].unfunded

    assert edge() == unfunded
    with tenant_tx(engine, "acme", at=NOW) as tx:
        opened(tx, initialBalance="5")
    assert edge() == ""
    with session_scope(engine) as session:
        assert customer_rights(session, "acme", ["ann"], NOW)["ann"].subscriptions[0].balance == "5"
    with tenant_tx(engine, "acme", at=NOW) as tx:
        debit(tx, "5")
    assert edge() == unfunded
