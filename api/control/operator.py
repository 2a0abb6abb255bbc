"""Who may manage, and whom. Put here: the operator's token and the tenant it acts for. Keep out: API keys (the edge's)."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Annotated

from fastapi import Header
from sqlalchemy import Engine

from api.problems import Problem
from storage.database import session_scope
from storage.repositories.catalog import CatalogRepository
from storage.secret_files import operator_token


class Operators:
    """`tenant` is what routes depend on: it lets operators in and says which tenant a request is about."""

    def __init__(self, engine: Engine, home: Path) -> None:
        self._engine = engine
        self._token = operator_token(home)

    def tenant(
        self,
        authorization: Annotated[str | None, Header()] = None,
        x_tenant_id: Annotated[str | None, Header()] = None,
    ) -> str:
        """The tenant's id. Raises Problem: 401 without the token, 400 without X-Tenant-Id, 404 for an unknown tenant."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            token.strip().encode(), self._token.encode()
        ):
            detail = "Send `Authorization: Bearer <operator token>`; it is in secrets/operator_token of the data folder."
            raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        if not x_tenant_id:
            raise Problem(400, "X-Tenant-Id: is missing; it says which tenant the request is about")
        with session_scope(self._engine) as session:
            if CatalogRepository(session, x_tenant_id).tenant() is None:
                raise Problem(404, f"X-Tenant-Id: {x_tenant_id!r} is no tenant")
        return x_tenant_id
