"""Webhook sources. Put here: adding and removing senders of webhooks, and their secrets. Keep out: receiving webhooks, HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, select

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import NotFound
from domain.spelling import on_the_wire
from domain.webhook_source import WebhookSource, read_webhook_source
from storage.json_path import NotAPath, compiled_path
from storage.repositories.paging import PageQuery, keyset
from storage.sealed import Seal
from storage.services.differences import differences
from storage.tables.money import WebhookSourceRow
from storage.tenancy import Tx

SECRET_COLUMN = "webhook_sources.secret"


_SECRET_NAMES = ("secret", "signingSecret")
_LONGEST_SECRET = 1000


class WebhookSourceNotFound(NotFound):
    code = "WEBHOOK_SOURCE_NOT_FOUND"

    def __init__(self, source_id: str) -> None:
        super().__init__(f"there is no webhook source {source_id}")


class WebhookSources:
    """One tenant's webhook sources. seal: keeps their secrets."""

    def __init__(self, tx: Tx, seal: Seal) -> None:
        self._tx = tx
        self._seal = seal

    def create(self, sent: Mapping[str, Any]) -> tuple[WebhookSourceRow, str]:
        """The source and its secret, which is shown now and never again: the one sent, as providers hand them out, or a new one.
        Raises FieldProblem."""
        given = {name: value for name, value in sent.items() if name not in _SECRET_NAMES}
        source = read_webhook_source(Fields(given, ""), tenant_id=self._tx.tenant_id)
        assert_paths(source)
        secret = _sent_secret(sent) or f"whsec_{secrets.token_hex(32)}"
        row = WebhookSourceRow(
            tenant_id=self._tx.tenant_id,
            id=f"whs_{secrets.token_hex(8)}",
            secret_sealed=self._seal.seal(secret, tenant_id=self._tx.tenant_id, column=SECRET_COLUMN),
            created_at=self._tx.at,
            **asdict(source),
        )
        self._tx.session.add(row)
        self._tx.session.flush()
        self._tx.record("WEBHOOK_SOURCE_CREATED", "webhookSource", row.id, differences({}, asdict(source)))
        return row, secret

    def get(self, source_id: str) -> WebhookSourceRow:
        """Raises WebhookSourceNotFound."""
        row = self._tx.session.scalar(self.live().where(WebhookSourceRow.id == source_id))
        if row is None:
            raise WebhookSourceNotFound(source_id)
        return row

    def page(self, page: PageQuery) -> tuple[list[WebhookSourceRow], int, str | None]:
        """Rows, how many there are, and the next page's cursor. Raises FieldProblem."""
        columns = {
            "-createdAt": WebhookSourceRow.created_at,
            "name": WebhookSourceRow.name,
            "id": WebhookSourceRow.id,
        }
        return keyset(self._tx.session, self.live(), columns, page)

    def live(self) -> Select[tuple[WebhookSourceRow]]:
        """All that are not archived, to be narrowed down."""
        return select(WebhookSourceRow).where(
            WebhookSourceRow.tenant_id == self._tx.tenant_id, WebhookSourceRow.archived_at.is_(None)
        )

    def archive(self, source_id: str) -> None:
        """Its webhooks are refused from now on; its secret is forgotten. Raises WebhookSourceNotFound."""
        row = self.get(source_id)
        row.archived_at, row.secret_sealed = self._tx.at, ""
        self._tx.record("WEBHOOK_SOURCE_ARCHIVED", "webhookSource", row.id)

    def secret(self, row: WebhookSourceRow) -> str:
        """What its webhooks are signed with; never for an answer. Raises CannotOpen."""
        return self._seal.open(row.secret_sealed, tenant_id=self._tx.tenant_id, column=SECRET_COLUMN)


def assert_paths(source: WebhookSource) -> None:
    """Raises FieldProblem for what is no JSONPath (RFC 9535)."""
    for name, value in asdict(source).items():
        if name.endswith("_path") and value is not None:
            try:
                compiled_path(value)
            except NotAPath as error:
                raise FieldProblem(on_the_wire(name), f"{value!r} is no JSONPath: {error}") from None


def _sent_secret(sent: Mapping[str, Any]) -> str | None:
    for name in _SECRET_NAMES:
        value = sent.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > _LONGEST_SECRET:
            raise FieldProblem(name, f"is not text of at most {_LONGEST_SECRET} characters")
        return value
    return None
