"""Grants, holds, top-ups and alerts; the ledger has an account for each grant.

Money that is in wallets becomes a cash grant each, by a transaction that moves it from the wallet's plain account to the grant's.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.tenancy import protect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_MONEY = sa.Numeric(precision=38, scale=12)
_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_EMPTY = sa.text("'[]'::jsonb")


def upgrade() -> None:
    _columns()
    _grants()
    _holds()
    _top_ups()
    _alerts()
    _rules()
    protect("wallet_grants", "wallet_holds", "wallet_top_ups")
    protect("alerts", rights="SELECT, INSERT")
    _what_is_there()


def _columns() -> None:
    for name in ("low_since", "empty_since", "topup_since"):
        op.add_column("wallets", sa.Column(name, _TIME, nullable=True))
    for name in ("unit", "invoice_id"):
        op.add_column("wallet_transactions", sa.Column(name, sa.Text(), nullable=True))
    op.create_index(
        op.f("ix_wallet_transactions_tenant_id_invoice_id"),
        "wallet_transactions",
        ["tenant_id", "invoice_id"],
        postgresql_where=sa.text("invoice_id IS NOT NULL"),
    )
    op.add_column("wallet_entries", sa.Column("grant_id", sa.Text(), server_default="", nullable=False))
    op.drop_constraint("pk_wallet_entries", "wallet_entries")
    op.create_primary_key(
        "pk_wallet_entries", "wallet_entries", ["tenant_id", "transaction_id", "account", "grant_id"]
    )
    op.drop_constraint("ck_wallet_entries_account", "wallet_entries")
    op.create_check_constraint(
        op.f("ck_wallet_entries_account"),
        "wallet_entries",
        "account IN ('CASH', 'PROMO', 'UNITS', 'FUNDING', 'GRANTED', 'USAGE', 'REFUND', 'BREAKAGE')",
    )


def _of_wallet(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["tenant_id", "wallet_id"],
            ["wallets.tenant_id", "wallets.id"],
            name=op.f(f"fk_{table}_tenant_id_wallet_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{table}")),
    )


def _grants() -> None:
    op.create_table(
        "wallet_grants",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("amount", _MONEY, nullable=False),
        sa.Column("remaining", _MONEY, server_default=sa.text("0"), nullable=False),
        sa.Column("held", _MONEY, server_default=sa.text("0"), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("units", postgresql.JSONB(), server_default=_EMPTY, nullable=False),
        sa.Column("products", postgresql.JSONB(), server_default=_EMPTY, nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("effective_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("booked_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "kind IN ('PROMOTIONAL', 'BONUS_UNITS', 'CASH')", name=op.f("ck_wallet_grants_kind")
        ),
        sa.CheckConstraint(
            "(kind = 'BONUS_UNITS') = (unit IS NOT NULL)", name=op.f("ck_wallet_grants_units_of_something")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_wallet_grants_amount_above_zero")),
        sa.CheckConstraint(
            "held >= 0 AND held <= remaining AND remaining <= amount",
            name=op.f("ck_wallet_grants_never_overspent"),
        ),
        *_of_wallet("wallet_grants"),
    )
    op.create_index(
        op.f("ix_wallet_grants_tenant_id_wallet_id_seq"), "wallet_grants", ["tenant_id", "wallet_id", "seq"]
    )
    op.create_index(
        "ix_wallet_grants_due",
        "wallet_grants",
        ["tenant_id", "expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL AND (remaining > 0 OR booked_at IS NULL)"),
    )


def _holds() -> None:
    op.create_table(
        "wallet_holds",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("amount", _MONEY, nullable=False),
        sa.Column("settled", _MONEY, server_default=sa.text("0"), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("parts", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.Text(), nullable=True),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "status IN ('PENDING', 'SETTLED', 'RELEASED', 'EXPIRED')", name=op.f("ck_wallet_holds_status")
        ),
        sa.CheckConstraint(
            "amount > 0 AND settled >= 0 AND settled <= amount",
            name=op.f("ck_wallet_holds_settled_within_amount"),
        ),
        sa.UniqueConstraint(
            "tenant_id", "idempotency_key", name=op.f("uq_wallet_holds_tenant_id_idempotency_key")
        ),
        *_of_wallet("wallet_holds"),
    )
    op.create_index(op.f("ix_wallet_holds_tenant_id_wallet_id"), "wallet_holds", ["tenant_id", "wallet_id"])
    op.create_index(
        "ix_wallet_holds_pending",
        "wallet_holds",
        ["tenant_id", "expires_at"],
        postgresql_where=sa.text("status = 'PENDING'"),
    )


def _top_ups() -> None:
    op.create_table(
        "wallet_top_ups",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("amount", _MONEY, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "status IN ('REQUESTED', 'PENDING', 'SUCCEEDED', 'FAILED')", name=op.f("ck_wallet_top_ups_status")
        ),
        *_of_wallet("wallet_top_ups"),
    )
    op.create_index(
        "uq_wallet_top_ups_one_under_way",
        "wallet_top_ups",
        ["tenant_id", "wallet_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('REQUESTED', 'PENDING')"),
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_alerts_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_alerts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_tenant_id_at_id"), "alerts", ["tenant_id", "at", "id"])
    op.create_index(op.f("ix_alerts_tenant_id_target_id"), "alerts", ["tenant_id", "target_id"])


def _rules() -> None:
    """What a grant still holds moves with entries and only so."""
    op.execute(
        """
        CREATE FUNCTION wallet_grant_follows() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE wallet_grants SET remaining = remaining + NEW.amount
            WHERE tenant_id = NEW.tenant_id AND id = NEW.grant_id;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'there is no grant %', NEW.grant_id USING ERRCODE = 'foreign_key_violation';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER wallet_entries_move_the_grant AFTER INSERT ON wallet_entries FOR EACH ROW
        WHEN (NEW.grant_id <> '') EXECUTE FUNCTION wallet_grant_follows();
        CREATE FUNCTION wallet_grant_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'what is left of grant % moves with entries only', NEW.id
                USING ERRCODE = 'restrict_violation';
        END $$;
        CREATE TRIGGER wallet_grants_remaining_by_entries BEFORE UPDATE OF remaining ON wallet_grants FOR EACH ROW
        WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION wallet_grant_by_hand();
        """
    )


def _what_is_there() -> None:
    op.execute(
        """
        INSERT INTO wallet_grants (tenant_id, id, wallet_id, kind, amount, effective_at, booked_at, description, created_at)
        SELECT tenant_id, 'gr_' || substr(id, 5), id, 'CASH', balance, created_at, created_at, 'Balance carried over', created_at
        FROM wallets WHERE balance > 0;
        INSERT INTO wallet_transactions (tenant_id, id, wallet_id, kind, amount, balance_after, description, actor, at)
        SELECT tenant_id, 'wtx_' || substr(id, 4), wallet_id, 'CARRIED_OVER', amount, amount, description, 'system', now()
        FROM wallet_grants;
        INSERT INTO wallet_entries (tenant_id, transaction_id, account, grant_id, amount)
        SELECT tenant_id, 'wtx_' || substr(id, 4), 'CASH', side.grant_id, side.amount
        FROM wallet_grants, LATERAL (VALUES (1, '', -amount), (2, id, amount)) AS side (place, grant_id, amount)
        ORDER BY tenant_id, id, side.place;
        SET CONSTRAINTS ALL IMMEDIATE;
        SET CONSTRAINTS ALL DEFERRED
        """
    )
