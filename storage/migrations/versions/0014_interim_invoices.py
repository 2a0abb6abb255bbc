"""Interim invoices: the spend at which one is cut, and the periods they billed. Messages to customers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.tenancy import protect

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_AMOUNT = sa.Numeric(precision=38, scale=4)
_KINDS = "kind IN ('PERIOD', 'ONE_OFF', 'REISSUE', 'THRESHOLD')"


def upgrade() -> None:
    op.add_column("subscriptions", sa.Column("billing_threshold", _AMOUNT, nullable=True))
    op.create_check_constraint(
        op.f("ck_subscriptions_billing_threshold"), "subscriptions", "billing_threshold > 0"
    )
    op.drop_constraint(op.f("ck_invoices_kind"), "invoices", type_="check")
    op.create_check_constraint(op.f("ck_invoices_kind"), "invoices", _KINDS)
    _interim_bills()
    _messages()
    protect("interim_bills", "messages")


def _interim_bills() -> None:
    op.create_table(
        "interim_bills",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("tenant_id", "invoice_id", "subscription_id")
        ),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("threshold", _AMOUNT, nullable=False),
        sa.Column("accrued", _AMOUNT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_interim_bills_tenant_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "invoice_id"],
            ["invoices.tenant_id", "invoices.id"],
            name=op.f("fk_interim_bills_tenant_id_invoice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription_id"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("fk_interim_bills_tenant_id_subscription_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "invoice_id", name=op.f("pk_interim_bills")),
        sa.UniqueConstraint(
            "tenant_id",
            "subscription_id",
            "period_start",
            "number",
            name=op.f("uq_interim_bills_tenant_id_subscription_id_period_start_number"),
        ),
    )


def _messages() -> None:
    texts = ("tenant_id", "id", "kind", "customer_id", "invoice_id", "recipient", "subject", "body", "status")
    op.create_table(
        "messages",
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('WAITING', 'SENT', 'UNDELIVERABLE')", name=op.f("ck_messages_status")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_messages_tenant_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "invoice_id"],
            ["invoices.tenant_id", "invoices.id"],
            name=op.f("fk_messages_tenant_id_invoice_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_messages")),
        sa.UniqueConstraint(
            "tenant_id", "invoice_id", "kind", "step", name=op.f("uq_messages_tenant_id_invoice_id_kind_step")
        ),
    )
    op.create_index(op.f("ix_messages_status"), "messages", ["status"])
