"""Customers, their teams, apps and agents, what they subscribe to, and their API keys. Keep out: queries, states."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Amount, Base, CreatedAt, Id, TenantId
from storage.tables.keys import ApiKeyRow as ApiKeyRow
from storage.tables.subscriptions import SubscriptionRow as SubscriptionRow
from storage.tables.tenants import NO_FIELDS

_OF_CUSTOMER = (["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"])


class CustomerRow(Base):
    """The tenant's customer, who is billed."""

    __tablename__ = "customers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "billing_entity_id"], ["billing_entities.tenant_id", "billing_entities.id"]
        ),
        Index(
            "uq_customers_external_id_in_use",
            "tenant_id",
            "external_id",
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
        CheckConstraint("status IN ('ACTIVE', 'ARCHIVED')", name="status"),
        # One for each filter and sort of the list, so that a page costs the same among a hundred thousand.
        # With archived_at in it, the pages before one asked for by number are passed by in the index alone.
        Index(None, "tenant_id", "name", "id", postgresql_include=["archived_at"]),
        Index(None, "tenant_id", "email", "id"),
        Index(None, "tenant_id", "created_at", "id", postgresql_include=["archived_at"]),
        Index(None, "tenant_id", "status", "id"),
        # Small, so that counting customers in use reads little.
        Index("ix_customers_in_use", "tenant_id", postgresql_where=text("archived_at IS NULL")),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    email: Mapped[str | None]
    plan: Mapped[str]
    currency: Mapped[str]
    time_zone: Mapped[str]
    external_id: Mapped[str | None]
    billing_entity_id: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
    details: Mapped[dict[str, Any]] = mapped_column(server_default=NO_FIELDS)
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class TeamRow(Base):
    """People of a customer who share apps, agents and a budget."""

    __tablename__ = "teams"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_CUSTOMER),
        UniqueConstraint("tenant_id", "customer_id", "id"),
        CheckConstraint("(budget_amount IS NULL) = (budget_currency IS NULL)", name="budget_has_currency"),
        Index(
            "uq_teams_name_in_use",
            "tenant_id",
            "customer_id",
            func.lower(text("name")),
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
        Index(None, "tenant_id", "name", "id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    customer_id: Mapped[str]
    name: Mapped[str]
    budget_amount: Mapped[Amount | None]
    budget_currency: Mapped[str | None]
    budget_period: Mapped[str | None]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class AccessorRow(Base):
    """An app or agent of a customer: what its keys belong to. agent_type: of agents only."""

    __tablename__ = "accessors"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_CUSTOMER),
        # With the customer in it, a team of another customer cannot be named.
        ForeignKeyConstraint(
            ["tenant_id", "customer_id", "team_id"], ["teams.tenant_id", "teams.customer_id", "teams.id"]
        ),
        CheckConstraint("type IN ('APP', 'AGENT')", name="type"),
        CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'ARCHIVED')", name="status"),
        CheckConstraint("(type = 'AGENT') = (agent_type IS NOT NULL)", name="agent_has_type"),
        Index(
            "uq_accessors_name_in_use",
            "tenant_id",
            "customer_id",
            "type",
            func.lower(text("name")),
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
        Index(None, "tenant_id", "team_id"),
        Index(None, "tenant_id", "type", "name", "id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    type: Mapped[str]
    customer_id: Mapped[str]
    team_id: Mapped[str | None]
    name: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
    agent_type: Mapped[str | None]
    capabilities: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    rate_limits: Mapped[dict[str, Any]] = mapped_column(server_default=NO_FIELDS)
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]
