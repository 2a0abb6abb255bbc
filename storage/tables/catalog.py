"""Units, products, rate plans and their versions, offerings. Keep out: queries, validation (domain.catalog)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId


class UnitRow(Base):
    """A billable unit; `id` is its stable key."""

    __tablename__ = "units"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    unit_label: Mapped[str | None]
    aggregation: Mapped[str]
    event_field: Mapped[str | None]
    filters: Mapped[list[dict[str, Any]]]
    allow_negative: Mapped[bool]
    created_at: Mapped[CreatedAt]


class ProductRow(Base):
    """Something the tenant sells access to."""

    __tablename__ = "products"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    type: Mapped[str]
    description: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class ProductUnitRow(Base):
    """A unit that meters a product."""

    __tablename__ = "product_units"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "product_id"], ["products.tenant_id", "products.id"]),
        ForeignKeyConstraint(["tenant_id", "unit_id"], ["units.tenant_id", "units.id"]),
    )

    tenant_id: Mapped[TenantId]
    product_id: Mapped[Id]
    unit_id: Mapped[Id]


class RatePlanRow(Base):
    """A rate plan; what it charges is in its versions."""

    __tablename__ = "rate_plans"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    description: Mapped[str | None]
    currency: Mapped[str]
    created_at: Mapped[CreatedAt]


class RatePlanVersionRow(Base):
    """A published version: prices and unit definitions as agreed, decimals as text. Never updated (a trigger sees to it)."""

    __tablename__ = "rate_plan_versions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "plan_id"], ["rate_plans.tenant_id", "rate_plans.id"]),
    )

    tenant_id: Mapped[TenantId]
    plan_id: Mapped[Id]
    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    content_hash: Mapped[str]
    created_at: Mapped[CreatedAt]


class OfferingRow(Base):
    """What a customer subscribes to; `id` is its code."""

    __tablename__ = "offerings"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "plan_id"], ["rate_plans.tenant_id", "rate_plans.id"]),
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
    created_at: Mapped[CreatedAt]
