"""API keys. Put here: issuing them, finding them, listing live ones. Keep out: who may use them (the edge), what may be done
with them (storage/services)."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, insert, or_, select, update
from sqlalchemy.orm import Session

from domain.access import KeyRecord
from domain.catalog.keys import CLIENT_CREDENTIALS, Key
from domain.instant import EPOCH
from storage.repositories.among import among
from storage.tables.customers import AccessorRow, CustomerRow
from storage.tables.keys import ApiKeyRow, KeySubscriptionRow
from storage.tables.tenants import TenantRow

ACTIVE, SUSPENDED, PENDING_REVOCATION, REVOKED = "ACTIVE", "SUSPENDED", "PENDING_REVOCATION", "REVOKED"
IN_USE = (ACTIVE, SUSPENDED)
_ALPHABET = string.ascii_letters + string.digits
_RANDOM = 40
_SHOWN = 12
_UPDATABLE = ("scopes", "ip_ranges", "expires_at")


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just issued; the only time its secret is known."""

    id: str
    name: str
    secret: str


class ApiKeys:
    """One tenant's API keys. Only the SHA-256 of a secret is stored."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def all(self) -> dict[str, Key]:
        """Every key without an app or agent by its name, revoked ones too; of a name used again, the latest."""
        query = self.select(ApiKeyRow.accessor_id.is_(None)).order_by(ApiKeyRow.name, ApiKeyRow.created_at)
        return {
            row.name: Key(
                row.name,
                row.customer_id,
                row.environment,
                scopes=tuple(row.scopes),
                ip_ranges=tuple(row.ip_ranges),
                expires_at=row.expires_at,
            )
            for row in self._session.scalars(query)
        }

    def get(self, key_id: str, *, lock: bool = False) -> ApiKeyRow | None:
        query = self.select(ApiKeyRow.id == key_id)
        return self._session.scalars(query.with_for_update() if lock else query).one_or_none()

    def select(self, *conditions: ColumnElement[bool]) -> Select[tuple[ApiKeyRow]]:
        return select(ApiKeyRow).where(ApiKeyRow.tenant_id == self._tenant_id, *conditions)

    def subscriptions(self, key_ids: Collection[str]) -> dict[str, list[str]]:
        """The subscriptions each of these keys is for."""
        found: dict[str, list[str]] = {key_id: [] for key_id in key_ids}
        query = select(KeySubscriptionRow.key_id, KeySubscriptionRow.subscription_id).where(
            KeySubscriptionRow.tenant_id == self._tenant_id, among(KeySubscriptionRow.key_id, key_ids)
        )
        for key_id, subscription_id in self._session.execute(
            query.order_by(KeySubscriptionRow.subscription_id)
        ):
            found[key_id].append(subscription_id)
        return found

    def issue(self, key: Key, *, replaces: str | None = None, client_id: str | None = None) -> IssuedKey:
        """Make the key's secret, store its hash and what it is for. replaces: the key it takes over from."""
        secret = f"sk_{key.environment}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
        issued = IssuedKey("key_" + secrets.token_hex(8), key.name, secret)
        named = client_id or "cli_" + secrets.token_hex(12)
        row = {
            "tenant_id": self._tenant_id,
            "id": issued.id,
            "name": key.name,
            "customer_id": key.customer,
            "accessor_id": key.accessor,
            "accessor_type": key.accessor_type,
            "credential_type": key.credential_type,
            "client_id": named if key.credential_type == CLIENT_CREDENTIALS else None,
            "product_id": key.product,
            "environment": key.environment,
            "status": ACTIVE,
            "scopes": list(key.scopes),
            "ip_ranges": list(key.ip_ranges),
            "expires_at": key.expires_at,
            "replaces": replaces,
            "prefix": secret[:_SHOWN],
            "secret_sha256": sha256_of(secret),
        }
        self._session.execute(insert(ApiKeyRow).values(row))
        bindings = [
            {"tenant_id": self._tenant_id, "key_id": issued.id, "subscription_id": subscription}
            for subscription in key.subscriptions
        ]
        if bindings:
            self._session.execute(insert(KeySubscriptionRow), bindings)
        return issued

    def change(self, keys: Iterable[Key]) -> None:
        """Keys in use, found by name, get these scopes, address ranges and ends."""
        for key in keys:
            values = {name: value for name, value in asdict(key).items() if name in _UPDATABLE}
            self._session.execute(
                update(ApiKeyRow)
                .where(
                    ApiKeyRow.tenant_id == self._tenant_id,
                    ApiKeyRow.accessor_id.is_(None),
                    ApiKeyRow.name == key.name,
                    ApiKeyRow.status.in_(IN_USE),
                )
                .values(**values, revision=ApiKeyRow.revision + 1)
            )

    def live(self, as_of: datetime, key_ids: Collection[str] | None = None) -> dict[str, KeyRecord]:
        """Keys that open something as of an instant, by the hex SHA-256 of their secret. key_ids: only these.

        A key of an archived customer or tenant, or of a suspended app or agent, opens nothing.
        """
        return {
            row.secret_sha256: record_of(row)
            for row in self._session.scalars(self._live(as_of, key_ids).order_by(ApiKeyRow.id))
        }

    def hashes(self, key_ids: Collection[str]) -> dict[str, str]:
        """The hash of each of these keys' secrets, by key."""
        query = select(ApiKeyRow.id, ApiKeyRow.secret_sha256).where(
            ApiKeyRow.tenant_id == self._tenant_id, among(ApiKeyRow.id, key_ids)
        )
        return {key_id: sha for key_id, sha in self._session.execute(query).tuples()}  # noqa: C416

    def of_accessors(self, accessors: Collection[str]) -> list[str]:
        """The keys of these apps and agents."""
        query = select(ApiKeyRow.id).where(
            ApiKeyRow.tenant_id == self._tenant_id, among(ApiKeyRow.accessor_id, accessors)
        )
        return list(self._session.scalars(query))

    def _live(self, as_of: datetime, key_ids: Collection[str] | None) -> Select[tuple[ApiKeyRow]]:
        same_tenant = ApiKeyRow.tenant_id
        query = (
            self.select(live_at(as_of), TenantRow.archived_at.is_(None), CustomerRow.archived_at.is_(None))
            .join(TenantRow, TenantRow.id == same_tenant)
            .outerjoin(
                CustomerRow,
                and_(CustomerRow.tenant_id == same_tenant, CustomerRow.id == ApiKeyRow.customer_id),
            )
            .outerjoin(
                AccessorRow,
                and_(AccessorRow.tenant_id == same_tenant, AccessorRow.id == ApiKeyRow.accessor_id),
            )
            .where(or_(ApiKeyRow.accessor_id.is_(None), AccessorRow.status == "ACTIVE"))
        )
        return query if key_ids is None else query.where(among(ApiKeyRow.id, key_ids))


def live_at(as_of: datetime) -> ColumnElement[bool]:
    """Whether a key itself opens something as of an instant."""
    is_open = or_(
        ApiKeyRow.status == ACTIVE,
        and_(ApiKeyRow.status == PENDING_REVOCATION, ApiKeyRow.revoke_at > as_of),
    )
    return and_(is_open, or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > as_of))


def record_of(row: ApiKeyRow) -> KeyRecord:
    """The key as hot state holds it."""
    ends = [end for end in (row.expires_at, row.revoke_at) if end is not None]
    return KeyRecord(
        key_id=row.id,
        tenant_id=row.tenant_id,
        customer_id=row.customer_id,
        environment=row.environment,
        status=ACTIVE,
        scopes=tuple(row.scopes),
        ip_ranges=tuple(row.ip_ranges),
        until=_micros(min(ends)) if ends else None,
    )


def key_by_secret(session: Session, secret: str, as_of: datetime) -> ApiKeyRow | None:
    """The live key with this secret, whichever tenant's: the secret is what tells the tenant."""
    tenant_id = session.scalars(
        select(ApiKeyRow.tenant_id).where(ApiKeyRow.secret_sha256 == sha256_of(secret))
    ).one_or_none()
    if tenant_id is None:
        return None
    found = ApiKeys(session, tenant_id)
    query = found._live(as_of, None).where(ApiKeyRow.secret_sha256 == sha256_of(secret))
    return session.scalars(query).one_or_none()


def sha256_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _micros(instant: datetime) -> int:
    since: Any = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds  # type: ignore[no-any-return]
