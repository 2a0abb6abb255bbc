"""What was found of counters, kept in the process while nobody changes it. Put here: knowing whether it still holds, answering from it.
Keep out: what is asked (access_state.py), how many requests may be made (permits.py), the decision.

Redis tells of each change of keys of these kinds, on the connection that asks (`CLIENT TRACKING`, broadcasting), so what was read and
not spoken of since is what Redis would answer. A connection keeps its order: the answer to anything sent at a moment proves that all
changes up to that moment were told. What was not proven for `fresh_for` seconds is asked. Where Redis does not tell, as in a cluster,
everything is asked each time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from domain.limits import Counted
from storage.access_state import Answers, Found, Question
from storage.permits import Limits, Permits
from storage.redis_line import Line, Pooled
from storage.together import Together

_MOST = 50_000
_PROOFS = 4
"""So often within `fresh_for` is it proven, while there are questions."""
_AT_ONCE, _IN_A_CALL = 256, 32
"""Customers that are asked about again when they changed, before somebody waits for it; a batch may change more."""
_PAUSE = 0.002
"""Seconds until then: who changed them is answered first, and what changes together is asked for together."""
_WORTH = 4
"""Changes after which nobody is asked about again, unless somebody wanted to know meanwhile."""


class Entry:
    """One customer. found: None while it is being asked. fields: the counters that were found. worth: how often it is asked for again
    when it changes, if nobody wants to know meanwhile."""

    __slots__ = ("customer", "fields", "found", "name", "tenant_id", "worth")

    def __init__(self, name: bytes, tenant_id: str, customer: str) -> None:
        self.name = name
        self.tenant_id = tenant_id
        self.customer = customer
        self.found: Found | None = None
        self.fields: tuple[str, ...] = ()
        self.worth = 0

    def keep(self, found: Found) -> None:
        before = self.found
        self.found = found if before is None else Found({**before.counted, **found.counted}, {}, found.margin)
        self.fields = tuple(self.found.counted)


class Nearby:
    """Answers questions as `Together` does, without asking where it need not. From one event loop only.

    fresh_for: seconds for which counters hold while Redis says nothing at all. found: is told of all that was found. follow: otherwise
    everything is asked."""

    kinds: tuple[bytes, ...] = (b"usage:", b"held:", b"margin:")

    def __init__(
        self,
        line: Line | Pooled,
        together: Together,
        *,
        fresh_for: float,
        found: Callable[[str, str, Found], None],
        follow: bool = True,
    ) -> None:
        self._line = line
        self._together = together
        self._fresh_for = fresh_for
        self._prove_after = fresh_for / _PROOFS
        self._tell = found
        self._entries: dict[bytes, Entry] = {}
        self._permits = Permits()
        self._now: Callable[[], float] = time.monotonic
        self._is_told = False
        self._is_proving = False
        self._changed: list[Entry] = []
        self._tasks: set[asyncio.Task[None]] = set()
        if follow and isinstance(line, Line):
            line.follower = self

    async def ask(self, tenant_id: str, limits: Limits, asked: Sequence[Question]) -> Answers:
        """See `Together.ask`. For who has not found what it needs with `known`, or got no permit."""
        entries = [self._entry(tenant_id, customer) for customer, _ in asked] if self._is_told else ()
        answers = await self._together.ask(tenant_id, limits, asked)
        self._keep(entries, answers.found)
        for (customer, _), found in zip(asked, answers.found, strict=False):
            self._tell(tenant_id, customer, found)
        if limits:
            self._permits.heard(limits, answers.limits, self._now())
        return answers

    def known(self, tenant_id: str, asked: Iterable[Question]) -> list[Found] | None:
        """The answers, if all of them are known and still hold."""
        known = []
        for customer, fields in asked:
            found = self.standing(tenant_id, customer)
            if found is None or not all(field in found.counted for field in fields):
                return None
            known.append(found)
        return known

    def standing(self, tenant_id: str, customer: str) -> Found | None:
        """What is known of a customer, if it still holds: the same object until something of it has changed."""
        entry = self._entries.get(_name(tenant_id, customer))
        if entry is None or entry.found is None:
            return None
        age = self._now() - self._line.proven
        if age > self._prove_after:
            self._prove()
            if age > self._fresh_for:
                return None
        entry.worth = _WORTH
        return entry.found

    def permit(self, tenant_id: str, limits: Limits) -> Sequence[Counted] | None:
        """One request is counted in these windows, as it would be by asking; None: it has to ask."""
        if not self._is_told:
            return None
        now = self._now()
        counted, many = self._permits.take(limits, now)
        if many:
            self._later(self._take_permits(tenant_id, limits, many, now))
        return counted

    def forget(self, tenant_id: str, customers: Iterable[str]) -> None:
        """This process has just changed something of theirs: who asks next must know it, even if Redis has not told of it yet."""
        if not self._entries:
            return
        for customer in set(customers):
            name = _name(tenant_id, customer)
            before = self._entries.get(name)
            if before is not None:
                entry = self._entries[name] = Entry(name, tenant_id, customer)
                entry.fields, entry.worth = before.fields, before.worth

    def begun(self) -> None:
        """From now on Redis tells of what changes."""
        self._now = asyncio.get_running_loop().time
        self._is_told = True

    def changed(self, keys: Sequence[bytes] | None) -> None:
        """Redis tells that these have changed; None: everything. Who was asked for lately is asked about again, before somebody
        waits for it."""
        if keys is None:
            self._forget_all()
            return
        if not self._entries:
            return
        was_planned = bool(self._changed)
        for key in keys:
            kind, _, name = key.partition(b":")
            if kind == b"margin":  # of all customers of a tenant
                self._entries.clear()
            entry = self._entries.pop(name, None)
            if entry is not None and entry.worth and len(self._changed) < _AT_ONCE:
                self._changed.append(entry)
        if self._changed and not was_planned:
            asyncio.get_running_loop().call_later(_PAUSE, self._ask_again)

    def lost(self) -> None:
        """The connection is gone: from now on changes are missed."""
        self._is_told = False
        self._changed = []
        self._forget_all()

    async def close(self) -> None:
        """Nothing is asked any more, also not what was about to be."""
        self.lost()
        for task in [*self._tasks]:
            task.cancel()

    def _forget_all(self) -> None:
        self._entries.clear()
        self._permits.clear()

    def _entry(self, tenant_id: str, customer: str) -> Entry:
        """To be filled with what is about to be asked, unless it changes meanwhile."""
        name = _name(tenant_id, customer)
        entry = self._entries.get(name)
        if entry is None:
            if len(self._entries) >= _MOST:
                self._entries.clear()
            entry = self._entries[name] = Entry(name, tenant_id, customer)
        return entry

    def _keep(self, entries: Sequence[Entry], found: Sequence[Found]) -> None:
        """Unless it changed since it was asked. What is held ends by itself, so that is asked each time."""
        for entry, each in zip(entries, found, strict=False):
            if self._entries.get(entry.name) is not entry:
                continue
            if each.holds:
                del self._entries[entry.name]
            else:
                entry.keep(each)

    async def _take_permits(self, tenant_id: str, limits: Limits, many: int, asked_at: float) -> None:
        try:
            answers = await self._together.ask(tenant_id, limits, (), many=many)
        except (RedisError, OSError):
            self._permits.refused(limits, self._now())
            return
        if answers.refused:
            self._permits.refused(limits, self._now())
        else:
            self._permits.granted(limits, answers.limits, many, self._now(), asked_at)

    def _prove(self) -> None:
        if not self._is_proving:
            self._is_proving = True
            self._later(self._ping())

    async def _ping(self) -> None:
        try:
            with suppress(RedisError, OSError):
                await self._line.call(b"PING")
        finally:
            self._is_proving = False

    def _ask_again(self) -> None:
        changed, self._changed = self._changed, []
        tenants: dict[str, list[Entry]] = {}
        for entry in changed:
            tenants.setdefault(entry.tenant_id, []).append(entry)
        for tenant_id, entries in tenants.items():
            for start in range(0, len(entries), _IN_A_CALL):
                self._later(self._find_again(tenant_id, entries[start : start + _IN_A_CALL]))

    async def _find_again(self, tenant_id: str, before: Sequence[Entry]) -> None:
        for entry in before:
            self._entry(tenant_id, entry.customer).worth = entry.worth - 1
        asked = [(entry.customer, entry.fields) for entry in before]
        with suppress(RedisError, OSError):
            await self.ask(tenant_id, (), asked)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _name(tenant_id: str, customer: str) -> bytes:
    """As the keys of a customer end."""
    return f"{{{tenant_id}}}:{customer}".encode()
