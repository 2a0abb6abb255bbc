"""Operator keys, remembered answers, the chained audit log, and row-level security of what there is so far."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.audit_chain import START, entry_hash
from storage.migrations.tenancy import make_role, protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_role()
    _operator_keys()
    _idempotency_keys()
    _audit_chain()
    protect("tenants", rights="SELECT, UPDATE", column="id")
    protect("billing_entities", "units", "products", "product_units")
    protect("rate_plans", "rate_plan_versions", "offerings", "customers", "subscriptions", "api_keys")
    protect("invoices", "invoice_lines", "invoice_sequences", "bill_requests")
    protect("operator_keys", "idempotency_keys", "audit_heads")
    protect("audit_log", rights="SELECT, INSERT")


def _operator_keys() -> None:
    op.create_table(
        "operator_keys",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("previous_sha256", sa.Text(), nullable=True),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "role IN ('OWNER', 'ADMIN', 'PRODUCT_MANAGER', 'BILLING_ADMIN', 'DEVELOPER', 'VIEWER')",
            name=op.f("ck_operator_keys_role"),
        ),
        sa.CheckConstraint("status IN ('ACTIVE', 'REVOKED')", name=op.f("ck_operator_keys_status")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_operator_keys_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_operator_keys")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_operator_keys_secret_sha256")),
    )
    op.create_index(op.f("ix_operator_keys_previous_sha256"), "operator_keys", ["previous_sha256"])


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", postgresql.JSONB(), nullable=True),
        sa.Column("sealed_body", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])


def _audit_chain() -> None:
    """New columns, filled in for the entries there are: each gets its place in its tenant's chain."""
    op.create_table(
        "audit_heads",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_audit_heads_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_audit_heads")),
    )
    new = ("event_id", "role", "ip", "request_id", "prev_hash", "hash")
    for name in new:
        op.add_column("audit_log", sa.Column(name, sa.Text(), nullable=True))
    op.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only")
    _chain_what_there_is()
    op.execute("ALTER TABLE audit_log ENABLE TRIGGER audit_log_append_only")
    for name in ("event_id", "prev_hash", "hash"):
        op.alter_column("audit_log", name, nullable=False)
    op.create_unique_constraint(op.f("uq_audit_log_event_id"), "audit_log", ["event_id"])
    op.create_index(op.f("ix_audit_log_tenant_id_at"), "audit_log", ["tenant_id", "at"])


def _chain_what_there_is() -> None:
    connection = op.get_bind()
    read = sa.text("SELECT * FROM audit_log ORDER BY tenant_id, id")
    change = sa.text(
        "UPDATE audit_log SET event_id = :event_id, prev_hash = :before, hash = :hash WHERE tenant_id = :tenant AND id = :id"
    )
    heads: dict[str, tuple[int, str]] = {}
    for row in connection.execute(read).mappings().all():
        count, before = heads.get(row["tenant_id"], (0, START))
        event_id = f"evt_{uuid.uuid4().hex}"
        found = entry_hash(before, {**row, "event_id": event_id})
        place = {"before": before, "hash": found, "tenant": row["tenant_id"], "id": row["id"]}
        connection.execute(change, {"event_id": event_id, **place})
        heads[row["tenant_id"]] = (count + 1, found)
    for tenant_id, (count, last) in heads.items():
        connection.execute(
            sa.text("INSERT INTO audit_heads VALUES (:tenant, :count, :hash)"),
            {"tenant": tenant_id, "count": count, "hash": last},
        )
