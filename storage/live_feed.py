"""Events as they come, for whoever looks on. Put here: the short, capped stream behind it in Redis, and who looks on. Keep out: the log
(event_log.py): nothing here is the truth, and nothing is billed from it.

    live-listening      tenants somebody listens to, until when (epoch seconds)
    live:{tenant}       the latest events, at most `KEPT`; gone some minutes after the last one

The doors write only while somebody listens, so that it costs them nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

KEPT = 2_000
LISTENING = "live-listening"
_KEPT_SECONDS = 600
START = "0-0"


def live_key(tenant_id: str) -> str:
    return f"live:{{{tenant_id}}}"


async def listen(redis: Redis, tenant_id: str, until: float) -> None:
    """Somebody listens to this tenant; the doors know within half a second. until: epoch seconds."""
    await redis.zadd(LISTENING, {tenant_id: until})


async def listened_to(redis: Redis, now: float) -> frozenset[str]:
    """The tenants somebody listens to. now: epoch seconds."""
    found: Any = await redis.zrangebyscore(LISTENING, now, "+inf")
    return frozenset(each.decode() for each in found)


async def publish(redis: Redis, told: Mapping[str, Sequence[bytes]]) -> None:
    """Add events to the streams of their tenants, in order."""
    pipeline = redis.pipeline(transaction=False)
    for tenant_id, events in told.items():
        for event in events:
            pipeline.xadd(live_key(tenant_id), {"e": event}, maxlen=KEPT, approximate=False)
        pipeline.expire(live_key(tenant_id), _KEPT_SECONDS)
    await pipeline.execute()


async def newest(redis: Redis, tenant_id: str) -> str:
    """The id of the latest event; `START` without any."""
    found: Any = await redis.xrevrange(live_key(tenant_id), count=1)
    return found[0][0].decode() if found else START


async def after(redis: Redis, tenant_id: str, last: str, count: int) -> tuple[bool, list[tuple[str, bytes]]]:
    """Up to `count` (id, event) after the one with the id `last`, and whether some between them are gone by now."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.xrange(live_key(tenant_id), count=1)
    pipeline.xrange(live_key(tenant_id), min=f"({last}", count=count)
    oldest, found = await pipeline.execute()
    gap = bool(oldest) and last != START and _number(oldest[0][0].decode()) > _number(last)
    return gap, [(entry_id.decode(), fields[b"e"]) for entry_id, fields in found]


def is_id(text: str) -> bool:
    """Whether this may be the id of an event of a stream."""
    millis, _, sequence = text.partition("-")
    return len(text) <= 40 and all(each.isascii() and each.isdecimal() for each in (millis, sequence))


def _number(entry_id: str) -> tuple[int, int]:
    millis, _, sequence = entry_id.partition("-")
    return int(millis), int(sequence)
