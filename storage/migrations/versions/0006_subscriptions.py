"""Subscriptions have states, phases, trials and agreed changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.tenancy import protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATES = "'CREATED', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'PAUSED', 'EXPIRING_SOON', 'SUSPENDED', 'EXPIRED', 'CANCELLED'"


def upgrade() -> None:
    _columns()
    _phases()
    _history()
    _held_once()
    _phases_follow_each_other()
    protect("subscription_phases")


def _columns() -> None:
    for column in (
        sa.Column("trial_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("auto_convert", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("change_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("change_offering_id", sa.Text(), nullable=True),
        sa.Column("change_plan_id", sa.Text(), nullable=True),
        sa.Column("change_plan_version", sa.Integer(), nullable=True),
        sa.Column("change_reason", sa.Text(), nullable=True),
        sa.Column("dunning_attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("payment_failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    ):
        op.add_column("subscriptions", column)
    op.create_check_constraint(op.f("ck_subscriptions_status"), "subscriptions", f"status IN ({_STATES})")
    op.create_check_constraint(
        op.f("ck_subscriptions_change_is_whole"),
        "subscriptions",
        "num_nonnulls(change_at, change_offering_id, change_plan_id, change_plan_version) IN (0, 4)",
    )
    for columns in (["tenant_id", "offering_id"], ["tenant_id", "created_at", "id"]):
        op.create_index(op.f("ix_subscriptions_" + "_".join(columns)), "subscriptions", columns)


def _phases() -> None:
    op.create_table(
        "subscription_phases",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("offering_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("plan_version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription_id"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("fk_subscription_phases_tenant_id_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "offering_id"],
            ["offerings.tenant_id", "offerings.id"],
            name=op.f("fk_subscription_phases_tenant_id_offering_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan_id", "plan_version"],
            ["rate_plan_versions.tenant_id", "rate_plan_versions.plan_id", "rate_plan_versions.version"],
            name=op.f("fk_subscription_phases_tenant_id_plan_id_plan_version"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_subscription_phases_tenant_id")),
        sa.PrimaryKeyConstraint(
            "tenant_id", "subscription_id", "number", name=op.f("pk_subscription_phases")
        ),
    )


def _history() -> None:
    """What earlier releases kept of a subscription, told as phases: to come, begun, ended."""
    columns = "(tenant_id, subscription_id, number, state, offering_id, plan_id, plan_version, reason, actor, starts_at)"
    same = (
        "tenant_id, id, {number}, '{state}', offering_id, plan_id, plan_version, '{reason}', 'system', {at}"
    )
    for number, state, reason, at, where in (
        (1, "CREATED", "agreed", "least(created_at, now())", "starts_at > now()"),
        (1, "ACTIVE", "started", "starts_at", "starts_at <= now()"),
        (2, "EXPIRED", "its end has come", "ends_at", "ends_at <= now()"),
    ):
        chosen = same.format(number=number, state=state, reason=reason, at=at)
        op.execute(
            f"INSERT INTO subscription_phases {columns} SELECT {chosen} FROM subscriptions WHERE {where}"
        )
    op.execute(
        "UPDATE subscriptions SET status = CASE WHEN ends_at <= now() THEN 'EXPIRED' "
        "WHEN starts_at > now() THEN 'CREATED' ELSE 'ACTIVE' END"
    )


def _held_once() -> None:
    op.create_index(
        "uq_subscriptions_held_once",
        "subscriptions",
        ["tenant_id", "customer_id", "offering_id"],
        unique=True,
        postgresql_where=sa.text("status NOT IN ('CREATED', 'EXPIRED', 'CANCELLED')"),
    )


def _phases_follow_each_other() -> None:
    """Phases are numbered without gaps, never start before the one they follow, follow nothing terminal, and stay as written."""
    op.execute(
        """
        CREATE FUNCTION require_next_phase() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE last record;
        BEGIN
            SELECT number, state, starts_at INTO last FROM subscription_phases
            WHERE tenant_id = NEW.tenant_id AND subscription_id = NEW.subscription_id
            ORDER BY number DESC LIMIT 1;
            IF NEW.number <> coalesce(last.number, 0) + 1 THEN
                RAISE EXCEPTION 'phase % of subscription % does not follow phase %', NEW.number, NEW.subscription_id,
                    coalesce(last.number, 0) USING ERRCODE = 'check_violation';
            ELSIF last.starts_at > NEW.starts_at THEN
                RAISE EXCEPTION 'phase % of subscription % starts before the one it follows', NEW.number,
                    NEW.subscription_id USING ERRCODE = 'check_violation';
            ELSIF last.state IN ('EXPIRED', 'CANCELLED') THEN
                RAISE EXCEPTION 'subscription % has ended as %', NEW.subscription_id, last.state
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER subscription_phases_in_order BEFORE INSERT ON subscription_phases
        FOR EACH ROW EXECUTE FUNCTION require_next_phase()
        """
    )
    op.execute(
        """
        CREATE TRIGGER subscription_phases_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON subscription_phases
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """
    )
