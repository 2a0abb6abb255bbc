"""Messages are tried some times, then given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _messages()


def _messages() -> None:
    op.add_column("messages", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("messages", sa.Column("next_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_messages_status"), "messages", type_="check")
    op.create_check_constraint(
        op.f("ck_messages_status"),
        "messages",
        "status IN ('WAITING', 'SENT', 'UNDELIVERABLE', 'FAILED', 'DROPPED')",
    )
