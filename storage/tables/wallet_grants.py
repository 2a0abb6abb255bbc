"""What is in a wallet and reserved of it, its top-ups, and alerts. Keep out: wallets and their ledger (money.py), queries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId
from storage.tables.money import Money, UpdatedAt

_OF_WALLET = (["tenant_id", "wallet_id"], ["wallets.tenant_id", "wallets.id"])
NO_LIST = text("'[]'::jsonb")


class WalletGrantRow(Base):
    """Money or units put into a wallet at once. `remaining` is moved by the database with each entry; `held` of it is reserved.

    booked_at: when it came into the ledger; null: it takes effect later. units, products: what alone it may pay for; none: all.
    """

    __tablename__ = "wallet_grants"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_WALLET),
        CheckConstraint("kind IN ('PROMOTIONAL', 'BONUS_UNITS', 'CASH')", name="kind"),
        CheckConstraint("(kind = 'BONUS_UNITS') = (unit IS NOT NULL)", name="units_of_something"),
        CheckConstraint("amount > 0", name="amount_above_zero"),
        CheckConstraint("held >= 0 AND held <= remaining AND remaining <= amount", name="never_overspent"),
        Index(None, "tenant_id", "wallet_id", "seq"),
        Index(
            "ix_wallet_grants_due",
            "tenant_id",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL AND (remaining > 0 OR booked_at IS NULL)"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    wallet_id: Mapped[str]
    kind: Mapped[str]
    unit: Mapped[str | None]
    amount: Mapped[Money]
    remaining: Mapped[Money] = mapped_column(server_default=text("0"))
    held: Mapped[Money] = mapped_column(server_default=text("0"))
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    units: Mapped[list[str]] = mapped_column(server_default=NO_LIST)
    products: Mapped[list[str]] = mapped_column(server_default=NO_LIST)
    description: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    effective_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    booked_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class WalletHoldRow(Base):
    """Money reserved before it is spent. parts: how much of which grant."""

    __tablename__ = "wallet_holds"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_WALLET),
        UniqueConstraint("tenant_id", "idempotency_key"),
        CheckConstraint("status IN ('PENDING', 'SETTLED', 'RELEASED', 'EXPIRED')", name="status"),
        CheckConstraint("amount > 0 AND settled >= 0 AND settled <= amount", name="settled_within_amount"),
        Index(None, "tenant_id", "wallet_id"),
        Index(
            "ix_wallet_holds_pending", "tenant_id", "expires_at", postgresql_where=text("status = 'PENDING'")
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    wallet_id: Mapped[str]
    amount: Mapped[Money]
    settled: Mapped[Money] = mapped_column(server_default=text("0"))
    unit: Mapped[str | None]
    parts: Mapped[dict[str, Any]]
    status: Mapped[str]
    description: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    transaction_id: Mapped[str | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[datetime | None]


class WalletTopUpRow(Base):
    """A refill that is to be collected from the customer. Of each wallet one at most is under way."""

    __tablename__ = "wallet_top_ups"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_WALLET),
        CheckConstraint("status IN ('REQUESTED', 'PENDING', 'SUCCEEDED', 'FAILED')", name="status"),
        Index(
            "uq_wallet_top_ups_one_under_way",
            "tenant_id",
            "wallet_id",
            unique=True,
            postgresql_where=text("status IN ('REQUESTED', 'PENDING')"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    wallet_id: Mapped[str]
    amount: Mapped[Money]
    status: Mapped[str]
    reference: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class AlertRow(Base):
    """Something an operator should know of. Rows are only added."""

    __tablename__ = "alerts"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
        Index(None, "tenant_id", "at", "id"),
        Index(None, "tenant_id", "target_id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    kind: Mapped[str]
    customer_id: Mapped[str | None]
    target_type: Mapped[str]
    target_id: Mapped[str]
    message: Mapped[str]
    details: Mapped[dict[str, Any]]
    at: Mapped[datetime]
