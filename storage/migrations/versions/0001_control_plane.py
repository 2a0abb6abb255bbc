"""The tables of the control plane, invoices and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit_log", "rate_plan_versions")


def upgrade() -> None:
    _tenants()
    _catalog()
    _rate_plans()
    _offerings()
    _customers()
    _subscriptions()
    _keys()
    _invoices()
    _invoice_lines()
    _operations()
    _append_only()


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
    )
    op.create_table(
        "billing_entities",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("invoice_prefix", sa.Text(), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rounding IN ('HALF_EVEN', 'HALF_UP')", name=op.f("ck_billing_entities_rounding")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_billing_entities_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_billing_entities")),
        sa.UniqueConstraint(
            "tenant_id", "invoice_prefix", name=op.f("uq_billing_entities_tenant_id_invoice_prefix")
        ),
    )


def _catalog() -> None:
    op.create_table(
        "units",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit_label", sa.Text(), nullable=True),
        sa.Column("aggregation", sa.Text(), nullable=False),
        sa.Column("event_field", sa.Text(), nullable=True),
        sa.Column("filters", postgresql.JSONB(), nullable=False),
        sa.Column("allow_negative", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_units_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_units")),
    )
    op.create_table(
        "products",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_products_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_products")),
    )
    op.create_table(
        "product_units",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "product_id"],
            ["products.tenant_id", "products.id"],
            name=op.f("fk_product_units_tenant_id_product_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "unit_id"],
            ["units.tenant_id", "units.id"],
            name=op.f("fk_product_units_tenant_id_unit_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_product_units_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "product_id", "unit_id", name=op.f("pk_product_units")),
    )


def _rate_plans() -> None:
    op.create_table(
        "rate_plans",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_rate_plans_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_rate_plans")),
    )
    op.create_table(
        "rate_plan_versions",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id"],
            ["rate_plans.tenant_id", "rate_plans.id"],
            name=op.f("fk_rate_plan_versions_tenant_id_plan_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_rate_plan_versions_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "plan_id", "version", name=op.f("pk_rate_plan_versions")),
    )


def _offerings() -> None:
    op.create_table(
        "offerings",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("billing_mode", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("trial_days", sa.Integer(), nullable=False),
        sa.Column("entitlements", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id"],
            ["rate_plans.tenant_id", "rate_plans.id"],
            name=op.f("fk_offerings_tenant_id_plan_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_offerings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_offerings")),
    )


def _customers() -> None:
    op.create_table(
        "customers",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_customers_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_customers")),
    )


def _subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("offering_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("plan_version", sa.Integer(), nullable=False),
        sa.Column("billing_entity_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("billing_cycle", sa.Text(), nullable=False),
        sa.Column("anchor_day", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("anchor_day BETWEEN 1 AND 31", name=op.f("ck_subscriptions_anchor_day")),
        sa.CheckConstraint(
            "ends_at IS NULL OR ends_at > starts_at", name=op.f("ck_subscriptions_has_length")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "billing_entity_id"],
            ["billing_entities.tenant_id", "billing_entities.id"],
            name=op.f("fk_subscriptions_tenant_id_billing_entity_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_subscriptions_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "offering_id"],
            ["offerings.tenant_id", "offerings.id"],
            name=op.f("fk_subscriptions_tenant_id_offering_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id", "plan_version"],
            ["rate_plan_versions.tenant_id", "rate_plan_versions.plan_id", "rate_plan_versions.version"],
            name=op.f("fk_subscriptions_tenant_id_plan_id_plan_version"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_subscriptions_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_subscriptions")),
    )
    op.create_index(
        op.f("ix_subscriptions_tenant_id_customer_id"),
        "subscriptions",
        ["tenant_id", "customer_id"],
        unique=False,
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_api_keys_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_keys_secret_sha256")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_api_keys_tenant_id_name")),
    )


def _invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("billing_entity", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("subtotal", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("discount", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("tax", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("total", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("wallet_amount", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("amount_due", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("void_reason", sa.Text(), nullable=True),
        sa.Column("finalized_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('DRAFT', 'OPEN', 'PAID', 'VOID')", name=op.f("ck_invoices_status")),
        sa.CheckConstraint("amount_due + wallet_amount = total", name=op.f("ck_invoices_due_adds_up")),
        sa.CheckConstraint("total = subtotal - discount + tax", name=op.f("ck_invoices_total_adds_up")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "billing_entity"],
            ["billing_entities.tenant_id", "billing_entities.id"],
            name=op.f("fk_invoices_tenant_id_billing_entity"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_invoices_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("tenant_id", "number", name=op.f("uq_invoices_tenant_id_number")),
    )
    op.create_index(
        op.f("ix_invoices_tenant_id_month_customer_id"),
        "invoices",
        ["tenant_id", "month", "customer_id"],
        unique=False,
    )
    op.create_table(
        "invoice_sequences",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("billing_entity", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "billing_entity"],
            ["billing_entities.tenant_id", "billing_entities.id"],
            name=op.f("fk_invoice_sequences_tenant_id_billing_entity"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_invoice_sequences_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "billing_entity", "year", name=op.f("pk_invoice_sequences")),
    )


def _invoice_lines() -> None:
    op.create_table(
        "invoice_lines",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("line_order", sa.Integer(), nullable=False),
        sa.Column("line_type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=38, scale=9), nullable=True),
        sa.Column("included", sa.Numeric(precision=38, scale=9), nullable=True),
        sa.Column("billable", sa.Numeric(precision=38, scale=9), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("unrounded", sa.Numeric(precision=38, scale=21), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column(
            "tiers",
            postgresql.JSONB(
                none_as_null=True,
            ),
            nullable=True,
        ),
        sa.Column("commit_adjustment", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("discount", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("taxable", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.Column("tax", sa.Numeric(precision=38, scale=4), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "invoice_id"],
            ["invoices.tenant_id", "invoices.id"],
            name=op.f("fk_invoice_lines_tenant_id_invoice_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_invoice_lines_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "invoice_id", "line_id", name=op.f("pk_invoice_lines")),
    )
    op.create_index(
        op.f("ix_invoice_lines_tenant_id_line_id"), "invoice_lines", ["tenant_id", "line_id"], unique=False
    )


def _operations() -> None:
    op.create_table(
        "audit_log",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("changes", postgresql.JSONB(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_audit_log_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_audit_log")),
    )
    op.create_index(
        op.f("ix_audit_log_tenant_id_target_type_target_id"),
        "audit_log",
        ["tenant_id", "target_type", "target_id"],
        unique=False,
    )
    op.create_table(
        "bill_requests",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("customers", postgresql.JSONB(), nullable=False),
        sa.Column("auto_finalize", sa.Boolean(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("invoices_generated", sa.Integer(), nullable=False),
        sa.Column("customers_processed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('CREATED', 'QUEUED', 'RUNNING', 'COMPLETED', 'PARTIALLY_FAILED', 'FAILED')",
            name=op.f("ck_bill_requests_status"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_bill_requests_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_bill_requests")),
        sa.UniqueConstraint(
            "tenant_id", "idempotency_key", name=op.f("uq_bill_requests_tenant_id_idempotency_key")
        ),
    )
    op.create_index(
        "uq_bill_requests_one_at_a_time",
        "bill_requests",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('QUEUED', 'RUNNING')"),
    )


def _append_only() -> None:
    """The database itself refuses to change or remove what was recorded, whoever asks."""
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: rows are never changed or removed', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in APPEND_ONLY:
        op.execute(
            f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
            """
        )
