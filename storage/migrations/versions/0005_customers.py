"""Tenants and issuers with all their fields; teams, apps and agents; organization settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_IN_USE = sa.text("archived_at IS NULL")


def upgrade() -> None:
    _tenants()
    _billing_entities()
    _customers()
    _teams()
    _accessors()
    _organization_settings()
    protect("teams", "accessors", "organization_settings")


def _tenants() -> None:
    op.add_column("tenants", sa.Column("external_id", sa.Text(), nullable=True))
    op.add_column("tenants", sa.Column("tier", sa.Text(), server_default="starter", nullable=False))
    op.add_column("tenants", sa.Column("description", sa.Text(), nullable=True))
    for column in (_details(), _revision(), _updated_at(), _archived_at()):
        op.add_column("tenants", column)
    op.create_index(
        "uq_tenants_external_id_in_use", "tenants", ["external_id"], unique=True, postgresql_where=_IN_USE
    )


def _billing_entities() -> None:
    columns = (
        sa.Column("legal_name", sa.Text(), nullable=True),
        sa.Column("base_currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("reporting_currency", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("number_format", sa.Text(), server_default="{prefix}-{year}-{seq:0000}", nullable=False),
    )
    for column in (*columns, _details(), _revision(), _updated_at(), _archived_at()):
        op.add_column("billing_entities", column)
    op.execute(
        "UPDATE billing_entities SET base_currency = tenants.currency, time_zone = tenants.time_zone "
        "FROM tenants WHERE tenants.id = billing_entities.tenant_id"
    )
    op.create_index(
        "uq_billing_entities_one_default",
        "billing_entities",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )


def _customers() -> None:
    columns = (
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("billing_entity_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False),
    )
    for column in (*columns, _details(), _revision(), _updated_at(), _archived_at()):
        op.add_column("customers", column)
    op.create_foreign_key(
        "fk_customers_tenant_id_billing_entity_id",
        "customers",
        "billing_entities",
        ["tenant_id", "billing_entity_id"],
        ["tenant_id", "id"],
    )
    op.create_index(
        "uq_customers_external_id_in_use",
        "customers",
        ["tenant_id", "external_id"],
        unique=True,
        postgresql_where=_IN_USE,
    )
    op.create_check_constraint("ck_customers_status", "customers", "status IN ('ACTIVE', 'ARCHIVED')")
    op.create_index(
        "ix_invoices_tenant_id_customer_id_status", "invoices", ["tenant_id", "customer_id", "status"]
    )
    for name in ("email", "status"):
        op.create_index(f"ix_customers_tenant_id_{name}_id", "customers", ["tenant_id", name, "id"])
    for name in ("name", "created_at"):
        op.create_index(
            f"ix_customers_tenant_id_{name}_id",
            "customers",
            ["tenant_id", name, "id"],
            postgresql_include=["archived_at"],
        )
    op.create_index("ix_customers_in_use", "customers", ["tenant_id"], postgresql_where=_IN_USE)


def _teams() -> None:
    op.create_table(
        "teams",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("budget_amount", sa.Numeric(precision=38, scale=4), nullable=True),
        sa.Column("budget_currency", sa.Text(), nullable=True),
        sa.Column("budget_period", sa.Text(), nullable=True),
        _revision(),
        _created_at(),
        _updated_at(),
        _archived_at(),
        sa.CheckConstraint(
            "(budget_amount IS NULL) = (budget_currency IS NULL)", name=op.f("ck_teams_budget_has_currency")
        ),
        *_of_customer("teams"),
        sa.UniqueConstraint("tenant_id", "customer_id", "id", name=op.f("uq_teams_tenant_id_customer_id_id")),
    )
    op.create_index(
        "uq_teams_name_in_use",
        "teams",
        ["tenant_id", "customer_id", sa.text("lower(name)")],
        unique=True,
        postgresql_where=_IN_USE,
    )
    op.create_index("ix_teams_tenant_id_name_id", "teams", ["tenant_id", "name", "id"])


def _accessors() -> None:
    op.create_table(
        "accessors",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column("agent_type", sa.Text(), nullable=True),
        sa.Column("capabilities", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("rate_limits", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        _revision(),
        _created_at(),
        _updated_at(),
        _archived_at(),
        sa.CheckConstraint("type IN ('APP', 'AGENT')", name=op.f("ck_accessors_type")),
        sa.CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'ARCHIVED')", name=op.f("ck_accessors_status")),
        sa.CheckConstraint(
            "(type = 'AGENT') = (agent_type IS NOT NULL)", name=op.f("ck_accessors_agent_has_type")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id", "team_id"],
            ["teams.tenant_id", "teams.customer_id", "teams.id"],
            name=op.f("fk_accessors_tenant_id_customer_id_team_id"),
        ),
        *_of_customer("accessors"),
    )
    op.create_index(
        "uq_accessors_name_in_use",
        "accessors",
        ["tenant_id", "customer_id", "type", sa.text("lower(name)")],
        unique=True,
        postgresql_where=_IN_USE,
    )
    op.create_index("ix_accessors_tenant_id_team_id", "accessors", ["tenant_id", "team_id"])
    op.create_index("ix_accessors_tenant_id_type_name_id", "accessors", ["tenant_id", "type", "name", "id"])


def _organization_settings() -> None:
    op.create_table(
        "organization_settings",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(), nullable=False),
        _revision(),
        _created_at(),
        _updated_at(),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_organization_settings_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_organization_settings")),
    )


def _of_customer(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f(f"fk_{table}_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{table}")),
    )


def _details() -> sa.Column[object]:
    return sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False)


def _revision() -> sa.Column[int]:
    return sa.Column("revision", sa.Integer(), server_default="1", nullable=False)


def _created_at() -> sa.Column[object]:
    return sa.Column("created_at", _INSTANT, server_default=sa.text("now()"), nullable=False)


def _updated_at() -> sa.Column[object]:
    return sa.Column("updated_at", _INSTANT, server_default=sa.text("now()"), nullable=False)


def _archived_at() -> sa.Column[object]:
    return sa.Column("archived_at", _INSTANT, nullable=True)
