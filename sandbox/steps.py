"""What can happen in a scenario. Put here: the one list of step kinds, with what each says and an example. Keep out: doing it
(steps_of_*.py), when (play.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sandbox import steps_of_bills as bills
from sandbox import steps_of_contracts as contracts
from sandbox import steps_of_events as events
from sandbox import steps_of_money as money
from sandbox.world import Body, World

Does = Callable[[World, str, Body], str]


@dataclass(frozen=True)
class Kind:
    """A kind of step. fields: its own, by name. needs: which of them must be there. body: whose further fields it takes, as the management door
    knows them; None: none. short: the field that a plain text stands for. everybody: it is for all tenants unless it names some."""

    does: Does
    says: str
    example: str
    fields: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    body: str | None = None
    short: str | None = None
    everybody: bool = False


_SUBSCRIPTION = {"subscription": "The subscription's id."}
_WHY = {"reason": "Why; kept in its history."}
_OF_WALLET = {"customer": "Whose wallet.", "currency": "Which of several; the customer's own unless said."}
_WHICH = {
    "invoice": "The invoice's number …",
    "month": "… or all of a billing month",
    "customer": "… or of a customer; both together narrow it down.",
}
_CALLED = {"as": "What later steps call it."}


def _of_subscription(does: Does, says: str, example: str) -> Kind:
    own = _SUBSCRIPTION | _WHY
    return Kind(does, says, example, own, needs=("subscription",), short="subscription")


KINDS: Mapping[str, Kind] = {
    "apply": Kind(
        contracts.apply,
        "Apply a piece of a catalog; `tenant` is as in the scenario's catalog. Other prices are a new version.",
        "apply: { units: [{ key: images, name: Images, aggregation: COUNT }] }",
        body="a catalog file",
    ),
    "publishPrices": Kind(
        contracts.publish_prices,
        "Publish a rate plan's next version: the fields sent, on top of what it says.",
        "publishPrices: { plan: basic, baseFee: 15 }",
        {"plan": "The rate plan's key."},
        ("plan",),
        body="PATCH /api/v1/rateplans/{id}",
    ),
    "subscribe": Kind(
        contracts.subscribe,
        "Agree a subscription.",
        "subscribe: { id: sub-eve, customerId: eve, offeringId: basic }",
        body="POST /api/v1/subscriptions",
    ),
    "changePlan": Kind(
        contracts.change_plan,
        "Change to another offering, at once or at the period's end (`effective: PERIOD_END`).",
        "changePlan: { subscription: sub-ada, targetOfferingId: pro, reason: grows }",
        _SUBSCRIPTION,
        ("subscription",),
        body="POST /api/v1/subscriptions/{id}/upgrade",
    ),
    "pause": _of_subscription(
        contracts.moving("pause"), "No rights and no charge until resumed.", "pause: sub-ada"
    ),
    "resume": _of_subscription(contracts.moving("resume"), "Go on after a pause.", "resume: sub-ada"),
    "convertTrial": _of_subscription(
        contracts.moving("convert_trial"), "End the trial; billed from now on.", "convertTrial: sub-ada"
    ),
    "expire": _of_subscription(contracts.moving("expire"), "End it as expired, now.", "expire: sub-ada"),
    "cancel": Kind(
        contracts.cancel,
        "End it: now, or at the period's end (`effective: PERIOD_END`).",
        "cancel: { subscription: sub-ada, effective: PERIOD_END, reason: closes down }",
        _SUBSCRIPTION,
        ("subscription",),
        body="POST /api/v1/subscriptions/{id}/cancel",
        short="subscription",
    ),
    "coupon": Kind(
        contracts.coupon,
        "Make a coupon.",
        "coupon: { code: TEN, name: Ten, discountType: PERCENTAGE, discountValue: 10, duration: FOREVER }",
        body="POST /api/v1/coupons",
    ),
    "redeem": Kind(
        contracts.redeem,
        "Attach a coupon to a subscription, behind those attached before.",
        "redeem: { subscription: sub-ada, code: TEN }",
        _SUBSCRIPTION | {"code": "The coupon's code."},
        ("subscription", "code"),
    ),
    "editCustomer": Kind(
        contracts.customer,
        "Change fields of a customer.",
        "editCustomer: { customer: ada, email: billing@ada.example }",
        {"customer": "The customer's id."},
        ("customer",),
        body="PATCH /api/v1/customers/{id}",
    ),
    "settings": Kind(
        contracts.settings,
        "Change the tenant's settings.",
        "settings: { corrections: { autoApprove: true } }",
        body="PATCH /api/v1/organization-settings",
    ),
    "fxRate": Kind(
        contracts.fx_rate,
        "An exchange rate of a day.",
        "fxRate: { from: USD, to: EUR, day: 2026-03-31, rate: 0.92 }",
        body="POST /api/v1/fx-rates",
    ),
    "wallet": Kind(
        money.wallet,
        "Open a wallet.",
        "wallet: { customerId: ada, initialBalance: 100, lowBalanceThreshold: 20 }",
        body="POST /api/v1/wallets",
    ),
    "grant": Kind(
        money.grant,
        "Give money or units, with an end if you like.",
        "grant: { customer: ada, type: PROMOTIONAL, amount: 20, expiresAt: 2026-03-15T00:00:00Z, as: welcome }",
        _OF_WALLET | _CALLED,
        ("customer",),
        body="POST /api/v1/wallets/{id}/grants",
    ),
    "revokeGrant": Kind(
        money.revoke_grant,
        "Take back what is left of a grant.",
        "revokeGrant: { customer: ada, grant: welcome }",
        _OF_WALLET | _WHY | {"grant": "What an earlier step calls it."},
        ("customer", "grant"),
    ),
    "topUp": Kind(
        money.top_up,
        "Put cash in.",
        "topUp: { customer: ada, amount: 50 }",
        _OF_WALLET,
        ("customer",),
        body="POST /api/v1/wallets/{id}/top-up",
    ),
    "confirmTopUp": Kind(
        money.confirm_top_up,
        "The money of a refill that the wallet asked for by itself has come.",
        "confirmTopUp: { customer: ada }",
        _OF_WALLET,
        ("customer",),
        short="customer",
    ),
    "debit": Kind(
        money.debit,
        "Take money out for usage, all or nothing.",
        "debit: { customer_id: ada, amount: 12.50, idempotency_key: call-1 }",
        body="POST /v1/wallets/debit",
    ),
    "hold": Kind(
        money.hold,
        "Reserve money.",
        "hold: { customer_id: ada, amount: 5, ttl_seconds: 600, idempotency_key: h-1, as: job }",
        _CALLED,
        ("as",),
        body="POST /v1/wallets/holds",
    ),
    "settleHold": Kind(
        money.settle_hold,
        "Spend what is reserved, or less of it.",
        "settleHold: { hold: job, amount: 3 }",
        {"hold": "What an earlier step calls it."},
        ("hold",),
        body="POST /v1/wallets/holds/{id}/settle",
    ),
    "releaseHold": Kind(
        money.release_hold,
        "Reserve it no longer.",
        "releaseHold: job",
        {"hold": "What an earlier step calls it."},
        ("hold",),
        short="hold",
    ),
    "voidEvent": Kind(
        events.void_event,
        "Let an accepted event count no more; it stays where it is.",
        "voidEvent: { event: call-17, reason: test traffic }",
        {"event": "Its idempotency key."},
        ("event",),
        body="POST /api/v1/events/{key}/void",
    ),
    "amendEvent": Kind(
        events.amend_event,
        "Let an accepted event count as it should have been: `quantity`, `occurredAt`, `properties`, `metadata`.",
        "amendEvent: { event: call-17, quantity: 12.5, reason: counted retries }",
        {"event": "Its idempotency key, or what an earlier step calls its amendment."} | _CALLED,
        ("event",),
        body="POST /api/v1/events/{key}/amend",
    ),
    "bill": Kind(
        bills.bill,
        "Bill a month: freeze terms, meter, all ten stages, invoices. Without `at` when production does it: on the 1st of the "
        "month after, 12:30 UTC.",
        "bill: 2026-03",
        {
            "month": "YYYY-MM.",
            "tenants": "Only these; all unless said.",
            "customers": "Only these; all unless said.",
        },
        ("month",),
        short="month",
        everybody=True,
    ),
    "finalize": Kind(
        bills.finalize,
        "Issue drafts: they are never edited again.",
        "finalize: 2026-03",
        _WHICH,
        short="month",
    ),
    "pay": Kind(
        bills.pay,
        "Take in a payment: all that is left, or an amount.",
        "pay: { customer: ada, month: 2026-03 }",
        _WHICH
        | {"amount": "All that is left unless said.", "status": "SUCCEEDED unless said; FAILED, PENDING."},
        short="month",
    ),
    "void": Kind(
        bills.void,
        "Void an invoice; what wallets paid of it goes back.",
        "void: { customer: ada, month: 2026-03, reason: wrong customer }",
        _WHICH | {"reason": "Why; kept on it."},
        ("reason",),
    ),
    "reissue": Kind(
        bills.reissue,
        "A void invoice's lines under a new number.",
        "reissue: { invoice: ACME-2026-0001, reason: right address }",
        _WHICH | {"reason": "Why; kept on it."},
        ("reason",),
    ),
    "creditNote": Kind(
        bills.credit_note,
        "Credit an issued invoice. Made, issued and applied at once, unless `until` says how far.",
        "creditNote: { customer: ada, month: 2026-03, amount: 10, reason: SERVICE_ISSUE }",
        _WHICH
        | {
            "amount": "Of the total, tax and discount shares included.",
            "lines": "Instead: amounts by line.",
            "reason": "One of the reasons of credit notes.",
            "until": "DRAFT, ISSUED or APPLIED.",
        },
        ("reason",),
    ),
    "oneOff": Kind(
        bills.one_off,
        "An invoice made by hand, as a draft.",
        "oneOff: { customerId: ada, lines: [{ description: Workshop, unitPrice: 500 }] }",
        body="POST /api/v1/invoices",
    ),
    "replay": Kind(
        bills.replay_month,
        "Work a billed month out again from raw events and compare; what differs on issued invoices is proposed.",
        "replay: 2026-03",
        {
            "month": "YYYY-MM.",
            "asOf": "Only events received until the end of this day; proposes nothing.",
            "tenants": "Only these; all unless said.",
            "customers": "Only these; all unless said.",
        },
        ("month",),
        short="month",
        everybody=True,
    ),
    "approve": Kind(
        bills.approve,
        "Approve the newest proposal: the next bill carries the adjustments.",
        "approve: { month: 2026-03, reason: late usage }",
        {"month": "Of this month.", "reason": "Why; kept on the adjustments."},
        short="month",
    ),
}
"""By the word they are written with. Beside these, `send` sends events and `wait` lets time pass (play.py)."""
