"""Reading the audit log back. Put here: finding entries, proving the chain. Keep out: recording (audit.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from storage.audit_chain import START, entry_hash
from storage.repositories.paging import PageQuery, keyset
from storage.tables.operations import AuditHeadRow, AuditRow

_CHAINED = tuple(column.name for column in AuditRow.__table__.columns)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; None: any. start, end: half-open, by the time of the act."""

    actor: str | None = None
    action: str | None = None
    target_type: str | None = None
    target_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a tenant's chain holds. entries: how many were checked. broken: the event id of the first entry that does not fit
    (None: the chain holds, or what is missing is the end), what: why not, for people. newest: the hash of the last entry that holds;
    who keeps it elsewhere notices if the whole chain is made anew."""

    tenant_id: str
    entries: int
    what: str | None = None
    broken: str | None = None
    newest: str = field(default=START, compare=False)

    @property
    def holds(self) -> bool:
        return self.what is None


def find_entries(
    session: Session, tenant_id: str, wanted: Wanted, page: PageQuery
) -> tuple[list[AuditRow], int, str | None]:
    """A page of a tenant's entries, the newest first; see `keyset`."""
    query = select(AuditRow).where(AuditRow.tenant_id == tenant_id)
    for column, value in (
        (AuditRow.actor, wanted.actor),
        (AuditRow.action, wanted.action),
        (AuditRow.target_type, wanted.target_type),
        (AuditRow.target_id, wanted.target_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.start is not None:
        query = query.where(AuditRow.at >= wanted.start)
    if wanted.end is not None:
        query = query.where(AuditRow.at < wanted.end)
    return keyset(session, query, {"-timestamp": AuditRow.at, "id": AuditRow.id}, page)


def verify(session: Session, tenant_id: str) -> Verdict:
    """Compute a tenant's chain again, from its first entry to its last. Reads each entry once, a thousand at a time."""
    # The end is read first, in the same snapshot or an earlier one: entries written meanwhile lie beyond it.
    end = session.execute(
        select(AuditHeadRow.entries, AuditHeadRow.hash).where(AuditHeadRow.tenant_id == tenant_id)
    ).one_or_none()
    expected, last = (end.entries, end.hash) if end is not None else (0, START)
    before, count = START, 0
    for entry in _entries(session, tenant_id, expected):
        if entry["prev_hash"] != before:
            return Verdict(
                tenant_id,
                count,
                "an entry before it is missing, or the order was changed",
                entry["event_id"],
                before,
            )
        if entry_hash(before, entry) != entry["hash"]:
            return Verdict(tenant_id, count, "it was changed after it was written", entry["event_id"], before)
        before, count = entry["hash"], count + 1
    if (count, before) != (expected, last):
        return Verdict(
            tenant_id,
            count,
            f"the log ends after {count} entries, but {expected} were written",
            newest=before,
        )
    return Verdict(tenant_id, count, newest=before)


def _entries(session: Session, tenant_id: str, limit: int) -> Iterator[dict[str, Any]]:
    query: Select[Any] = select(*(getattr(AuditRow, name) for name in _CHAINED)).where(
        AuditRow.tenant_id == tenant_id
    )
    # One more than there should be: an entry slipped in past the chain's end is found too.
    found = session.execute(query.order_by(AuditRow.id).limit(limit + 1).execution_options(yield_per=1000))
    for row in found.mappings():
        yield dict(row)
