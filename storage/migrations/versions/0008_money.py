"""Coupons, wallets in double entry, payment means and webhook sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.rights import watch
from storage.migrations.tenancy import protect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = (
    "coupons", "coupon_offerings", "coupon_redemptions", "wallets", "payment_gateways", "payment_methods",
    "webhook_sources",
)  # fmt: skip
APPEND_ONLY = ("wallet_transactions", "wallet_entries")


def upgrade() -> None:
    _coupons()
    _redemptions()
    _wallets()
    _ledger()
    _ledger_rules()
    _payment_gateways()
    _payment_methods()
    _webhook_sources()
    watch("wallets", "CUSTOMER", "customer_id")
    protect(*TABLES)
    protect(*APPEND_ONLY, rights="SELECT, INSERT")


def _coupons() -> None:
    op.create_table(
        "coupons",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("discount_type", sa.Text(), nullable=False),
        sa.Column("discount_value", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("duration", sa.Text(), nullable=False),
        sa.Column("duration_in_months", sa.Integer(), nullable=True),
        sa.Column("max_redemptions", sa.Integer(), nullable=True),
        sa.Column("max_redemptions_per_customer", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("redemption_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "redemption_count >= 0 AND (max_redemptions IS NULL OR redemption_count <= max_redemptions)",
            name=op.f("ck_coupons_within_limit"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_coupons_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("tenant_id", "code", name=op.f("uq_coupons_tenant_id_code")),
    )
    op.create_table(
        "coupon_offerings",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("coupon_id", sa.Text(), nullable=False),
        sa.Column("offering_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "coupon_id"],
            ["coupons.tenant_id", "coupons.id"],
            name=op.f("fk_coupon_offerings_tenant_id_coupon_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "offering_id"],
            ["offerings.tenant_id", "offerings.id"],
            name=op.f("fk_coupon_offerings_tenant_id_offering_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_coupon_offerings_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "coupon_id", "offering_id", name=op.f("pk_coupon_offerings")),
    )


def _redemptions() -> None:
    op.create_table(
        "coupon_redemptions",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("coupon_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("discount_type", sa.Text(), nullable=False),
        sa.Column("discount_value", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("applies_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applies_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "coupon_id"],
            ["coupons.tenant_id", "coupons.id"],
            name=op.f("fk_coupon_redemptions_tenant_id_coupon_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_coupon_redemptions_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription_id"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("fk_coupon_redemptions_tenant_id_subscription_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_coupon_redemptions_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_coupon_redemptions")),
    )
    op.create_index(
        op.f("ix_coupon_redemptions_tenant_id_coupon_id_customer_id"),
        "coupon_redemptions",
        ["tenant_id", "coupon_id", "customer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_coupon_redemptions_tenant_id_subscription_id_seq"),
        "coupon_redemptions",
        ["tenant_id", "subscription_id", "seq"],
        unique=False,
    )


def _wallets() -> None:
    op.create_table(
        "wallets",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="COMPANY", nullable=False),
        sa.Column("balance", sa.Numeric(precision=38, scale=12), server_default=sa.text("0"), nullable=False),
        sa.Column("auto_topup_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("auto_topup_amount", sa.Numeric(precision=38, scale=12), nullable=True),
        sa.Column("auto_topup_threshold", sa.Numeric(precision=38, scale=12), nullable=True),
        sa.Column("low_balance_threshold", sa.Numeric(precision=38, scale=12), nullable=True),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_wallets_never_overspent")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_wallets_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_wallets_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_wallets")),
    )
    op.create_index(
        "uq_wallets_one_company_wallet",
        "wallets",
        ["tenant_id", "customer_id", "currency"],
        unique=True,
        postgresql_where=sa.text("kind = 'COMPANY' AND archived_at IS NULL"),
    )


def _ledger() -> None:
    op.create_table(
        "wallet_transactions",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("balance_after", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_wallet_transactions_amount_above_zero")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "wallet_id"],
            ["wallets.tenant_id", "wallets.id"],
            name=op.f("fk_wallet_transactions_tenant_id_wallet_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_wallet_transactions_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_wallet_transactions")),
        sa.UniqueConstraint(
            "tenant_id", "idempotency_key", name=op.f("uq_wallet_transactions_tenant_id_idempotency_key")
        ),
    )
    op.create_index(
        op.f("ix_wallet_transactions_tenant_id_wallet_id_seq"),
        "wallet_transactions",
        ["tenant_id", "wallet_id", "seq"],
        unique=False,
    )
    op.create_table(
        "wallet_entries",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.CheckConstraint(
            "account IN ('CASH', 'PROMO', 'FUNDING', 'USAGE', 'REFUND')",
            name=op.f("ck_wallet_entries_account"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_wallet_entries_moves_something")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["wallet_transactions.tenant_id", "wallet_transactions.id"],
            name=op.f("fk_wallet_entries_tenant_id_transaction_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_wallet_entries_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "transaction_id", "account", name=op.f("pk_wallet_entries")),
    )


def _ledger_rules() -> None:
    """What no service can get around: entries add up to zero, the balance moves with them and only so, nothing is rewritten."""
    op.execute(
        """
        CREATE FUNCTION wallet_entries_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE moved text := to_jsonb(NEW) ->> TG_ARGV[0];
        BEGIN
            IF (SELECT sum(amount) FROM wallet_entries
                WHERE tenant_id = NEW.tenant_id AND transaction_id = moved) IS DISTINCT FROM 0 THEN
                RAISE EXCEPTION 'wallet transaction %: its entries do not add up to zero', moved
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END $$
        """
    )
    for table, column in (("wallet_transactions", "id"), ("wallet_entries", "transaction_id")):
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table}_add_up AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED "
            f"FOR EACH ROW EXECUTE FUNCTION wallet_entries_add_up('{column}')"
        )
    op.execute(
        """
        CREATE FUNCTION wallet_balance_follows() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE wallets SET balance = balance + NEW.amount
            FROM wallet_transactions moved
            WHERE moved.tenant_id = NEW.tenant_id AND moved.id = NEW.transaction_id
              AND wallets.tenant_id = moved.tenant_id AND wallets.id = moved.wallet_id;
            RETURN NULL;
        END $$;
        CREATE TRIGGER wallet_entries_move_the_balance AFTER INSERT ON wallet_entries FOR EACH ROW
        WHEN (NEW.account IN ('CASH', 'PROMO')) EXECUTE FUNCTION wallet_balance_follows();
        CREATE FUNCTION wallet_balance_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the balance of wallet % moves with entries only', NEW.id
                USING ERRCODE = 'restrict_violation';
        END $$;
        CREATE TRIGGER wallets_balance_by_entries BEFORE UPDATE OF balance ON wallets FOR EACH ROW
        WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION wallet_balance_by_hand()
        """
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _payment_gateways() -> None:
    op.create_table(
        "payment_gateways",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("gateway_type", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("api_key_sealed", sa.Text(), nullable=True),
        sa.Column("webhook_secret_sealed", sa.Text(), nullable=True),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sandbox_mode", sa.Boolean(), nullable=False),
        sa.Column("supported_currencies", postgresql.JSONB(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_payment_gateways_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_payment_gateways")),
    )
    op.create_index(
        "uq_payment_gateways_one_primary",
        "payment_gateways",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("is_primary AND archived_at IS NULL"),
    )


def _payment_methods() -> None:
    op.create_table(
        "payment_methods",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("gateway_type", sa.Text(), nullable=False),
        sa.Column("method_type", sa.Text(), nullable=False),
        sa.Column("gateway_token", sa.Text(), nullable=False),
        sa.Column("gateway_customer_id", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("last_four", sa.Text(), nullable=True),
        sa.Column("card_brand", sa.Text(), nullable=True),
        sa.Column("expiry_month", sa.Integer(), nullable=True),
        sa.Column("expiry_year", sa.Integer(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_payment_methods_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "gateway_id"],
            ["payment_gateways.tenant_id", "payment_gateways.id"],
            name=op.f("fk_payment_methods_tenant_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_payment_methods_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_payment_methods")),
    )
    op.create_index(
        op.f("ix_payment_methods_tenant_id_customer_id"),
        "payment_methods",
        ["tenant_id", "customer_id"],
        unique=False,
    )
    op.create_index(
        "uq_payment_methods_one_default",
        "payment_methods",
        ["tenant_id", "customer_id"],
        unique=True,
        postgresql_where=sa.text("is_default AND archived_at IS NULL"),
    )


def _webhook_sources() -> None:
    op.create_table(
        "webhook_sources",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("secret_sealed", sa.Text(), nullable=False),
        sa.Column("signature_header", sa.Text(), nullable=False),
        sa.Column("signature_algorithm", sa.Text(), nullable=False),
        sa.Column("customer_id_path", sa.Text(), nullable=False),
        sa.Column("metric_key_path", sa.Text(), nullable=False),
        sa.Column("quantity_path", sa.Text(), nullable=True),
        sa.Column("timestamp_path", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_webhook_sources_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_webhook_sources")),
    )
