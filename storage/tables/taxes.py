"""Tax rates, exchange rates, and the taxes of invoices. Keep out: queries, which rate holds (domain.tax, domain.exchange)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import CheckConstraint, Date, ForeignKeyConstraint, Index, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Amount, Base, CreatedAt, Id, TenantId


class TaxRateRow(Base):
    """What a jurisdiction takes. rate: a fraction. In force on [valid_from, valid_until)."""

    __tablename__ = "tax_rates"
    __table_args__ = (
        CheckConstraint("rate >= 0", name="rate"),
        CheckConstraint("valid_until IS NULL OR valid_until > valid_from", name="has_length"),
        CheckConstraint("city IS NULL OR region IS NOT NULL", name="city_has_region"),
        Index(None, "tenant_id", "country", "id"),
        Index(None, "tenant_id", "created_at", "id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    country: Mapped[str]
    region: Mapped[str | None]
    city: Mapped[str | None]
    category: Mapped[str | None]
    rate: Mapped[Decimal] = mapped_column(Numeric(38, 12))
    inclusive: Mapped[bool] = mapped_column(server_default=text("false"))
    valid_from: Mapped[date] = mapped_column(Date)
    valid_until: Mapped[date | None] = mapped_column(Date)
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class FxRateRow(Base):
    """What one unit of a currency was worth in another on a day. Never updated: bills rest on it."""

    __tablename__ = "fx_rates"
    __table_args__ = (
        CheckConstraint("rate > 0", name="rate"),
        CheckConstraint("from_currency <> to_currency", name="two_currencies"),
        Index("uq_fx_rates_day", "tenant_id", "from_currency", "to_currency", "day", unique=True),
        Index(None, "tenant_id", "day", "id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    from_currency: Mapped[str]
    to_currency: Mapped[str]
    day: Mapped[date] = mapped_column(Date)
    rate: Mapped[Decimal] = mapped_column(Numeric(38, 12))
    source: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class InvoiceTaxRow(Base):
    """One tax of an invoice, summed over its lines; without a rate, `treatment` says why nothing is taxed."""

    __tablename__ = "invoice_taxes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "invoice_id"], ["invoices.tenant_id", "invoices.id"], ondelete="CASCADE"
        ),
    )

    tenant_id: Mapped[TenantId]
    invoice_id: Mapped[Id]
    number: Mapped[int] = mapped_column(primary_key=True)
    rate_id: Mapped[str | None]
    name: Mapped[str]
    jurisdiction: Mapped[str | None]
    category: Mapped[str | None]
    treatment: Mapped[str]
    tax_id: Mapped[str | None]
    rate: Mapped[Decimal | None] = mapped_column(Numeric(38, 12))
    inclusive: Mapped[bool]
    currency: Mapped[str]
    taxable: Mapped[Amount]
    tax: Mapped[Amount]


TAX_COLUMNS = tuple(column.name for column in InvoiceTaxRow.__table__.columns)
"""The columns of invoice_taxes, in order."""
