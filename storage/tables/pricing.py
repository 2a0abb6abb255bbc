"""Prices in the making. Put here: drafts of rate plan versions. Keep out: what is published (storage.tables.catalog), queries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped

from storage.tables.base import Base, CreatedAt, Id, TenantId


class RatePlanDraftRow(Base):
    """What a plan's next version is to say; at most one draft each. Its number is one above the latest version's."""

    __tablename__ = "rate_plan_drafts"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "plan_id"], ["rate_plans.tenant_id", "rate_plans.id"]),
    )

    tenant_id: Mapped[TenantId]
    plan_id: Mapped[Id]
    content: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
