"""What invoices are settled with: payments and credit notes, and the messages that ask for it. Keep out: queries, rules."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Amount, Base, CreatedAt, Id, TenantId

_OF_INVOICE = (["tenant_id", "invoice_id"], ["invoices.tenant_id", "invoices.id"])


class PaymentRow(Base):
    """One attempt to pay an invoice or a part of it. reference: what the provider calls it. Never changed once decided."""

    __tablename__ = "payments"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_INVOICE),
        CheckConstraint("amount > 0", name="amount_above_zero"),
        CheckConstraint("status IN ('PENDING', 'SUCCEEDED', 'FAILED')", name="status"),
        Index(None, "tenant_id", "invoice_id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    invoice_id: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
    provider: Mapped[str]
    status: Mapped[str]
    reference: Mapped[str | None]
    failure_code: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[CreatedAt]


class CreditNoteSequenceRow(Base):
    """The last number given to an issuer's credit notes of a year. Its row lock is what makes numbers gap-free."""

    __tablename__ = "credit_note_sequences"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "billing_entity"], ["billing_entities.tenant_id", "billing_entities.id"]
        ),
    )

    tenant_id: Mapped[TenantId]
    billing_entity: Mapped[Id]
    year: Mapped[int] = mapped_column(primary_key=True)
    last_number: Mapped[int]


class CreditNoteRow(Base):
    """Money taken off an invoice. total: with tax. applied: what it took off what was still to be paid; the rest is owed to the
    customer. number: given when it is issued."""

    __tablename__ = "credit_notes"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_INVOICE),
        UniqueConstraint("tenant_id", "number"),
        CheckConstraint("status IN ('DRAFT', 'ISSUED', 'APPLIED', 'VOID')", name="status"),
        CheckConstraint("total = subtotal - discount + tax", name="total_adds_up"),
        CheckConstraint("total > 0 AND applied >= 0 AND applied <= total", name="applied_within"),
        CheckConstraint("(number IS NULL) = (status IN ('DRAFT', 'VOID'))", name="number_when_issued"),
        Index(None, "tenant_id", "invoice_id"),
        Index(None, "tenant_id", "created_at", "id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    number: Mapped[str | None]
    invoice_id: Mapped[str]
    customer_id: Mapped[str]
    currency: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    description: Mapped[str | None]
    subtotal: Mapped[Amount]
    discount: Mapped[Amount]
    tax: Mapped[Amount]
    total: Mapped[Amount]
    applied: Mapped[Amount] = mapped_column(server_default="0")
    issued_on: Mapped[date | None]
    issued_at: Mapped[datetime | None]
    applied_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class CreditNoteLineRow(Base):
    """What a credit note takes off one line: of the charge, its discount and its tax. total = amount − discount + tax on top."""

    __tablename__ = "credit_note_lines"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "credit_note_id"], ["credit_notes.tenant_id", "credit_notes.id"]),
    )

    tenant_id: Mapped[TenantId]
    credit_note_id: Mapped[Id]
    line_id: Mapped[Id]
    amount: Mapped[Amount]
    discount: Mapped[Amount]
    taxable: Mapped[Amount]
    tax: Mapped[Amount]
    total: Mapped[Amount]


class MessageRow(Base):
    """Something said to a customer about an invoice, once a step. status: WAITING to be handed over (next_at: not before), SENT,
    UNDELIVERABLE, FAILED (given up after `attempts`) or DROPPED (nothing to say any more); error: why."""

    __tablename__ = "messages"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_INVOICE),
        UniqueConstraint("tenant_id", "invoice_id", "kind", "step"),
        CheckConstraint("status IN ('WAITING', 'SENT', 'UNDELIVERABLE', 'FAILED', 'DROPPED')", name="status"),
        Index(None, "status"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    kind: Mapped[str]
    customer_id: Mapped[str]
    invoice_id: Mapped[str]
    step: Mapped[int]
    recipient: Mapped[str]
    subject: Mapped[str]
    body: Mapped[str]
    status: Mapped[str]
    error: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime | None]
