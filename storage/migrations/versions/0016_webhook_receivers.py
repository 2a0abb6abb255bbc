"""Webhook sources: whose scheme they sign by, what is let through; they reach the edge like rights do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.rights import watch

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_NEW = ("metric_key", "event_filter", "event_type_path", "event_id_path")


def upgrade() -> None:
    op.add_column(
        "webhook_sources",
        sa.Column("provider", sa.Text(), server_default=sa.text("'GENERIC'"), nullable=False),
    )
    for name in _NEW:
        op.add_column("webhook_sources", sa.Column(name, sa.Text(), nullable=True))
    op.alter_column("webhook_sources", "metric_key_path", existing_type=sa.Text(), nullable=True)
    watch("webhook_sources", "SOURCE", "id")
