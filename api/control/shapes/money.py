"""Shapes of subscriptions, bills and money. Keep out: prices, rules."""

from __future__ import annotations

from pydantic import Field

from api.control.shapes.shown import Day, Exact, Instant, Kept, Object, Shown
from api.control.shapes.taxes import InvoiceTax, LineTax


class ScheduledChange(Shown):
    """A change of offering agreed for later."""

    offering_id: str
    at: Instant
    reason: str | None


class UsageLimit(Shown):
    """What one subscription may use of a unit in a period."""

    unit: str
    limit: Exact
    ov_behavior: str = Field(examples=["BLOCK"])


class SpendLimit(Shown):
    """What usage of all units of one subscription may cost in a period."""

    amount: Exact
    ov_behavior: str = Field(examples=["BLOCK"])


class Subscription(Shown):
    """A subscription as it stands."""

    id: str
    customer_id: str
    offering_id: str
    status: str = Field(examples=["ACTIVE"])
    billing_cycle: str = Field(examples=["MONTHLY"])
    billing_anchor_day: int
    billing_entity_id: str | None
    rate_plan_id: str
    plan_version: int
    plan_version_id: str
    start_date: Day
    end_date: Day | None
    starts_at: Instant
    ends_at: Instant | None
    time_zone: str
    trial_ends_at: Instant | None
    auto_convert_paid: bool
    billing_threshold: Exact | None = Field(examples=["500"])
    current_period_start: Instant | None
    current_period_end: Instant | None
    usage_limits: list[UsageLimit]
    spend_limit: SpendLimit | None
    cancel_at: Instant | None
    cancel_reason: str | None
    scheduled_change: ScheduledChange | None
    dunning_attempt: int
    next_payment_attempt_at: Instant | None
    revision: int
    created_at: Instant
    updated_at: Instant


class ChangePreview(Shown):
    """What a change of offering comes to, in money, in minor units and in a sentence."""

    change_type: str = Field(examples=["UPGRADE"])
    currency: str
    credit: Exact
    charge: Exact
    net_due_today: Exact
    next_renewal_amount: Exact
    credit_cents: int
    charge_cents: int
    net_due_today_cents: int
    next_renewal_amount_cents: int
    effective_at: Instant
    next_renewal_date: Day | None
    summary: str


class ChangedSubscription(Subscription):
    """A subscription after a change of offering."""

    change: ChangePreview


class Money(Shown):
    """An amount."""

    amount: Exact
    currency: str


class WalletRefund(Shown):
    """What is in the customer's wallet; null: it has none."""

    wallet_balance: Exact | None


class MigratedSubscription(Subscription):
    """A subscription after a migration; source and target are the same, since it stays in place."""

    source_subscription_id: str
    target_subscription_id: str
    calendar_refund_usd: Exact | None
    calendar_refund: Money
    wallet_refund: WalletRefund
    usage_refunds: list[Object]
    preview: ChangePreview


class PaymentAttempt(Subscription):
    """A subscription after an attempt to get paid."""

    outcome: str = Field(examples=["SUCCEEDED"])
    message: str


class Phase(Shown):
    """A stretch of a subscription's history; `endsAt` null: it is the present one."""

    number: int
    state: str
    offering_id: str
    rate_plan_id: str
    plan_version: int
    reason: str | None
    actor: str
    starts_at: Instant
    ends_at: Instant | None
    recorded_at: Instant


class Wallet(Kept):
    """A customer's wallet in a currency."""

    id: str
    customer_id: str
    currency: str
    kind: str
    balance: Exact
    held: Exact
    available: Exact
    department_wallets: list[Object]
    auto_topup_enabled: bool
    auto_topup_amount: Exact | None
    auto_topup_threshold: Exact | None
    low_balance_threshold: Exact | None
    low_balance: bool
    status: str


class WalletEntry(Shown):
    """A side of a movement; the sides add up to zero."""

    account: str
    amount: Exact
    grant_id: str = ""


class WalletTransaction(Shown):
    """A movement of a wallet's money."""

    id: str
    transaction_id: str
    wallet_id: str
    type: str = Field(examples=["TOP_UP"])
    amount: Exact
    currency: str
    balance_after: Exact
    unit: str | None
    invoice_id: str | None
    entries: list[WalletEntry]
    description: str | None
    idempotency_key: str | None
    actor: str
    at: Instant


class BookedTransaction(WalletTransaction):
    """A movement just made, and what is in the wallet now."""

    customer_id: str
    balance: Exact


class PaymentGateway(Shown):
    """A payment gateway, without its secrets."""

    id: str
    gateway_type: str = Field(examples=["STRIPE"])
    display_name: str
    public_key: str | None
    has_api_key: bool
    has_webhook_secret: bool
    primary: bool
    active: bool
    sandbox_mode: bool
    supported_currencies: list[str]
    revision: int
    created_at: Instant
    updated_at: Instant


class PaymentMethod(Shown):
    """A customer's means of payment."""

    id: str
    customer_id: str
    method_type: str = Field(examples=["CARD"])
    display_name: str | None
    last_four: str | None
    card_brand: str | None
    expiry_month: int | None
    expiry_year: int | None
    gateway_id: str
    gateway_type: str
    gateway_customer_id: str | None
    is_default: bool
    active: bool
    created_at: Instant


class Invoice(Shown):
    """An invoice: total = subtotal - discount + tax; what the wallet does not cover is due."""

    id: str
    number: str
    month: str = Field(examples=["2026-01"])
    customer_id: str
    billing_entity: str
    currency: str
    period_start: Instant
    period_end: Instant
    line_count: int
    subtotal: Exact
    discount: Exact
    tax: Exact
    total: Exact
    wallet_amount: Exact
    amount_due: Exact
    content_hash: str
    status: str = Field(examples=["DRAFT"])
    void_reason: str | None
    finalized_at: Instant | None
    paid_at: Instant | None
    voided_at: Instant | None
    created_at: Instant
    updated_at: Instant
    input_hash: str | None
    raw_until: int | None
    code_version: str | None
    kind: str = Field(examples=["PERIOD"])
    replaces: str | None
    issued_on: Day | None
    due_days: int | None
    due_date: Day | None
    paid: Exact
    credited: Exact
    credit_applied: Exact
    amount_left: Exact
    reminders: int
    reminded_at: Instant | None


class InvoiceTier(Shown):
    """What a tier of a line came to."""

    up_to: Exact | None
    quantity: Exact
    unit_price: Exact
    flat_fee: Exact
    amount: Exact


class InvoiceLine(Shown):
    """A line; `lineId` leads to the events behind it."""

    line_id: str
    subscription_id: str | None
    line_order: int
    line_type: str = Field(examples=["USAGE_FEE"])
    description: str
    unit: str | None
    model: str | None
    period_start: Instant | None
    period_end: Instant | None
    events: int
    quantity: Exact | None
    included: Exact | None
    billable: Exact | None
    currency: str | None
    unrounded: Exact
    amount: Exact
    tiers: list[InvoiceTier] | None
    commit_adjustment: Exact
    discount: Exact
    taxable: Exact
    tax: Exact
    tax_included: Exact | None
    taxes: list[LineTax] | None
    fx_rate: Exact | None
    price_currency: str | None


class Payment(Shown):
    """An attempt to pay an invoice or a part of it."""

    id: str
    amount: Exact
    currency: str
    provider: str = Field(examples=["MANUAL"])
    status: str = Field(examples=["SUCCEEDED"])
    reference: str | None
    failure_code: str | None
    created_at: Instant


class InvoiceWithLines(Invoice):
    """An invoice, and what it adds up."""

    line_items: list[InvoiceLine]
    payments: list[Payment]
    taxes: list[InvoiceTax]


class BillRunFailure(Shown):
    """A customer a run could not bill, and why."""

    customer_id: str
    reason: str = Field(examples=["NO_PRICE: unit calls used by customer cus_1 is not priced by plan pro v1"])


class DryRun(Shown):
    """What a TEST run came to. Nothing of it was posted."""

    month: str = Field(examples=["2026-01"])
    environment: str = Field(examples=["TEST"])
    invoices: list[Object]
    held: list[Object]
    totals: list[Object]
    rows: dict[str, int]
    gates: list[Object]


class BillRun(Shown):
    """A run that bills a month; it has ended with COMPLETED, FAILED or PARTIALLY_FAILED."""

    id: str
    status: str = Field(examples=["QUEUED"])
    month: str = Field(examples=["2026-01"])
    environment: str = Field(examples=["LIVE"])
    target_scope: str = Field(examples=["ALL"])
    target_ids: list[str]
    customer_ids: list[str]
    invoices_generated: int
    customers_processed: int
    progress_pct: int
    duration_ms: int | None
    started_at: Instant | None
    completed_at: Instant | None
    failures: list[BillRunFailure]
    error: str | None
