"""Invoices, their lines, and the sequences their numbers come from. Keep out: queries, sums."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Amount, Base, CreatedAt, Exact, Id, TenantId

_ISSUED_BY = (["tenant_id", "billing_entity"], ["billing_entities.tenant_id", "billing_entities.id"])


class InvoiceSequenceRow(Base):
    """The last number given to an issuer's invoices of a year. Its row lock is what makes numbers gap-free."""

    __tablename__ = "invoice_sequences"
    __table_args__ = (ForeignKeyConstraint(*_ISSUED_BY),)

    tenant_id: Mapped[TenantId]
    billing_entity: Mapped[Id]
    year: Mapped[int] = mapped_column(primary_key=True)
    last_number: Mapped[int]


class InvoiceRow(Base):
    """An invoice. `withdrawn`: voided by a rerun that found nothing to bill; it comes back if there is something again.

    kind: PERIOD (made by a run), ONE_OFF, REISSUE (of the PERIOD one it replaces, by id) or THRESHOLD (an interim one). credited: what credit notes take off the
    total, drafts of them included; credit_applied: what they took off the amount due. appearance: how seller and buyer were
    called when it was issued.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        ForeignKeyConstraint(*_ISSUED_BY),
        UniqueConstraint("tenant_id", "number"),
        CheckConstraint(
            "status IN ('DRAFT', 'OPEN', 'PAID', 'OVERDUE', 'UNCOLLECTIBLE', 'VOID')", name="status"
        ),
        CheckConstraint("kind IN ('PERIOD', 'ONE_OFF', 'REISSUE', 'THRESHOLD')", name="kind"),
        CheckConstraint(
            "credited >= 0 AND (credited = 0 OR credited <= total)", name="credited_within_total"
        ),
        CheckConstraint("credit_applied >= 0 AND credit_applied <= credited", name="applied_within_credited"),
        CheckConstraint(
            "paid >= 0 AND paid + credit_applied <= GREATEST(amount_due, 0)", name="never_overpaid"
        ),
        CheckConstraint("total = subtotal - discount + tax", name="total_adds_up"),
        CheckConstraint("amount_due + wallet_amount = total", name="due_adds_up"),
        Index(None, "tenant_id", "month", "customer_id"),
        Index(None, "tenant_id", "customer_id", "status"),
        Index(
            "ix_invoices_to_be_paid",
            "status",
            "due_date",
            postgresql_where=text("status IN ('OPEN', 'OVERDUE')"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    number: Mapped[str]
    month: Mapped[str]
    customer_id: Mapped[str]
    billing_entity: Mapped[str]
    currency: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    lines: Mapped[int]
    subtotal: Mapped[Amount]
    discount: Mapped[Amount]
    tax: Mapped[Amount]
    total: Mapped[Amount]
    wallet_amount: Mapped[Amount]
    amount_due: Mapped[Amount]
    content_hash: Mapped[str]
    input_hash: Mapped[str | None]
    raw_until: Mapped[int | None] = mapped_column(BigInteger)
    code_version: Mapped[str | None]
    status: Mapped[str]
    withdrawn: Mapped[bool]
    kind: Mapped[str] = mapped_column(server_default="PERIOD")
    replaces: Mapped[str | None]
    issued_on: Mapped[date | None]
    due_days: Mapped[int | None]
    due_date: Mapped[date | None]
    paid: Mapped[Amount] = mapped_column(server_default="0")
    credited: Mapped[Amount] = mapped_column(server_default="0")
    credit_applied: Mapped[Amount] = mapped_column(server_default="0")
    reminders: Mapped[int] = mapped_column(server_default="0")
    reminded_at: Mapped[datetime | None]
    appearance: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    void_reason: Mapped[str | None]
    finalized_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    @property
    def left(self) -> Decimal:
        """What is still to be paid."""
        return self.amount_due - self.paid - self.credit_applied


class InvoiceLineRow(Base):
    """A line of an invoice; `line_id` leads to the events behind it."""

    __tablename__ = "invoice_lines"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "invoice_id"], ["invoices.tenant_id", "invoices.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id", "line_id"),
        Index(
            None,
            "tenant_id",
            "price_currency",
            "currency",
            postgresql_where=text("price_currency IS NOT NULL"),
        ),
    )

    tenant_id: Mapped[TenantId]
    invoice_id: Mapped[Id]
    line_id: Mapped[Id]
    subscription_id: Mapped[str | None]
    line_order: Mapped[int]
    line_type: Mapped[str]
    description: Mapped[str]
    unit: Mapped[str | None]
    model: Mapped[str | None]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    events: Mapped[int]
    quantity: Mapped[Decimal | None] = mapped_column(Numeric(38, 9))
    included: Mapped[Decimal | None] = mapped_column(Numeric(38, 9))
    billable: Mapped[Decimal | None] = mapped_column(Numeric(38, 9))
    currency: Mapped[str | None]
    unrounded: Mapped[Exact]
    amount: Mapped[Amount]
    tiers: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    commit_adjustment: Mapped[Amount]
    discount: Mapped[Amount]
    taxable: Mapped[Amount]
    tax: Mapped[Amount]
    tax_included: Mapped[Amount | None]
    taxes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    fx_rate: Mapped[Decimal | None] = mapped_column(Numeric(38, 12))
    price_currency: Mapped[str | None]
