"""Holds. Put here: reserving a wallet's money, and settling or releasing what is reserved. Keep out: HTTP.

A hold keeps parts of certain grants, chosen as a debit would choose them, so what is reserved is there when it is settled, even if
the grants expire meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import Conflict, NotFound
from domain.wallet import USAGE, read_hold
from storage.repositories.paging import PageQuery, keyset
from storage.services.wallet_books import SETTLEMENT, Books, KeyUsedOtherwise, Movement
from storage.services.wallets import Wallets
from storage.tables.wallet_grants import WalletHoldRow
from storage.tenancy import Tx

PENDING, SETTLED, RELEASED = "PENDING", "SETTLED", "RELEASED"


class HoldNotFound(NotFound):
    code = "WALLET_HOLD_NOT_FOUND"

    def __init__(self, hold_id: str) -> None:
        super().__init__(f"there is no hold {hold_id}")


class HoldIsOver(Conflict):
    code = "WALLET_HOLD_OVER"

    def __init__(self, hold_id: str, status: str, verb: str) -> None:
        super().__init__(f"hold {hold_id} is {status}; only pending holds can be {verb}")


class Holds:
    """One tenant's holds."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._wallets = Wallets(tx)

    def create(self, sent: Mapping[str, Any]) -> WalletHoldRow:
        """Reserve money, all of it or nothing; the same idempotency key is carried out once.

        Raises FieldProblem, CustomerUnknown, WalletNotFound, InsufficientFunds, KeyUsedOtherwise.
        """
        asked = read_hold(Fields(sent, ""))
        debit, order = asked.debit, asked.debit.order
        books = self._wallets.locked(self._wallets.of_customer(debit.customer, debit.currency).id)
        made = self._made(books, order.amount, order.idempotency_key)
        if made is not None:
            return made
        parts = books.take(order.amount, debit.unit)
        row = WalletHoldRow(
            tenant_id=self._tx.tenant_id,
            id=f"hld_{secrets.token_hex(8)}",
            wallet_id=books.wallet.id,
            amount=order.amount,
            settled=Decimal(0),
            unit=debit.unit,
            parts={grant: f"{amount:f}" for grant, amount in parts.items()},
            status=PENDING,
            description=order.description,
            idempotency_key=order.idempotency_key,
            expires_at=self._tx.at + timedelta(seconds=asked.seconds),
            created_at=self._tx.at,
        )
        try:
            with self._tx.session.begin_nested():
                self._tx.session.add(row)
        except IntegrityError as error:
            raise KeyUsedOtherwise(str(order.idempotency_key)) from error
        books.reserve(parts)
        self._record("CREATED", row, order.amount)
        return row

    def get(self, hold_id: str) -> WalletHoldRow:
        """Raises HoldNotFound."""
        row = self._tx.session.get(WalletHoldRow, (self._tx.tenant_id, hold_id))
        if row is None:
            raise HoldNotFound(hold_id)
        self._wallets.get(row.wallet_id)
        return row

    def page(self, wallet_id: str | None, page: PageQuery) -> tuple[list[WalletHoldRow], int, str | None]:
        """A page of the wallet's holds (None: of all wallets), the newest first. Raises WalletNotFound, FieldProblem."""
        query = select(WalletHoldRow).where(WalletHoldRow.tenant_id == self._tx.tenant_id)
        if wallet_id is not None:
            query = query.where(WalletHoldRow.wallet_id == self._wallets.get(wallet_id).id)
        columns = {"-createdAt": WalletHoldRow.created_at, "id": WalletHoldRow.id}
        return keyset(self._tx.session, query, columns, page)

    def settle(self, hold_id: str, sent: Mapping[str, Any]) -> WalletHoldRow:
        """Spend what is reserved, or less of it: the rest is free again. Settling it again for the same amount changes nothing.

        Raises HoldNotFound, HoldIsOver, FieldProblem.
        """
        fields = Fields(sent, "")
        asked = fields.price("amount")
        fields.done()
        books, row = self._locked(hold_id)
        amount = row.amount if asked is None else asked
        if row.status == SETTLED and row.settled == amount:
            return row
        if row.status != PENDING:
            raise HoldIsOver(row.id, row.status, "settled")
        if amount > row.amount:
            raise FieldProblem(
                "amount", f"{amount:f} is more than the {row.amount.normalize():f} that are reserved"
            )
        books.let_go(row.parts)
        row.status, row.settled, row.closed_at = SETTLED, amount, self._tx.at
        if amount:
            said = Movement(SETTLEMENT, amount, row.description or f"Hold {row.id}")
            row.transaction_id = books.spend(said, self._spent(row, amount), USAGE).id
        books.keep()
        self._record(SETTLED, row, amount)
        return row

    def release(self, hold_id: str) -> WalletHoldRow:
        """Reserve it no longer. Releasing it again changes nothing. Raises HoldNotFound, HoldIsOver."""
        books, row = self._locked(hold_id)
        if row.status == RELEASED:
            return row
        if row.status != PENDING:
            raise HoldIsOver(row.id, row.status, "released")
        books.let_go(row.parts)
        row.status, row.closed_at = RELEASED, self._tx.at
        books.keep()
        self._record(RELEASED, row, row.amount)
        return row

    def _spent(self, row: WalletHoldRow, amount: Decimal) -> dict[str, Decimal]:
        """What is taken of the hold's parts, in the order of burning, in which they were chosen."""
        spent: dict[str, Decimal] = {}
        left = amount
        for grant in self._wallets.in_order(row.parts):
            part = min(left, Decimal(row.parts[grant]))
            if part:
                spent[grant] = part
            left -= part
        return spent

    def _locked(self, hold_id: str) -> tuple[Books, WalletHoldRow]:
        books = self._wallets.locked(self.get(hold_id).wallet_id)
        row = self._tx.session.get(
            WalletHoldRow, (self._tx.tenant_id, hold_id), populate_existing=True, with_for_update=True
        )
        assert row is not None
        return books, row

    def _made(self, books: Books, amount: Decimal, key: str | None) -> WalletHoldRow | None:
        if key is None:
            return None
        mine = WalletHoldRow.tenant_id == self._tx.tenant_id, WalletHoldRow.idempotency_key == key
        made = self._tx.session.scalar(select(WalletHoldRow).where(*mine))
        if made is not None and (made.wallet_id, made.amount) != (books.wallet.id, amount):
            raise KeyUsedOtherwise(key)
        return made

    def _record(self, what: str, row: WalletHoldRow, amount: Decimal) -> None:
        changes = {
            "hold": {"before": None, "after": row.id},
            "amount": {"before": None, "after": f"{amount:f}"},
        }
        self._tx.record(f"WALLET_HOLD_{what}", "wallet", row.wallet_id, changes, row.description)
