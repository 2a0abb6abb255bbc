"""MACs of events in the lake. Put here: reading them, and checking them against the rows they came with. Keep out: making them
(event_macs.py), the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from domain.quantity import plain
from storage.event_log import LogRecord, line_of
from storage.event_macs import EventKeys, Origin
from storage.lake import Lake
from storage.scope import Scope

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def macs_of(lake: Lake, tenant_id: str, raw_seqs: pl.Series) -> pl.DataFrame:
    """The tenant's raw events at these positions, in full."""
    if raw_seqs.is_empty():
        return lake.scan("raw_events").head(0).collect()
    place = pl.col("raw_seq")
    wanted = (place >= raw_seqs.min(), place <= raw_seqs.max(), place.is_in(raw_seqs.unique().implode()))
    return lake.scan("raw_events", Scope(tenants=(tenant_id,))).filter(*wanted).collect()


def misfits(raw: pl.DataFrame, keys: EventKeys) -> list[int]:
    """Positions of those whose MAC is not that of what the row says. Without a MAC, or without any keys, nothing is claimed."""
    if not keys:
        return []
    signed = raw.filter(pl.col("mac").is_not_null()).sort("raw_seq")
    return [row["raw_seq"] for row in signed.iter_rows(named=True) if not _fits(row, keys)]


def _fits(row: dict[str, Any], keys: EventKeys) -> bool:
    origin = Origin(row["tenant_id"], _micros(row["received_at"]), row["source"], row["key_id"])
    return keys.fits(origin, record_line(row), row["mac"])


def record_line(row: dict[str, Any]) -> bytes:
    """The line of the log that a row of raw_events was made of, without its MAC."""
    return line_of(_record(row))


def _record(row: dict[str, Any]) -> LogRecord:
    quantity, occurred_at, origin = row["quantity"], row["occurred_at"], row["origin_received_at"]
    return LogRecord(
        c=row["customer_id"],
        u=row["unit"],
        q=None if quantity is None else plain(quantity),
        t=None if occurred_at is None else _micros(occurred_at),
        k=row["idempotency_key"],
        h=row["key_hash"],
        p=row["payload_hash"],
        n=row["correction"],
        x=row["reject_code"],
        d=row["reject_detail"],
        f=row["backfill"],
        j=row["payload"],
        a=row["act"],
        o=row["corrects"],
        r=None if origin is None else _micros(origin),
    )


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
