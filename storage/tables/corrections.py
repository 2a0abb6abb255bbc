"""Replays of closed months, the adjustments they lead to, acts upon single events, and interim invoices of open periods. Keep out:
queries; what differs (transforms.compare)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Amount, Base, CreatedAt, Id, TenantId


class ReplayRow(Base):
    """A month worked out again and found different. Its id follows from what it found, so the same finding is one row."""

    __tablename__ = "replays"
    __table_args__ = (
        CheckConstraint("status IN ('PROPOSED', 'APPROVED')", name="status"),
        Index(None, "tenant_id", "month"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    month: Mapped[str]
    source: Mapped[str]
    status: Mapped[str]
    content_hash: Mapped[str]
    code_version: Mapped[str]
    differences: Mapped[list[dict[str, Any]]]
    reason: Mapped[str | None]
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class AdjustmentRow(Base):
    """What a billed line of a closed month is off by, before tax; the next invoice carries it. Above zero: to be charged."""

    __tablename__ = "adjustments"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "replay_id"], ["replays.tenant_id", "replays.id"]),
        ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
        # However often a finding is approved, and by however many at once, it is posted once.
        UniqueConstraint("tenant_id", "line_id", "replay_hash"),
        CheckConstraint("amount <> 0", name="moves_something"),
        CheckConstraint("status IN ('PENDING', 'BILLED')", name="status"),
        Index(None, "tenant_id", "customer_id", "status"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    replay_id: Mapped[str]
    replay_hash: Mapped[str]
    month: Mapped[str]
    customer_id: Mapped[str]
    subscription_id: Mapped[str]
    line_id: Mapped[str]
    invoice_id: Mapped[str | None]
    description: Mapped[str]
    unit: Mapped[str | None]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    currency: Mapped[str]
    amount: Mapped[Amount]
    reason: Mapped[str]
    status: Mapped[str]
    created_at: Mapped[CreatedAt]


class AdjustmentBillRow(Base):
    """How much of an adjustment an invoice carries. A credit larger than the invoice goes on with the next one."""

    __tablename__ = "adjustment_bills"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "adjustment_id"], ["adjustments.tenant_id", "adjustments.id"]),
        ForeignKeyConstraint(["tenant_id", "invoice_id"], ["invoices.tenant_id", "invoices.id"]),
        Index(None, "tenant_id", "month"),
    )

    tenant_id: Mapped[TenantId]
    adjustment_id: Mapped[Id]
    invoice_id: Mapped[Id]
    month: Mapped[str] = mapped_column()
    amount: Mapped[Amount]


class EventActRow(Base):
    """An operator's act upon one event, and what is written into the event log for it. sent_at: when it was; null: not yet."""

    __tablename__ = "event_acts"
    __table_args__ = (
        CheckConstraint("kind IN ('VOID', 'AMEND')", name="kind"),
        # Each event is corrected once, whoever asks at the same time; later corrections are of the amendment.
        UniqueConstraint("tenant_id", "event_key"),
        Index(None, "sent_at", postgresql_where=text("sent_at IS NULL")),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    kind: Mapped[str]
    event_key: Mapped[str]
    origin_key: Mapped[str]
    act_key: Mapped[str]
    customer_id: Mapped[str]
    unit: Mapped[str]
    reason: Mapped[str]
    changes: Mapped[dict[str, Any]]
    request: Mapped[dict[str, Any]]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class InterimBillRow(Base):
    """An interim invoice: which period of which subscription it billed a part of. number: from 1 within the period."""

    __tablename__ = "interim_bills"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "invoice_id"], ["invoices.tenant_id", "invoices.id"]),
        ForeignKeyConstraint(
            ["tenant_id", "subscription_id"], ["subscriptions.tenant_id", "subscriptions.id"]
        ),
        # Of two that cut the same crossing at once, one loses.
        UniqueConstraint("tenant_id", "subscription_id", "period_start", "number"),
    )

    tenant_id: Mapped[TenantId]
    invoice_id: Mapped[Id]
    subscription_id: Mapped[str]
    period_start: Mapped[datetime]
    number: Mapped[int]
    created_at: Mapped[CreatedAt]
