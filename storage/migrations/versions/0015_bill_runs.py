"""Bill runs of chosen subscriptions and offerings, and trial runs; limits agreed with a subscription; versions of bundled plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    empty = sa.text("'[]'::jsonb")
    for column in (
        sa.Column("scope", sa.Text(), server_default="ALL", nullable=False),
        sa.Column("targets", _JSON, server_default=empty, nullable=False),
        sa.Column("environment", sa.Text(), server_default="LIVE", nullable=False),
        sa.Column("progress", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", _JSON, server_default=empty, nullable=False),
        sa.Column("result", _JSON, nullable=True),
    ):
        op.add_column("bill_requests", column)
    op.create_check_constraint(
        op.f("ck_bill_requests_scope"),
        "bill_requests",
        "scope IN ('ALL', 'CUSTOMER', 'SUBSCRIPTION', 'OFFERING')",
    )
    op.create_check_constraint(
        op.f("ck_bill_requests_environment"), "bill_requests", "environment IN ('LIVE', 'TEST')"
    )
    op.add_column("subscriptions", sa.Column("usage_limits", _JSON, server_default=empty, nullable=False))
    op.execute("UPDATE bill_requests SET scope = 'CUSTOMER' WHERE customers <> '[]'::jsonb")
