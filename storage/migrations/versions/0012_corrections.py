"""Input hashes of invoices, replays of closed months, adjustments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column("invoices", sa.Column("input_hash", sa.Text(), nullable=True))
    op.add_column("invoices", sa.Column("raw_until", sa.BigInteger(), nullable=True))
    op.add_column("invoices", sa.Column("code_version", sa.Text(), nullable=True))
    _replays()
    _adjustments()
    _adjustment_bills()
    protect("replays", "adjustments", "adjustment_bills")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _replays() -> None:
    op.create_table(
        "replays",
        *map(_text, ("tenant_id", "id", "month", "source", "status", "content_hash", "code_version")),
        sa.Column("differences", postgresql.JSONB(), nullable=False),
        _text("reason", nullable=True),
        _text("approved_by", nullable=True),
        _instant("approved_at", nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.CheckConstraint("status IN ('PROPOSED', 'APPROVED')", name=op.f("ck_replays_status")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_replays_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_replays")),
    )
    op.create_index(op.f("ix_replays_tenant_id_month"), "replays", ["tenant_id", "month"])


def _adjustments() -> None:
    op.create_table(
        "adjustments",
        *map(
            _text,
            (
                "tenant_id",
                "id",
                "replay_id",
                "replay_hash",
                "month",
                "customer_id",
                "subscription_id",
                "line_id",
            ),
        ),
        _text("invoice_id", nullable=True),
        _text("description"),
        _text("unit", nullable=True),
        _instant("period_start"),
        _instant("period_end"),
        _text("currency"),
        sa.Column("amount", sa.Numeric(precision=38, scale=4), nullable=False),
        _text("reason"),
        _text("status"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_adjustments_moves_something")),
        sa.CheckConstraint("status IN ('PENDING', 'BILLED')", name=op.f("ck_adjustments_status")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_adjustments_tenant_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "replay_id"],
            ["replays.tenant_id", "replays.id"],
            name=op.f("fk_adjustments_tenant_id_replay_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_adjustments_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_adjustments")),
        sa.UniqueConstraint(
            "tenant_id", "line_id", "replay_hash", name=op.f("uq_adjustments_tenant_id_line_id_replay_hash")
        ),
    )
    op.create_index(
        op.f("ix_adjustments_tenant_id_customer_id_status"),
        "adjustments",
        ["tenant_id", "customer_id", "status"],
    )


def _adjustment_bills() -> None:
    op.create_table(
        "adjustment_bills",
        *map(_text, ("tenant_id", "adjustment_id", "invoice_id", "month")),
        sa.Column("amount", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_adjustment_bills_tenant_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "adjustment_id"],
            ["adjustments.tenant_id", "adjustments.id"],
            name=op.f("fk_adjustment_bills_tenant_id_adjustment_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "invoice_id"],
            ["invoices.tenant_id", "invoices.id"],
            name=op.f("fk_adjustment_bills_tenant_id_invoice_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "adjustment_id", "invoice_id", name=op.f("pk_adjustment_bills")),
    )
    op.create_index(op.f("ix_adjustment_bills_tenant_id_month"), "adjustment_bills", ["tenant_id", "month"])
