"""The audit log. Put here: recording and reading who did what. Keep out: changing entries (the database refuses).

What is recorded waits in the session and is written when its transaction commits: the entries of a tenant form a chain, so
their writers queue for its end, and a transaction that queued earlier could wait for rows of one that waits for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import event, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, SessionTransaction

from domain.actor import Actor
from storage.audit_chain import START, entry_hash, storable
from storage.tables.operations import AuditHeadRow, AuditRow

_WAITING = "audit entries to write"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An entry to write when `inside` commits. at None: the transaction's own time."""

    entry: dict[str, Any]
    inside: SessionTransaction | None


class Audit:
    """One tenant's audit log. actor: who acts, such as `operator` or a key's id. at: when (default: the transaction's time)."""

    def __init__(
        self, session: Session, tenant_id: str, actor: str | Actor = "operator", *, at: datetime | None = None
    ) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._actor = actor if isinstance(actor, Actor) else Actor(actor, role="")
        self._at = at

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
        about = {
            "tenant_id": self._tenant_id,
            "at": self._at,
            "actor": self._actor.id,
            "role": self._actor.role or None,
            "ip": self._actor.ip,
            "request_id": self._actor.request_id,
            "reason": reason,
        }
        waiting = self._session.info.setdefault(_WAITING, [])
        inside = self._session.get_nested_transaction() or self._session.get_transaction()
        for action, target_type, target_id, changes in acts:
            what = {"action": action, "target_type": target_type, "target_id": target_id}
            entry = {**about, **what, "changes": storable(changes), "event_id": f"evt_{uuid.uuid4().hex}"}
            waiting.append(_Waiting(entry, inside))

    def entries(self, limit: int = 100) -> list[AuditRow]:
        """The newest entries first."""
        write_waiting(self._session)
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
    actor: str | Actor = "operator",
) -> None:
    """Record one act; see `Audit.record`."""
    Audit(session, tenant_id, actor).record(action, target_type, target_id, changes, reason)


def write_waiting(session: Session) -> None:
    """Write what was recorded in this session so far, each tenant's entries at the end of its chain."""
    waiting: list[_Waiting] = session.info.pop(_WAITING, [])
    entries = sorted((each.entry for each in waiting), key=lambda entry: entry["tenant_id"])
    # In the order of their ids, so that two transactions about the same tenants cannot wait for each other.
    for tenant_id, of_tenant in groupby(entries, key=lambda entry: entry["tenant_id"]):
        _append(session, tenant_id, list(of_tenant))


def _append(session: Session, tenant_id: str, entries: list[dict[str, Any]]) -> None:
    session.flush()  # a tenant made in this transaction must be there before its chain
    head = upsert(AuditHeadRow).values(tenant_id=tenant_id, entries=0, hash=START)
    # Changes nothing, but locks the row and reads it as the writer before us left it.
    locked = head.on_conflict_do_update(
        index_elements=[AuditHeadRow.tenant_id], set_={"tenant_id": literal(tenant_id)}
    ).returning(AuditHeadRow.entries, AuditHeadRow.hash, func.now())
    count, last, now = session.execute(locked).one()
    rows = []
    for entry in entries:
        row = {**entry, "at": entry["at"] or now, "prev_hash": last}
        last = row["hash"] = entry_hash(row["prev_hash"], row)
        rows.append(row)
    session.execute(insert(AuditRow), rows)
    moved = update(AuditHeadRow).where(AuditHeadRow.tenant_id == tenant_id)
    session.execute(
        moved.values(entries=count + len(rows), hash=last).execution_options(synchronize_session=False)
    )


@event.listens_for(Session, "before_commit")
def _write_before_commit(session: Session) -> None:
    if not session.in_nested_transaction():  # releasing a savepoint is not the end
        write_waiting(session)


@event.listens_for(Session, "after_soft_rollback")
def _forget_rolled_back(session: Session, rolled_back: SessionTransaction) -> None:
    waiting: list[_Waiting] = session.info.get(_WAITING, [])
    waiting[:] = [each for each in waiting if not _is_within(each.inside, rolled_back)]


def _is_within(inner: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is outer
