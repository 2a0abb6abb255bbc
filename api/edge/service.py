"""The edge's connection to the log and to hot state. Put here: what all its routes share. Keep out: routes, gates."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from api.edge.known import Known, TenantView
from api.edge.live import Live
from api.edge.settings import EdgeSettings
from api.edge.snapshot import Snapshot
from api.edge.spooling import Spooling
from api.edge.tokens import Tokens
from api.edge.traces import traces_of
from api.meters import Meters, now
from api.patience import Patience
from domain.access import KeyRecord, SubscriptionRights
from domain.limits import Limit, read_limit
from storage import event_log
from storage.connections import close_async, connect_async
from storage.event_macs import EventKey, event_keys
from storage.nearby import Nearby
from storage.redis_line import line_to
from storage.together import Together

_DURABILITY_SECONDS = 10.0


def _subscriptions(key: KeyRecord, view: TenantView) -> tuple[SubscriptionRights, ...]:
    rights = view.rights.get(key.customer_id) if key.customer_id else None
    return rights.subscriptions if rights else ()


def _of_plans(
    subscriptions: Iterable[SubscriptionRights],
    own: Mapping[str, Limit | None],
    door: str,
    usual: Limit | None,
) -> Limit | None:
    """What the plans say, the most generous of several; in the door's mode, for a plan says how many and not how strictly."""
    found = []
    for subscription in subscriptions:
        name = f"plan/{subscription.plan}/{door}"
        if name in own:
            found.append(own[name])
        elif subscription.rate_limit is not None and usual is not None:
            found.append(_written_limit(subscription.rate_limit, usual.hard))
    if not found:
        return usual
    limited = [limit for limit in found if limit is not None]
    return max(limited, key=lambda each: each.ceiling / each.window) if len(limited) == len(found) else None


@lru_cache(maxsize=10_000)
def _written_limit(text: str, hard: bool) -> Limit | None:
    limit = read_limit(text)
    return None if limit is None else limit._replace(hard=hard)


class EdgeService:
    """One process' Redis client, cache, and knowledge of whether the log may be trusted."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self.redis = connect_async(settings.redis_url)
        # Asking must not stand behind the bytes of a large batch.
        self.asks, self.appends = (line_to(settings.redis_url, self.redis) for _ in range(2))
        self.together = Together(self.asks)
        self.known = Known(self.redis, self.asks, fresh_for=settings.fresh_seconds)
        self.tokens = Tokens(self.redis, settings.token_issuer, fresh_for=settings.fresh_seconds)
        self.snapshot = Snapshot()
        self.nearby = Nearby(
            self.asks,
            self.together,
            fresh_for=settings.fresh_seconds,
            found=self.snapshot.keep,
            follow=settings.access_memory,
        )
        self.access_patience = Patience(settings.access_seconds)
        self.body_patience = Patience(settings.body_seconds)
        self.meters = Meters()
        self.live = Live(self.redis)
        self.traces = traces_of(settings.trace_share, settings.otlp_endpoint)
        self.closing: list[Callable[[], Awaitable[None]]] = []
        if self.traces is not None:
            self.meters.followed = self.traces.followed
            self.closing.append(self.traces.close)
        self.spooling = Spooling(self) if settings.spool else None
        self.salt = secrets.token_hex(8)
        self.signing_key = self._signing_key()
        self._announced: set[str] = set()
        self._wait = False
        self._durable_until = 0.0
        self._last_stamp = 0

    def stamp(self) -> int:
        """Now in epoch microseconds, once for each request; strictly rising within this process."""
        self._last_stamp = max(time.time_ns() // 1000, self._last_stamp + 1)
        return self._last_stamp

    async def append(self, request: event_log.Request) -> event_log.Receipt:
        """Into the log and onto disk, here if need be. Raises LogNotDurable, SpoolFull and Redis' errors, and then nothing was
        promised."""
        if self.spooling is not None:
            return await self.spooling.append(request, self._append)
        return await self._append(request)

    async def append_packed(self, tenant_id: str, records: Iterable[bytes]) -> None:
        """What waited on disk, in order, into the log. Raises like `append`."""
        for record in records:
            await self._announce(tenant_id)
            receipt = await event_log.append_packed_async(self.redis, record, wait=self._wait)
            if receipt.created:
                await event_log.announce_async(self.redis, tenant_id)

    async def _announce(self, tenant_id: str) -> None:
        if tenant_id not in self._announced:
            await event_log.announce_async(self.redis, tenant_id)
            self._announced.add(tenant_id)

    async def _append(self, request: event_log.Request) -> event_log.Receipt:
        entered = now()
        await self.check_durable()
        await self._announce(request.tenant_id)
        began = now()
        receipt = await event_log.append_async(
            self.redis if self._wait else self.appends,
            request,
            remember=self.settings.remember_seconds,
            wait=self._wait,
        )
        self.meters.round_trip("append", began)
        self.nearby.forget(request.tenant_id, (bump.customer_id for moved in request.bumps for bump in moved))
        if self.traces is not None:
            self.traces.followed("log append", now() - entered)
        if receipt.created:
            # Redis may have been lost and with it the list of tenants; without it the drain would pass this log by.
            await event_log.announce_async(self.redis, request.tenant_id)
        return receipt

    async def check_durable(self, *, now: bool = False) -> None:
        """Raise LogNotDurable unless Redis syncs before it replies; looked at every few seconds, or `now`."""
        if now or time.monotonic() >= self._durable_until:
            self._wait = await event_log.assert_durable_async(self.redis)
            self._durable_until = time.monotonic() + _DURABILITY_SECONDS
            self.signing_key = self._signing_key()  # it may have been rotated

    def _signing_key(self) -> EventKey | None:
        settings = self.settings
        return event_keys(Path(settings.home), make=True).current if settings.sign_events else None

    def limits(self, key: KeyRecord, view: TenantView, door: str) -> list[tuple[str, Limit]]:
        """The windows a request with this key counts in at a door: the key's own, and one of the tenant if it has a limit."""
        tag = f"{{{key.tenant_id}}}"
        own = view.limits
        mine = own.get(door, self.settings.limits.get(door))
        if key.customer_id is not None:
            mine = _of_plans(_subscriptions(key, view), own, door, mine)
        mine = own.get(f"key/{key.key_id}/{door}", mine)
        found = [] if mine is None else [(f"{tag}:key:{key.key_id}:{door}", mine)]
        of_all = own.get(f"tenant/{door}")
        return found if of_all is None else [*found, (f"{tag}:tenant:{door}", of_all)]

    async def close(self) -> None:
        if self.spooling is not None:
            await self.spooling.close()
        for close in self.closing:
            await close()
        await self.nearby.close()
        await self.asks.close()
        await self.appends.close()
        await close_async(self.redis)
