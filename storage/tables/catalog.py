"""Units, products, rate plans and their versions, offerings. Keep out: queries, validation (domain.catalog)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId


class UnitRow(Base):
    """A billable unit; `id` is its stable key. template: the name of the template it was made from."""

    __tablename__ = "units"
    __table_args__ = (
        CheckConstraint("(status = 'ARCHIVED') = (archived_at IS NOT NULL)", name="archived"),
        Index(
            "uq_units_template", "tenant_id", "template", unique=True, postgresql_where="template IS NOT NULL"
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    unit_label: Mapped[str | None]
    aggregation: Mapped[str]
    event_field: Mapped[str | None]
    filters: Mapped[list[dict[str, Any]]]
    allow_negative: Mapped[bool]
    product_types: Mapped[list[str]] = mapped_column(server_default="[]")
    description: Mapped[str | None]
    category: Mapped[str | None]
    required: Mapped[bool] = mapped_column(server_default="false")
    template: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class UnitWordRow(Base):
    """A word that events may call a unit by: its key and its name, without case. The primary key keeps each unambiguous."""

    __tablename__ = "unit_words"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "unit_id"], ["units.tenant_id", "units.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "unit_id"),
    )

    tenant_id: Mapped[TenantId]
    word: Mapped[Id]
    unit_id: Mapped[str]


class ProductRow(Base):
    """Something the tenant sells access to."""

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("(status = 'ARCHIVED') = (archived_at IS NOT NULL)", name="archived"),
        Index(
            "uq_products_name",
            "tenant_id",
            text("lower(name)"),
            unique=True,
            postgresql_where="archived_at IS NULL",
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    type: Mapped[str]
    description: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    audience: Mapped[str | None]
    maturity_stage: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class ProductUnitRow(Base):
    """A unit that meters a product."""

    __tablename__ = "product_units"
    __table_args__ = (
        Index(None, "tenant_id", "unit_id"),
        ForeignKeyConstraint(["tenant_id", "product_id"], ["products.tenant_id", "products.id"]),
        ForeignKeyConstraint(["tenant_id", "unit_id"], ["units.tenant_id", "units.id"]),
    )

    tenant_id: Mapped[TenantId]
    product_id: Mapped[Id]
    unit_id: Mapped[Id]


class RatePlanRow(Base):
    """A rate plan; what it charges is in its versions, what it is to charge next in its draft (storage.tables.pricing)."""

    __tablename__ = "rate_plans"
    __table_args__ = (Index(None, "tenant_id", "name", "id"),)

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    description: Mapped[str | None]
    currency: Mapped[str]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class RatePlanVersionRow(Base):
    """A published version: prices and unit definitions as agreed, decimals as text. Never updated (a trigger sees to it).
    effective_at: only subscriptions that start then or later pin it; null: every new one does."""

    __tablename__ = "rate_plan_versions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "plan_id"], ["rate_plans.tenant_id", "rate_plans.id"]),
    )

    tenant_id: Mapped[TenantId]
    plan_id: Mapped[Id]
    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    content_hash: Mapped[str]
    effective_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class OfferingRow(Base):
    """What a customer subscribes to; `id` is its code. further_plans: of a BUNDLE, besides `plan_id`."""

    __tablename__ = "offerings"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "plan_id"], ["rate_plans.tenant_id", "rate_plans.id"]),
        Index(None, "tenant_id", "name", "id"),
        Index(None, "tenant_id", "plan_id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    description: Mapped[str | None]
    type: Mapped[str]
    status: Mapped[str]
    plan_id: Mapped[str]
    billing_mode: Mapped[str]
    currency: Mapped[str]
    trial_days: Mapped[int]
    entitlements: Mapped[list[dict[str, Any]]]
    further_plans: Mapped[list[str]] = mapped_column(server_default="[]")
    escrow: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    fx_strategy: Mapped[str] = mapped_column(server_default="LOCK_AT_SUBSCRIPTION")
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]
