"""The audit log. Put here: recording and reading who did what. Keep out: changing entries (the database refuses)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from storage.tables.operations import AuditRow


class Audit:
    """One tenant's audit log. actor: who acts, such as `operator` or a key's id."""

    def __init__(self, session: Session, tenant_id: str, actor: str = "operator") -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._actor = actor

    def record(
        self,
        action: str,
        target_type: str,
        target_id: str,
        changes: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        """Record one act. action: NOUN_DONE, such as RATE_PLAN_UPDATED. changes: field to {before, after}, JSON values."""
        self.record_all([(action, target_type, target_id, changes or {})], reason)

    def record_all(
        self, acts: Iterable[tuple[str, str, str, Mapping[str, Any]]], reason: str | None = None
    ) -> None:
        """Record (action, target_type, target_id, changes) of each act."""
        rows = [
            {
                "tenant_id": self._tenant_id,
                "actor": self._actor,
                "action": action,
                "target_type": target_type,
                "target_id": target_id,
                "changes": dict(changes),
                "reason": reason,
            }
            for action, target_type, target_id, changes in acts
        ]
        if rows:
            self._session.execute(insert(AuditRow), rows)

    def entries(self, limit: int = 100) -> list[AuditRow]:
        """The newest entries first."""
        query = select(AuditRow).where(AuditRow.tenant_id == self._tenant_id)
        return list(self._session.scalars(query.order_by(AuditRow.id.desc()).limit(limit)))


def record(
    session: Session,
    tenant_id: str,
    action: str,
    *,
    target_type: str,
    target_id: str,
    changes: Mapping[str, Any] | None = None,
    reason: str | None = None,
    actor: str = "operator",
) -> None:
    """Record one act; see `Audit.record`."""
    Audit(session, tenant_id, actor).record(action, target_type, target_id, changes, reason)
