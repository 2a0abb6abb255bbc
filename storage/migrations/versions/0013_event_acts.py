"""Voiding and amending single events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TEXTS = (
    "tenant_id", "id", "kind", "event_key", "origin_key", "act_key", "customer_id", "unit", "reason", "created_by",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "event_acts",
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS),
        sa.Column("changes", postgresql.JSONB(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('VOID', 'AMEND')", name=op.f("ck_event_acts_kind")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_event_acts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_event_acts")),
        sa.UniqueConstraint("tenant_id", "event_key", name=op.f("uq_event_acts_tenant_id_event_key")),
    )
    op.create_index(
        op.f("ix_event_acts_sent_at"),
        "event_acts",
        ["sent_at"],
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    protect("event_acts")
