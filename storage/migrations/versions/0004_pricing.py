"""Drafts and effective dates of rate plan versions; what offerings may agree on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _life("rate_plans")
    op.add_column("rate_plan_versions", sa.Column("effective_at", sa.DateTime(timezone=True), nullable=True))
    _drafts()
    _life("offerings")
    op.add_column(
        "offerings", sa.Column("further_plans", postgresql.JSONB(), server_default="[]", nullable=False)
    )
    op.add_column("offerings", sa.Column("escrow", postgresql.JSONB(none_as_null=True), nullable=True))
    op.add_column(
        "offerings",
        sa.Column("fx_strategy", sa.Text(), server_default="LOCK_AT_SUBSCRIPTION", nullable=False),
    )
    op.execute("UPDATE offerings SET archived_at = created_at WHERE status = 'ARCHIVED'")
    op.create_index(op.f("ix_offerings_tenant_id_plan_id"), "offerings", ["tenant_id", "plan_id"])


def _drafts() -> None:
    now = sa.text("now()")
    op.create_table(
        "rate_plan_drafts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id"],
            ["rate_plans.tenant_id", "rate_plans.id"],
            name=op.f("fk_rate_plan_drafts_tenant_id_plan_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_rate_plan_drafts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "plan_id", name=op.f("pk_rate_plan_drafts")),
    )
    protect("rate_plan_drafts")


def _life(table: str) -> None:
    """Who changed it when, and an order for its list."""
    op.add_column(table, sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        table,
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column(table, sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f(f"ix_{table}_tenant_id_name_id"), table, ["tenant_id", "name", "id"])
