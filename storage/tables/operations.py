"""Requests to bill, and the audit log. Keep out: queries; what a request does (orchestration)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId


class BillRequestRow(Base):
    """Somebody's wish to bill a month; a sensor picks it up once it is QUEUED. `customers` empty: all of them; otherwise those that
    `targets`, the customers, subscriptions or offerings asked for, come to. `result`: what a TEST run came to."""

    __tablename__ = "bill_requests"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        CheckConstraint(
            "status IN ('CREATED', 'QUEUED', 'RUNNING', 'COMPLETED', 'PARTIALLY_FAILED', 'FAILED')",
            name="status",
        ),
        CheckConstraint("scope IN ('ALL', 'CUSTOMER', 'SUBSCRIPTION', 'OFFERING')", name="scope"),
        CheckConstraint("environment IN ('LIVE', 'TEST')", name="environment"),
        # Two runs of one tenant at once: the database lets exactly one through. Trial runs write nothing and stop nobody.
        Index(
            "uq_bill_requests_one_at_a_time",
            "tenant_id",
            unique=True,
            postgresql_where=text("status IN ('QUEUED', 'RUNNING') AND environment = 'LIVE'"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    month: Mapped[str]
    customers: Mapped[list[str]]
    scope: Mapped[str] = mapped_column(server_default="ALL")
    targets: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    environment: Mapped[str] = mapped_column(server_default="LIVE")
    auto_finalize: Mapped[bool]
    notes: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    requested_by: Mapped[str]
    status: Mapped[str]
    run_id: Mapped[str | None]
    error: Mapped[str | None]
    invoices_generated: Mapped[int]
    customers_processed: Mapped[int]
    progress: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'::jsonb"))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[CreatedAt]
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class AuditRow(Base):
    """Who did what to what, and how it looked before and after. A trigger refuses any change or removal.

    prev_hash and hash chain the entries of a tenant in the order of their ids (storage.audit_chain).
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "tenant_id", "target_type", "target_id"),
        Index(None, "tenant_id", "at"),
        UniqueConstraint("event_id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[CreatedAt]
    actor: Mapped[str]
    action: Mapped[str]
    target_type: Mapped[str]
    target_id: Mapped[str]
    changes: Mapped[dict[str, Any]]
    reason: Mapped[str | None]
    event_id: Mapped[str]
    role: Mapped[str | None]
    ip: Mapped[str | None]
    request_id: Mapped[str | None]
    prev_hash: Mapped[str]
    hash: Mapped[str]


class AuditHeadRow(Base):
    """Where a tenant's chain of audit entries ends. Its lock is what writers of one tenant queue for."""

    __tablename__ = "audit_heads"

    tenant_id: Mapped[TenantId]
    entries: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str]
