"""API keys of the tenant's customers. Put here: making, rotating, suspending and revoking them. Keep out: keys that end with a
subscription (key_revocation.py), the edge, operator keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.keys import CLIENT_CREDENTIALS, Key, read_new_key
from domain.errors import Conflict, NotFound
from storage.repositories.keys import (
    ACTIVE,
    PENDING_REVOCATION,
    REVOKED,
    SUSPENDED,
    ApiKeys,
    IssuedKey,
)
from storage.repositories.paging import Page, PageQuery, contains, keyset
from storage.services.differences import no_expectation
from storage.services.key_revocation import revoke_row
from storage.services.request_limits import RequestLimits
from storage.services.sent import violated
from storage.tables.catalog import ProductRow
from storage.tables.customers import AccessorRow, CustomerRow, SubscriptionRow
from storage.tables.keys import ApiKeyRow
from storage.tenancy import Tx

GRACE = timedelta(minutes=5)
"""How long a rotated key goes on working beside its successor."""
_ORDERS = {
    "-createdAt": ApiKeyRow.created_at,
    "name": ApiKeyRow.name,
    "id": ApiKeyRow.id,
}
_FILTERS = {
    "customerId": ApiKeyRow.customer_id,
    "accessorId": ApiKeyRow.accessor_id,
    "environment": ApiKeyRow.environment,
    "status": ApiKeyRow.status,
}
Expect = Callable[[str, int], None]


class ApiKeyNotFound(NotFound):
    code = "API_KEY_NOT_FOUND"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no API key {key_id!r}")


class NothingToBelongTo(NotFound):
    """The key is to belong to something that is not there."""

    def __init__(self, field: str, what: str, identifier: str) -> None:
        super().__init__(f"{field}: there is no {what} {identifier!r}")
        self.code = f"{what.upper()}_NOT_FOUND"


class KeyExists(Conflict):
    code = "API_KEY_EXISTS"

    def __init__(self, key: Key) -> None:
        what = (
            f"accessorId: {key.accessor!r} of customer {key.customer!r}"
            if key.accessor
            else f"name: {key.name!r}"
        )
        super().__init__(f"{what} has a key in use already; rotate or revoke that one")


class SubscriptionNotActive(Conflict):
    code = "SUBSCRIPTION_NOT_ACTIVE"

    def __init__(self, subscription_id: str, status: str) -> None:
        super().__init__(
            f"subscriptionIds: {subscription_id!r} is {status}; only an ACTIVE subscription can have keys"
        )


class AccessorMismatch(Conflict):
    code = "ACCESSOR_MISMATCH"


class KeyNotInState(Conflict):
    code = "API_KEY_STATE_CONFLICT"

    def __init__(self, row: ApiKeyRow, at: datetime, act: str, right: str) -> None:
        super().__init__(
            f"API key {row.id!r} is {status_at(row, at)} and cannot be {act}; only {right} keys can"
        )


def status_at(row: ApiKeyRow, at: datetime) -> str:
    """The key's state at an instant; one whose time of grace is over is revoked, whoever has noted it."""
    is_over = row.status == PENDING_REVOCATION and row.revoke_at is not None and row.revoke_at <= at
    return REVOKED if is_over else row.status


class ApiKeyService:
    """One tenant's API keys. Secrets are in the answers of `create` and `rotate`, and nowhere else."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._keys = ApiKeys(tx.session, tx.tenant_id)

    def create(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """A new key with its secret. Raises FieldProblem, NothingToBelongTo, SubscriptionNotActive, AccessorMismatch,
        KeyExists."""
        key = read_new_key(Fields(sent, ""))
        if key.expires_at is not None and key.expires_at <= self._tx.at:
            raise FieldProblem("expiresAt", f"{key.expires_at.isoformat()} is over; choose a later instant")
        if key.customer is not None:
            self._customer(key.customer)
        if (
            key.product is not None
            and self._tx.session.get(ProductRow, (self._tx.tenant_id, key.product)) is None
        ):
            raise NothingToBelongTo("productId", "product", key.product)
        self._subscriptions(key)
        if key.accessor is not None:
            self._accessor(key)
        issued = self._issue(key)
        self._record(
            "API_KEY_CREATED", issued.id, {"name": key.name, "accessorId": key.accessor, "status": ACTIVE}
        )
        return self._shown_once(issued)

    def get(self, key_id: str) -> dict[str, Any]:
        """One key, without its secret. Raises ApiKeyNotFound."""
        return self._shown([self._found(key_id)])[0]

    def page(self, page: PageQuery, filters: Mapping[str, str | None]) -> Page:
        """Keys, the newest first. filters: customerId, accessorId, environment, status, and a part of the name."""
        query = self._keys.select(
            *(column == filters[name] for name, column in _FILTERS.items() if filters.get(name))
        )
        if part := filters.get("name"):
            query = query.where(contains(ApiKeyRow.name, part))
        rows, total, cursor = keyset(self._tx.session, query, _ORDERS, page)
        return Page(self._shown(rows), total, cursor)

    def revoke(
        self, key_id: str, reason: str | None = None, expect: Expect = no_expectation
    ) -> dict[str, Any]:
        """The key stops at once and for ever. One revoked already stays as it is."""
        row = self._locked(key_id, expect)
        if status_at(row, self._tx.at) != REVOKED:
            revoke_row(self._tx, row, reason)
            self._tx.session.flush()
        return self._shown([row])[0]

    def rotate(self, key_id: str, expect: Expect = no_expectation) -> dict[str, Any]:
        """A new key in the place of this one, with a new secret; this one goes on for five minutes. Raises KeyNotInState."""
        old = self._locked(key_id, expect)
        if old.status != ACTIVE:
            raise KeyNotInState(old, self._tx.at, "rotated", ACTIVE)
        self._move(old, PENDING_REVOCATION, "API_KEY_ROTATED", "rotated", revoke_at=self._tx.at + GRACE)
        bound = self._keys.subscriptions([old.id])[old.id]
        key = Key(
            name=old.name,
            customer=old.customer_id,
            environment=old.environment,
            scopes=tuple(old.scopes),
            ip_ranges=tuple(old.ip_ranges),
            expires_at=old.expires_at,
            accessor=old.accessor_id,
            accessor_type=old.accessor_type,
            subscriptions=tuple(bound),
            product=old.product_id,
        )
        issued = self._issue(key, replaces=old.id, client_id=old.client_id)
        self._record("API_KEY_CREATED", issued.id, {"name": key.name, "replaces": old.id, "status": ACTIVE})
        RequestLimits(self._tx).carry_over(old.id, issued.id)
        return self._shown_once(issued)

    def suspend(
        self, key_id: str, reason: str | None = None, expect: Expect = no_expectation
    ) -> dict[str, Any]:
        """The key stops until it is reactivated. Raises KeyNotInState."""
        return self._turned(key_id, ACTIVE, SUSPENDED, "suspended", reason, expect)

    def reactivate(
        self, key_id: str, reason: str | None = None, expect: Expect = no_expectation
    ) -> dict[str, Any]:
        """A suspended key works again. Raises KeyNotInState."""
        return self._turned(key_id, SUSPENDED, ACTIVE, "reactivated", reason, expect)

    def _turned(
        self, key_id: str, before: str, after: str, act: str, reason: str | None, expect: Expect
    ) -> dict[str, Any]:
        row = self._locked(key_id, expect)
        if row.status not in (before, after):
            raise KeyNotInState(row, self._tx.at, act, before)
        if row.status == before:
            self._move(row, after, f"API_KEY_{act.upper()}", reason)
        return self._shown([row])[0]

    def _move(
        self,
        row: ApiKeyRow,
        status: str,
        action: str,
        reason: str | None,
        *,
        revoke_at: datetime | None = None,
    ) -> None:
        changes = {"status": {"before": row.status, "after": status}}
        row.status, row.revoke_at = status, revoke_at
        row.updated_at = self._tx.at
        row.revision += 1
        self._tx.session.flush()
        self._tx.record(action, "api_key", row.id, changes, reason)

    def _issue(self, key: Key, *, replaces: str | None = None, client_id: str | None = None) -> IssuedKey:
        try:
            with self._tx.session.begin_nested():
                return self._keys.issue(key, replaces=replaces, client_id=client_id)
        except IntegrityError as error:
            if violated(error) in ("uq_api_keys_accessor_in_use", "uq_api_keys_name_in_use"):
                raise KeyExists(key) from None
            raise

    def _customer(self, customer_id: str) -> None:
        row = self._tx.session.get(CustomerRow, (self._tx.tenant_id, customer_id))
        if row is None or row.archived_at is not None:
            raise NothingToBelongTo("customerId", "customer", customer_id)

    def _subscriptions(self, key: Key) -> None:
        """Locked, so that a cancellation at the same time sees the new key or is seen by it."""
        query = select(SubscriptionRow).where(
            SubscriptionRow.tenant_id == self._tx.tenant_id,
            SubscriptionRow.customer_id == key.customer,
            SubscriptionRow.id.in_(key.subscriptions),
        )
        found = {
            row.id: row
            for row in self._tx.session.scalars(query.order_by(SubscriptionRow.id).with_for_update(read=True))
        }
        for subscription_id in key.subscriptions:
            row = found.get(subscription_id)
            if row is None:
                raise NothingToBelongTo("subscriptionIds", "subscription", subscription_id)
            if row.status != "ACTIVE":
                raise SubscriptionNotActive(subscription_id, row.status)
            if row.ends_at is not None and row.ends_at <= self._tx.at:
                raise SubscriptionNotActive(subscription_id, "over")

    def _accessor(self, key: Key) -> None:
        """The app or agent the key is for; one never heard of is made, named by its id."""
        row = self._tx.session.get(AccessorRow, (self._tx.tenant_id, key.accessor))
        if row is None:
            self._make_accessor(key)
            return
        if (row.customer_id, row.type) != (key.customer, key.accessor_type):
            what = f"the {row.type} {row.id!r} of customer {row.customer_id!r}"
            raise AccessorMismatch(
                f"accessorId: names {what}; send its customerId and accessorType, or another id"
            )
        if row.status != "ACTIVE":
            raise AccessorMismatch(
                f"accessorId: {row.id!r} is {row.status}; only ACTIVE apps and agents get keys"
            )

    def _make_accessor(self, key: Key) -> None:
        values = {
            "tenant_id": self._tx.tenant_id,
            "id": key.accessor,
            "type": key.accessor_type,
            "customer_id": key.customer,
            "name": key.accessor,
            "agent_type": "CUSTOM" if key.accessor_type == "AGENT" else None,
        }
        try:
            with self._tx.session.begin_nested():
                self._tx.session.execute(insert(AccessorRow).values(values))
        except IntegrityError as error:
            if violated(error) == "pk_accessors":  # somebody made it at the same moment
                return self._accessor(key)
            raise AccessorMismatch(
                f"accessorId: there is no {key.accessor!r}, and another of customer {key.customer!r} has that name"
            ) from error
        made = {"name": {"before": None, "after": key.accessor}}
        self._tx.record("ACCESSOR_CREATED", "accessor", key.accessor or "", made)
        return None

    def _record(self, action: str, key_id: str, fields: Mapping[str, Any]) -> None:
        changes = {
            name: {"before": None, "after": value} for name, value in fields.items() if value is not None
        }
        self._tx.record(action, "api_key", key_id, changes)

    def _found(self, key_id: str, *, lock: bool = False) -> ApiKeyRow:
        row = self._keys.get(key_id, lock=lock)
        if row is None:
            raise ApiKeyNotFound(key_id)
        return row

    def _locked(self, key_id: str, expect: Expect) -> ApiKeyRow:
        row = self._found(key_id, lock=True)
        expect(f"API key {key_id!r}", row.revision)
        return row

    def _shown_once(self, issued: IssuedKey) -> dict[str, Any]:
        shown = self._shown([self._found(issued.id)])[0]
        as_client = shown["credential_type"] == CLIENT_CREDENTIALS
        return {**shown, "client_secret" if as_client else "secret": issued.secret}

    def _shown(self, rows: Collection[ApiKeyRow]) -> list[dict[str, Any]]:
        bound = self._keys.subscriptions([row.id for row in rows])
        return [
            {name: getattr(row, name) for name in _SHOWN}
            | {"status": status_at(row, self._tx.at), "subscription_ids": bound[row.id]}
            for row in rows
        ]


_SHOWN = (
    "id", "name", "customer_id", "accessor_id", "accessor_type", "credential_type", "client_id", "product_id",
    "environment", "scopes", "ip_ranges", "prefix", "replaces", "expires_at", "revoke_at", "revoked_at", "revoke_reason",
    "created_at", "updated_at", "revision",
)  # fmt: skip
