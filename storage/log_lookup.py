"""One event in the log, by its key. Put here: looking through the newest entries, within bounds. Keep out: the lake (events_found.py),
HTTP. The edge imports this, so nothing heavy may.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from domain.usage import IDEMPOTENCY_CONFLICT, key_digest
from storage.event_log import ACCEPTED, CONFLICT, DUPLICATE, LogRecord, log_key

SEARCHED_BYTES = 32 * 1024 * 1024
SEARCHED_SECONDS = 0.4
"""Bounds of one search. What lies further back is drained soon, and the door's memory of keys says that it is there."""

_PAGE_BYTES = 1024 * 1024
_FIRST_PAGE, _LARGEST_PAGE = 4, 2_000
_OUTCOMES = {ACCEPTED: "ACCEPTED", DUPLICATE: "DUPLICATE", CONFLICT: IDEMPOTENCY_CONFLICT}
_decode = msgspec.json.Decoder(LogRecord).decode


@dataclass(frozen=True, slots=True)
class Waiting:
    """One arrival under the key that is still in the log. outcome: ACCEPTED, DUPLICATE, or the code it is refused with.
    received_at: epoch microseconds."""

    outcome: str
    received_at: int
    source: str
    key_id: str
    record: LogRecord


@dataclass(frozen=True, slots=True)
class InLog:
    """What the door knows of a key. seen: it accepted an event with it within the last days. waiting: arrivals that are not
    drained, in order. whole: the log was searched to its end."""

    seen: bool
    waiting: tuple[Waiting, ...]
    whole: bool


async def look_up(
    redis: Redis,
    tenant_id: str,
    key: str,
    *,
    most_bytes: int = SEARCHED_BYTES,
    seconds: float = SEARCHED_SECONDS,
) -> InLog:
    """What the log and the door's memory say of an idempotency key. Raises Redis' errors."""
    seen = await redis.exists(f"seen:{{{tenant_id}}}:{key_digest(tenant_id, key).hex()}")
    needle = b'"k":' + msgspec.json.encode(key)
    until, left, before, page_size = time.monotonic() + seconds, most_bytes, "+", _FIRST_PAGE
    found: list[Waiting] = []
    while left > 0 and time.monotonic() < until:
        page: Any = await redis.xrevrange(log_key(tenant_id), max=before, count=page_size)
        if not page:
            return InLog(bool(seen), tuple(reversed(found)), True)
        size = 0
        for _, fields in page:
            size += len(fields[b"b"])
            if needle in fields[b"b"]:
                found += reversed(_arrivals(fields, key, needle))
        before, left = f"({page[-1][0].decode()}", left - size
        page_size = max(1, min(_LARGEST_PAGE, _PAGE_BYTES * len(page) // max(size, 1)))
        await asyncio.sleep(0)  # others go first
    return InLog(bool(seen), tuple(reversed(found)), False)


def _arrivals(fields: dict[bytes, bytes], key: str, needle: bytes) -> list[Waiting]:
    verdicts = fields[b"v"].decode()
    received_at, source, key_id = int(fields[b"r"]), fields[b"s"].decode(), fields[b"i"].decode()
    found = []
    for verdict, line in zip(verdicts, fields[b"b"].split(b"\n"), strict=False):
        if needle not in line:
            continue
        record = _decode(line)
        if record.k == key:  # and not a field of the event as sent that looks like one
            outcome = _OUTCOMES.get(verdict) or record.x or "REJECTED"
            found.append(Waiting(outcome, received_at, source, key_id, record))
    return found
