"""One tenant's transaction. Put here: what every service works in. Keep out: queries, rules.

Everything done for a tenant happens in a `Tx`: its session sees and writes that tenant's rows only, its clock is read once,
and what it records in the audit log commits or rolls back together with what was done.

PostgreSQL holds the second lock: the transaction runs as the role `aforo_tenant` (storage.migrations.tenancy), to which rows of
other tenants do not exist, even if a query forgets to ask for the tenant's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from domain.actor import OPERATOR, Actor
from storage.database import session_scope
from storage.repositories.audit import Audit

_BECOME_TENANT = text(
    "SELECT set_config('role', 'aforo_tenant', true), set_config('aforo.tenant', :tenant, true)"
)


@dataclass(frozen=True, slots=True)
class Tx:
    """A tenant's open transaction. at: the one time everything in it happens at. tenant_id is empty in a transaction about the
    installation itself (`installation_tx`)."""

    session: Session
    tenant_id: str
    actor: Actor
    at: datetime

    def record(
        self,
        action: str,
        target_type: str,
        target_id: str,
        changes: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        """Record one act in the audit log; see `Audit.record`. It is written when the transaction commits."""
        log = Audit(self.session, self.tenant_id, self.actor, at=self.at)
        log.record(action, target_type, target_id, changes, reason)

    def of(self, tenant_id: str) -> Tx:
        """The same transaction, acting for this tenant: for `installation_tx`, where the role does not stand in the way."""
        return replace(self, tenant_id=tenant_id)


@contextmanager
def tenant_tx(
    engine: Engine | str, tenant_id: str, actor: Actor = OPERATOR, *, at: datetime | None = None
) -> Iterator[Tx]:
    """A transaction of one tenant: committed at the end, rolled back on any error. at: default now."""
    with session_scope(engine) as session:
        session.execute(_BECOME_TENANT, {"tenant": tenant_id})
        yield Tx(session, tenant_id, actor, at or datetime.now(UTC))


@contextmanager
def installation_tx(
    engine: Engine | str, actor: Actor = OPERATOR, *, at: datetime | None = None
) -> Iterator[Tx]:
    """A transaction about tenants themselves: sees all of them. Only for what makes, lists and archives tenants."""
    with session_scope(engine) as session:
        yield Tx(session, "", actor, at or datetime.now(UTC))
