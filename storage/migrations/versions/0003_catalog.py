"""Every field of units and products; the words units go by, each of them once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _units()
    _words()
    _products()
    op.create_index(
        op.f("ix_product_units_tenant_id_unit_id"), "product_units", ["tenant_id", "unit_id"], unique=False
    )


def _units() -> None:
    op.add_column(
        "units", sa.Column("product_types", postgresql.JSONB(), server_default="[]", nullable=False)
    )
    op.add_column("units", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("units", sa.Column("category", sa.Text(), nullable=True))
    op.add_column("units", sa.Column("required", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("units", sa.Column("template", sa.Text(), nullable=True))
    _life("units")
    op.create_index(
        "uq_units_template",
        "units",
        ["tenant_id", "template"],
        unique=True,
        postgresql_where="template IS NOT NULL",
    )


def _words() -> None:
    op.create_table(
        "unit_words",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "unit_id"],
            ["units.tenant_id", "units.id"],
            name=op.f("fk_unit_words_tenant_id_unit_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_unit_words_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "word", name=op.f("pk_unit_words")),
    )
    op.create_index(
        op.f("ix_unit_words_tenant_id_unit_id"), "unit_words", ["tenant_id", "unit_id"], unique=False
    )
    # In Python, because the edge compares words as Python lowers them, and a database may lower ASCII only.
    connection = op.get_bind()
    known = connection.execute(sa.text("SELECT tenant_id, id, name FROM units ORDER BY tenant_id, id")).all()
    words = {(tenant, word.lower()): unit for tenant, unit, name in known for word in (name, unit)}
    rows = [{"tenant": tenant, "word": word, "unit": unit} for (tenant, word), unit in words.items()]
    if rows:
        connection.execute(sa.text("INSERT INTO unit_words VALUES (:tenant, :word, :unit)"), rows)
    protect("unit_words")


def _products() -> None:
    op.add_column("products", sa.Column("audience", sa.Text(), nullable=True))
    op.add_column("products", sa.Column("maturity_stage", sa.Text(), nullable=True))
    _life("products")
    # Names were not unique before: every one but the first gets its id added.
    op.execute(
        "UPDATE products SET name = products.name || ' ' || products.id FROM ("
        "  SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id, lower(name) ORDER BY id) AS place FROM products"
        ") AS named WHERE named.place > 1 AND named.tenant_id = products.tenant_id AND named.id = products.id"
    )
    op.create_index(
        "uq_products_name",
        "products",
        ["tenant_id", sa.text("lower(name)")],
        unique=True,
        postgresql_where="archived_at IS NULL",
    )


def _life(table: str) -> None:
    """Status, and who changed it when."""
    now = sa.text("now()")
    op.add_column(table, sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False))
    op.add_column(table, sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        table, sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False)
    )
    op.add_column(table, sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f(f"ck_{table}_archived"), table, "(status = 'ARCHIVED') = (archived_at IS NOT NULL)"
    )
