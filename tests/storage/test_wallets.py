"""Wallets: money in double entry that no race, retry or service can bend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.catalog.fields import FieldProblem
from domain.errors import AforoError
from domain.wallet import InsufficientFunds
from storage.database import session_scope
from storage.services.wallets import (
    KeyUsedOtherwise,
    WalletExists,
    WalletNotEmpty,
    WalletNotFound,
    Wallets,
)
from storage.tenancy import Tx, tenant_tx
from tests.storage.worlds import acme, applied

D = Decimal
ANN = {"customerId": "ann", "currency": "USD"}


@pytest.fixture
def shop(engine: Engine) -> Engine:
    with session_scope(engine) as session:
        applied(session, acme())
    return engine


@pytest.fixture
def tx(shop: Engine) -> Iterator[Tx]:
    with tenant_tx(shop, "acme") as found:
        yield found


def opened(engine: Engine, balance: str) -> str:
    with tenant_tx(engine, "acme") as tx:
        return Wallets(tx).create({**ANN, "initialBalance": balance}).id


def outcome(engine: Engine, **sent: Any) -> str:
    try:
        with tenant_tx(engine, "acme") as tx:
            return Wallets(tx).debit({"customer_id": "ann", **sent}).id
    except AforoError as error:
        return error.code


def balance(engine: Engine, wallet_id: str) -> Decimal:
    with tenant_tx(engine, "acme") as tx:
        return Wallets(tx).get(wallet_id).balance


def test_a_hundred_parallel_debits_never_overspend(shop: Engine) -> None:
    wallet = opened(shop, "10.00")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: outcome(shop, amount="0.30"), range(100)))
    assert Counter(each.startswith("wtx_") for each in found) == {True: 33, False: 67}
    assert set(found) - {each for each in found if each.startswith("wtx_")} == {"INSUFFICIENT_FUNDS"}
    assert balance(shop, wallet) == D("0.10")


def test_the_same_idempotency_key_is_carried_out_once_however_often_it_is_sent(shop: Engine) -> None:
    wallet = opened(shop, "10.00")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: outcome(shop, amount="3", idempotency_key="k1"), range(24)))
    assert len(found) == 1
    assert balance(shop, wallet) == D(7)
    assert outcome(shop, amount="4", idempotency_key="k1") == "IDEMPOTENCY_CONFLICT"


def test_of_many_opening_the_same_wallet_at_once_one_does(shop: Engine) -> None:
    def attempt(_: int) -> str:
        try:
            return opened(shop, "5")[:4]
        except WalletExists as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(attempt, range(16))) == {"wal_": 1, "WALLET_EXISTS": 15}


def test_every_movement_is_booked_twice_and_adds_up_to_zero(tx: Tx) -> None:
    wallets = Wallets(tx)
    wallet = wallets.create({**ANN, "initialBalance": 100})
    wallets.top_up(wallet.id, {"amount": "20.50"})
    spent = wallets.debit({"customerId": "ann", "amount": "0.000125", "strategy": "WATERFALL"})
    entries = {each.account: each.amount for each in wallets.entries([spent])[spent.id]}
    assert entries == {"CASH": D("-0.000125"), "USAGE": D("0.000125")}
    assert wallets.get(wallet.id).balance == spent.balance_after == D("120.499875")
    assert tx.session.execute(text("SELECT sum(amount) FROM wallet_entries")).scalar_one() == 0


def test_more_than_it_holds_is_not_taken(tx: Tx) -> None:
    wallet = Wallets(tx).create({**ANN, "initialBalance": "1"})
    with pytest.raises(InsufficientFunds, match=r"holds 1 USD, less than 1\.01"):
        Wallets(tx).debit({"customer_id": "ann", "amount": "1.01"})
    assert Wallets(tx).get(wallet.id).balance == 1


def test_the_database_refuses_entries_that_do_not_add_up(shop: Engine) -> None:
    wallet = opened(shop, "5")
    with pytest.raises(DBAPIError, match="do not add up to zero"), session_scope(shop) as session:
        session.execute(
            text(
                "INSERT INTO wallet_transactions (tenant_id, id, wallet_id, kind, amount, balance_after, actor, at) "
                "VALUES ('acme', 'wtx_x', :wallet, 'TOP_UP', 5, 10, 'x', now())"
            ),
            {"wallet": wallet},
        )
        session.execute(text("INSERT INTO wallet_entries VALUES ('acme', 'wtx_x', 'CASH', 5)"))
    assert balance(shop, wallet) == 5


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE wallets SET balance = 1000", "moves with entries only"),
        ("UPDATE wallet_entries SET amount = amount * 2", "append-only"),
        ("DELETE FROM wallet_transactions", "append-only"),
    ],
)
def test_the_database_refuses_to_rewrite_the_ledger(shop: Engine, statement: str, refusal: str) -> None:
    opened(shop, "5")
    with pytest.raises(DBAPIError, match=refusal), session_scope(shop) as session:
        session.execute(text(statement))


def test_a_wallet_with_money_closes_only_when_confirmed_and_then_owes_it_back(tx: Tx) -> None:
    wallets = Wallets(tx)
    wallet = wallets.create({**ANN, "initialBalance": "5"})
    with pytest.raises(WalletNotEmpty, match="holds 5 USD"):
        wallets.archive(wallet.id)
    wallets.archive(wallet.id, confirmed=True)
    assert wallets.get(wallet.id).balance == 0
    with pytest.raises(WalletNotFound, match="of customer ann"):
        wallets.of_customer("ann")
    assert wallets.create(ANN).id != wallet.id


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"initialBalance": "1.005"}, "initialBalance: 1.005 has more decimal places than USD, 2"),
        ({"currency": "XXX"}, "currency: 'XXX' is no ISO 4217 code"),
        ({"autoTopupEnabled": True}, "autoTopupAmount: is missing"),
        ({"autoTopUp": True}, "autoTopUp: is not a field"),
    ],
)
def test_a_wallet_is_read_strictly(tx: Tx, given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FieldProblem, match=complaint):
        Wallets(tx).create({**ANN, **given})


def test_a_key_of_a_top_up_is_not_good_for_a_debit(tx: Tx) -> None:
    wallet = Wallets(tx).create({**ANN, "initialBalance": "5"})
    Wallets(tx).top_up(wallet.id, {"amount": 1, "idempotencyKey": "k"})
    with pytest.raises(KeyUsedOtherwise, match="k was used"):
        Wallets(tx).debit({"customer_id": "ann", "amount": 1, "idempotency_key": "k"})
