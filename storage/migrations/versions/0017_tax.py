"""Tax rates, exchange rates, the taxes of invoices, and lines that say how they were taxed and converted; trial runs beside real ones.

Revision 0009 was released without a body and given one afterwards. Databases stamped before that passed it by, databases stamped
after it have the tables: here both come to the same.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_RATE = sa.Numeric(precision=38, scale=12)
_AMOUNT = sa.Numeric(precision=38, scale=4)


def upgrade() -> None:
    if not sa.inspect(op.get_bind()).has_table("tax_rates"):
        _taxes()
    _trial_runs_beside_real_ones()
    _one_offs_made_anew()


def _taxes() -> None:
    _tax_rates()
    _fx_rates()
    _invoice_taxes()
    op.add_column("invoice_lines", sa.Column("tax_included", _AMOUNT, nullable=True))
    op.add_column("invoice_lines", sa.Column("taxes", postgresql.JSONB(), nullable=True))
    op.add_column("invoice_lines", sa.Column("fx_rate", _RATE, nullable=True))
    op.add_column("invoice_lines", sa.Column("price_currency", sa.Text(), nullable=True))
    protect("tax_rates", "fx_rates", "invoice_taxes")


def _trial_runs_beside_real_ones() -> None:
    op.drop_index("uq_bill_requests_one_at_a_time", "bill_requests")
    op.create_index(
        "uq_bill_requests_one_at_a_time",
        "bill_requests",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('QUEUED', 'RUNNING') AND environment = 'LIVE'"),
    )


def _one_offs_made_anew() -> None:
    """They stay one-off invoices: no run of a month comes to their lines."""
    op.execute(
        "WITH RECURSIVE anew AS ("
        "  SELECT tenant_id, id FROM invoices WHERE kind = 'ONE_OFF'"
        "  UNION SELECT again.tenant_id, again.id FROM invoices again"
        "  JOIN anew ON anew.tenant_id = again.tenant_id AND anew.id = again.replaces"
        ") UPDATE invoices SET kind = 'ONE_OFF' FROM anew"
        " WHERE anew.tenant_id = invoices.tenant_id AND anew.id = invoices.id AND invoices.kind = 'REISSUE'"
    )


def _tax_rates() -> None:
    op.create_table(
        "tax_rates",
        *_key(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("rate", _RATE, nullable=False),
        sa.Column("inclusive", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        _now("created_at"),
        _now("updated_at"),
        sa.CheckConstraint("rate >= 0", name=op.f("ck_tax_rates_rate")),
        sa.CheckConstraint(
            "valid_until IS NULL OR valid_until > valid_from", name=op.f("ck_tax_rates_has_length")
        ),
        sa.CheckConstraint("city IS NULL OR region IS NOT NULL", name=op.f("ck_tax_rates_city_has_region")),
        *_of_tenant("tax_rates"),
    )
    op.create_index("ix_tax_rates_tenant_id_country_id", "tax_rates", ["tenant_id", "country", "id"])
    op.create_index("ix_tax_rates_tenant_id_created_at_id", "tax_rates", ["tenant_id", "created_at", "id"])


def _fx_rates() -> None:
    op.create_table(
        "fx_rates",
        *_key(),
        sa.Column("from_currency", sa.Text(), nullable=False),
        sa.Column("to_currency", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rate", _RATE, nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        _now("created_at"),
        sa.CheckConstraint("rate > 0", name=op.f("ck_fx_rates_rate")),
        sa.CheckConstraint("from_currency <> to_currency", name=op.f("ck_fx_rates_two_currencies")),
        *_of_tenant("fx_rates"),
    )
    pair = ["tenant_id", "from_currency", "to_currency", "day"]
    op.create_index("uq_fx_rates_day", "fx_rates", pair, unique=True)
    op.create_index("ix_fx_rates_tenant_id_day_id", "fx_rates", ["tenant_id", "day", "id"])


def _invoice_taxes() -> None:
    op.create_table(
        "invoice_taxes",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rate_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("jurisdiction", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("treatment", sa.Text(), nullable=False),
        sa.Column("tax_id", sa.Text(), nullable=True),
        sa.Column("rate", _RATE, nullable=True),
        sa.Column("inclusive", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("taxable", _AMOUNT, nullable=False),
        sa.Column("tax", _AMOUNT, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_invoice_taxes_tenant_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "invoice_id"],
            ["invoices.tenant_id", "invoices.id"],
            name=op.f("fk_invoice_taxes_tenant_id_invoice_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "invoice_id", "number", name=op.f("pk_invoice_taxes")),
    )


def _key() -> tuple[sa.Column[str], ...]:
    return sa.Column("tenant_id", sa.Text(), nullable=False), sa.Column("id", sa.Text(), nullable=False)


def _of_tenant(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{table}")),
    )


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
