"""Tenants and the legal entities they issue invoices from. Keep out: queries."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped

from storage.tables.base import Base, CreatedAt, Id, TenantId


class TenantRow(Base):
    """A vendor that sells."""

    __tablename__ = "tenants"

    id: Mapped[Id]
    name: Mapped[str]
    currency: Mapped[str]
    time_zone: Mapped[str]
    created_at: Mapped[CreatedAt]


class BillingEntityRow(Base):
    """An issuer of invoices; its prefix starts their numbers, its rounding mode rounds their lines."""

    __tablename__ = "billing_entities"
    __table_args__ = (
        UniqueConstraint("tenant_id", "invoice_prefix"),
        CheckConstraint("rounding IN ('HALF_EVEN', 'HALF_UP')", name="rounding"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    invoice_prefix: Mapped[str]
    rounding: Mapped[str]
    is_default: Mapped[bool]
    created_at: Mapped[CreatedAt]
