"""What invoices take from wallets: booked with the draft, replaced with it, given back when it is void."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from storage.database import session_scope
from storage.repositories.bonus_balances import frozen_bonus
from storage.repositories.invoice_states import InvoiceStates
from storage.repositories.invoices import settle
from storage.repositories.terms import frozen_terms
from storage.repositories.wallet_billing import PaymentsDiffer, WalletMoved, frozen_balances
from storage.scope import Scope
from storage.services.invoices_by_hand import InvoicesByHand, UnitsAreBack
from storage.services.wallet_grants import Grants
from storage.services.wallets import Wallets
from storage.tables.invoices import InvoiceRow
from storage.tenancy import tenant_tx
from tests.storage.test_invoices import line, settlement
from tests.storage.worlds import acme, applied

D = Decimal
MONTH = "2023-11"
THEN = datetime(2023, 11, 5, tzinfo=UTC)
LATER = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def wallet(engine: Engine) -> str:
    with session_scope(engine) as session:
        applied(session, acme())
    with tenant_tx(engine, "acme", at=THEN) as tx:
        return Wallets(tx).create({"customerId": "ann", "initialBalance": "30"}).id


def grants(engine: Engine) -> dict[str, Decimal]:
    with session_scope(engine) as session:
        return {row["grant_id"]: row["available"] for row in frozen_balances(session, month=MONTH)}


def bill(engine: Engine, total: str, **parts: str) -> None:
    paid = sum((D(each) for each in parts.values()), D(0))
    payments = [{"grant_id": grant, "amount": D(amount)} for grant, amount in parts.items()]
    sums = {"wallet_amount": paid, "amount_due": D(total) - paid}
    with session_scope(engine) as session:
        settle(
            session,
            [settlement("ann", total, **sums)],
            [line("ann", total, wallet_amount=paid, wallet_payments=payments)],
            scope=Scope(MONTH),
        )


def finalized(engine: Engine) -> None:
    with session_scope(engine) as session:
        InvoiceStates(session, "acme").finalize("inv_ann")


def balance(engine: Engine, wallet: str) -> Decimal:
    with tenant_tx(engine, "acme", at=THEN) as tx:
        return Wallets(tx).get(wallet).balance


def kinds(engine: Engine) -> list[str]:
    with session_scope(engine) as session:
        query = text("SELECT kind FROM wallet_transactions WHERE invoice_id IS NOT NULL ORDER BY seq")
        assert session.execute(text("SELECT sum(amount) FROM wallet_entries")).scalar_one() == 0
        return list(session.scalars(query))


def test_a_draft_is_paid_once_however_often_it_is_billed(engine: Engine, wallet: str) -> None:
    (cash,) = grants(engine)
    for _ in range(3):
        bill(engine, "12", **{cash: "12"})
        assert grants(engine) == {cash: D(30)}
    assert (balance(engine, wallet), kinds(engine)) == (D(18), ["INVOICE"])


def test_a_draft_that_comes_to_something_else_replaces_its_payment(engine: Engine, wallet: str) -> None:
    (cash,) = grants(engine)
    for total in ("12", "30", "5"):
        bill(engine, total, **{cash: total})
    assert balance(engine, wallet) == D(25)
    assert kinds(engine) == ["INVOICE", *["INVOICE_TAKEN_BACK", "INVOICE"] * 2]


def test_a_draft_nobody_settles_any_more_gives_its_payment_back(engine: Engine, wallet: str) -> None:
    (cash,) = grants(engine)
    bill(engine, "12", **{cash: "12"})
    with session_scope(engine) as session:
        settle(session, [], [], scope=Scope(MONTH))
    assert balance(engine, wallet) == D(30)


def test_a_void_invoice_gives_its_payment_back_and_an_issued_one_keeps_its_own(
    engine: Engine, wallet: str
) -> None:
    (cash,) = grants(engine)
    bill(engine, "12", **{cash: "12"})
    with session_scope(engine) as session:
        InvoiceStates(session, "acme").finalize("inv_ann")
    assert grants(engine) == {cash: D(12)}
    bill(engine, "20", **{cash: "12"})
    assert balance(engine, wallet) == D(18)
    with session_scope(engine) as session:
        InvoiceStates(session, "acme").void("inv_ann", "wrong")
    assert (balance(engine, wallet), grants(engine)) == (D(30), {cash: D(30)})


def test_breakage_of_what_usage_had_paid_for_before_is_taken_back(engine: Engine, wallet: str) -> None:
    with tenant_tx(engine, "acme", at=THEN) as tx:
        sent = {"type": "PROMOTIONAL", "amount": "10", "expiresAt": "2023-12-01T00:00:00Z"}
        promo = Grants(tx).create(wallet, sent).id
    with tenant_tx(engine, "acme", at=datetime(2023, 12, 2, tzinfo=UTC)) as tx:
        assert Wallets(tx).get(wallet).balance == 30
    for _ in range(2):
        assert grants(engine)[promo] == D(10)
        bill(engine, "7", **{promo: "7"})
    assert kinds(engine) == ["BREAKAGE_TAKEN_BACK", "INVOICE"]
    with tenant_tx(engine, "acme", at=datetime(2023, 12, 2, tzinfo=UTC)) as tx:
        sums = Grants(tx).summary(wallet)["waterfall"]["PROMOTIONAL"]
        assert (sums["burned"], sums["breakage"], sums["remaining"]) == (7, 3, 0)


def test_other_money_stands_in_for_what_was_spent_meanwhile_and_none_stops_the_run(
    engine: Engine, wallet: str
) -> None:
    (cash,) = grants(engine)
    with tenant_tx(engine, "acme", at=THEN) as tx:
        Wallets(tx).debit({"customer_id": "ann", "amount": "25"})
        Wallets(tx).top_up(wallet, {"amount": "10"})
    bill(engine, "12", **{cash: "12"})
    assert balance(engine, wallet) == D(3)
    with pytest.raises(WalletMoved, match="4 USD are missing for invoice inv_ann"):
        bill(engine, "19", **{cash: "19"})
    assert balance(engine, wallet) == D(3)


def test_lines_and_settlement_must_agree(engine: Engine, wallet: str) -> None:
    with session_scope(engine) as session, pytest.raises(PaymentsDiffer):
        sums: dict[str, Any] = {"wallet_amount": D(5), "amount_due": D(5)}
        settle(session, [settlement("ann", **sums)], [line("ann")], scope=Scope(MONTH))


def units(engine: Engine) -> dict[str, Decimal]:
    with session_scope(engine) as session:
        return {row["grant_id"]: row["available"] for row in frozen_bonus(session, month=MONTH)}


def bill_units(engine: Engine, **parts: str) -> None:
    draws = [{"grant_id": grant, "units": D(amount)} for grant, amount in parts.items()]
    with session_scope(engine) as session:
        settle(session, [settlement("ann")], [line("ann", bonus_draws=draws or None)], scope=Scope(MONTH))


def calls_left(engine: Engine, wallet: str, at: datetime = THEN) -> dict[str, Decimal]:
    with tenant_tx(engine, "acme", at=at) as tx:
        return Grants(tx).summary(wallet)["units"]["calls"]


@pytest.fixture
def bonus(engine: Engine, wallet: str) -> str:
    with tenant_tx(engine, "acme", at=THEN) as tx:
        sent = {"type": "BONUS_UNITS", "amount": "100", "unit": "calls", "expiresAt": "2023-11-19T00:00:00Z"}
        return Grants(tx).create(wallet, sent).id


def test_a_grant_of_units_says_what_bills_may_take_and_when_it_is_good(engine: Engine, bonus: str) -> None:
    with session_scope(engine) as session:
        (row,) = frozen_bonus(session, month=MONTH, tenants=["acme"], customers=["ann"])
        assert frozen_bonus(session, month=MONTH, customers=["bob"]) == []
        assert frozen_bonus(session, month="2025-02") == [], "it lapsed long before"
        assert [each["unsupported"] for each in frozen_terms(session, month=MONTH)] == [None] * len(
            frozen_terms(session, month=MONTH)
        )
    assert (row["unit"], row["available"], row["effective_at"]) == ("calls", D(100), THEN)
    assert row["expires_at"] == datetime(2023, 11, 19, tzinfo=UTC)


def test_units_are_drawn_once_however_often_a_draft_is_billed(
    engine: Engine, wallet: str, bonus: str
) -> None:
    for _ in range(2):
        bill_units(engine, **{bonus: "60"})
        assert units(engine) == {bonus: D(100)}
    assert kinds(engine) == ["INVOICE"]
    bill_units(engine, **{bonus: "45.5"})
    assert calls_left(engine, wallet)["burned"] == D("45.5")
    assert (balance(engine, wallet), kinds(engine)[1:]) == (D(30), ["INVOICE_TAKEN_BACK", "INVOICE"])
    bill_units(engine)
    assert calls_left(engine, wallet)["burned"] == 0


def test_units_used_before_they_expired_are_no_breakage(engine: Engine, wallet: str, bonus: str) -> None:
    december = datetime(2023, 12, 2, tzinfo=UTC)
    with tenant_tx(engine, "acme", at=december) as tx:
        assert Wallets(tx).get(wallet).balance == 30
    assert calls_left(engine, wallet, december)["breakage"] == 100
    for _ in range(2):
        assert units(engine) == {bonus: D(100)}
        bill_units(engine, **{bonus: "70"})
    assert kinds(engine) == ["BREAKAGE_TAKEN_BACK", "INVOICE"]
    sums = calls_left(engine, wallet, december)
    assert (sums["burned"], sums["breakage"], sums["remaining"]) == (70, 30, 0)


def test_a_void_invoice_gives_units_back_and_an_issued_one_keeps_its_own(
    engine: Engine, wallet: str, bonus: str
) -> None:
    bill_units(engine, **{bonus: "60"})
    with session_scope(engine) as session:
        InvoiceStates(session, "acme").finalize("inv_ann")
    assert units(engine) == {bonus: D(60)}
    bill_units(engine, **{bonus: "70"})
    assert calls_left(engine, wallet)["remaining"] == 40
    with session_scope(engine) as session:
        InvoiceStates(session, "acme").void("inv_ann", "wrong")
    assert calls_left(engine, wallet)["remaining"] == 100


def test_units_taken_back_during_the_run_make_the_bill_wait_and_no_money_stands_in(
    engine: Engine, wallet: str, bonus: str
) -> None:
    with tenant_tx(engine, "acme", at=THEN) as tx:
        Grants(tx).revoke(wallet, bonus)
    with pytest.raises(WalletMoved, match="60 calls are missing for invoice inv_ann"):
        bill_units(engine, **{bonus: "60"})
    assert balance(engine, wallet) == D(30)


def reissued(engine: Engine) -> InvoiceRow:
    with tenant_tx(engine, "acme", at=LATER) as tx:
        return InvoicesByHand(tx).reissue("inv_ann", "wrong address")


def test_what_a_wallet_paid_of_an_invoice_made_anew_it_pays_once(engine: Engine, wallet: str) -> None:
    (cash,) = grants(engine)
    bill(engine, "12", **{cash: "7"})
    finalized(engine)
    again = reissued(engine)
    assert (again.wallet_amount, again.amount_due) == (7, 5)
    assert (balance(engine, wallet), kinds(engine)) == (D(23), ["INVOICE", "INVOICE_TAKEN_BACK", "INVOICE"])


def test_what_a_wallet_got_back_of_a_void_invoice_it_does_not_pay_again(engine: Engine, wallet: str) -> None:
    (cash,) = grants(engine)
    bill(engine, "12", **{cash: "7"})
    finalized(engine)
    with session_scope(engine) as session:
        InvoiceStates(session, "acme").void("inv_ann", "by mistake")
    again = reissued(engine)
    assert (again.wallet_amount, again.amount_due) == (0, 12)


def test_units_an_invoice_drew_stay_drawn_when_it_is_made_anew(
    engine: Engine, wallet: str, bonus: str
) -> None:
    bill_units(engine, **{bonus: "60"})
    finalized(engine)
    reissued(engine)
    assert calls_left(engine, wallet)["remaining"] == 40


def test_an_invoice_whose_units_are_back_in_the_wallet_is_not_made_anew(
    engine: Engine, wallet: str, bonus: str
) -> None:
    bill_units(engine, **{bonus: "60"})
    finalized(engine)
    with session_scope(engine) as session:
        InvoiceStates(session, "acme").void("inv_ann", "by mistake")
    with pytest.raises(UnitsAreBack, match=f"bill {MONTH} again"):
        reissued(engine)
    assert calls_left(engine, wallet)["remaining"] == 100
