"""From the event log into raw_events, exactly once. Put here: reading the log and committing it. Keep out: the gates.

Rows and the last log position of every tenant land in one Delta commit; only then is the log trimmed. A crash before the
commit leaves the log as it was; a crash after it leaves entries that the next drain recognises by position and trims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl
from redis import Redis

from domain.errors import PermanentFailure
from storage import event_log
from storage.checking import UNCHECKED, Checking
from storage.event_log import LogEntry
from storage.lake import Cursor, Lake
from storage.regions import Region
from transforms.frames import INSTANT, RAW_EVENTS

EVENTS = 500_000
BYTES = 256 * 1024 * 1024
FIRST_PAGE, LARGEST_PAGE, PAGE_BYTES = 8, 4_000, 16 * 1024 * 1024
_VERDICTS = {"A": "ACCEPTED", "D": "DUPLICATE", "C": "CONFLICT", "X": "REJECTED"}
_NAMES = {
    "c": "customer_id", "u": "unit", "q": "quantity", "t": "occurred_at", "k": "idempotency_key", "h": "key_hash",
    "p": "payload_hash", "n": "correction", "x": "reject_code", "d": "reject_detail", "f": "backfill", "j": "payload",
    "a": "act", "o": "corrects", "r": "origin_received_at", "m": "mac",
}  # fmt: skip
_RECORD = {
    "c": pl.String, "u": pl.String, "q": pl.String, "t": pl.Int64, "k": pl.String, "h": pl.Int64, "p": pl.Int64,
    "n": pl.Boolean, "x": pl.String, "d": pl.String, "f": pl.String, "j": pl.String,
    "a": pl.String, "o": pl.String, "r": pl.Int64, "m": pl.String,
}  # fmt: skip


class BrokenEntry(PermanentFailure):
    """An entry of the log is not what the edge writes."""

    code = "BROKEN_ENTRY"

    def __init__(self, tenant: str, entry: LogEntry, records: int) -> None:
        super().__init__(
            f"log of tenant {tenant}, entry {entry.id}: has {len(entry.verdicts)} verdicts and {records} records, where each "
            "event needs one of both; nothing was drained, look at the entry before removing it"
        )


@dataclass
class Drained:
    """What a drain did: events by door verdict, and the raw positions they got."""

    verdicts: dict[str, int] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    @property
    def events(self) -> int:
        return sum(self.verdicts.values())

    def add(self, later: Drained) -> None:
        """What was drained after this."""
        for verdict, count in later.verdicts.items():
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + count
        self.first, self.last = self.first or later.first, later.last or self.last


def drain(redis: Redis, lake: Lake, *, events: int = EVENTS, checking: Checking = UNCHECKED) -> Drained:
    """Move everything in the log at the time of the call into raw_events; memory is bounded by `events` and `BYTES` a commit.

    What arrives meanwhile is left to the next drain, so that one busy tenant cannot keep the others waiting. Raises
    `storage.lake.LostRace` where another drain was faster: nothing is doubled, drain again. checking: whose MACs are good; events that
    are not what a door wrote land as refused.
    """
    cursor = lake.cursor("raw_events")
    done = Drained()
    for tenant in sorted(event_log.tenants(redis)):
        _drain_tenant(redis, cursor, tenant, done, events=events, checking=checking)
    return done


def drain_regions(
    redis: Redis,
    others: Sequence[Region],
    lake: Lake,
    *,
    events: int = EVENTS,
    checking: Checking = UNCHECKED,
) -> Drained:
    """`drain` of every region's log, one after the other; each has its own position in the table. Other regions that do not answer are
    passed by, and their events wait where they are; without this one (`redis`) the others are still drained, then its error is raised."""
    done = Drained()
    for region in others:
        region.does(lambda log: done.add(drain(log, lake, events=events, checking=checking)))
    done.add(drain(redis, lake, events=events, checking=checking))
    return done


def _drain_tenant(
    redis: Redis, cursor: Cursor, tenant: str, done: Drained, *, events: int, checking: Checking
) -> None:
    app = f"log:{tenant}:{event_log.incarnation(redis, tenant)}"
    until = _newest(redis, tenant)
    after = cursor.marker(app) or 0
    event_log.trim(redis, tenant, event_log.entry_id(after))
    while after < until:
        batch = _read(redis, tenant, after, until, events=events)
        if not batch:
            return
        after = batch[-1].position
        first = (cursor.marker("raw_seq") or 0) + 1
        _commit(cursor, app, after, to_raw(tenant, checking.checked(tenant, batch), first=first), done)
        event_log.trim(redis, tenant, batch[-1].id)


def _commit(cursor: Cursor, app: str, position: int, frame: pl.DataFrame, done: Drained) -> None:
    seen = cursor.marker("raw_seq") or 0
    cursor.append(frame, markers={app: position, "raw_seq": seen + frame.height})
    for verdict, count in frame["door"].value_counts().iter_rows():
        done.verdicts[verdict] = done.verdicts.get(verdict, 0) + count
    if frame.height:
        done.first, done.last = done.first or seen + 1, seen + frame.height


def _newest(redis: Redis, tenant: str) -> int:
    """Position of the newest entry; 0 without entries."""
    newest: Any = redis.xrevrange(event_log.log_key(tenant), count=1)
    return event_log.position_of(newest[0][0].decode()) if newest else 0


def _read(redis: Redis, tenant: str, after: int, until: int, *, events: int) -> list[LogEntry]:
    """Whole entries after one position and up to another, until they hold `events` events or `BYTES`. Pages shrink
    where entries are large, so that a log of large requests takes no more memory than one of small ones."""
    batch: list[LogEntry] = []
    held = size = 0
    page_size = FIRST_PAGE
    while held < events and size < BYTES and after < until:
        page = event_log.read(redis, tenant, event_log.entry_id(after), page_size)
        wanted = [entry for entry in page if entry.position <= until]
        if not wanted:
            break
        batch += wanted
        page_bytes = sum(len(entry.body) for entry in wanted)
        held += sum(len(entry.verdicts) for entry in wanted)
        size += page_bytes
        page_size = max(1, min(LARGEST_PAGE, PAGE_BYTES * len(wanted) // max(page_bytes, 1)))
        after = wanted[-1].position
    return batch


def to_raw(tenant: str, entries: list[LogEntry], *, first: int) -> pl.DataFrame:
    """RAW_EVENTS rows of a tenant's log entries; the first gets `raw_seq` `first`. Entries without events give no rows."""
    entries = [entry for entry in entries if entry.verdicts]
    if not entries:
        return RAW_EVENTS.empty()
    for entry in entries:
        if (records := entry.body.count(b"\n") + 1) != len(entry.verdicts):
            raise BrokenEntry(tenant, entry, records)
    stamps = pl.DataFrame(
        {
            "received_at": [entry.received_at_us for entry in entries],
            "source": [entry.source for entry in entries],
            "key_id": [entry.key_id for entry in entries],
            "door": [list(entry.verdicts) for entry in entries],
            "trace_id": [entry.trace_id for entry in entries],
        },
        schema_overrides={"trace_id": pl.String},
    )
    received = pl.col("received_at").cast(INSTANT)
    stamps = stamps.with_columns(received, received.dt.strftime("%Y-%m-%d").alias("received_day")).explode(
        "door"
    )
    told = pl.read_ndjson(b"\n".join(entry.body for entry in entries), schema=_RECORD)
    return RAW_EVENTS.conform(
        pl.concat([stamps, told], how="horizontal")
        .rename(_NAMES)
        .with_columns(
            pl.int_range(first, first + told.height, dtype=pl.Int64).alias("raw_seq"),
            pl.lit(tenant).alias("tenant_id"),
            pl.col("door").replace_strict(_VERDICTS),
            pl.col("correction").fill_null(False),
        )
    )


def backlog(redis: Redis, others: Sequence[Region] = ()) -> tuple[int, datetime | None]:
    """(entries waiting in the logs, time of receipt of the oldest), as far as the other regions answer."""
    found = []
    for region in others:
        region.does(lambda log: found.append(_backlog(log)))
    found.append(_backlog(redis))
    moments = [oldest for _, oldest in found if oldest is not None]
    return sum(waiting for waiting, _ in found), min(moments, default=None)


def _backlog(redis: Redis) -> tuple[int, datetime | None]:
    waiting, oldest = 0, None
    for tenant in event_log.tenants(redis):
        waiting += event_log.pending(redis, tenant)
        for entry in event_log.read(redis, tenant, "0-0", 1):
            stamp = datetime.fromtimestamp(entry.received_at_us / 1e6, UTC)
            oldest = min(oldest or stamp, stamp)
    return waiting, oldest
