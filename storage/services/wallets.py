"""Wallets. Put here: opening, topping up, debiting and closing them. Keep out: grants and holds (wallet_grants.py, wallet_holds.py),
how the books are kept (wallet_books.py), HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import Fields
from domain.errors import Conflict, NotFound
from domain.money import EXPONENTS, unpadded
from domain.wallet import (
    BREAKAGE,
    CASH,
    REFUND,
    USAGE,
    Order,
    check_minor_units,
    read_debit,
    read_top_up,
    read_topping,
    read_wallet,
)
from domain.wallet_grants import waterfall
from storage.repositories.paging import PageQuery, keyset
from storage.repositories.wallets import WalletRepository
from storage.services.differences import differences, no_expectation
from storage.services.known_customers import known_customer
from storage.services.wallet_books import (
    CLOSING,
    DEBIT,
    EXPIRY,
    OPENING,
    TOP_UP,
    Books,
    KeyUsedOtherwise,
    Movement,
    fund,
)
from storage.tables.money import WalletEntryRow, WalletRow, WalletTransactionRow
from storage.tables.wallet_grants import WalletGrantRow, WalletHoldRow
from storage.tenancy import Tx

__all__ = [
    "KeyUsedOtherwise",
    "WalletExists",
    "WalletHasHolds",
    "WalletNotEmpty",
    "WalletNotFound",
    "Wallets",
]


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


class WalletHasHolds(Conflict):
    code = "WALLET_HAS_HOLDS"

    def __init__(self, wallet_id: str, holds: int) -> None:
        super().__init__(f"wallet {wallet_id} has {holds} pending holds; settle or release them first")


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
            self.cash(row, OPENING, Order(asked.initial_balance, "Initial balance", None))
        return row

    def get(self, wallet_id: str) -> WalletRow:
        """Archived ones too, as they are now: what is due by itself is booked first. Raises WalletNotFound."""
        row = self._wallets.get(wallet_id)
        if row is None:
            raise WalletNotFound(wallet_id)
        if self._wallets.due(self._tx.at, wallet_id):
            self.locked(wallet_id)
        return row

    def locked(self, wallet_id: str) -> Books:
        """A live wallet's books, kept up to now; nobody else moves its money until the transaction ends. Raises WalletNotFound."""
        row = self._wallets.get(wallet_id, lock=True)
        if row is None or row.archived_at is not None:
            raise WalletNotFound(wallet_id)
        books = Books(self._tx, row)
        books.keep()
        return books

    def of_customer(self, customer_id: str, currency: str | None = None) -> WalletRow:
        """The customer's wallet in the currency (None: in the customer's own, else the oldest). Raises CustomerUnknown, WalletNotFound."""
        own = known_customer(self._tx, customer_id).currency
        row = self._wallets.of_customer(customer_id, currency or own)
        if row is None and currency is None:
            row = self._wallets.of_customer(customer_id)
        if row is None:
            raise WalletNotFound(f"of customer {customer_id}" + (f" in {currency}" if currency else ""))
        return self.get(row.id)

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

    def entries(self, rows: Sequence[WalletTransactionRow]) -> dict[str, list[WalletEntryRow]]:
        """The entries of transactions, by account and grant."""
        return self._wallets.entries([row.id for row in rows])

    def in_order(self, grants: Iterable[str]) -> list[str]:
        """These grants of one wallet in the order of burning."""
        rows = self._wallets.grants(grants)
        return [each.grant_id for each in waterfall(fund(row, None) for row in rows)]

    def held(self, wallet_id: str) -> Decimal:
        """How much of its money is reserved."""
        mine = WalletGrantRow.tenant_id == self._tx.tenant_id, WalletGrantRow.wallet_id == wallet_id
        query = select(func.coalesce(func.sum(WalletGrantRow.held), 0)).where(*mine)
        return Decimal(self._tx.session.scalar(query) or 0)

    def edit(
        self,
        wallet_id: str,
        sent: Mapping[str, Any],
        expect: Callable[[str, int], None] = no_expectation,
    ) -> WalletRow:
        """Change the top-up settings sent; null clears one. Raises WalletNotFound, StaleEdit, FieldProblem."""
        row = self.locked(wallet_id).wallet
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
        row = self.locked(wallet_id).wallet
        check_minor_units("amount", order.amount, row.currency)
        return self._replayed(row, TOP_UP, order) or self.cash(row, TOP_UP, order)

    def debit(self, sent: Mapping[str, Any]) -> WalletTransactionRow:
        """Take money out for usage, all of it or nothing; the same idempotency key is carried out once.

        Raises FieldProblem, CustomerUnknown, WalletNotFound, InsufficientFunds, KeyUsedOtherwise.
        """
        debit = read_debit(Fields(sent, ""))
        books = self.locked(self.of_customer(debit.customer, debit.currency).id)
        order = debit.order
        replayed = self._replayed(books.wallet, DEBIT, order)
        if replayed is not None:
            return replayed
        said = Movement(DEBIT, order.amount, order.description, order.idempotency_key)
        return books.spend(said, books.take(order.amount, debit.unit), USAGE)

    def archive(self, wallet_id: str, *, confirmed: bool = False) -> None:
        """Close it. Cash in it is owed back, which the caller must have confirmed; what was given for nothing lapses.

        Raises WalletNotFound, WalletNotEmpty, WalletHasHolds.
        """
        books = self.locked(wallet_id)
        row = books.wallet
        pending = WalletHoldRow.tenant_id == row.tenant_id, WalletHoldRow.wallet_id == row.id
        holds = select(func.count()).where(*pending, WalletHoldRow.status == "PENDING")
        if count := self._tx.session.scalar(holds):
            raise WalletHasHolds(row.id, count)
        if row.balance and not confirmed:
            raise WalletNotEmpty(row.id, unpadded(row.balance), row.currency)
        for grant in books.grants():
            kind, to = (CLOSING, REFUND) if grant.kind == CASH else (EXPIRY, BREAKAGE)
            said = Movement(kind, grant.remaining, "The wallet was closed", unit=grant.unit)
            books.spend(said, {grant.id: grant.remaining}, to)
        row.archived_at = row.updated_at = self._tx.at
        row.revision += 1
        self._tx.record("WALLET_ARCHIVED", "wallet", row.id)

    def cash(self, row: WalletRow, kind: str, order: Order) -> WalletTransactionRow:
        """Put a payment into a wallet this transaction holds locked or has made; each is a grant of its own. Raises KeyUsedOtherwise."""
        grant = WalletGrantRow(
            tenant_id=self._tx.tenant_id,
            id=f"gr_{secrets.token_hex(8)}",
            wallet_id=row.id,
            kind=CASH,
            amount=order.amount,
            description=order.description,
            effective_at=self._tx.at,
            created_at=self._tx.at,
        )
        said = Movement(kind, order.amount, order.description, order.idempotency_key)
        return Books(self._tx, row).put_in(grant, said)

    def _replayed(self, row: WalletRow, kind: str, order: Order) -> WalletTransactionRow | None:
        """What was booked under the order's key before. Raises KeyUsedOtherwise."""
        if order.idempotency_key is None:
            return None
        booked = self._wallets.booked(order.idempotency_key)
        if booked and (booked.wallet_id, booked.kind, booked.amount) != (row.id, kind, order.amount):
            raise KeyUsedOtherwise(order.idempotency_key)
        return booked


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
