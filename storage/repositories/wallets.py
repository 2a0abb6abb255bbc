"""Wallets and their ledger. Put here: loading, locking and booking. Keep out: who may spend (services); the database keeps balances."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session

from storage.tables.money import WalletEntryRow, WalletRow, WalletTransactionRow


class WalletRepository:
    """One tenant's wallets."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def live(self) -> Select[tuple[WalletRow]]:
        """All that are not archived, to be narrowed down."""
        return select(WalletRow).where(
            WalletRow.tenant_id == self._tenant_id, WalletRow.archived_at.is_(None)
        )

    def get(self, wallet_id: str, *, lock: bool = False) -> WalletRow | None:
        """By id, archived ones too. lock: nobody else moves its money until the transaction ends."""
        query = select(WalletRow).where(WalletRow.tenant_id == self._tenant_id, WalletRow.id == wallet_id)
        return self._one(query, lock=lock)

    def of_customer(
        self, customer_id: str, currency: str | None = None, *, lock: bool = False
    ) -> WalletRow | None:
        """The customer's live company wallet in the currency; without one, the oldest."""
        query = self.live().where(WalletRow.customer_id == customer_id, WalletRow.kind == "COMPANY")
        if currency is not None:
            query = query.where(WalletRow.currency == currency)
        return self._one(query.order_by(WalletRow.created_at, WalletRow.id).limit(1), lock=lock)

    def booked(self, idempotency_key: str) -> WalletTransactionRow | None:
        """The transaction booked under the key."""
        query = select(WalletTransactionRow).where(
            WalletTransactionRow.tenant_id == self._tenant_id,
            WalletTransactionRow.idempotency_key == idempotency_key,
        )
        return self._session.scalar(query)

    def book(self, transaction: WalletTransactionRow, entries: Mapping[str, Decimal]) -> None:
        """Write a transaction and its entries, account to amount; the database moves the balance along."""
        self._session.add(transaction)
        self._session.flush()
        rows = [
            {
                "tenant_id": self._tenant_id,
                "transaction_id": transaction.id,
                "account": account,
                "amount": amount,
            }
            for account, amount in entries.items()
        ]
        self._session.execute(insert(WalletEntryRow), rows)

    def transactions(self, wallet_id: str) -> Select[tuple[WalletTransactionRow]]:
        """A wallet's transactions, to be put in order."""
        return select(WalletTransactionRow).where(
            WalletTransactionRow.tenant_id == self._tenant_id, WalletTransactionRow.wallet_id == wallet_id
        )

    def entries(self, transaction_ids: Collection[str]) -> dict[str, dict[str, Decimal]]:
        """The entries of transactions: account to amount."""
        query = select(WalletEntryRow).where(
            WalletEntryRow.tenant_id == self._tenant_id, WalletEntryRow.transaction_id.in_(transaction_ids)
        )
        found: dict[str, dict[str, Decimal]] = {each: {} for each in transaction_ids}
        for row in self._session.scalars(query.order_by(WalletEntryRow.account)):
            found[row.transaction_id][row.account] = row.amount
        return found

    def _one(self, query: Select[tuple[WalletRow]], *, lock: bool) -> WalletRow | None:
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        return self._session.scalar(query)
