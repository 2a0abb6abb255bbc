"""Limits of requests, margin levels and killed sessions, which reach the edge like rights do; messages that are given up after some
attempts; exchange rates that issued invoices rest on are found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.rights import watch
from storage.migrations.tenancy import protect

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _request_limits()
    _margin_levels()
    _killed_sessions()
    protect("request_limits", "margin_levels", "killed_sessions")
    watch("request_limits", "LIMITS")
    watch("margin_levels", "MARGIN", "customer_id")
    watch("killed_sessions", "SESSION", "session_id")
    _messages()
    # Kept, and never asked for: the audit log says it.
    op.drop_column("interim_bills", "threshold")
    op.drop_column("interim_bills", "accrued")
    op.create_index(
        op.f("ix_invoice_lines_tenant_id_price_currency_currency"),
        "invoice_lines",
        ["tenant_id", "price_currency", "currency"],
        postgresql_where=sa.text("price_currency IS NOT NULL"),
    )


def _messages() -> None:
    op.add_column("messages", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("messages", sa.Column("next_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_messages_status"), "messages", type_="check")
    op.create_check_constraint(
        op.f("ck_messages_status"),
        "messages",
        "status IN ('WAITING', 'SENT', 'UNDELIVERABLE', 'FAILED', 'DROPPED')",
    )


def _request_limits() -> None:
    op.create_table(
        "request_limits",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("tenant_id", "id", "scope")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("plan_id", "key_id")),
        sa.Column("limits", postgresql.JSONB(), nullable=False),
        *_edited(),
        sa.CheckConstraint(
            "scope IN ('TENANT', 'EACH_KEY', 'PLAN', 'KEY')", name=op.f("ck_request_limits_scope")
        ),
        sa.CheckConstraint(
            "(scope = 'PLAN') = (plan_id IS NOT NULL) AND (scope = 'KEY') = (key_id IS NOT NULL)",
            name=op.f("ck_request_limits_target_of_its_scope"),
        ),
        _of_tenant("request_limits"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id"],
            ["rate_plans.tenant_id", "rate_plans.id"],
            name=op.f("fk_request_limits_tenant_id_plan_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"],
            ["api_keys.tenant_id", "api_keys.id"],
            name=op.f("fk_request_limits_tenant_id_key_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_request_limits")),
    )
    op.create_index(op.f("ix_request_limits_tenant_id_key_id"), "request_limits", ["tenant_id", "key_id"])


def _margin_levels() -> None:
    op.create_table(
        "margin_levels",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("tenant_id", "customer_id", "level")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("throttle_rate", "retry_after")),
        sa.Column("message", sa.Text(), nullable=True),
        *_edited(),
        sa.CheckConstraint(
            "level IN ('NONE', 'L1_ALERT', 'L2_THROTTLE', 'L3_BLOCK')", name=op.f("ck_margin_levels_level")
        ),
        sa.CheckConstraint("throttle_rate BETWEEN 0 AND 100", name=op.f("ck_margin_levels_throttle_rate")),
        _of_tenant("margin_levels"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_margin_levels_tenant_id_customer_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", name=op.f("pk_margin_levels")),
    )


def _killed_sessions() -> None:
    op.create_table(
        "killed_sessions",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("tenant_id", "session_id")),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("killed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        _of_tenant("killed_sessions"),
        sa.PrimaryKeyConstraint("tenant_id", "session_id", name=op.f("pk_killed_sessions")),
    )


def _edited() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )


def _of_tenant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id"))
