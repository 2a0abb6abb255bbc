"""Subscriptions and their phases. Keep out: queries, states (domain.subscription_states)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Date, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Amount, Base, CreatedAt, Id, TenantId

_OF_PLAN_VERSION = (
    ["tenant_id", "plan_id", "plan_version"],
    ["rate_plan_versions.tenant_id", "rate_plan_versions.plan_id", "rate_plan_versions.version"],
)


class SubscriptionRow(Base):
    """A customer's contract for an offering, at a pinned plan version. `status`, `offering_id` and the pin are those of its
    last recorded phase. Live from `starts_at` until `ends_at`, exclusive, unless a phase says otherwise. billing_threshold: accrued
    spend at which an interim invoice is cut."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
        ForeignKeyConstraint(["tenant_id", "offering_id"], ["offerings.tenant_id", "offerings.id"]),
        ForeignKeyConstraint(*_OF_PLAN_VERSION),
        ForeignKeyConstraint(
            ["tenant_id", "billing_entity_id"], ["billing_entities.tenant_id", "billing_entities.id"]
        ),
        CheckConstraint("anchor_day BETWEEN 1 AND 31", name="anchor_day"),
        CheckConstraint("billing_threshold > 0", name="billing_threshold"),
        CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name="has_length"),
        CheckConstraint(
            "status IN ('CREATED', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'PAUSED', 'EXPIRING_SOON', 'SUSPENDED', "
            "'EXPIRED', 'CANCELLED')",
            name="status",
        ),
        CheckConstraint(
            "num_nonnulls(change_at, change_offering_id, change_plan_id, change_plan_version) IN (0, 4)",
            name="change_is_whole",
        ),
        Index(None, "tenant_id", "customer_id"),
        Index(None, "tenant_id", "offering_id"),
        Index(None, "tenant_id", "created_at", "id"),
        # A customer holds an offering once; one to come may already be agreed while the present one runs out.
        Index(
            "uq_subscriptions_held_once",
            "tenant_id",
            "customer_id",
            "offering_id",
            unique=True,
            postgresql_where=text("status NOT IN ('CREATED', 'EXPIRED', 'CANCELLED')"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    customer_id: Mapped[str]
    offering_id: Mapped[str]
    plan_id: Mapped[str]
    plan_version: Mapped[int]
    billing_entity_id: Mapped[str]
    status: Mapped[str]
    start_date: Mapped[date] = mapped_column(Date)
    end_date: Mapped[date | None] = mapped_column(Date)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    billing_cycle: Mapped[str]
    anchor_day: Mapped[int]
    time_zone: Mapped[str]
    trial_ends_at: Mapped[datetime | None]
    auto_convert: Mapped[bool] = mapped_column(server_default=text("true"))
    cancel_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None]
    billing_threshold: Mapped[Amount | None]
    change_at: Mapped[datetime | None]
    change_offering_id: Mapped[str | None]
    change_plan_id: Mapped[str | None]
    change_plan_version: Mapped[int | None]
    change_reason: Mapped[str | None]
    usage_limits: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'::jsonb"))
    spend_limit: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    dunning_attempt: Mapped[int] = mapped_column(server_default="0")
    payment_failed_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class SubscriptionPhaseRow(Base):
    """From `starts_at` on, this state, offering and plan version; the next phase ends it. Never updated (a trigger sees to it)."""

    __tablename__ = "subscription_phases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "subscription_id"], ["subscriptions.tenant_id", "subscriptions.id"]
        ),
        ForeignKeyConstraint(["tenant_id", "offering_id"], ["offerings.tenant_id", "offerings.id"]),
        ForeignKeyConstraint(*_OF_PLAN_VERSION),
    )

    tenant_id: Mapped[TenantId]
    subscription_id: Mapped[Id]
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    offering_id: Mapped[str]
    plan_id: Mapped[str]
    plan_version: Mapped[int]
    reason: Mapped[str]
    actor: Mapped[str]
    starts_at: Mapped[datetime]
    recorded_at: Mapped[CreatedAt]
