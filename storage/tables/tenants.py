"""Tenants, their settings and the legal entities they issue invoices from. Keep out: queries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId

NO_FIELDS = text("'{}'::jsonb")


class TenantRow(Base):
    """A vendor that sells. external_id: what the system that made it calls it."""

    __tablename__ = "tenants"
    __table_args__ = (
        Index(
            "uq_tenants_external_id_in_use",
            "external_id",
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
    )

    id: Mapped[Id]
    name: Mapped[str]
    currency: Mapped[str]
    time_zone: Mapped[str]
    external_id: Mapped[str | None]
    tier: Mapped[str] = mapped_column(server_default="starter")
    description: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=NO_FIELDS)
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class BillingEntityRow(Base):
    """An issuer of invoices: prefix and format make their numbers, its rounding mode rounds their lines."""

    __tablename__ = "billing_entities"
    __table_args__ = (
        UniqueConstraint("tenant_id", "invoice_prefix"),
        CheckConstraint("rounding IN ('HALF_EVEN', 'HALF_UP')", name="rounding"),
        Index(
            "uq_billing_entities_one_default", "tenant_id", unique=True, postgresql_where=text("is_default")
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    legal_name: Mapped[str | None]
    base_currency: Mapped[str] = mapped_column(server_default="USD")
    reporting_currency: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    invoice_prefix: Mapped[str]
    number_format: Mapped[str] = mapped_column(server_default="{prefix}-{year}-{seq:0000}")
    rounding: Mapped[str]
    is_default: Mapped[bool]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=NO_FIELDS)
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class OrganizationSettingsRow(Base):
    """How a tenant presents itself and is run; no row: everything as by default."""

    __tablename__ = "organization_settings"

    tenant_id: Mapped[TenantId]
    settings: Mapped[dict[str, Any]]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
