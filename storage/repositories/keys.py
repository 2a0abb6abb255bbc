"""API keys. Put here: issuing them and listing live ones. Keep out: who may use them (the edge), where secrets are kept."""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from domain.access import KeyRecord
from domain.catalog.customers import Key
from storage.tables.customers import ApiKeyRow

_ALPHABET = string.ascii_letters + string.digits
_RANDOM = 40
_SHOWN = 12


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
        """Every key by its name, revoked ones too."""
        return {row.name: Key(row.name, row.customer_id, row.environment) for row in self._rows()}

    def live(self) -> dict[str, KeyRecord]:
        """Active keys by the hex SHA-256 of their secret."""
        return {
            row.secret_sha256: KeyRecord(
                key_id=row.id,
                tenant_id=row.tenant_id,
                customer_id=row.customer_id,
                environment=row.environment,
                status=row.status,
            )
            for row in self._rows()
            if row.status == "ACTIVE"
        }

    def issue(self, key: Key) -> IssuedKey:
        """Make the key's secret and store its hash."""
        secret = f"sk_{key.environment}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
        issued = IssuedKey("key_" + secrets.token_hex(8), key.name, secret)
        self._session.execute(
            insert(ApiKeyRow).values(
                tenant_id=self._tenant_id,
                id=issued.id,
                name=key.name,
                customer_id=key.customer,
                environment=key.environment,
                status="ACTIVE",
                prefix=secret[:_SHOWN],
                secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
            )
        )
        return issued

    def _rows(self) -> list[ApiKeyRow]:
        query = select(ApiKeyRow).where(ApiKeyRow.tenant_id == self._tenant_id)
        return list(self._session.scalars(query.order_by(ApiKeyRow.name)))
