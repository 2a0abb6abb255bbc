"""The life of invoices after they are billed: due, paid in parts, overdue, reminded, given up, replaced; payments; credit notes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_AMOUNT = sa.Numeric(precision=38, scale=4)
_STATUSES = "'DRAFT', 'OPEN', 'PAID', 'OVERDUE', 'UNCOLLECTIBLE', 'VOID'"


def upgrade() -> None:
    _invoices()
    _payments()
    _credit_notes()
    _credit_note_lines()
    protect("payments", "credit_note_sequences", "credit_notes", "credit_note_lines")


def _invoices() -> None:
    for column in (
        sa.Column("kind", sa.Text(), server_default="PERIOD", nullable=False),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("due_days", sa.Integer(), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("paid", _AMOUNT, server_default="0", nullable=False),
        sa.Column("credited", _AMOUNT, server_default="0", nullable=False),
        sa.Column("credit_applied", _AMOUNT, server_default="0", nullable=False),
        sa.Column("reminders", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("appearance", postgresql.JSONB(), nullable=True),
    ):
        op.add_column("invoices", column)
    # What was paid before payments were kept was paid in full.
    op.execute("UPDATE invoices SET paid = amount_due WHERE status = 'PAID'")
    op.execute(
        "UPDATE invoices SET issued_on = (finalized_at AT TIME ZONE 'UTC')::date WHERE finalized_at IS NOT NULL"
    )
    op.drop_constraint(op.f("ck_invoices_status"), "invoices")
    for name, condition in (
        ("status", f"status IN ({_STATUSES})"),
        ("kind", "kind IN ('PERIOD', 'ONE_OFF', 'REISSUE')"),
        ("credited_within_total", "credited >= 0 AND (credited = 0 OR credited <= total)"),
        ("applied_within_credited", "credit_applied >= 0 AND credit_applied <= credited"),
        ("never_overpaid", "paid >= 0 AND paid + credit_applied <= GREATEST(amount_due, 0)"),
    ):
        op.create_check_constraint(op.f(f"ck_invoices_{name}"), "invoices", condition)
    op.create_index(
        "ix_invoices_to_be_paid",
        "invoices",
        ["status", "due_date"],
        postgresql_where=sa.text("status IN ('OPEN', 'OVERDUE')"),
    )


def _payments() -> None:
    op.create_table(
        "payments",
        *_key(),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("amount", _AMOUNT, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        _now("created_at"),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount_above_zero")),
        sa.CheckConstraint("status IN ('PENDING', 'SUCCEEDED', 'FAILED')", name=op.f("ck_payments_status")),
        *_of_invoice("payments"),
    )
    op.create_index(op.f("ix_payments_tenant_id_invoice_id"), "payments", ["tenant_id", "invoice_id"])


def _credit_notes() -> None:
    op.create_table(
        "credit_note_sequences",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("billing_entity", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "billing_entity"],
            ["billing_entities.tenant_id", "billing_entities.id"],
            name=op.f("fk_credit_note_sequences_tenant_id_billing_entity"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_credit_note_sequences_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "billing_entity", "year", name=op.f("pk_credit_note_sequences")),
    )
    op.create_table(
        "credit_notes",
        *_key(),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        *(sa.Column(name, _AMOUNT, nullable=False) for name in ("subtotal", "discount", "tax", "total")),
        sa.Column("applied", _AMOUNT, server_default="0", nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        _now("created_at"),
        _now("updated_at"),
        sa.CheckConstraint("status IN ('DRAFT', 'ISSUED', 'APPLIED', 'VOID')", name=op.f("ck_credit_notes_status")),
        sa.CheckConstraint("total = subtotal - discount + tax", name=op.f("ck_credit_notes_total_adds_up")),
        sa.CheckConstraint("total > 0 AND applied >= 0 AND applied <= total", name=op.f("ck_credit_notes_applied_within")),
        sa.CheckConstraint("(number IS NULL) = (status IN ('DRAFT', 'VOID'))", name=op.f("ck_credit_notes_number_when_issued")),
        sa.UniqueConstraint("tenant_id", "number", name=op.f("uq_credit_notes_tenant_id_number")),
        *_of_invoice("credit_notes"),
    )  # fmt: skip
    op.create_index(op.f("ix_credit_notes_tenant_id_invoice_id"), "credit_notes", ["tenant_id", "invoice_id"])
    op.create_index(
        op.f("ix_credit_notes_tenant_id_created_at_id"), "credit_notes", ["tenant_id", "created_at", "id"]
    )


def _credit_note_lines() -> None:
    op.create_table(
        "credit_note_lines",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("credit_note_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        *(
            sa.Column(name, _AMOUNT, nullable=False)
            for name in ("amount", "discount", "taxable", "tax", "total")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "credit_note_id"],
            ["credit_notes.tenant_id", "credit_notes.id"],
            name=op.f("fk_credit_note_lines_tenant_id_credit_note_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_credit_note_lines_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "credit_note_id", "line_id", name=op.f("pk_credit_note_lines")),
    )


def _key() -> tuple[sa.Column[str], ...]:
    return sa.Column("tenant_id", sa.Text(), nullable=False), sa.Column("id", sa.Text(), nullable=False)


def _of_invoice(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "invoice_id"],
            ["invoices.tenant_id", "invoices.id"],
            name=op.f(f"fk_{table}_tenant_id_invoice_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{table}")),
    )


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
