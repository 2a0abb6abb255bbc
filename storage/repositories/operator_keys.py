"""Operator keys in the database. Put here: finding the key of a secret, one tenant's keys. Keep out: what may be done with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from storage.repositories.keys import sha256_of
from storage.tables.doors import OperatorKeyRow as Row
from storage.tables.tenants import TenantRow

NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose secret it is."""

    key_id: str
    tenant_id: str
    role: str


def holder_of(session: Session, secret: str, now: datetime) -> Holder | None:
    """Whose secret it is, if it is good now; also notes its use. session: the installation's, since the tenant is unknown."""
    hashed = sha256_of(secret)
    previous = (Row.previous_sha256 == hashed) & (Row.previous_until > now)
    query = select(Row.tenant_id, Row.id, Row.role, Row.last_used_at).join(
        TenantRow, TenantRow.id == Row.tenant_id
    )
    query = query.where(
        or_(Row.secret_sha256 == hashed, previous),
        Row.status == "ACTIVE",
        or_(Row.expires_at.is_(None), Row.expires_at > now),
        TenantRow.archived_at.is_(None),
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    if row.last_used_at is None or row.last_used_at < now - NOTED_EVERY:
        used = update(Row).where(Row.tenant_id == row.tenant_id, Row.id == row.id)
        session.execute(used.values(last_used_at=now))
    return Holder(row.id, row.tenant_id, row.role)
