"""Wallets. Put here: opening, topping up, debiting and closing them. Keep out: what usage costs, HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import Fields
from domain.errors import Conflict, NotFound
from domain.money import EXPONENTS, unpadded
from domain.wallet import (
    CASH,
    FUNDING,
    REFUND,
    USAGE,
    InsufficientFunds,
    Order,
    check_minor_units,
    read_debit,
    read_top_up,
    read_topping,
    read_wallet,
)
from storage.repositories.paging import PageQuery, keyset
from storage.repositories.wallets import WalletRepository
from storage.services.differences import differences, no_expectation
from storage.services.known_customers import known_customer
from storage.tables.money import WalletRow, WalletTransactionRow
from storage.tenancy import Tx

OPENING, TOP_UP, DEBIT, CLOSING = "OPENING", "TOP_UP", "DEBIT", "CLOSING"


class WalletNotFound(NotFound):
    code = "WALLET_NOT_FOUND"

    def __init__(self, which: str) -> None:
        super().__init__(f"there is no wallet {which}")


class WalletExists(Conflict):
    code = "WALLET_EXISTS"

    def __init__(self, customer_id: str, currency: str) -> None:
        super().__init__(f"customer {customer_id} has a wallet in {currency}; there is one per currency")


class WalletNotEmpty(Conflict):
    code = "WALLET_NOT_EMPTY"

    def __init__(self, wallet_id: str, balance: Decimal, currency: str) -> None:
        super().__init__(
            f"wallet {wallet_id} holds {balance:f} {currency}; spend it first, or confirm that it is paid back"
        )


class KeyUsedOtherwise(Conflict):
    code = "IDEMPOTENCY_CONFLICT"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"idempotencyKey: {key} was used for another movement of money; use a key of its own"
        )


class Wallets:
    """One tenant's wallets. Money moves under the wallet's row lock, so two movements never judge the same balance."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._wallets = WalletRepository(tx.session, tx.tenant_id)

    def create(self, sent: Mapping[str, Any]) -> WalletRow:
        """Open a wallet. Raises FieldProblem, CustomerUnknown, WalletExists."""
        asked = read_wallet(Fields(sent, ""))
        customer = known_customer(self._tx, asked.customer)
        currency = asked.currency or customer.currency
        check_minor_units("initialBalance", asked.initial_balance, currency)
        row = WalletRow(
            tenant_id=self._tx.tenant_id,
            id=f"wal_{secrets.token_hex(8)}",
            customer_id=asked.customer,
            currency=currency,
            created_at=self._tx.at,
            updated_at=self._tx.at,
            **asdict(asked.topping),
        )
        try:
            with self._tx.session.begin_nested():
                self._tx.session.add(row)
        except IntegrityError as error:
            raise WalletExists(asked.customer, currency) from error
        created = {"customer": asked.customer, "currency": currency, "initialBalance": asked.initial_balance}
        self._tx.record("WALLET_CREATED", "wallet", row.id, differences({}, created))
        self._tx.session.refresh(row)
        if asked.initial_balance:
            order = Order(asked.initial_balance, "Initial balance", None)
            self._book(row, OPENING, order, {CASH: order.amount, FUNDING: -order.amount})
        return row

    def get(self, wallet_id: str) -> WalletRow:
        """Archived ones too. Raises WalletNotFound."""
        row = self._wallets.get(wallet_id)
        if row is None:
            raise WalletNotFound(wallet_id)
        return row

    def of_customer(self, customer_id: str, currency: str | None = None) -> WalletRow:
        """The customer's wallet in the currency (None: in the customer's own, else the oldest). Raises CustomerUnknown, WalletNotFound."""
        own = known_customer(self._tx, customer_id).currency
        row = self._wallets.of_customer(customer_id, currency or own)
        if row is None and currency is None:
            row = self._wallets.of_customer(customer_id)
        if row is None:
            raise WalletNotFound(f"of customer {customer_id}" + (f" in {currency}" if currency else ""))
        return row

    def page(
        self, page: PageQuery, *, customer_id: str | None = None, currency: str | None = None
    ) -> tuple[list[WalletRow], int, str | None]:
        """Rows of live wallets, how many there are, and the next page's cursor. Raises FieldProblem."""
        query = self._wallets.live()
        if customer_id is not None:
            query = query.where(WalletRow.customer_id == customer_id)
        if currency is not None:
            query = query.where(WalletRow.currency == currency)
        columns = {"-createdAt": WalletRow.created_at, "balance": WalletRow.balance, "id": WalletRow.id}
        return keyset(self._tx.session, query, columns, page)

    def ledger(self, wallet_id: str, page: PageQuery) -> tuple[list[WalletTransactionRow], int, str | None]:
        """A page of the wallet's transactions, the newest first. Raises WalletNotFound, FieldProblem."""
        self.get(wallet_id)
        columns = {"-seq": WalletTransactionRow.seq, "id": WalletTransactionRow.id}
        return keyset(self._tx.session, self._wallets.transactions(wallet_id), columns, page)

    def entries(self, rows: Sequence[WalletTransactionRow]) -> dict[str, dict[str, Decimal]]:
        """The entries of transactions: account to amount."""
        return self._wallets.entries([row.id for row in rows])

    def edit(
        self,
        wallet_id: str,
        sent: Mapping[str, Any],
        expect: Callable[[str, int], None] = no_expectation,
    ) -> WalletRow:
        """Change the top-up settings sent; null clears one. Raises WalletNotFound, StaleEdit, FieldProblem."""
        row = self._live(wallet_id)
        expect(f"wallet {wallet_id}", row.revision)
        before = _settings(row)
        topping = read_topping(Fields({**before, **sent}, ""))
        for name, value in asdict(topping).items():
            setattr(row, name, value)
        changes = differences(before, _settings(row))
        if changes:
            row.revision += 1
            row.updated_at = self._tx.at
            self._tx.record("WALLET_UPDATED", "wallet", row.id, changes)
        return row

    def top_up(self, wallet_id: str, sent: Mapping[str, Any]) -> WalletTransactionRow:
        """Put cash in. Raises WalletNotFound, FieldProblem, KeyUsedOtherwise."""
        order = read_top_up(Fields(sent, ""))
        row = self._live(wallet_id)
        check_minor_units("amount", order.amount, row.currency)
        replayed = self._replayed(row, TOP_UP, order)
        return replayed or self._book(row, TOP_UP, order, {CASH: order.amount, FUNDING: -order.amount})

    def debit(self, sent: Mapping[str, Any]) -> WalletTransactionRow:
        """Take money out for usage, all of it or nothing; the same idempotency key is carried out once.

        Raises FieldProblem, CustomerUnknown, WalletNotFound, InsufficientFunds, KeyUsedOtherwise.
        """
        debit = read_debit(Fields(sent, ""))
        row = self._live(self.of_customer(debit.customer, debit.currency).id)
        replayed = self._replayed(row, DEBIT, debit.order)
        if replayed is not None:
            return replayed
        amount = debit.order.amount
        if amount > row.balance:
            raise InsufficientFunds(row.id, amount, unpadded(row.balance), row.currency)
        return self._book(row, DEBIT, debit.order, {CASH: -amount, USAGE: amount})

    def archive(self, wallet_id: str, *, confirmed: bool = False) -> None:
        """Close it. What it holds is owed back, which the caller must have confirmed. Raises WalletNotFound, WalletNotEmpty."""
        row = self._live(wallet_id)
        if row.balance and not confirmed:
            raise WalletNotEmpty(row.id, unpadded(row.balance), row.currency)
        if row.balance:
            order = Order(row.balance, "Paid back when the wallet was closed", None)
            self._book(row, CLOSING, order, {CASH: -order.amount, REFUND: order.amount})
        row.archived_at = row.updated_at = self._tx.at
        row.revision += 1
        self._tx.record("WALLET_ARCHIVED", "wallet", row.id)

    def _book(
        self, row: WalletRow, kind: str, order: Order, entries: Mapping[str, Decimal]
    ) -> WalletTransactionRow:
        """The wallet is locked, or was made in this transaction."""
        before = row.balance
        booked = WalletTransactionRow(
            tenant_id=self._tx.tenant_id,
            id=f"wtx_{secrets.token_hex(8)}",
            wallet_id=row.id,
            kind=kind,
            amount=order.amount,
            balance_after=before + entries[CASH],
            description=order.description,
            idempotency_key=order.idempotency_key,
            actor=self._tx.actor.id,
            at=self._tx.at,
        )
        try:
            with self._tx.session.begin_nested():
                self._wallets.book(booked, entries)
        except IntegrityError as error:
            raise KeyUsedOtherwise(str(order.idempotency_key)) from error
        self._tx.session.refresh(row, ["balance"])
        changes = differences({"balance": unpadded(before)}, {"balance": unpadded(row.balance)})
        self._tx.record(f"WALLET_{_PAST[kind]}", "wallet", row.id, changes, order.description)
        return booked

    def _replayed(self, row: WalletRow, kind: str, order: Order) -> WalletTransactionRow | None:
        """What was booked under the order's key before. Raises KeyUsedOtherwise."""
        if order.idempotency_key is None:
            return None
        booked = self._wallets.booked(order.idempotency_key)
        if booked and (booked.wallet_id, booked.kind, booked.amount) != (row.id, kind, order.amount):
            raise KeyUsedOtherwise(order.idempotency_key)
        return booked

    def _live(self, wallet_id: str) -> WalletRow:
        row = self._wallets.get(wallet_id, lock=True)
        if row is None or row.archived_at is not None:
            raise WalletNotFound(wallet_id)
        return row


_PAST = {OPENING: "FUNDED", TOP_UP: "TOPPED_UP", DEBIT: "DEBITED", CLOSING: "PAID_BACK"}


def _settings(row: WalletRow) -> dict[str, Any]:
    """The editable part as a body that `read_topping` reads back to the same."""
    places = EXPONENTS[row.currency]
    return {
        "autoTopupEnabled": row.auto_topup_enabled,
        "autoTopupAmount": _shortest(row.auto_topup_amount, places),
        "autoTopupThreshold": _shortest(row.auto_topup_threshold, places),
        "lowBalanceThreshold": _shortest(row.low_balance_threshold, places),
    }


def _shortest(amount: Decimal | None, places: int) -> Decimal | None:
    return None if amount is None else unpadded(amount, places)
