"""What is shown of credit notes, findings, wallet credits and previews. Put here: those shapes. Keep out: invoices and wallets
themselves (money.py)."""

from __future__ import annotations

from pydantic import Field

from api.control.shapes.shown import Day, Exact, Instant, Object, Shown


class CreditNote(Shown):
    """What is taken off an issued invoice."""

    id: str
    number: str | None
    invoice_id: str
    customer_id: str
    currency: str
    reason: str = Field(examples=["PRORATION"])
    description: str | None
    subtotal: Exact
    discount: Exact
    tax: Exact
    total: Exact
    applied: Exact
    refundable: Exact | None
    status: str = Field(examples=["DRAFT"])
    issued_on: Day | None
    issued_at: Instant | None
    applied_at: Instant | None
    voided_at: Instant | None
    revision: int
    created_at: Instant
    updated_at: Instant


class CreditNoteLine(Shown):
    """What is taken off one line."""

    line_id: str
    amount: Exact
    discount: Exact
    taxable: Exact
    tax: Exact
    total: Exact


class CreditNoteWithLines(CreditNote):
    """A credit note, and what it takes off each line."""

    lines: list[CreditNoteLine]


class Adjustment(Shown):
    """What a line of an issued invoice is off by."""

    id: str
    replay_id: str
    month: str
    customer_id: str
    line_id: str
    invoice_id: str | None
    description: str
    currency: str
    amount: Exact
    reason: str
    status: str = Field(examples=["PENDING"])


class Finding(Shown):
    """What a replay or a run came to that issued invoices do not say."""

    id: str
    month: str = Field(examples=["2026-01"])
    source: str = Field(examples=["REPLAY"])
    status: str = Field(examples=["PROPOSED"])
    content_hash: str
    code_version: str
    reason: str | None
    approved_by: str | None
    approved_at: Instant | None
    created_at: Instant
    lines: int


class WholeFinding(Finding):
    """A finding with its lines, and the adjustments it led to."""

    differences: list[Object]
    adjustments: list[Adjustment]


class Preview(Shown):
    """What a customer's invoices of a month would be now."""

    customer_id: str
    month: str = Field(examples=["2026-01"])
    as_of: Instant
    invoices: list[Object]
    line_items: list[Object]


class Grant(Shown):
    """A credit in a wallet."""

    id: str
    wallet_id: str
    type: str = Field(examples=["PROMOTIONAL"])
    unit: str | None
    amount: Exact
    remaining: Exact
    held: Exact
    status: str = Field(examples=["ACTIVE"])
    effective_at: Instant
    expires_at: Instant | None
    priority: int
    units: list[str]
    products: list[str]
    description: str | None
    revoked_at: Instant | None
    created_at: Instant


class HeldPart(Shown):
    """What a hold reserves of one grant."""

    grant_id: str
    amount: Exact


class Hold(Shown):
    """Money or units set aside until they are settled or released."""

    id: str
    wallet_id: str
    unit: str | None
    status: str = Field(examples=["PENDING"])
    description: str | None
    idempotency_key: str | None
    transaction_id: str | None
    amount: Exact
    settled: Exact | None
    parts: list[HeldPart]
    expires_at: Instant
    created_at: Instant
    closed_at: Instant | None


class Refill(Shown):
    """An automatic top-up."""

    id: str
    wallet_id: str
    amount: Exact
    status: str = Field(examples=["PENDING"])
    reference: str | None
    error: str | None
    created_at: Instant
    updated_at: Instant


class Alert(Shown):
    """Something somebody should look at."""

    id: str
    kind: str = Field(examples=["LOW_BALANCE"])
    customer_id: str | None
    target_type: str
    target_id: str
    message: str
    at: Instant
    details: Object


class WalletSummary(Shown):
    """What is in a wallet, by kind of credit and in the order it burns."""

    wallet_id: str
    customer_id: str
    currency: str
    balance: Exact
    held: Exact
    available: Exact
    liability: Exact
    utilization: Exact | None
    waterfall: list[Object]
    bonus_units: list[Object]


class EventAct(Shown):
    """An operator's act upon one event. sentAt: when it went into the event log; null: it is on its way."""

    id: str
    kind: str = Field(examples=["VOID"])
    event_key: str
    origin_key: str
    act_key: str
    customer_id: str
    unit: str
    reason: str
    changes: Object
    created_by: str
    created_at: Instant
    sent_at: Instant | None


class EventArrival(Shown):
    """What arrived under an idempotency key, and what became of it: ACCEPTED, or the code it was quarantined with."""

    raw_seq: int
    outcome: str = Field(examples=["IDEMPOTENCY_CONFLICT"])
    detail: str | None
    received_at: Instant
    source: str
    key_id: str
    customer_id: str | None
    unit: str | None
    quantity: Exact | None
    occurred_at: Instant | None
    payload: str | None


class BilledEvent(Shown):
    """What the last bill of a month made of an event."""

    month: str = Field(examples=["2026-01"])
    raw_seq: int
    disposition: str = Field(examples=["BILLABLE"])
    subscription_id: str | None
    line_id: str | None
    quantity: Exact
    running_total: Exact | None
    marginal_revenue: Exact | None
    invoice_id: str | None
    invoice_number: str | None
    invoice_status: str | None


class EventStory(Shown):
    """Where an event is and why."""

    key: str
    state: str = Field(examples=["COUNTED"])
    received: list[EventArrival]
    acts: list[EventAct]
    billed: list[BilledEvent]
