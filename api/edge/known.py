"""What the edge knows of keys, units and rights. Put here: reading hot state through a small cache. Keep out: rules.

Keys are read again after `fresh_for` seconds. A tenant's units and rights stay until its version changes, and the
version is looked at every `fresh_for` seconds; what is in use is looked at twice as often, while requests go on with what is known, so
that in the steady state nobody waits for a round trip. Keys that do not exist are not cached: guessing them must not crowd out real ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.edge.entitled import Entitled
from domain.access import CustomerRights, KeyRecord, UnitRecord
from domain.counters import Counting
from domain.errors import TransientFailure
from domain.limits import Limit, NotALimit, read_limit
from storage import access_state, hot_state
from storage.redis_line import Line, Pooled

_MOST_KEYS = 50_000
_MOST_CUSTOMERS = 50_000


class HotStateMissing(TransientFailure):
    """Nothing was published, or Redis was lost. Saying "no such key" now would make clients drop their events."""

    code = "HOT_STATE_MISSING"


@dataclass(slots=True)
class TenantView:
    """One tenant's units and, as far as they were asked for, rights; None: no such customer."""

    tenant_id: str
    version: int
    checked_at: float
    units: dict[str, UnitRecord]
    limits: dict[str, Limit | None]
    rights: dict[str, CustomerRights | None] = field(default_factory=dict)
    counting: Counting = field(default_factory=Counting)
    _entitled: dict[str, Entitled] = field(default_factory=dict)

    def entitled(self, customer: str, now: int) -> Entitled | None:
        """What a customer may use at `now`; None: the customer is not known, or was not asked for."""
        held = self._entitled.get(customer)
        if held is not None and now < held.until:
            return held
        rights = self.rights.get(customer)
        if rights is None:
            return None
        held = self._entitled[customer] = Entitled(rights, self.units, now)
        return held

    def forget(self) -> None:
        """Whose rights were asked for so far."""
        self.rights = {}
        self._entitled = {}
        self.counting = Counting()


class Known:
    """Hot state as this process knows it."""

    def __init__(self, redis: Redis, line: Line | Pooled, *, fresh_for: float = 0.5) -> None:
        self._redis = redis
        self._line = line
        self._fresh_for = fresh_for
        self._keys: dict[str, tuple[float, KeyRecord]] = {}
        self._tenants: dict[str, TenantView] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def key(self, secret: str) -> KeyRecord | None:
        """The live key with this secret, None if there is none. Raises HotStateMissing."""
        sha = sha256(secret.encode()).hexdigest()
        return self.key_at_once(sha) or await self._read_key(sha)

    def key_at_once(self, sha: str) -> KeyRecord | None:
        """The key whose secret has this hash, the same object while its record stays as it is; None: it has to be read."""
        cached = self._keys.get(sha)
        now = time.monotonic()
        if cached is None or now >= cached[0]:
            return None
        if now > cached[0] - self._fresh_for / 2:
            self._ahead(sha, self._read_key)
        return cached[1]

    async def _read_key(self, sha: str) -> KeyRecord | None:
        now = time.monotonic()
        found = await self._line.call("GET", hot_state.key_key(sha))
        if found is None:
            await self._fail_if_lost()
            # It may all have been published between the two questions; what is missing after that does not exist.
            found = await self._line.call("GET", hot_state.key_key(sha))
        if found is None:
            self._keys.pop(sha, None)
            return None
        record = hot_state.decode_key(cast(bytes, found))
        before = self._keys.get(sha)
        if before is not None and before[1] == record:
            record = before[1]
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._keys[sha] = (now + self._fresh_for, record)
        return record

    async def tenant(self, tenant_id: str) -> TenantView:
        """The tenant's units and known rights, at most `fresh_for` seconds old. Raises HotStateMissing."""
        return self.tenant_at_once(tenant_id) or await self._read_tenant(tenant_id)

    def tenant_at_once(self, tenant_id: str) -> TenantView | None:
        """The tenant, the same object while its version stays; None: it has to be read."""
        view = self._tenants.get(tenant_id)
        now = time.monotonic()
        if view is None or now >= view.checked_at + self._fresh_for:
            return None
        if now > view.checked_at + self._fresh_for / 2:
            self._ahead(tenant_id, self._read_tenant)
        return view

    async def _read_tenant(self, tenant_id: str) -> TenantView:
        view = self._tenants.get(tenant_id)
        now = time.monotonic()
        # The version is read first: a publish in between makes the units newer than it says, never older.
        found = await self._line.call("GET", hot_state.version_key(tenant_id))
        if found is None:
            raise HotStateMissing(
                f"The rights of tenant {tenant_id} are not published at the moment; try again."
            )
        version = int(found)
        if view is not None and view.version == version:
            view.checked_at = now
            return view
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(hot_state.units_key(tenant_id))
        pipeline.hgetall(access_state.limits_key(tenant_id))
        units, limits = await pipeline.execute()
        view = TenantView(tenant_id, version, now, hot_state.decode_units(units), _limits(limits))
        self._tenants[tenant_id] = view
        return view

    def key_as_last_known(self, secret: str, within: float) -> KeyRecord | None:
        """The key as Redis last told it, not more than `within` seconds ago; None: not known."""
        cached = self._keys.get(sha256(secret.encode()).hexdigest())
        if cached is None or time.monotonic() > cached[0] + within:
            return None
        return cached[1]

    def tenant_as_last_known(self, tenant_id: str, within: float) -> TenantView | None:
        """The tenant as Redis last told it, not more than `within` seconds ago; None: not known."""
        view = self._tenants.get(tenant_id)
        return None if view is None or time.monotonic() > view.checked_at + within else view

    async def rights(self, view: TenantView, customers: Iterable[str]) -> dict[str, CustomerRights | None]:
        """The rights of these customers (others may be in the answer too); one round trip for those not yet known."""
        wanted = set(customers)
        while missing := [customer for customer in wanted if customer not in view.rights]:
            if len(view.rights) + len(missing) > _MOST_CUSTOMERS:
                view.forget()
                missing = list(wanted)
            key = hot_state.rights_key(view.tenant_id)
            found: Any = await cast(Any, self._redis.hmget(key, missing))
            for customer, record in zip(missing, found, strict=True):
                view.rights[customer] = None if record is None else hot_state.decode_customer(record)
        return view.rights

    def _ahead(self, name: str, read: Callable[[str], Coroutine[Any, Any, Any]]) -> None:
        """Read it again before its time is over, once. Who needs it when it is over finds out what went wrong."""
        if name in self._reading:
            return
        self._reading[name] = task = asyncio.create_task(self._read(name, read))
        task.add_done_callback(lambda _: self._reading.pop(name, None))

    async def _read(self, name: str, read: Callable[[str], Coroutine[Any, Any, Any]]) -> None:
        with suppress(RedisError, OSError, TransientFailure):
            await read(name)

    async def _fail_if_lost(self) -> None:
        if not await self._redis.exists(hot_state.PUBLISHED):
            raise HotStateMissing("The rights of all tenants are not published at the moment; try again.")


def _limits(found: dict[bytes, bytes]) -> dict[str, Limit | None]:
    """Limits that cannot be read are passed by: the usual ones hold then."""
    limits: dict[str, Limit | None] = {}
    for name, text in found.items():
        with suppress(NotALimit):
            limits[name.decode()] = read_limit(text.decode())
    return limits
