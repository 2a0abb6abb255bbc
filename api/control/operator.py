"""Who is at the management door, and for which tenant. Put here: proving it. Keep out: what roles may do (roles.py), API keys."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine, select

from api.control.roles import Area, may, those_who_may
from api.problems import Problem
from domain.actor import OPERATOR, Actor
from storage.database import session_scope
from storage.repositories.operator_keys import Holder, holder_of
from storage.secret_files import operator_token
from storage.tables.tenants import TenantRow

CUSTOMERS_KEYS = ("sk_live_", "sk_test_")
REMEMBERED = 0.5
"""Seconds. A key revoked through another process of the door, or expired, still opens it for this long."""
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, for which tenant (empty: for the installation)."""

    tenant_id: str
    actor: Actor


class Operators:
    """Lets operators in: with the installation's own token, or with a key of their tenant."""

    def __init__(self, engine: Engine, home: Path) -> None:
        # Each look-up is one statement: a transaction around it would only be two more trips to the database.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._token = operator_token(home).encode()
        self._known: dict[tuple[bytes, str], tuple[Holder | str, float]] = {}

    async def admit(self, headers: Mapping[str, str], area: Area, *, change: bool) -> Caller:
        """Who calls. Raises Problem: 401 without a good key, 400 or 404 for a tenant that is not named or does not exist, 403 for
        another key's tenant or what the role may not do.

        Who was let in a moment ago is let in without being looked up again: see `REMEMBERED`.
        """
        token = _bearer(headers.get("authorization"))
        wanted = headers.get("x-tenant-id", "").strip()
        is_root = hmac.compare_digest(token, self._token)
        if is_root and area is Area.TENANTS:
            return Caller("", OPERATOR)
        asked = (sha256(token).digest(), wanted if is_root else "")
        found = self._remembered(asked)
        if found is None:
            found = await run_in_threadpool(
                self._tenant if is_root else self._holder, wanted if is_root else token
            )
            self._remember(asked, found)
        if isinstance(found, str):
            return Caller(found, OPERATOR)
        if area is Area.TENANTS:
            raise _forbidden(
                "Tenants are managed with the installation's own operator token, not with a key of a tenant."
            )
        if wanted and wanted != found.tenant_id:
            raise _forbidden(f"X-Tenant-Id: {wanted!r} is not the tenant of this operator key; leave it out.")
        if not may(found.role, area, change=change):
            verb = "change" if change else "read"
            right = ", ".join(those_who_may(area, change=change))
            raise _forbidden(f"A key with the role {found.role} may not {verb} {area.lower()}; {right} may.")
        return Caller(found.tenant_id, Actor(found.key_id, found.role))

    def forget(self) -> None:
        """Look everybody up again: keys or tenants have changed."""
        self._known = {}

    def _remembered(self, asked: tuple[bytes, str]) -> Holder | str | None:
        found, until = self._known.get(asked, (None, 0.0))
        return found if time.monotonic() < until else None

    def _remember(self, asked: tuple[bytes, str], found: Holder | str) -> None:
        if len(self._known) >= _MOST:
            self._known = {}
        self._known[asked] = (found, time.monotonic() + REMEMBERED)

    def _tenant(self, wanted: str) -> str:
        if not wanted:
            raise Problem(
                400, "X-Tenant-Id: is missing; it says which tenant the request is about", code="BAD_REQUEST"
            )
        with session_scope(self._engine) as session:
            query = select(TenantRow.id).where(TenantRow.id == wanted, TenantRow.archived_at.is_(None))
            if session.scalar(query) is None:
                raise Problem(404, f"X-Tenant-Id: {wanted!r} is no tenant", code="TENANT_NOT_FOUND")
        return wanted

    def _holder(self, token: bytes) -> Holder:
        secret = token.decode("latin-1")
        if secret.startswith(CUSTOMERS_KEYS):
            raise _unauthorized(
                "This is a customer's API key: it is for metering and access. Here an operator key (afo_…) is due."
            )
        holder = None
        if secret.startswith("afo_") and secret.isascii() and "\0" not in secret:
            with session_scope(self._engine) as session:
                holder = holder_of(session, secret, datetime.now(UTC))
        if holder is None:
            raise _unauthorized("This operator key does not exist, has expired or was revoked.")
        return holder


def _bearer(authorization: str | None) -> bytes:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized(
            "Send `Authorization: Bearer afo_…`: an operator key, or the token in secrets/operator_token of the data folder."
        )
    return token.strip().encode("latin-1", "replace")


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, code="UNAUTHORIZED", headers={"WWW-Authenticate": "Bearer"})


def _forbidden(detail: str) -> Problem:
    return Problem(403, detail, code="FORBIDDEN")
