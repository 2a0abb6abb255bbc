"""The terms of a month, described once, and the columns the tables after them share. Put here: what was agreed, as it is frozen.
Keep out: events (event_frames.py), what comes of terms and events (frames.py)."""

from __future__ import annotations

import polars as pl

from transforms.event_frames import MONTH as _MONTH
from transforms.event_frames import TENANT as _TENANT
from transforms.table import FLAG, INSTANT, PRICE, QUANTITY, TEXT, TIERS, WHOLE, Rule, Table
from transforms.table import at_least_zero as _at_least_zero
from transforms.table import column as _c
from transforms.table import one_of as _one_of

CUSTOMER = _c("customer_id", TEXT, "the tenant's customer")
SUBSCRIPTION = _c("subscription_id", TEXT, "the subscription that is billed")
LINE = _c("line_id", TEXT, "the invoice line; the same for events, aggregate and line")
UNIT = _c("unit", TEXT, "key of the billable unit")
PERIOD = (
    _c("period_start", INSTANT, "start of the billing period, inclusive"),
    _c("period_end", INSTANT, "end of the billing period, exclusive"),
)

KINDS = ("USAGE", "BASE_FEE", "ADVANCE_FEE", "FEE_CREDIT", "SETUP_FEE", "COMMITMENT", "ADJUSTMENT", "INTERIM")
"""BASE_FEE: for the time it was live. ADVANCE_FEE: the next period's, in full. FEE_CREDIT: the part of a fee paid in advance that
was not used. SETUP_FEE: once. COMMITMENT: what a commitment adds or takes. ADJUSTMENT: what a closed month was off by.
INTERIM: back, what interim invoices of the period billed already."""

BILLING_TERMS = Table(
    "billing_terms",
    "The terms frozen for a month: one row per subscription, period and priced item, from the pinned plan version.",
    (
        _MONTH,
        _TENANT,
        CUSTOMER,
        SUBSCRIPTION,
        LINE,
        _c(
            "line_order", WHOLE, "place of the line on the invoice: base fee first, then units as in the plan"
        ),
        _c("due", FLAG, "the period ends in this month, so it is billed with it"),
        _c("kind", TEXT, "one of " + ", ".join(KINDS)),
        *PERIOD,
        _c("active_start", INSTANT, "start of the part of the period the subscription was live"),
        _c("active_end", INSTANT, "end of that part, exclusive"),
        _c("currency", TEXT, "ISO 4217 code of the invoice"),
        _c("exponent", WHOLE, "decimal places of the currency"),
        _c("price_currency", TEXT, "the currency of the prices, where it is another", True),
        _c("fx_rate", PRICE, "what one unit of it is worth in the invoice's currency", True),
        _c("rounding", TEXT, "rounding mode of the billing entity: HALF_EVEN or HALF_UP"),
        _c("billing_entity", TEXT, "the issuer"),
        _c("billing_mode", TEXT, "POSTPAID, PREPAID or HYBRID"),
        _c("offering", TEXT, "code of the offering"),
        _c("plan", TEXT, "key of the rate plan"),
        _c("plan_version", WHOLE, "the pinned version"),
        _c("description", TEXT, "what the line says"),
        _c("unit", TEXT, "key of the billable unit; null for fees", True),
        _c(
            "aggregation",
            TEXT,
            "COUNT, SUM, UNIQUE, MAX, MIN, AVG, LATEST, PERCENTILE_95, PERCENTILE_99",
            True,
        ),
        _c("event_field", TEXT, "the event's field that UNIQUE counts", True),
        _c("filters", TEXT, "conditions an event must meet to count (JSON list)", True),
        _c(
            "model",
            TEXT,
            "PER_UNIT, FLAT_RATE, PERCENTAGE, INCLUDED_QUOTA, GRADUATED, VOLUME_TIERED, FEE, or a commitment's: TRUE_UP, OVERAGE, "
            "PREPAYMENT, DRAW",
        ),
        _c("rate", PRICE, "price per unit or block; for PERCENTAGE the fraction (0.025 is 2.5 %)", True),
        _c("flat_amount", PRICE, "FLAT_RATE: the price of the period; FEE: the fee of a full period", True),
        _c("included_free", QUANTITY, "units free of charge, subtracted in Allowance and there alone"),
        _c("block_size", QUANTITY, "INCLUDED_QUOTA: overage is billed in whole blocks of this size", True),
        _c("block_rate_basis", TEXT, "PER_BLOCK or PER_UNIT", True),
        _c("min_fee", PRICE, "the least the unit costs in the period, used or not", True),
        _c("per_event_fee", PRICE, "PERCENTAGE: added to each event's charge", True),
        _c("per_event_min", PRICE, "PERCENTAGE: least charge of an event", True),
        _c("per_event_max", PRICE, "PERCENTAGE: greatest charge of an event", True),
        _c("tiers", TIERS, "GRADUATED, VOLUME_TIERED: the bands", True),
        _c("billing_timing", TEXT, "ARREARS or ADVANCE"),
        _c("cap", QUANTITY, "hard cap on usage in the period", True),
        _c("cap_behavior", TEXT, "beyond the cap: CHARGE, BLOCK or IGNORE", True),
        _c(
            "cap_carries",
            FLAG,
            "the cap is the free units, and grows by those carried in; null: it is fixed",
            True,
        ),
        _c("rollover", FLAG, "unused free units carry over"),
        _c("minimum_spend", PRICE, "the subscription's least charge for a period", True),
        _c("maximum_spend", PRICE, "the subscription's greatest charge for a period", True),
        _c(
            "spend_limit",
            PRICE,
            "what the subscription's usage of all units is billed at most in the period; null: all of it",
            True,
        ),
        _c(
            "fee_ahead",
            PRICE,
            "the base fee that an earlier bill charged for the whole period, where it counts towards what is agreed for it",
            True,
        ),
        _c("coupons", pl.List(TEXT), "coupons acting on the period, in order of attachment (JSON each)"),
        _c(
            "escrow",
            TEXT,
            "PREPAID with too little in the wallet: BLOCK holds the customer, ALERT invoices the rest",
            True,
        ),
        _c("tax_code", TEXT, "the tax category of what is sold; null: of no category", True),
        _c("tax", TEXT, "how the line is taxed (JSON); null: the tenant has no tax rates", True),
        _c("commitment", TEXT, "the spend agreed beforehand, with what is done of it (JSON)", True),
        _c(
            "problem",
            TEXT,
            "why the line cannot be billed, known before it is: such as no exchange rate",
            True,
        ),
        _c("unsupported", TEXT, "agreed terms that no stage honours yet; they hold the customer", True),
        _c("rollover_cap", QUANTITY, "the most free units that carry over; null: all", True),
        _c(
            "rolls_from_month",
            TEXT,
            "the month that billed the period before, whose unused units carry over",
            True,
        ),
        _c("rolls_from_line", TEXT, "the line of that period", True),
        _c(
            "dimension_fields",
            pl.List(TEXT),
            "fields of an event that say which price by dimension is its own; the first found counts",
            True,
        ),
        _c("dimension_value", TEXT, "the field's value this line prices; null: all others", True),
        _c("free_pool", TEXT, "the unit's own line, whose free units its prices by dimension share", True),
        _c("service_start", INSTANT, "fees in advance: start of the time paid for", True),
        _c("service_end", INSTANT, "fees in advance: end of that time, exclusive", True),
    ),
    key=("month", "line_id"),
    partition_by=("month",),
    rules=(
        _one_of("kind", *KINDS),
        _one_of(
            "model",
            "PER_UNIT",
            "FLAT_RATE",
            "PERCENTAGE",
            "INCLUDED_QUOTA",
            "GRADUATED",
            "VOLUME_TIERED",
            "FEE",
            "TRUE_UP",
            "OVERAGE",
            "PREPAYMENT",
            "DRAW",
        ),
        Rule("period_has_length", "start before they end", pl.col("period_start") < pl.col("period_end")),
        Rule(
            "active_within_period",
            "be live within the period only",
            (pl.col("active_start") >= pl.col("period_start"))
            & (pl.col("active_end") <= pl.col("period_end")),
        ),
        _at_least_zero("included_free"),
        Rule(
            "usage_names_its_unit",
            "name a unit if they price usage",
            (pl.col("kind") != "USAGE") | pl.col("unit").is_not_null(),
        ),
    ),
)
