"""Rows for tests of events. Put here: builders with sensible defaults. Keep out: named worlds, assertions."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from domain.usage import key_hash, said_hash
from tests.transforms.billing_rows import MID_NOVEMBER
from transforms.frames import METERED_EVENTS, RAW_EVENTS, VALIDATED_EVENTS
from transforms.gate import gate
from transforms.meter import meter

RECEIVED = MID_NOVEMBER
STANDING = ("tenant_id", "key_hash", "idempotency_key", "payload_hash", "raw_seq")
NOTHING_STANDS = VALIDATED_EVENTS.empty().select(STANDING)


def raw_event(key: str = "k1", quantity: str | int | None = 1, **given: Any) -> dict[str, Any]:
    """A RAW_EVENTS row the door accepted, received as it happened; hashes follow from key and content."""
    row: dict[str, Any] = dict.fromkeys(RAW_EVENTS.schema)
    row |= {
        "tenant_id": "acme", "received_at": RECEIVED, "source": "ingest", "key_id": "key_1", "door": "ACCEPTED",
        "customer_id": "c1", "unit": "api_calls", "occurred_at": given.get("received_at", RECEIVED), "idempotency_key": key,
        "quantity": None if quantity is None else Decimal(quantity), "correction": False,
    }  # fmt: skip
    row |= given
    row["received_day"] = row["received_at"].strftime("%Y-%m-%d")
    row.setdefault("payload", None)
    row["key_hash"] = given.get("key_hash", key_hash(row["tenant_id"], row["idempotency_key"] or ""))
    row["payload_hash"] = given.get(
        "payload_hash",
        said_hash(row["customer_id"], row["unit"], str(row["quantity"]), str(row["occurred_at"])),
    )
    row["payload"] = given.get("payload", json.dumps({"idempotencyKey": key, "quantity": str(quantity)}))
    return row


def raws(*rows: dict[str, Any], first: int = 1) -> pl.DataFrame:
    """RAW_EVENTS of these rows, numbered in order from `first`."""
    numbered = [row | {"raw_seq": first + place} for place, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=RAW_EVENTS.schema)


def gated(raw: pl.DataFrame, standing: pl.DataFrame = NOTHING_STANDS) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(kept, quarantined) of a batch, with the events that stand from before."""
    return gate(raw, standing_keys=lambda hashes: standing.filter(pl.col("key_hash").is_in(hashes.implode())))


def event(
    line: dict[str, Any], quantity: str | int = 1, at: datetime = MID_NOVEMBER, **given: Any
) -> dict[str, Any]:
    """A VALIDATED_EVENTS row of the customer and unit of a term."""
    row: dict[str, Any] = dict.fromkeys(VALIDATED_EVENTS.schema)
    row |= {
        "tenant_id": line["tenant_id"], "received_at": at + timedelta(seconds=1), "source": "ingest", "key_id": "key_1",
        "customer_id": line["customer_id"], "unit": line["unit"], "quantity": Decimal(quantity), "occurred_at": at,
        "late": False, "correction": Decimal(quantity) < 0, "payload_hash": 0,
    }  # fmt: skip
    row |= given
    row["occurred_month"] = row["occurred_at"].strftime("%Y-%m")
    return row


def validated(*rows: dict[str, Any]) -> pl.DataFrame:
    """VALIDATED_EVENTS of these rows; numbers and keys follow from their order unless they are given."""
    whole = []
    for place, row in enumerate(rows, start=1):
        key = row["idempotency_key"] or f"k{place}"
        hash_ = key_hash(row["tenant_id"], key) if row["key_hash"] is None else row["key_hash"]
        whole.append(row | {"raw_seq": row["raw_seq"] or place, "idempotency_key": key, "key_hash": hash_})
    return pl.DataFrame(whole, schema=VALIDATED_EVENTS.schema)


def metered_month(
    events: pl.DataFrame, terms: pl.DataFrame, month: str = "2023-11", **given: Any
) -> pl.DataFrame:
    """METERED_EVENTS of the month, which must keep their own row rules."""
    metered = meter(validated_events=events.lazy(), terms=terms, month=month, **given)
    for rule in METERED_EVENTS.rules:
        assert metered.filter(~rule.holds).is_empty(), rule.name
    return metered
