"""Coupons, wallets, payment means and webhook sources. Keep out: queries; the arithmetic (domain)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Numeric,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base, CreatedAt, Id, TenantId

Money = Annotated[Decimal, mapped_column(Numeric(38, 12))]
"""Money to the last digit as agreed or moved; usage may cost a fraction of a cent."""
UpdatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Revision = Annotated[int, mapped_column(server_default=text("1"))]
_OF_CUSTOMER = (["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"])
_LIVE = "archived_at IS NULL"


class CouponRow(Base):
    """A coupon and how often it was redeemed. The count is raised under the row's lock and never beyond the limit."""

    __tablename__ = "coupons"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        CheckConstraint(
            "redemption_count >= 0 AND (max_redemptions IS NULL OR redemption_count <= max_redemptions)",
            name="within_limit",
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    code: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    discount_type: Mapped[str]
    discount_value: Mapped[Money]
    currency: Mapped[str | None]
    duration: Mapped[str]
    duration_in_months: Mapped[int | None]
    max_redemptions: Mapped[int | None]
    max_redemptions_per_customer: Mapped[int]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    redemption_count: Mapped[int] = mapped_column(server_default=text("0"))
    revision: Mapped[Revision]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    archived_at: Mapped[datetime | None]


class CouponOfferingRow(Base):
    """An offering a coupon applies to; a coupon without any applies to all."""

    __tablename__ = "coupon_offerings"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "coupon_id"], ["coupons.tenant_id", "coupons.id"]),
        ForeignKeyConstraint(["tenant_id", "offering_id"], ["offerings.tenant_id", "offerings.id"]),
    )

    tenant_id: Mapped[TenantId]
    coupon_id: Mapped[Id]
    offering_id: Mapped[Id]


class CouponRedemptionRow(Base):
    """A coupon attached to a subscription, with its discount as it was then. `seq`: the order of attachment.

    It acts on periods that start in [applies_from, applies_until); without an end for ever.
    """

    __tablename__ = "coupon_redemptions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "coupon_id"], ["coupons.tenant_id", "coupons.id"]),
        ForeignKeyConstraint(*_OF_CUSTOMER),
        ForeignKeyConstraint(
            ["tenant_id", "subscription_id"], ["subscriptions.tenant_id", "subscriptions.id"]
        ),
        Index(None, "tenant_id", "coupon_id", "customer_id"),
        Index(None, "tenant_id", "subscription_id", "seq"),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    coupon_id: Mapped[str]
    customer_id: Mapped[str]
    subscription_id: Mapped[str]
    code: Mapped[str]
    discount_type: Mapped[str]
    discount_value: Mapped[Money]
    currency: Mapped[str | None]
    applies_from: Mapped[datetime]
    applies_until: Mapped[datetime | None]
    redeemed_at: Mapped[datetime]


class WalletRow(Base):
    """A customer's money with the tenant. `balance` is moved by the database with each entry and is never below zero.

    low_since, empty_since, topup_since: since when it is below a threshold or empty, so that each dip is answered once.
    """

    __tablename__ = "wallets"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_CUSTOMER),
        CheckConstraint("balance >= 0", name="never_overspent"),
        Index(
            "uq_wallets_one_company_wallet",
            "tenant_id",
            "customer_id",
            "currency",
            unique=True,
            postgresql_where=text(f"kind = 'COMPANY' AND {_LIVE}"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    customer_id: Mapped[str]
    currency: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="COMPANY")
    balance: Mapped[Money] = mapped_column(server_default=text("0"))
    auto_topup_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    auto_topup_amount: Mapped[Money | None]
    auto_topup_threshold: Mapped[Money | None]
    low_balance_threshold: Mapped[Money | None]
    low_since: Mapped[datetime | None]
    empty_since: Mapped[datetime | None]
    topup_since: Mapped[datetime | None]
    revision: Mapped[Revision]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    archived_at: Mapped[datetime | None]


class WalletTransactionRow(Base):
    """One movement of a wallet's money, or of units of one kind. Never changed; its entries add up to zero, which the database
    checks at commit. invoice_id: what it pays, or what it takes back the payment of."""

    __tablename__ = "wallet_transactions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "wallet_id"], ["wallets.tenant_id", "wallets.id"]),
        UniqueConstraint("tenant_id", "idempotency_key"),
        CheckConstraint("amount > 0", name="amount_above_zero"),
        Index(None, "tenant_id", "wallet_id", "seq"),
        Index(None, "tenant_id", "invoice_id", postgresql_where=text("invoice_id IS NOT NULL")),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    wallet_id: Mapped[str]
    kind: Mapped[str]
    amount: Mapped[Money]
    balance_after: Mapped[Money]
    unit: Mapped[str | None]
    invoice_id: Mapped[str | None]
    description: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    actor: Mapped[str]
    at: Mapped[datetime]


class WalletEntryRow(Base):
    """One account's share of a transaction: above zero it gains, below it loses. Never changed. grant_id: which grant of the
    account; empty for accounts outside the wallet."""

    __tablename__ = "wallet_entries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"], ["wallet_transactions.tenant_id", "wallet_transactions.id"]
        ),
        CheckConstraint(
            "account IN ('CASH', 'PROMO', 'UNITS', 'FUNDING', 'GRANTED', 'USAGE', 'REFUND', 'BREAKAGE')",
            name="account",
        ),
        CheckConstraint("amount <> 0", name="moves_something"),
    )

    tenant_id: Mapped[TenantId]
    transaction_id: Mapped[Id]
    account: Mapped[Id]
    grant_id: Mapped[Id] = mapped_column(server_default="")
    amount: Mapped[Money]


class PaymentGatewayRow(Base):
    """A service that takes payments for the tenant. Its secrets are sealed; one live gateway is the primary."""

    __tablename__ = "payment_gateways"
    __table_args__ = (
        Index(
            "uq_payment_gateways_one_primary",
            "tenant_id",
            unique=True,
            postgresql_where=text(f"is_primary AND {_LIVE}"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    gateway_type: Mapped[str]
    display_name: Mapped[str]
    api_key_sealed: Mapped[str | None]
    webhook_secret_sealed: Mapped[str | None]
    public_key: Mapped[str | None]
    is_primary: Mapped[bool]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    sandbox_mode: Mapped[bool]
    supported_currencies: Mapped[list[str]]
    revision: Mapped[Revision]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    archived_at: Mapped[datetime | None]


class PaymentMethodRow(Base):
    """A customer's means of payment, as a gateway knows it. Never a card number: the gateway's token stands for it."""

    __tablename__ = "payment_methods"
    __table_args__ = (
        ForeignKeyConstraint(*_OF_CUSTOMER),
        ForeignKeyConstraint(
            ["tenant_id", "gateway_id"], ["payment_gateways.tenant_id", "payment_gateways.id"]
        ),
        Index(None, "tenant_id", "customer_id"),
        Index(
            "uq_payment_methods_one_default",
            "tenant_id",
            "customer_id",
            unique=True,
            postgresql_where=text(f"is_default AND {_LIVE}"),
        ),
    )

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    customer_id: Mapped[str]
    gateway_id: Mapped[str]
    gateway_type: Mapped[str]
    method_type: Mapped[str]
    gateway_token: Mapped[str]
    gateway_customer_id: Mapped[str | None]
    display_name: Mapped[str | None]
    last_four: Mapped[str | None]
    card_brand: Mapped[str | None]
    expiry_month: Mapped[int | None]
    expiry_year: Mapped[int | None]
    is_default: Mapped[bool]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]


class WebhookSourceRow(Base):
    """A sender of signed webhooks, and where in them the usage stands (JSONPath). Its secret is sealed."""

    __tablename__ = "webhook_sources"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    name: Mapped[str]
    description: Mapped[str | None]
    secret_sealed: Mapped[str]
    signature_header: Mapped[str]
    signature_algorithm: Mapped[str]
    customer_id_path: Mapped[str]
    metric_key_path: Mapped[str | None]
    quantity_path: Mapped[str | None]
    timestamp_path: Mapped[str | None]
    provider: Mapped[str] = mapped_column(server_default="GENERIC")
    metric_key: Mapped[str | None]
    event_filter: Mapped[str | None]
    event_type_path: Mapped[str | None]
    event_id_path: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    archived_at: Mapped[datetime | None]
