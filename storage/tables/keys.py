"""API keys, what they are bound to, and the queue of rights to publish. Keep out: queries, states."""

from __future__ import annotations

from datetime import datetime

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

_EMPTY = text("'[]'::jsonb")
_IN_USE = "status IN ('ACTIVE', 'SUSPENDED')"


class ApiKeyRow(Base):
    """An API key: the SHA-256 of its secret, and the first characters so that people can tell keys apart.

    accessor: the app or agent that uses it, None for a key of the whole customer or tenant. client_id: shown instead of an
    id where clients sign in with two halves. revoke_at: when a key replaced by another stops. replaces: the key before it.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
        ForeignKeyConstraint(["tenant_id", "accessor_id"], ["accessors.tenant_id", "accessors.id"]),
        ForeignKeyConstraint(["tenant_id", "product_id"], ["products.tenant_id", "products.id"]),
        UniqueConstraint("secret_sha256"),
        CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'PENDING_REVOCATION', 'REVOKED')", name="status"),
        CheckConstraint("accessor_id IS NULL OR customer_id IS NOT NULL", name="accessor_has_customer"),
        Index(
            "uq_api_keys_accessor_in_use",
            "tenant_id",
            "customer_id",
            "accessor_id",
            unique=True,
            postgresql_where=text(f"accessor_id IS NOT NULL AND {_IN_USE}"),
        ),
        Index(
            "uq_api_keys_name_in_use",
            "tenant_id",
            "name",
            unique=True,
            postgresql_where=text(f"accessor_id IS NULL AND {_IN_USE}"),
        ),
        Index("uq_api_keys_client_id_in_use", "client_id", unique=True, postgresql_where=text(_IN_USE)),
        Index(None, "tenant_id", "customer_id", "id"),
        Index(None, "tenant_id", "accessor_id"),
        Index(None, "tenant_id", "name", "id"),
        Index(None, "tenant_id", "created_at", "id"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    customer_id: Mapped[str | None]
    accessor_id: Mapped[str | None]
    accessor_type: Mapped[str | None]
    credential_type: Mapped[str] = mapped_column(server_default="BEARER_TOKEN")
    client_id: Mapped[str | None]
    product_id: Mapped[str | None]
    environment: Mapped[str]
    status: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(server_default=_EMPTY)
    ip_ranges: Mapped[list[str]] = mapped_column(server_default=_EMPTY)
    expires_at: Mapped[datetime | None]
    revoke_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoke_reason: Mapped[str | None]
    replaces: Mapped[str | None]
    prefix: Mapped[str]
    secret_sha256: Mapped[str]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class KeySubscriptionRow(Base):
    """A subscription a key is for: when the last of them ends, so does the key."""

    __tablename__ = "key_subscription_bindings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscription_id"], ["subscriptions.tenant_id", "subscriptions.id"]
        ),
        Index(None, "tenant_id", "subscription_id"),
    )

    tenant_id: Mapped[TenantId]
    key_id: Mapped[Id]
    subscription_id: Mapped[Id]
    created_at: Mapped[CreatedAt]


class RightsOutboxRow(Base):
    """Rights that changed and are not yet published. Written by triggers, in the transaction of the change.

    kind: TENANT (everything), UNITS, OFFERING, CUSTOMER, ACCESSOR, KEY or SOURCE; target: which one. retry_at: not before.
    """

    __tablename__ = "rights_outbox"
    __table_args__ = (Index(None, "id"),)

    tenant_id: Mapped[TenantId]
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    target: Mapped[str | None]
    retry_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
