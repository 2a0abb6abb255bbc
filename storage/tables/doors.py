"""What the management door keeps: operator keys, answers to repeat. Keep out: queries; customers' keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId


class OperatorKeyRow(Base):
    """Somebody's key to the management door of one tenant; only hashes are kept. `previous_*`: the secret before a rotation,
    good until then. `last_used_at` is right to the minute or so."""

    __tablename__ = "operator_keys"
    __table_args__ = (
        UniqueConstraint("secret_sha256"),
        Index(None, "previous_sha256"),
        CheckConstraint(
            "role IN ('OWNER', 'ADMIN', 'PRODUCT_MANAGER', 'BILLING_ADMIN', 'DEVELOPER', 'VIEWER')",
            name="role",
        ),
        CheckConstraint("status IN ('ACTIVE', 'REVOKED')", name="status"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    role: Mapped[str]
    prefix: Mapped[str]
    secret_sha256: Mapped[str]
    previous_sha256: Mapped[str | None]
    previous_until: Mapped[datetime | None]
    status: Mapped[str]
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[CreatedAt]


class IdempotencyKeyRow(Base):
    """The answer to a request that may be sent again. tenant_id is empty for requests about the installation, so it refers to
    no tenant. The body is sealed: it may hold a secret that is shown once."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    tenant_id: Mapped[Id]
    key: Mapped[Id]
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    sealed_body: Mapped[str | None]
    created_at: Mapped[CreatedAt]
