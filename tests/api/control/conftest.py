"""The whole management door over a fresh database, for tests of its nouns."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import insert
from sqlalchemy.orm import Session

from api.control.app import create_app
from api.control.settings import ControlSettings
from stack.embedded import Valkey
from storage.database import session_scope
from storage.repositories.keys import sha256_of
from storage.secret_files import operator_token
from storage.tables.doors import OperatorKeyRow
from storage.tables.tenants import BillingEntityRow, TenantRow
from tests import harness
from tests.api.control.documented import Document

TENANTS = ("acme", "rival")
DATABASE = "control"
UNLIMITED = 10**9
_documents: list[Document] = []


def _document_of(app: FastAPI) -> Document:
    """What the door says of itself, made once: it is the same over every database."""
    if not _documents:
        _documents.append(Document(app))
    return _documents[0]


class Api:
    """Requests to the door as the installation's owner or, with `role`, with an operator key of that role. `tenant` "" sends no
    X-Tenant-Id. Further keywords are headers: `if_match='"1"'`. Answers are httpx responses, each as the API's document says."""

    def __init__(self, installation: Installation, client: TestClient, database_url: str) -> None:
        self.app = installation.app
        self.home = installation.home
        self.client = client
        self.database_url = database_url
        self.root = operator_token(self.home)
        self._keys: dict[tuple[str, str], str] = {}
        self._document = _document_of(self.app)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.send("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.send("POST", path, json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.send("PUT", path, json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.send("PATCH", path, json, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.send("DELETE", path, **options)

    def send(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        tenant: str = "acme",
        role: str | None = None,
        token: str | None = None,
        content: bytes | None = None,
        **headers: str,
    ) -> httpx.Response:
        """One request. content: a body as bytes, in place of json."""
        if token is None:
            token = self.root if role is None else self.key(tenant or "acme", role)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {"X-Tenant-Id": tenant} if tenant else {}
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
            answer = self.client.request(method, path, content=content, headers=sent)
        else:
            answer = self.client.request(method, path, json=json, headers=sent)
        complaint = self._document.complaint(method, path.split("?")[0], answer)
        assert complaint is None, f"{method} {path}: {complaint}\n{answer.text[:2000]}"
        return answer

    def made(self, path: str, json: Any = None, **options: Any) -> Any:
        """The data of something made by POST; fails unless it was."""
        answer = self.post(path, json, **options)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["data"]

    def key(self, tenant: str, role: str) -> str:
        """The secret of an operator key of this role, straight from the database."""
        if (tenant, role) not in self._keys:
            secret = "afo_" + secrets.token_hex(20)
            row = {"tenant_id": tenant, "id": f"opk_{role.lower()}", "name": role, "role": role}
            row |= {
                "prefix": secret[:8],
                "secret_sha256": sha256_of(secret),
                "status": "ACTIVE",
                "created_by": "test",
            }
            with session_scope(self.database_url) as session:
                session.execute(insert(OperatorKeyRow), row)
            self._keys[(tenant, role)] = secret
        return self._keys[(tenant, role)]


@dataclass(frozen=True)
class Installation:
    """What stays the same for all tests of a worker: making the application takes longer than most tests."""

    app: FastAPI
    home: Path


@pytest.fixture(scope="session")
def installation(database_server: harness.Databases, redis_server: Valkey) -> Iterator[Installation]:
    """The application, over a database that each test makes anew under the same name."""
    with harness.short_folder() as home:
        settings = ControlSettings(
            database_server.url(DATABASE), home, redis_server.url, requests_per_minute=UNLIMITED
        )
        yield Installation(create_app(settings), home)


@pytest.fixture
def api(
    installation: Installation,
    database_server: harness.Databases,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Api]:
    """The door with the tenants acme and rival, both empty."""
    monkeypatch.setenv("AFORO_HOME", str(installation.home))
    with database_server.fresh(DATABASE) as database_url:
        with session_scope(database_url) as session:
            for tenant in TENANTS:
                _make_tenant(session, tenant)
        with TestClient(installation.app, raise_server_exceptions=True) as client:
            yield Api(installation, client, database_url)


def _make_tenant(session: Session, tenant: str) -> None:
    about = {"id": tenant, "name": tenant.capitalize(), "currency": "USD", "time_zone": "UTC"}
    session.execute(insert(TenantRow), about)
    issuer = {"tenant_id": tenant, "id": "default", "name": about["name"], "invoice_prefix": "INV"}
    session.execute(insert(BillingEntityRow), {**issuer, "rounding": "HALF_EVEN", "is_default": True})


def problem(
    answer: httpx.Response, status: int, code: str | None = None, field: str | None = None
) -> dict[str, Any]:
    """The problem an answer is, after checking that it is this one and well-formed."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert code is None or body.get("code") == code, body
    assert field is None or field in body["fieldErrors"], body
    return body
