"""Every table described once. Put here: columns, types, keys, row rules. Keep out: what is done with the tables.

The empty frame, the Delta schema, the structural half of each Great Expectations suite, Dagster's column metadata and
`docs/frames.md` are all made from these descriptions. The tables of events stand in event_frames.py, the frozen terms in term_frames.py.
"""

from __future__ import annotations

import polars as pl

from transforms.event_frames import METERED_EVENTS, QUARANTINED_EVENTS, RAW_EVENTS, VALIDATED_EVENTS
from transforms.event_frames import MONTH as _MONTH
from transforms.event_frames import TENANT as _TENANT
from transforms.table import (
    AMOUNT,
    BONUS_DRAWS,
    EXACT,
    FLAG,
    INSTANT,
    PRICE,
    QUANTITY,
    TAXES,
    TEXT,
    TIER_CHARGES,
    TIERS,
    WALLET_PAYMENTS,
    WHOLE,
    Rule,
    Table,
)
from transforms.table import at_least_zero as _at_least_zero
from transforms.table import column as _c
from transforms.table import one_of as _one_of
from transforms.term_frames import BILLING_TERMS, KINDS
from transforms.term_frames import CUSTOMER as _CUSTOMER
from transforms.term_frames import LINE as _LINE
from transforms.term_frames import SUBSCRIPTION as _SUBSCRIPTION
from transforms.term_frames import UNIT as _UNIT

__all__ = [
    "ALLOWANCES", "AMOUNT", "BILLING_TERMS", "BONUS_BALANCES", "COMMITTED_LINES", "DISCOUNTED_LINES", "EXACT", "FLAG", "GATE_HOLDS", "INSTANT", "INVOICES",
    "INVOICE_LINES", "INVOICE_TAXES", "KINDS", "LAKE_TABLES", "LINE_TYPES", "METERED_EVENTS", "PRICE", "QUANTITY", "QUARANTINED_EVENTS", "QUOTA_CHECKS",
    "RATED_LINES", "RAW_EVENTS", "ROLLOVERS", "ROUTED_LINES", "SETTLEMENTS", "TABLES", "TAXED_LINES", "TAXES", "TEXT", "TIERS",
    "TIER_CHARGES", "USAGE_AGGREGATES", "VALIDATED_EVENTS", "WALLET_BALANCES", "WHOLE", "Rule", "Table",
]  # fmt: skip

WALLET_BALANCES = Table(
    "wallet_balances",
    "What wallets hold for the month's bills, frozen: one row per grant of money. What the month's bills took is counted in.",
    (
        _MONTH, _TENANT, _CUSTOMER,
        _c("currency", TEXT, "ISO 4217 code of the wallet"),
        _c("wallet_id", TEXT, "the wallet"),
        _c("grant_id", TEXT, "the grant of money in it"),
        _c("burn_order", WHOLE, "its place in the order of burning, among the customer's grants in the currency"),
        _c("kind", TEXT, "PROMOTIONAL or CASH"),
        _c("available", AMOUNT, "what bills may take of it, in whole minor units"),
        _c("expires_at", INSTANT, "it pays for periods that end by then; null: for any", True),
        _c("units", pl.List(TEXT), "the units alone whose usage it pays for; null: anything", True),
    ),
    key=("month", "tenant_id", "grant_id"),
    partition_by=("month",),
    rules=(_at_least_zero("available"), _one_of("kind", "PROMOTIONAL", "CASH")),
)  # fmt: skip

BONUS_BALANCES = Table(
    "bonus_balances",
    "What wallets hold of bonus units for the month's bills, frozen: one row per grant. What the month's bills took is counted in.",
    (
        _MONTH, _TENANT, _CUSTOMER, _UNIT,
        _c("wallet_id", TEXT, "the wallet"),
        _c("grant_id", TEXT, "the grant of units in it"),
        _c("burn_order", WHOLE, "its place in the order of burning, among the customer's grants of the unit"),
        _c("available", QUANTITY, "units that bills may take of it"),
        _c("effective_at", INSTANT, "it covers usage from then on"),
        _c("expires_at", INSTANT, "and before then; null: for ever", True),
    ),
    key=("month", "tenant_id", "grant_id"),
    partition_by=("month",),
    rules=(
        _at_least_zero("available"),
        Rule("good_for_a_time", "expire after they take effect",
             pl.col("expires_at").is_null() | (pl.col("expires_at") > pl.col("effective_at"))),
    ),
)  # fmt: skip

QUOTA_CHECKS = Table(
    "quota_checks",
    "Stage 1: each unit's hard cap and what it means for the period: how much usage lies beyond it and is not billed.",
    (
        _MONTH, _TENANT, _CUSTOMER, _SUBSCRIPTION, _LINE, _UNIT,
        _c("cap", QUANTITY, "hard cap on usage in the period", True),
        _c("verdict", TEXT, "UNCAPPED: nothing is cut off; WITHIN: a hard cap, not reached; BLOCKED, IGNORED: usage lies beyond it"),
        _c("used", QUANTITY, "the period's usage, where a hard cap is agreed", True),
        _c("beyond", QUANTITY, "the part of it beyond the cap, not billed; null where no hard cap is agreed", True),
        _c("events_beyond", WHOLE, "events that ended beyond the cap, in order of time", True),
        _c("first_beyond_at", INSTANT, "when the cap was first passed", True),
    ),
    key=("month", "line_id"),
    partition_by=("month",),
    rules=(
        _one_of("verdict", "UNCAPPED", "WITHIN", "BLOCKED", "IGNORED"),
        Rule("verdict_follows_usage", "be BLOCKED or IGNORED exactly when usage lies beyond the cap",
             pl.col("verdict").is_in(["BLOCKED", "IGNORED"]) == (pl.col("beyond").fill_null(0) > 0)),
    ),
)  # fmt: skip

ROLLOVERS = Table(
    "rollovers",
    "Stage 2: free units carried over from the period before.",
    (
        _MONTH,
        _TENANT,
        _CUSTOMER,
        _SUBSCRIPTION,
        _LINE,
        _UNIT,
        _c("carried", QUANTITY, "units carried in"),
        _c("unused", QUANTITY, "units the period before left unused", True),
        _c("from_month", TEXT, "the month that billed the period before", True),
        _c("problem", TEXT, "why it is not known what is carried in; null: it is", True),
    ),
    key=("month", "line_id"),
    partition_by=("month",),
    rules=(_at_least_zero("carried"),),
)

USAGE_AGGREGATES = Table(
    "usage_aggregates",
    "Stage 3: the period's usage of each unit, reduced as the unit says. Usage nothing prices has a row of its own.",
    (
        _MONTH,
        _TENANT,
        _CUSTOMER,
        _c(
            "subscription_id", TEXT, "the subscription that is billed; null where none covers the usage", True
        ),
        _LINE,
        _UNIT,
        _c("aggregation", TEXT, "how events were reduced; null where nothing prices them", True),
        _c("disposition", TEXT, "BILLABLE, NO_SUBSCRIPTION or NO_PRICE"),
        _c("events", WHOLE, "events behind the value"),
        _c("late_events", WHOLE, "of these, received more than 24 h late"),
        _c("value", QUANTITY, "the reduced usage; null where it is undefined without events", True),
        _c("event_charges", EXACT, "sum of the events' own charges (PERCENTAGE with per-event terms)", True),
        _c("beyond", QUANTITY, "the part of the value beyond a hard cap, not billed", True),
        _c("first_at", INSTANT, "first event", True),
        _c("last_at", INSTANT, "last event", True),
    ),
    key=("month", "line_id"),
    partition_by=("month",),
    rules=(
        _one_of("disposition", "BILLABLE", "NO_SUBSCRIPTION", "NO_PRICE"),
        _at_least_zero("events"),
        Rule(
            "late_within_events",
            "count no more late events than events",
            pl.col("late_events") <= pl.col("events"),
        ),
    ),
)

ALLOWANCES = Table(
    "allowances",
    "Stage 4: what is left to pay for after free units.",
    (
        _MONTH, _TENANT, _CUSTOMER, _SUBSCRIPTION, _LINE, _UNIT,
        _c("events", WHOLE, "events behind the value"),
        _c("value", QUANTITY, "the period's usage", True),
        _c("included", QUANTITY, "free units used up"),
        _c("bonus", QUANTITY, "bonus units used up after them, from the customer's wallets; null: none", True),
        _c("bonus_draws", BONUS_DRAWS, "which grant gave how many of these", True),
        _c("billable", QUANTITY, "value less free and bonus units and what is beyond a hard cap, at least 0", True),
        _c("event_charges", EXACT, "sum of the events' own charges", True),
        _c("beyond", QUANTITY, "usage beyond a hard cap, not billed", True),
        _c("unused", QUANTITY, "free units the period leaves for the next; null: they lapse, or are not known", True),
        _c("problem", TEXT, "why free units are not known; null: they are", True),
    ),
    key=("month", "line_id"),
    partition_by=("month",),
    rules=(
        _at_least_zero("included"),
        Rule("parts_make_the_whole", "have included + bonus + billable + beyond = value",
             pl.col("value").is_null() | (pl.col("value") < 0)
             | (pl.col("included") + pl.col("bonus").fill_null(0) + pl.col("billable") + pl.col("beyond").fill_null(0)
                == pl.col("value"))),
        Rule("draws_make_the_bonus", "have bonus draws that come to their bonus units",
             pl.col("bonus").fill_null(0)
             == pl.col("bonus_draws").list.eval(pl.element().struct.field("units")).list.sum().fill_null(0)),
    ),
)  # fmt: skip

LINE_TYPES = (
    "USAGE_FEE",
    "CHARGE",
    "SETUP_FEE",
    "DISCOUNT",
    "TAX_ADJUSTMENT",
    "CREDIT",
    "PRORATION",
    "ADJUSTMENT",
    "UNPRICED",
)

_LINE_COLUMNS = (
    _MONTH,
    _TENANT,
    _CUSTOMER,
    _c("subscription_id", TEXT, "the subscription that is billed; null where none covers the usage", True),
    _LINE,
    _c("line_order", WHOLE, "place of the line on the invoice"),
    _c("line_type", TEXT, "one of " + ", ".join(LINE_TYPES) + "; UNPRICED: usage that no price reaches"),
    _c("description", TEXT, "what the line says"),
    _c("unit", TEXT, "key of the billable unit; null for fees", True),
    _c("model", TEXT, "price model; null where nothing prices the usage", True),
    _c("period_start", INSTANT, "start of the billing period", True),
    _c("period_end", INSTANT, "end of the billing period, exclusive", True),
    _c("events", WHOLE, "events behind the line"),
    _c("quantity", QUANTITY, "usage of the period", True),
    _c("included", QUANTITY, "free units in it, bonus units among them", True),
    _c("billable", QUANTITY, "units paid for", True),
    _c("currency", TEXT, "ISO 4217 code", True),
    _c("unrounded", EXACT, "the charge before rounding"),
    _c("amount", AMOUNT, "the charge, rounded once to the currency's minor unit"),
    _c("price_currency", TEXT, "the currency of the prices and of `unrounded`, where it is another", True),
    _c("fx_rate", PRICE, "what one unit of it was worth in `currency`", True),
    _c("tiers", TIER_CHARGES, "the charge band by band; a PERCENTAGE as one band", True),
    _c("bonus_draws", BONUS_DRAWS, "which grant of the customer's wallets gave how many bonus units", True),
    _c("problem", TEXT, "why the line cannot be invoiced; null: it can", True),
)

RATED_LINES = Table(
    "rated_lines",
    "Stage 5: the charge of each unit and fee, rounded once.",
    _LINE_COLUMNS,
    key=("month", "line_id"),
    partition_by=("month",),
    rules=(
        _one_of("line_type", *LINE_TYPES),
        Rule("rounded_once", "be within half a unit of the fourth place or a minor unit of the unrounded charge",
             pl.col("fx_rate").is_not_null() | ((pl.col("amount").cast(EXACT) - pl.col("unrounded")).abs() <= 1)),
        Rule("unpriced_says_why", "say why if unpriced", (pl.col("line_type") != "UNPRICED") | pl.col("problem").is_not_null()),
    ),
)  # fmt: skip

_COMMIT = (_c("commit_adjustment", AMOUNT, "top-up to the minimum or cut to the maximum spend"),)
_DISCOUNT = (_c("discount", AMOUNT, "discount allocated to the line, ≥ 0"),)
_TAX = (
    _c("taxable", AMOUNT, "amount + commit adjustment − discount − tax included"),
    _c("tax", AMOUNT, "tax on the line, included or not"),
    _c("tax_included", AMOUNT, "of it, what the price contains; null: not taxed", True),
    _c("taxes", TAXES, "the tax rate by rate; null: not taxed", True),
)
_ROUTE = (
    _c(
        "destination",
        TEXT,
        "INVOICE, WALLET, or HELD: the customer is not billed until the problem is solved",
    ),
    _c("invoice_id", TEXT, "the invoice the line goes to; null where held", True),
    _c("hold_reason", TEXT, "why it is held", True),
    _c("wallet_amount", AMOUNT, "what the customer's wallet pays of it; null where held", True),
    _c("wallet_payments", WALLET_PAYMENTS, "which grant pays what of that", True),
)

COMMITTED_LINES = Table(
    "committed_lines", "Stage 6: lines after minimum and maximum spend.", (*_LINE_COLUMNS, *_COMMIT),
    key=("month", "line_id"), partition_by=("month",),
)  # fmt: skip
DISCOUNTED_LINES = Table(
    "discounted_lines", "Stage 7: lines after coupons.", (*_LINE_COLUMNS, *_COMMIT, *_DISCOUNT),
    key=("month", "line_id"), partition_by=("month",),
    rules=(
        _at_least_zero("discount"),
        Rule("discount_within_charge", "have a discount no greater than the charge",
             (pl.col("discount") == 0) | (pl.col("discount") <= pl.col("amount") + pl.col("commit_adjustment"))),
    ),
)  # fmt: skip
TAXED_LINES = Table(
    "taxed_lines", "Stage 8: lines with tax.", (*_LINE_COLUMNS, *_COMMIT, *_DISCOUNT, *_TAX),
    key=("month", "line_id"), partition_by=("month",),
    rules=(
        Rule("taxable_adds_up", "have taxable = amount + commit adjustment − discount − tax included",
             pl.col("taxable") + pl.col("tax_included").fill_null(0)
             == pl.col("amount") + pl.col("commit_adjustment") - pl.col("discount")),
        Rule("taxes_add_up", "have tax = the sum of its taxes",
             pl.col("taxes").is_null() | (pl.col("taxes").list.eval(pl.element().struct.field("tax")).list.sum() == pl.col("tax"))),
    ),
)  # fmt: skip
ROUTED_LINES = Table(
    "routed_lines", "Stage 9: lines with where they go.", (*_LINE_COLUMNS, *_COMMIT, *_DISCOUNT, *_TAX, *_ROUTE),
    key=("month", "line_id"), partition_by=("month",),
    rules=(
        _one_of("destination", "INVOICE", "WALLET", "HELD"),
        Rule("wallet_pays_no_more", "have a wallet amount from 0 to what the line comes to",
             pl.col("wallet_amount").is_null() | (pl.col("wallet_amount") == 0)
             | ((pl.col("wallet_amount") > 0) & (pl.col("wallet_amount") <= pl.col("taxable") + pl.col("tax")))),
        Rule("held_says_why", "say why if held", (pl.col("destination") == "HELD") == pl.col("hold_reason").is_not_null()),
        Rule("routed_to_an_invoice", "name an invoice unless held",
             (pl.col("destination") == "HELD") == pl.col("invoice_id").is_null()),
        Rule("problem_is_held", "be held if it has a problem", pl.col("problem").is_null() | (pl.col("destination") == "HELD")),
    ),
)  # fmt: skip

_INVOICE = (
    _MONTH,
    _TENANT,
    _CUSTOMER,
    _c("invoice_id", TEXT, "the invoice; follows from tenant, customer, month and currency"),
    _c("billing_entity", TEXT, "the issuer"),
    _c("currency", TEXT, "ISO 4217 code"),
    _c("period_start", INSTANT, "earliest start of a billed period"),
    _c("period_end", INSTANT, "latest end of a billed period, exclusive"),
    _c("lines", WHOLE, "lines on it"),
    _c("subtotal", AMOUNT, "sum of rounded lines and commit adjustments, without taxes the prices contain"),
    _c("discount", AMOUNT, "sum of discounts"),
    _c("tax", AMOUNT, "sum of taxes"),
    _c("total", AMOUNT, "subtotal − discount + tax"),
    _c("wallet_amount", AMOUNT, "paid from the wallet"),
    _c("amount_due", AMOUNT, "total − wallet amount"),
)
_INVOICE_RULES = (
    Rule("total_adds_up", "have total = subtotal − discount + tax",
         pl.col("total") == pl.col("subtotal") - pl.col("discount") + pl.col("tax")),
    Rule("due_adds_up", "have amount due + wallet = total", pl.col("amount_due") + pl.col("wallet_amount") == pl.col("total")),
)  # fmt: skip

SETTLEMENTS = Table(
    "settlements",
    "Stage 10: what each invoice comes to, and who pays which part.",
    _INVOICE,
    key=("month", "invoice_id"),
    partition_by=("month",),
    rules=_INVOICE_RULES,
)

INVOICES = Table(
    "invoices",
    "The invoices: settlements with number, state and the hash of their content. PostgreSQL holds the same.",
    (
        *_INVOICE,
        _c("number", TEXT, "gap-free per issuer and year"),
        _c("status", TEXT, "DRAFT, OPEN, PAID, OVERDUE, UNCOLLECTIBLE or VOID"),
        _c("content_hash", TEXT, "SHA-256 over the invoice's canonical content"),
        _c("input_hash", TEXT, "SHA-256 over what it was made from: events, terms, code", True),
        _c("raw_until", WHOLE, "the newest raw event behind it; null: no event is", True),
        _c("code_version", TEXT, "the version of the rules it was made by", True),
    ),
    key=("month", "invoice_id"),
    partition_by=("month",),
    rules=(*_INVOICE_RULES, _one_of("status", "DRAFT", "OPEN", "PAID", "OVERDUE", "UNCOLLECTIBLE", "VOID")),
)

INVOICE_TAXES = Table(
    "invoice_taxes",
    "The taxes of the invoices, one row per rate, or per reason why nothing is taxed.",
    (
        _MONTH,
        _TENANT,
        _CUSTOMER,
        _c("invoice_id", TEXT, "the invoice it is on"),
        _c("number", WHOLE, "its place on the invoice"),
        _c("rate_id", TEXT, "the tax rate; null: none, as `treatment` says", True),
        _c("name", TEXT, "what the invoice calls it"),
        _c("jurisdiction", TEXT, "who takes it, such as DE or US-CA", True),
        _c("category", TEXT, "the tax category of what is taxed", True),
        _c("treatment", TEXT, "STANDARD, EXEMPT, REVERSE_CHARGE or NOT_REGISTERED"),
        _c("tax_id", TEXT, "the customer's tax id, where it owes the tax itself", True),
        _c("rate", PRICE, "a fraction, 0.19 is 19 %", True),
        _c("inclusive", FLAG, "prices contain it"),
        _c("currency", TEXT, "ISO 4217 code"),
        _c("taxable", AMOUNT, "what it is levied on"),
        _c("tax", AMOUNT, "the tax"),
    ),
    key=("month", "invoice_id", "number"),
    partition_by=("month",),
)

_NOT_ON_INVOICES = {
    "destination",
    "hold_reason",
    "problem",
    "invoice_id",
    "wallet_amount",
    "wallet_payments",
    "bonus_draws",
}
INVOICE_LINES = Table(
    "invoice_lines",
    "The lines of the invoices, with tiers; `line_id` leads to the events in metered_events.",
    (
        *(column for column in ROUTED_LINES.columns if column.name not in _NOT_ON_INVOICES),
        _c("invoice_id", TEXT, "the invoice it is on"),
        _c("number", TEXT, "that invoice's number"),
    ),
    key=("month", "invoice_id", "line_id"),
    partition_by=("month",),
)  # fmt: skip

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        RAW_EVENTS, VALIDATED_EVENTS, QUARANTINED_EVENTS, BILLING_TERMS, WALLET_BALANCES, BONUS_BALANCES, METERED_EVENTS, QUOTA_CHECKS, ROLLOVERS,
        USAGE_AGGREGATES, ALLOWANCES, RATED_LINES, COMMITTED_LINES, DISCOUNTED_LINES, TAXED_LINES, ROUTED_LINES,
        SETTLEMENTS, INVOICES, INVOICE_LINES, INVOICE_TAXES,
    )
}  # fmt: skip

GATE_HOLDS = Table(
    "gate_holds",
    "Whom gates held before the stages that hold lines, and why: their rows may be missing in the table. No asset, kept by the gates.",
    (
        _MONTH, _TENANT, _CUSTOMER,
        _c("table", TEXT, "the table whose gate held them"),
        _c("reason", TEXT, "which expectations they break"),
    ),
    key=("month", "tenant_id", "customer_id", "table"),
    partition_by=("month",),
)  # fmt: skip

LAKE_TABLES = {**TABLES, GATE_HOLDS.name: GATE_HOLDS}
"""The assets' tables, and what is kept beside them."""
