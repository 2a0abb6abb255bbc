"""What this process has to tell those who look on. Put here: events on their way into the live stream, who listens. Keep out: following
it (live_routes.py), the stream in Redis (storage.live_feed)."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.problems import Problem
from domain.instant import iso
from domain.quantity import plain
from domain.usage import IDEMPOTENCY_CONFLICT, UsageEvent
from storage import live_feed
from storage.event_log import ACCEPTED, CONFLICT, DUPLICATE

LOOK_SECONDS, TELL_SECONDS = 0.5, 0.1
_PENDING = 1_000
_MOST_OF_TENANT, _MOST = 20, 200
_NAMES = {ACCEPTED: "accepted", DUPLICATE: "duplicate"}


class Live:
    """One process' part in it: what it has to tell, and how many listen here."""

    def __init__(self, redis: Redis) -> None:
        self.wanted: frozenset[str] = frozenset()
        self.is_leaving = False
        self._redis = redis
        self._pending: dict[str, deque[bytes]] = defaultdict(lambda: deque(maxlen=_PENDING))
        self._skipped: dict[str, int] = defaultdict(int)
        self._listeners: dict[str, set[asyncio.Event]] = defaultdict(set)

    def tell(
        self, tenant_id: str, source: str, received_at: int, events: Sequence[UsageEvent], verdicts: str
    ) -> None:
        """Events that just came; call it for tenants in `wanted`. More than are told in time are skipped, and that is said."""
        pending = self._pending[tenant_id]
        self._skipped[tenant_id] += max(0, len(pending) + len(verdicts) - _PENDING)
        for event, verdict in list(zip(events, verdicts, strict=False))[-_PENDING:]:
            pending.append(msgspec.json.encode(_told(event, verdict, source, received_at)))

    async def run(self) -> None:
        """Until cancelled: look who listens, and pass on what there is to tell. Redis being away ends nothing."""
        looked = 0.0
        while True:
            with suppress(RedisError, OSError):
                if time.monotonic() >= looked + LOOK_SECONDS:
                    looked = time.monotonic()
                    self.wanted = await live_feed.listened_to(self._redis, time.time())
                if self._pending:
                    pending, self._pending = self._pending, defaultdict(lambda: deque(maxlen=_PENDING))
                    skipped, self._skipped = self._skipped, defaultdict(int)
                    told = {tenant: [*events, *_rest(skipped[tenant])] for tenant, events in pending.items()}
                    await live_feed.publish(self._redis, told)
            await asyncio.sleep(TELL_SECONDS if self.wanted else LOOK_SECONDS)

    def enter(self, tenant_id: str) -> asyncio.Event:
        """One more listens here; what is given back is set when it is to stop. Raises Problem 429."""
        if len(self._listeners[tenant_id]) >= _MOST_OF_TENANT or self.listeners >= _MOST:
            raise Problem(
                429,
                "Too many live streams are open; close one, or try again later.",
                code="TOO_MANY_STREAMS",
                headers={"Retry-After": "10"},
                extra={"retryAfter": 10},
            )
        ended = asyncio.Event()
        self._listeners[tenant_id].add(ended)
        return ended

    def leave(self, tenant_id: str, ended: asyncio.Event) -> None:
        self._listeners[tenant_id].discard(ended)
        if not self._listeners[tenant_id]:
            del self._listeners[tenant_id]

    def close(self) -> None:
        """This process is about to end: so are the streams."""
        self.is_leaving = True
        for several in self._listeners.values():
            for ended in several:
                ended.set()

    @property
    def listeners(self) -> int:
        return sum(map(len, self._listeners.values()))


def _rest(skipped: int) -> list[bytes]:
    return [msgspec.json.encode({"skipped": skipped})] if skipped else []


def _told(event: UsageEvent, verdict: str, source: str, received_at: int) -> dict[str, Any]:
    refusal = event.refusals[0] if event.refusals else None
    code = IDEMPOTENCY_CONFLICT if verdict == CONFLICT else refusal.code if refusal else None
    return {
        "outcome": _NAMES.get(verdict, "refused"),
        "code": code,
        "detail": refusal.detail if refusal else None,
        "idempotencyKey": event.idempotency_key,
        "customerId": event.customer_id,
        "metricName": event.unit,
        "quantity": None if event.quantity is None else plain(event.quantity),
        "occurredAt": None if event.occurred_at is None else iso(event.occurred_at),
        "receivedAt": iso(received_at),
        "source": source,
    }
