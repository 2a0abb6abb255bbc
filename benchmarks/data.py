"""Made-up usage and contracts for the batch benchmarks. Put here: raw events as Parquet, the catalog they belong to.

Eight units over all six price models; two percent duplicates, one percent late, two percent refused at the door and a few
more that only the lake's own gates catch.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from transforms.frames import INSTANT, QUANTITY, RAW_EVENTS

MONTH, TENANT = "2026-03", "bench"
UNITS: tuple[dict[str, Any], ...] = (
    {"key": "tokens_in", "aggregation": "SUM"},
    {"key": "tokens_out", "aggregation": "SUM"},
    {"key": "requests", "aggregation": "COUNT"},
    {"key": "storage_gb", "aggregation": "MAX"},
    {"key": "users", "aggregation": "UNIQUE", "eventField": "user_id"},
    {"key": "payments", "aggregation": "SUM"},
    {"key": "support", "aggregation": "COUNT"},
    {
        "key": "calls",
        "aggregation": "COUNT",
        "filterConditions": [{"field": "status", "operator": "LESS_THAN", "value": "500"}],
    },
)
PRICES: tuple[dict[str, Any], ...] = (
    {
        "unit": "tokens_in",
        "model": "GRADUATED",
        "tiers": [
            {"upTo": 20_000, "unitPrice": "0.000003"},
            {"upTo": 100_000, "unitPrice": "0.0000025"},
            {"unitPrice": "0.000002"},
        ],
    },
    {"unit": "tokens_out", "model": "PER_UNIT", "rate": "0.00001"},
    {"unit": "requests", "model": "INCLUDED_QUOTA", "includedFree": 50, "rate": "0.0004"},
    {
        "unit": "storage_gb",
        "model": "VOLUME_TIERED",
        "tiers": [{"upTo": 4_000, "unitPrice": "0.02"}, {"unitPrice": "0.01", "flatFee": "5"}],
    },
    {"unit": "users", "model": "PER_UNIT", "rate": "0.5"},
    {"unit": "payments", "model": "PERCENTAGE", "ratePercent": "1.4", "perEventFee": "0.25"},
    {"unit": "support", "model": "FLAT_RATE", "flatRate": "80"},
    {"unit": "calls", "model": "INCLUDED_QUOTA", "includedFree": 10, "rate": "0.05", "blockSize": 25},
)
BASE_FEE = "49"


def catalog(customers: int) -> dict[str, Any]:
    """As `aforo apply` reads it: one plan that prices all units, and its subscribers."""
    names = [f"c{n:05d}" for n in range(customers)]
    return {
        "tenant": {"id": TENANT, "name": "Bench", "currency": "USD"},
        "units": list(UNITS),
        "ratePlans": [{"key": "all", "currency": "USD", "baseFee": BASE_FEE, "metrics": list(PRICES)}],
        "offerings": [{"code": "all", "ratePlan": "all", "currency": "USD"}],
        "customers": [{"id": name} for name in names],
        "subscriptions": [
            {"id": f"s-{name}", "customer": name, "offering": "all", "startDate": "2026-01-01"}
            for name in names
        ],
    }


def raw_events(events: int, customers: int, *, first: int = 1, every: int = 1) -> pl.DataFrame:
    """RAW_EVENTS rows from position `first` on; the same arguments give the same rows. every: only one in so many customers has some.

    An event's content follows from its key number k, so that a repeated key repeats the event.
    """
    start = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
    month = 31 * 86_400 * 1_000_000
    seq = pl.int_range(first, first + events, dtype=pl.Int64)
    again = (seq % 50 == 0) & (seq > 1_000)  # a client that sends again, up to a thousand events later
    k = pl.when(again).then(seq - 1 - (seq // 50) % 997).otherwise(seq)
    mixed = (pl.col("k") * 2_654_435_761) % 4_294_967_291
    frame = pl.select(raw_seq=seq).with_columns(k=k).with_columns(m=mixed, unit_no=pl.col("k") % len(UNITS))
    return RAW_EVENTS.conform(
        frame.with_columns(
            at=start + (pl.col("m") * 1_237 + pl.col("k") * 7_919) % month,
            size=pl.col("m") % 1_500 + 1,
            customer_id=pl.format(
                "c{}", (pl.col("m") % (customers // every) * every).cast(pl.String).str.zfill(5)
            ),
            unit=pl.col("unit_no").replace_strict(dict(enumerate(unit["key"] for unit in UNITS))),
        ).with_columns(*_fields(), *_verdicts())
    )


_EMPTY = ("backfill", "act", "corrects", "origin_received_at", "trace_id", "mac")


def _fields() -> list[pl.Expr]:
    key = pl.format("{}-{}", pl.col("customer_id"), pl.col("k"))
    delay = pl.when(pl.col("k") % 100 == 7).then(30 * 3_600_000_000).otherwise(2_000_000)
    skew = (
        pl.when(pl.col("k") % 1_000 == 11).then(3_600_000_000).otherwise(0)
    )  # a clock that is an hour ahead
    received = (pl.col("at") + delay - skew).cast(INSTANT)
    payload = pl.format(
        '{{"customerId":"{}","metricName":"{}","quantity":{},"idempotencyKey":"{}","user_id":"u{}","status":{}}}',
        "customer_id", "unit", "size", key, pl.col("m") % 97, 200 + 100 * (pl.col("m") % 5),
    )  # fmt: skip
    return [
        pl.lit(TENANT).alias("tenant_id"),
        received.alias("received_at"),
        pl.lit("ingest").alias("source"),
        pl.lit("key_bench").alias("key_id"),
        received.dt.strftime("%Y-%m-%d").alias("received_day"),
        pl.col("size").cast(QUANTITY).alias("quantity"),
        pl.col("at").cast(INSTANT).alias("occurred_at"),
        key.alias("idempotency_key"),
        key.hash(seed=7).reinterpret(signed=True).alias("key_hash"),
        (pl.col("k") * 11 + 5).alias("payload_hash"),
        pl.lit(False).alias("correction"),
        *(pl.lit(None).alias(name) for name in _EMPTY),
        payload.alias("payload"),
    ]


def _verdicts() -> list[pl.Expr]:
    refused = pl.col("k") % 50 == 3
    code = (
        pl.when(pl.col("k") % 100 == 3).then(pl.lit("UNKNOWN_METRIC")).otherwise(pl.lit("NEGATIVE_QUANTITY"))
    )
    return [
        pl.when(refused).then(pl.lit("REJECTED")).otherwise(pl.lit("ACCEPTED")).alias("door"),
        pl.when(refused).then(code).alias("reject_code"),
        pl.when(refused).then(pl.lit("made up")).alias("reject_detail"),
    ]


def write_raw(folder: Path, events: int, customers: int) -> list[Path]:
    """Raw events as Parquet files of at most two million rows, made once per size."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for first in range(1, events + 1, 2_000_000):
        size = min(2_000_000, events + 1 - first)
        file = folder / f"raw-{events}-{customers}-{first}.parquet"
        if not file.exists():
            raw_events(size, customers, first=first).write_parquet(file)
        files.append(file)
    return files
