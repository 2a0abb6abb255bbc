"""What may be done with operator keys. Put here: making, rotating, revoking. Keep out: admission (api.control.operator), HTTP."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import select

from domain.catalog.fields import Fields
from domain.errors import Conflict, NotFound
from domain.operator_key import GRACE, read_operator_key, require_may_give
from storage.repositories.keys import sha256_of
from storage.repositories.paging import PageQuery, keyset
from storage.tables.doors import OperatorKeyRow as Row
from storage.tenancy import Tx

SECRET_CHARACTERS = 40
SHOWN_CHARACTERS = 10


class OperatorKeyNotFound(NotFound):
    """No such key in this tenant."""

    code = "OPERATOR_KEY_NOT_FOUND"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"operator key {key_id!r} does not exist")


class OperatorKeyRevoked(Conflict):
    """A revoked key stays revoked."""

    code = "OPERATOR_KEY_REVOKED"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"operator key {key_id!r} is revoked; make a new one")


class OperatorKeys:
    """One tenant's operator keys."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def page(self, page: PageQuery) -> tuple[list[Row], int, str | None]:
        """A page of all keys, revoked ones too."""
        query = select(Row).where(Row.tenant_id == self._tx.tenant_id)
        columns = {
            "name": Row.name,
            "role": Row.role,
            "status": Row.status,
            "createdAt": Row.created_at,
            "id": Row.id,
        }
        return keyset(self._tx.session, query, columns, page)

    def get(self, key_id: str, *, lock: bool = False) -> Row:
        """Raises OperatorKeyNotFound."""
        query = select(Row).where(Row.tenant_id == self._tx.tenant_id, Row.id == key_id)
        row = self._tx.session.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise OperatorKeyNotFound(key_id)
        return row

    def create(self, sent: dict[str, Any]) -> tuple[Row, str]:
        """A new key and its secret, which is nowhere else. Raises FieldProblem, OwnersOnly."""
        wanted = read_operator_key(Fields(sent, ""), self._tx.at)
        require_may_give(self._tx.actor.role, wanted.role)
        secret = _new_secret()
        row = Row(
            tenant_id=self._tx.tenant_id,
            id=f"opk_{secrets.token_hex(8)}",
            name=wanted.name,
            role=wanted.role,
            prefix=secret[:SHOWN_CHARACTERS],
            secret_sha256=sha256_of(secret),
            status="ACTIVE",
            created_by=self._tx.actor.id,
            created_at=self._tx.at,
            expires_at=wanted.expires_at,
            revision=1,
        )
        self._tx.session.add(row)
        self._tx.session.flush()
        about = {
            name: {"before": None, "after": getattr(row, name)} for name in ("name", "role", "expires_at")
        }
        self._tx.record("OPERATOR_KEY_CREATED", "operatorKey", row.id, about)
        return row, secret

    def rotate(self, key_id: str) -> tuple[Row, str]:
        """A new secret; the one before works for five more minutes. Raises OperatorKeyNotFound, OperatorKeyRevoked, OwnersOnly."""
        row = self._for_change(key_id)
        if row.status == "REVOKED":
            raise OperatorKeyRevoked(key_id)
        secret, before = _new_secret(), row.prefix
        row.previous_sha256, row.previous_until = row.secret_sha256, self._tx.at + GRACE
        row.secret_sha256, row.prefix = sha256_of(secret), secret[:SHOWN_CHARACTERS]
        row.revision += 1
        self._tx.record(
            "OPERATOR_KEY_ROTATED", "operatorKey", key_id, {"prefix": {"before": before, "after": row.prefix}}
        )
        return row, secret

    def revoke(self, key_id: str) -> Row:
        """The end of a key, at once; again changes nothing. The last OWNER's may go too: the installation's token remains.
        Raises OperatorKeyNotFound, OwnersOnly."""
        row = self._for_change(key_id)
        if row.status != "REVOKED":
            row.status, row.revoked_at = "REVOKED", self._tx.at
            row.previous_sha256 = row.previous_until = None
            row.revision += 1
            about = {"status": {"before": "ACTIVE", "after": "REVOKED"}}
            self._tx.record("OPERATOR_KEY_REVOKED", "operatorKey", key_id, about)
        return row

    def _for_change(self, key_id: str) -> Row:
        row = self.get(key_id, lock=True)
        require_may_give(self._tx.actor.role, row.role)
        return row


def _new_secret() -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "afo_" + "".join(secrets.choice(alphabet) for _ in range(SECRET_CHARACTERS))
