"""Keys of apps and agents with scopes, address ranges and ends; what they are bound to; the queue of rights to publish."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.rights import install, watch
from storage.migrations.tenancy import protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_EMPTY = sa.text("'[]'::jsonb")
_IN_USE = "status IN ('ACTIVE', 'SUSPENDED')"


def upgrade() -> None:
    _columns()
    _constraints()
    _indexes()
    _bindings()
    _outbox()
    protect("key_subscription_bindings")
    protect("rights_outbox", rights="SELECT")
    install()
    watch("tenants", "TENANT", tenant="id")
    watch("units", "UNITS")
    watch("offerings", "OFFERING", "id")
    watch("customers", "CUSTOMER", "id")
    watch("subscriptions", "CUSTOMER", "customer_id")
    watch("accessors", "ACCESSOR", "id")
    watch("api_keys", "KEY", "id")


def _columns() -> None:
    columns = (
        sa.Column("accessor_id", sa.Text(), nullable=True),
        sa.Column("accessor_type", sa.Text(), nullable=True),
        sa.Column("credential_type", sa.Text(), server_default="BEARER_TOKEN", nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("scopes", postgresql.JSONB(), server_default=_EMPTY, nullable=False),
        sa.Column("ip_ranges", postgresql.JSONB(), server_default=_EMPTY, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column("revoke_at", _INSTANT, nullable=True),
        sa.Column("revoked_at", _INSTANT, nullable=True),
        sa.Column("revoke_reason", sa.Text(), nullable=True),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", _INSTANT, server_default=_NOW, nullable=False),
    )
    for column in columns:
        op.add_column("api_keys", column)


def _constraints() -> None:
    op.create_check_constraint(
        "ck_api_keys_status",
        "api_keys",
        "status IN ('ACTIVE', 'SUSPENDED', 'PENDING_REVOCATION', 'REVOKED')",
    )
    op.create_check_constraint(
        "ck_api_keys_accessor_has_customer", "api_keys", "accessor_id IS NULL OR customer_id IS NOT NULL"
    )
    for column, table in (("accessor_id", "accessors"), ("product_id", "products")):
        op.create_foreign_key(
            f"fk_api_keys_tenant_id_{column}",
            "api_keys",
            table,
            ["tenant_id", column],
            ["tenant_id", "id"],
        )


def _indexes() -> None:
    op.drop_constraint("uq_api_keys_tenant_id_name", "api_keys", type_="unique")
    _one_in_use("accessor", ["tenant_id", "customer_id", "accessor_id"], "accessor_id IS NOT NULL")
    _one_in_use("name", ["tenant_id", "name"], "accessor_id IS NULL")
    op.create_index(
        "uq_api_keys_client_id_in_use",
        "api_keys",
        ["client_id"],
        unique=True,
        postgresql_where=sa.text(_IN_USE),
    )
    for columns in (["customer_id", "id"], ["accessor_id"], ["name", "id"], ["created_at", "id"]):
        op.create_index(f"ix_api_keys_tenant_id_{'_'.join(columns)}", "api_keys", ["tenant_id", *columns])


def _one_in_use(what: str, columns: list[str], which: str) -> None:
    op.create_index(
        f"uq_api_keys_{what}_in_use",
        "api_keys",
        columns,
        unique=True,
        postgresql_where=sa.text(f"{which} AND {_IN_USE}"),
    )


def _bindings() -> None:
    op.create_table(
        "key_subscription_bindings",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"],
            ["api_keys.tenant_id", "api_keys.id"],
            name=op.f("fk_key_subscription_bindings_tenant_id_key_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription_id"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("fk_key_subscription_bindings_tenant_id_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_key_subscription_bindings_tenant_id")
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "key_id", "subscription_id", name=op.f("pk_key_subscription_bindings")
        ),
    )
    op.create_index(
        "ix_key_subscription_bindings_tenant_id_subscription_id",
        "key_subscription_bindings",
        ["tenant_id", "subscription_id"],
    )


def _outbox() -> None:
    op.create_table(
        "rights_outbox",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("retry_at", _INSTANT, nullable=True),
        sa.Column("created_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_rights_outbox_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_rights_outbox")),
    )
    op.create_index("ix_rights_outbox_id", "rights_outbox", ["id"])
