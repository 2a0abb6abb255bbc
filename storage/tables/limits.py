"""What holds customers and keys back besides their contracts: limits of requests, margin levels, killed sessions. Keep out: rules."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId


class RequestLimitRow(Base):
    """Limits of requests set by the tenant, as text by door. scope: TENANT (all keys together), EACH_KEY, PLAN or KEY. id: the scope,
    and of the last two `PLAN/<plan>` or `KEY/<key>`."""

    __tablename__ = "request_limits"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "plan_id"], ["rate_plans.tenant_id", "rate_plans.id"]),
        ForeignKeyConstraint(
            ["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"
        ),
        CheckConstraint("scope IN ('TENANT', 'EACH_KEY', 'PLAN', 'KEY')", name="scope"),
        CheckConstraint(
            "(scope = 'PLAN') = (plan_id IS NOT NULL) AND (scope = 'KEY') = (key_id IS NOT NULL)",
            name="target_of_its_scope",
        ),
        Index(None, "tenant_id", "key_id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    scope: Mapped[str]
    plan_id: Mapped[str | None]
    key_id: Mapped[str | None]
    limits: Mapped[dict[str, str]] = mapped_column(JSONB)
    revision: Mapped[int] = mapped_column(server_default="1")
    updated_at: Mapped[CreatedAt]


class MarginLevelRow(Base):
    """How far a customer is restricted. level: NONE, L1_ALERT, L2_THROTTLE, L3_BLOCK."""

    __tablename__ = "margin_levels"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"], ondelete="CASCADE"
        ),
        CheckConstraint("level IN ('NONE', 'L1_ALERT', 'L2_THROTTLE', 'L3_BLOCK')", name="level"),
        CheckConstraint("throttle_rate BETWEEN 0 AND 100", name="throttle_rate"),
    )

    tenant_id: Mapped[TenantId]
    customer_id: Mapped[Id]
    level: Mapped[str]
    throttle_rate: Mapped[int]
    retry_after: Mapped[int]
    message: Mapped[str | None]
    revision: Mapped[int] = mapped_column(server_default="1")
    updated_at: Mapped[CreatedAt]


class KilledSessionRow(Base):
    """A session whoever meters with it is told to stop, until an instant."""

    __tablename__ = "killed_sessions"

    tenant_id: Mapped[TenantId]
    session_id: Mapped[Id]
    reason: Mapped[str | None]
    killed_at: Mapped[datetime]
    until: Mapped[datetime]
