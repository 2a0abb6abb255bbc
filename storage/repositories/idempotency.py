"""Answers to requests that may be sent again. Put here: claiming a key, keeping its answer, forgetting. Keep out: HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from domain.errors import PermanentFailure
from storage.sealed import Seal
from storage.tables.doors import IdempotencyKeyRow as Row

KEPT_FOR = timedelta(hours=24)
_COLUMN = "idempotency_keys.body"


class IdempotencyKeyReused(PermanentFailure):
    """The key came with another request before."""

    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key: {key!r} was used for another request within 24 hours; "
            "send a new key, or exactly the request it was used for"
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given. body: text."""

    status: int
    headers: dict[str, str]
    body: str


class Answers:
    """One tenant's kept answers (tenant_id empty: the installation's), sealed because they may show a secret once."""

    def __init__(self, session: Session, tenant_id: str, seal: Seal) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._seal = seal

    def claim(self, key: str, request_sha256: str, at: datetime) -> Kept | None:
        """Take the key for the request (None), or get the answer it has. A request with the same key that is under way is
        waited for: its row is locked until its transaction ends. Raises IdempotencyKeyReused."""
        fresh = {
            "request_sha256": request_sha256,
            "status": None,
            "headers": None,
            "sealed_body": None,
            "created_at": at,
        }
        taken = insert(Row).values(tenant_id=self._tenant_id, key=key, **fresh)
        taken = taken.on_conflict_do_update(
            index_elements=[Row.tenant_id, Row.key], set_=fresh, where=Row.created_at <= at - KEPT_FOR
        ).returning(Row.key)
        if self._session.execute(taken).first() is not None:
            return None
        row = self._session.execute(
            select(Row.request_sha256, Row.status, Row.headers, Row.sealed_body).where(*self._at(key))
        ).one_or_none()
        if row is None or row.status is None or row.sealed_body is None:  # purged in between: as good as new
            return None
        if row.request_sha256 != request_sha256:
            raise IdempotencyKeyReused(key)
        body = self._seal.open(row.sealed_body, tenant_id=self._tenant_id, column=_COLUMN)
        return Kept(row.status, row.headers or {}, body)

    def keep(self, key: str, answer: Kept) -> None:
        """Keep the answer to a claimed key."""
        sealed = self._seal.seal(answer.body, tenant_id=self._tenant_id, column=_COLUMN)
        kept = update(Row).where(*self._at(key))
        self._session.execute(kept.values(status=answer.status, headers=answer.headers, sealed_body=sealed))

    def _at(self, key: str) -> tuple[object, ...]:
        return Row.tenant_id == self._tenant_id, Row.key == key


def forget_old(session: Session, now: datetime) -> None:
    """Remove the answers of all tenants that are older than they are kept for."""
    session.execute(delete(Row).where(Row.created_at <= now - KEPT_FOR))
