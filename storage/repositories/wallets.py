"""Wallets and their ledger. Put here: loading, locking and booking. Keep out: who may spend (services); the database keeps balances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Select, and_, insert, or_, select
from sqlalchemy.orm import Session

from domain.wallet import HELD_IN_WALLET
from domain.wallet_grants import units_of
from storage.repositories.among import among
from storage.tables.catalog import ProductUnitRow
from storage.tables.money import WalletEntryRow, WalletRow, WalletTransactionRow
from storage.tables.wallet_grants import WalletGrantRow, WalletHoldRow, WalletTopUpRow

UNDER_WAY = ("REQUESTED", "PENDING")


@dataclass(frozen=True, slots=True)
class Entry:
    """What an account gains, or below zero loses. grant_id: which grant's; empty for accounts outside the wallet."""

    account: str
    amount: Decimal
    grant_id: str = ""

    @property
    def is_money_here(self) -> bool:
        """Whether it moves the wallet's balance."""
        return self.account in HELD_IN_WALLET


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

    def book(self, transaction: WalletTransactionRow, entries: Iterable[Entry]) -> None:
        """Write a transaction and its entries; the database moves the balance and the grants along."""
        self._session.add(transaction)
        self._session.flush()
        rows = [
            {
                "tenant_id": self._tenant_id,
                "transaction_id": transaction.id,
                "account": entry.account,
                "grant_id": entry.grant_id,
                "amount": entry.amount,
            }
            for entry in entries
        ]
        self._session.execute(insert(WalletEntryRow), rows)

    def transactions(self, wallet_id: str) -> Select[tuple[WalletTransactionRow]]:
        """A wallet's transactions, to be put in order."""
        return select(WalletTransactionRow).where(
            WalletTransactionRow.tenant_id == self._tenant_id, WalletTransactionRow.wallet_id == wallet_id
        )

    def entries(self, transaction_ids: Collection[str]) -> dict[str, list[WalletEntryRow]]:
        """The entries of transactions, by account and grant."""
        query = select(WalletEntryRow).where(
            WalletEntryRow.tenant_id == self._tenant_id,
            among(WalletEntryRow.transaction_id, transaction_ids),
        )
        found: dict[str, list[WalletEntryRow]] = {each: [] for each in transaction_ids}
        for row in self._session.scalars(query.order_by(WalletEntryRow.account, WalletEntryRow.grant_id)):
            found[row.transaction_id].append(row)
        return found

    def of_wallet(self, wallet_id: str) -> Select[tuple[WalletGrantRow]]:
        """A wallet's grants, to be narrowed down."""
        return select(WalletGrantRow).where(
            WalletGrantRow.tenant_id == self._tenant_id, WalletGrantRow.wallet_id == wallet_id
        )

    def grants(self, ids: Iterable[str]) -> list[WalletGrantRow]:
        """As they are now. Their wallet must be locked."""
        query = select(WalletGrantRow).where(
            WalletGrantRow.tenant_id == self._tenant_id, among(WalletGrantRow.id, list(ids))
        )
        return self._now(query)

    def grants_left(self, wallet_id: str) -> list[WalletGrantRow]:
        """Those with something left, in the order they came in, as they are now."""
        return self._now(self.of_wallet(wallet_id).where(WalletGrantRow.remaining > 0))

    def grant_made(self, wallet_id: str, key: str) -> WalletGrantRow | None:
        """The wallet's grant that was made under the key."""
        return self._session.scalar(self.of_wallet(wallet_id).where(WalletGrantRow.idempotency_key == key))

    def starting(self, wallet_id: str, at: datetime) -> list[WalletGrantRow]:
        """Grants that have taken effect by then and are not booked."""
        return self._now(self.of_wallet(wallet_id).where(*_starting(at)))

    def expired(self, wallet_id: str, at: datetime) -> list[WalletGrantRow]:
        """Grants whose time is over, with something left."""
        return self._now(self.of_wallet(wallet_id).where(*_expired(at)))

    def lapsed_holds(self, wallet_id: str, at: datetime) -> list[WalletHoldRow]:
        """Holds whose time is over and that are still pending."""
        query = select(WalletHoldRow).where(
            WalletHoldRow.tenant_id == self._tenant_id, WalletHoldRow.wallet_id == wallet_id, *_lapsed(at)
        )
        return list(self._session.scalars(query.order_by(WalletHoldRow.id)))

    def due(self, at: datetime, wallet_id: str | None = None) -> list[str]:
        """Live wallets (or this one, if it is) to which something happens by itself by then."""
        mine = WalletGrantRow.tenant_id == self._tenant_id
        grants = select(WalletGrantRow.wallet_id).where(mine, or_(and_(*_starting(at)), and_(*_expired(at))))
        holds = select(WalletHoldRow.wallet_id).where(
            WalletHoldRow.tenant_id == self._tenant_id, *_lapsed(at)
        )
        if wallet_id is not None:
            grants = grants.where(WalletGrantRow.wallet_id == wallet_id)
            holds = holds.where(WalletHoldRow.wallet_id == wallet_id)
        found = grants.union(holds).subquery()
        live = self.live().where(WalletRow.id.in_(select(found.c.wallet_id)))
        return list(self._session.scalars(live.with_only_columns(WalletRow.id).order_by(WalletRow.id)))

    def top_ups_under_way(self, wallet_id: str) -> list[WalletTopUpRow]:
        """Refills asked for and not there yet."""
        query = select(WalletTopUpRow).where(
            WalletTopUpRow.tenant_id == self._tenant_id, WalletTopUpRow.wallet_id == wallet_id
        )
        return list(self._session.scalars(query.where(WalletTopUpRow.status.in_(UNDER_WAY))))

    def top_ups_requested(self) -> list[str]:
        """Refills nobody has asked a provider for yet."""
        query = select(WalletTopUpRow.id).where(
            WalletTopUpRow.tenant_id == self._tenant_id, WalletTopUpRow.status == "REQUESTED"
        )
        return list(self._session.scalars(query.order_by(WalletTopUpRow.created_at, WalletTopUpRow.id)))

    def good_for(self) -> Callable[[WalletGrantRow], frozenset[str] | None]:
        """What units a grant may pay for, with the products as they are now; None: any."""
        sold: dict[str, Collection[str]] = {}

        def units(row: WalletGrantRow) -> frozenset[str] | None:
            if row.products and not sold:
                sold.update(self._sold())
            return units_of(row.units, row.products, sold)

        return units

    def _sold(self) -> dict[str, list[str]]:
        query = select(ProductUnitRow.product_id, ProductUnitRow.unit_id)
        found: dict[str, list[str]] = defaultdict(list)
        for product, unit in self._session.execute(query.where(ProductUnitRow.tenant_id == self._tenant_id)):
            found[product].append(unit)
        return found

    def _now(self, query: Select[tuple[WalletGrantRow]]) -> list[WalletGrantRow]:
        fresh = query.order_by(WalletGrantRow.seq).execution_options(populate_existing=True)
        return list(self._session.scalars(fresh))

    def _one(self, query: Select[tuple[WalletRow]], *, lock: bool) -> WalletRow | None:
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        return self._session.scalar(query)


def _starting(at: datetime) -> tuple[ColumnElement[bool], ...]:
    waiting = WalletGrantRow.booked_at.is_(None), WalletGrantRow.revoked_at.is_(None)
    return (*waiting, WalletGrantRow.effective_at <= at)


def _expired(at: datetime) -> tuple[ColumnElement[bool], ...]:
    return WalletGrantRow.expires_at <= at, WalletGrantRow.remaining > WalletGrantRow.held


def _lapsed(at: datetime) -> tuple[ColumnElement[bool], ...]:
    return WalletHoldRow.status == "PENDING", WalletHoldRow.expires_at <= at
