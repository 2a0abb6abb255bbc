"""Whether a customer may be archived. Put here: what depends on one. Keep out: the archiving (customers.py), the judgement
(domain.catalog.deletion)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from domain.catalog.deletion import DeletionCheck, Reason, judged
from domain.subscription_states import TERMINAL
from storage.tables.customers import CustomerRow, SubscriptionRow
from storage.tables.invoices import InvoiceRow
from storage.tables.keys import ApiKeyRow
from storage.tables.money import WalletRow
from storage.tenancy import Tx

_OPEN_INVOICES = ("DRAFT", "OPEN", "OVERDUE")
_USABLE_KEYS = ("ACTIVE", "SUSPENDED", "PENDING_REVOCATION")


def check_customer(tx: Tx, customer: CustomerRow) -> DeletionCheck:
    """Live subscriptions and unsettled invoices block; money in a wallet and usable keys warn."""
    identity = (tx.tenant_id, "customer", customer.id, customer.revision)
    return judged(identity, _reasons(tx, customer.id))


def _reasons(tx: Tx, customer_id: str) -> Iterator[Reason]:
    live = or_(SubscriptionRow.ends_at.is_(None), SubscriptionRow.ends_at > tx.at)
    running = _ids(tx, SubscriptionRow, customer_id, SubscriptionRow.status.not_in(list(TERMINAL)), live)
    yield _reason("ACTIVE_SUBSCRIPTIONS", running, "live subscription", "cancel first", blocks=True)
    owed = _ids(tx, InvoiceRow, customer_id, InvoiceRow.status.in_(_OPEN_INVOICES))
    yield _reason("OPEN_INVOICES", owed, "open invoice", "settle or void first", blocks=True)
    money = _ids(tx, WalletRow, customer_id, WalletRow.archived_at.is_(None), WalletRow.balance > 0)
    yield _reason("WALLET_BALANCE", money, "wallet with money in it", "it can no longer be spent")
    keys = _ids(tx, ApiKeyRow, customer_id, ApiKeyRow.status.in_(_USABLE_KEYS))
    yield _reason("ACTIVE_KEYS", keys, "usable key", "revoked with the customer")


def _ids(tx: Tx, table: Any, customer_id: str, *conditions: ColumnElement[bool]) -> tuple[str, ...]:
    mine = (table.tenant_id == tx.tenant_id, table.customer_id == customer_id)
    return tuple(tx.session.scalars(select(table.id).where(*mine, *conditions).order_by(table.id)))


def _reason(code: str, ids: tuple[str, ...], noun: str, what: str, *, blocks: bool = False) -> Reason:
    message = f"{len(ids)} {noun}{'' if len(ids) == 1 else 's'} ({what})"
    return Reason(code, message, len(ids), ids, blocks=blocks)
