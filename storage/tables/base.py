"""What all tables share. Put here: the declarative base, common column types. Keep out: any one table.

Every table but `tenants` is keyed by (tenant_id, …) and refers to others through composite foreign keys, so a row cannot
point into another tenant even by mistake.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from sqlalchemy import DateTime, ForeignKey, MetaData, Numeric, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Base(DeclarativeBase):
    """Base of every model."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012  (read by SQLAlchemy, which wants a plain class attribute)
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: JSONB,
    }


TenantId = Annotated[str, mapped_column(ForeignKey("tenants.id"), primary_key=True)]
Id = Annotated[str, mapped_column(primary_key=True)]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Amount = Annotated[Decimal, mapped_column(Numeric(38, 4))]
"""Rounded money."""
Exact = Annotated[Decimal, mapped_column(Numeric(38, 21))]
"""Unrounded money."""
