"""Killed sessions. Put here: stopping one, listing those that are to be stopped. Keep out: telling clients (the edge)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from domain.catalog.fields import FieldProblem, Fields
from storage.access_state import KILLED_SECONDS
from storage.repositories.paging import PageQuery, keyset
from storage.tables.limits import KilledSessionRow
from storage.tenancy import Tx

_LONGEST = 512


class KilledSessions:
    """One tenant's. A session is a name that clients send with usage; nobody need have heard of it yet."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def page(self, page: PageQuery) -> tuple[list[KilledSessionRow], int, str | None]:
        """Those that are to be stopped, the newest first. See `keyset`."""
        row = KilledSessionRow
        query = select(row).where(row.tenant_id == self._tx.tenant_id, row.until > self._tx.at)
        return keyset(self._tx.session, query, {"-killedAt": row.killed_at, "id": row.session_id}, page)

    def kill(self, session_id: str, sent: Mapping[str, Any]) -> KilledSessionRow:
        """Whoever meters with it is told to stop, for a day from now. Raises FieldProblem."""
        fields = Fields(sent, "")
        reason = fields.maybe_text("reason")
        fields.done()
        if len(session_id) > _LONGEST:
            raise FieldProblem("sessionId", f"has {len(session_id)} characters; at most {_LONGEST} can be")
        until = self._tx.at + timedelta(seconds=KILLED_SECONDS)
        row, session = KilledSessionRow, self._tx.session
        session.execute(delete(row).where(row.tenant_id == self._tx.tenant_id, row.until <= self._tx.at))
        values = {"reason": reason, "killed_at": self._tx.at, "until": until}
        new = insert(row).values(tenant_id=self._tx.tenant_id, session_id=session_id, **values)
        session.execute(new.on_conflict_do_update(index_elements=["tenant_id", "session_id"], set_=values))
        about = {"until": {"before": None, "after": until.isoformat()}}
        self._tx.record("SESSION_KILLED", "session", session_id, about, reason)
        return session.get_one(row, (self._tx.tenant_id, session_id), populate_existing=True)
