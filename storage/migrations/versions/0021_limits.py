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
