"""The tables of events, described once. Put here: raw, validated, quarantined and metered events. Keep out: contracts and money."""

from __future__ import annotations

import polars as pl

from domain.event_correction import AMEND, VOID
from transforms.table import (
    EXACT,
    FLAG,
    INSTANT,
    QUANTITY,
    TEXT,
    WHOLE,
    Rule,
    Table,
)
from transforms.table import column as _c
from transforms.table import one_of as _one_of

DOOR_VERDICTS = ("ACCEPTED", "DUPLICATE", "CONFLICT", "REJECTED")
DISPOSITIONS = ("BILLABLE", "FILTERED", "SYSTEM", "NO_SUBSCRIPTION", "NO_PRICE")

TENANT = _c("tenant_id", TEXT, "the vendor that sells")
MONTH = _c("month", TEXT, "billing month, YYYY-MM")

_EVENT = (
    TENANT,
    _c("received_at", INSTANT, 'time of receipt stamped by the edge; the only "now" any gate knows'),
    _c("source", TEXT, "the door it came through: ingest, meter, events, file:<name> …"),
    _c("key_id", TEXT, "the API key used, or the operator for files"),
)

_AMENDS = (
    _c("act", TEXT, "an operator's act upon an event: VOID or AMEND; null: usage as it came", True),
    _c("corrects", TEXT, "idempotency key of the event it voids or amends", True),
    _c("origin_received_at", INSTANT, "receipt of the event it all goes back to", True),
)

RAW_EVENTS = Table(
    "raw_events",
    "Everything that arrived, refused events too, exactly as received, with the edge's verdict. Append-only truth.",
    (
        _c("raw_seq", WHOLE, "position in the raw table, 1, 2, 3 … without gaps"),
        *_EVENT,
        _c("received_day", TEXT, "UTC day of receipt, YYYY-MM-DD"),
        _c("door", TEXT, "the edge's verdict: " + ", ".join(DOOR_VERDICTS)),
        _c("reject_code", TEXT, "why the edge refused it", True),
        _c("reject_detail", TEXT, "which field, which value, what would be right", True),
        _c("customer_id", TEXT, "the tenant's customer", True),
        _c("unit", TEXT, "key of the billable unit; as sent where it is unknown", True),
        _c("quantity", QUANTITY, "amount used", True),
        _c("occurred_at", INSTANT, "when the usage happened", True),
        _c("idempotency_key", TEXT, "one key, one event, for ever", True),
        _c("key_hash", WHOLE, "64 bits of BLAKE2b over tenant and key", True),
        _c("payload_hash", WHOLE, "64 bits of BLAKE2b over what the event says", True),
        _c("correction", FLAG, "a negative amount of a unit that allows corrections"),
        _c("backfill", TEXT, "the operator's reason for letting old events in", True),
        _c("payload", TEXT, "the event as sent (JSON)", True),
        *_AMENDS,
        _c("trace_id", TEXT, "W3C trace id of its request, where that was traced", True),
        _c(
            "mac",
            TEXT,
            "key id and HMAC-SHA256 that the writer of the log put on it; null: it had no key",
            True,
        ),
    ),
    key=("raw_seq",),
    partition_by=("received_day",),
    rules=(
        _one_of("door", *DOOR_VERDICTS),
        Rule(
            "accepted_is_complete",
            "if the door accepted it, have customer, unit, quantity, time and key",
            (pl.col("door") != "ACCEPTED")
            | pl.all_horizontal(
                pl.col(
                    "customer_id", "unit", "quantity", "occurred_at", "idempotency_key", "key_hash"
                ).is_not_null()
            ),
        ),
        Rule(
            "rejected_says_why",
            "if the door rejected it, say why",
            (pl.col("door") != "REJECTED") | pl.col("reject_code").is_not_null(),
        ),
    ),
)

VALIDATED_EVENTS = Table(
    "validated_events",
    "Events that passed all gates, each key once, for ever; those that were voided or amended, and the acts that did it, too.",
    (
        _c("raw_seq", WHOLE, "the raw event this is"),
        *_EVENT,
        _c("occurred_month", TEXT, "UTC month of the usage, YYYY-MM"),
        _c("customer_id", TEXT, "the tenant's customer"),
        _c("unit", TEXT, "key of the billable unit"),
        _c("quantity", QUANTITY, "amount used"),
        _c("occurred_at", INSTANT, "when the usage happened"),
        _c("idempotency_key", TEXT, "one key, one event, for ever"),
        _c("key_hash", WHOLE, "64 bits of BLAKE2b over tenant and key"),
        _c("payload_hash", WHOLE, "64 bits of BLAKE2b over what the event says"),
        _c("late", FLAG, "received more than 24 h after it happened"),
        _c("correction", FLAG, "a negative amount of a unit that allows corrections"),
        _c("backfill", TEXT, "the operator's reason for letting old events in", True),
        _c("payload", TEXT, "the event as sent (JSON)", True),
        *_AMENDS,
    ),
    key=("tenant_id", "key_hash", "idempotency_key"),
    partition_by=("occurred_month",),
    rules=(
        Rule(
            "quantity_not_negative",
            "have quantity ≥ 0, unless its unit allows corrections",
            (pl.col("quantity") >= 0) | pl.col("correction"),
        ),
        Rule(
            "not_from_the_future",
            "have happened at most 5 minutes after it was received",
            pl.col("occurred_at") <= pl.col("received_at") + pl.duration(minutes=5),
        ),
        Rule(
            "not_too_old",
            "have happened at most 90 days before it was received, unless an operator let it in",
            (pl.col("occurred_at") >= pl.col("received_at") - pl.duration(days=90))
            | pl.col("backfill").is_not_null(),
        ),
        Rule(
            "acts_name_their_event",
            "if an act upon an event, be VOID or AMEND and name it",
            pl.col("act").is_null()
            | (
                pl.col("act").is_in([VOID, AMEND])
                & pl.col("corrects").is_not_null()
                & pl.col("origin_received_at").is_not_null()
            ),
        ),
    ),
)

QUARANTINE_CODES = (
    "SCHEMA_INVALID", "MISSING_CUSTOMER", "UNKNOWN_METRIC", "CUSTOMER_MISMATCH", "NEGATIVE_QUANTITY",
    "FUTURE_TIMESTAMP", "TOO_OLD", "DUPLICATE", "IDEMPOTENCY_CONFLICT", "MAC_MISMATCH", "MAC_MISSING",
)  # fmt: skip

QUARANTINED_EVENTS = Table(
    "quarantined_events",
    "Events that did not pass, with the reason: refused ones, duplicates, and conflicts over a key. Nothing is dropped.",
    (
        *RAW_EVENTS.columns,
        _c("code", TEXT, "why: " + ", ".join(QUARANTINE_CODES)),
        _c("detail", TEXT, "which field, which value, what would be right", True),
        _c("first_raw_seq", WHOLE, "for duplicates and conflicts: the raw event that stands", True),
    ),
    key=("raw_seq",),
    partition_by=("received_day",),
    rules=(
        _one_of("code", *QUARANTINE_CODES),
        Rule(
            "duplicate_names_the_first",
            "if a duplicate or conflict, name the event that stands, which came before",
            ~pl.col("code").is_in(["DUPLICATE", "IDEMPOTENCY_CONFLICT"])
            | (pl.col("first_raw_seq") < pl.col("raw_seq")),
        ),
    ),
)

_UNIT = _c("unit", TEXT, "key of the billable unit")

METERED_EVENTS = Table(
    "metered_events",
    "Each event of a month with its customer, subscription, running total and exact marginal revenue; "
    "also the index from an invoice line to its events.",
    (
        MONTH,
        TENANT,
        _c("customer_id", TEXT, "the tenant's customer"),
        _c("subscription_id", TEXT, "the subscription that pays", True),
        _c("line_id", TEXT, "the invoice line it is part of", True),
        _c("plan", TEXT, "key of the rate plan", True),
        _c("plan_version", WHOLE, "the pinned version", True),
        _UNIT,
        _c("period_start", INSTANT, "start of its billing period", True),
        _c("raw_seq", WHOLE, "the raw event this is"),
        _c("key_hash", WHOLE, "64 bits of BLAKE2b over tenant and key"),
        _c("idempotency_key", TEXT, "one key, one event"),
        _c("occurred_at", INSTANT, "when the usage happened"),
        _c("quantity", QUANTITY, "amount used"),
        _c("late", FLAG, "received more than 24 h after it happened"),
        _c("correction", FLAG, "a negative amount of a unit that allows corrections"),
        _c("disposition", TEXT, "what becomes of it: " + ", ".join(DISPOSITIONS)),
        _c("distinct_value", TEXT, "UNIQUE: the value counted", True),
        _c("event_charge", EXACT, "PERCENTAGE with per-event terms: this event's own charge", True),
        _c("running_total", QUANTITY, "the unit's value for the period after this event", True),
        _c("marginal_revenue", EXACT, "what this event added to the line, unrounded; null where it is not billed, or the line has no price", True),
    ),
    key=("raw_seq",),
    partition_by=("month",),
    rules=(
        _one_of("disposition", *DISPOSITIONS),
        Rule("quantity_not_negative", "have quantity ≥ 0, unless its unit allows corrections",
             (pl.col("quantity") >= 0) | pl.col("correction")),
        Rule(
            "due_has_a_line",
            "belong to an invoice line exactly when billable or filtered",
            pl.col("disposition").is_in(["BILLABLE", "FILTERED"]) == pl.col("line_id").is_not_null(),
        ),
        Rule(
            "only_billable_earns",
            "carry revenue only when billable",
            (pl.col("disposition") == "BILLABLE") | pl.col("marginal_revenue").is_null(),
        ),
    ),
)  # fmt: skip
