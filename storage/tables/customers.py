"""Customers, what they subscribe to, and their API keys. Keep out: queries, states."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId

_OF_CUSTOMER = (["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"])


class CustomerRow(Base):
    """The tenant's customer, who is billed."""

    __tablename__ = "customers"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    email: Mapped[str | None]
    plan: Mapped[str]
    currency: Mapped[str]
    time_zone: Mapped[str]
    created_at: Mapped[CreatedAt]


class SubscriptionRow(Base):
    """A customer's contract for an offering, at a pinned plan version. Live from `starts_at` until `ends_at`, exclusive."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_CUSTOMER),
        ForeignKeyConstraint(["tenant_id", "offering_id"], ["offerings.tenant_id", "offerings.id"]),
        ForeignKeyConstraint(
            ["tenant_id", "plan_id", "plan_version"],
            ["rate_plan_versions.tenant_id", "rate_plan_versions.plan_id", "rate_plan_versions.version"],
        ),
        ForeignKeyConstraint(
            ["tenant_id", "billing_entity_id"], ["billing_entities.tenant_id", "billing_entities.id"]
        ),
        CheckConstraint("anchor_day BETWEEN 1 AND 31", name="anchor_day"),
        CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name="has_length"),
        Index(None, "tenant_id", "customer_id"),
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
    created_at: Mapped[CreatedAt]


class ApiKeyRow(Base):
    """An API key: the SHA-256 of its secret, and the first characters so that people can tell keys apart."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_CUSTOMER),
        UniqueConstraint("secret_sha256"),
        UniqueConstraint("tenant_id", "name"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    customer_id: Mapped[str | None]
    environment: Mapped[str]
    status: Mapped[str]
    prefix: Mapped[str]
    secret_sha256: Mapped[str]
    created_at: Mapped[CreatedAt]
