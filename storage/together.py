"""Questions that come up together, asked together. Put here: making one round trip of many. Keep out: what is asked (access_state.py).

Every request of one round of the event loop that asks about the same tenant goes into one call of the script: what a call costs at
either end is paid once for all of them. A request that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from domain.limits import Limit
from storage.access_state import Answers, Question, Request, ask
from storage.redis_line import Line, Pooled

_MOST = 64
"""Questions in one call, so that nobody else waits for Redis longer than a millisecond or so; those of one request stay together."""
_Waiting = list[tuple[asyncio.Future[Answers], Request]]


class Together:
    """Asks through one line; from one event loop only."""

    def __init__(self, line: Line | Pooled) -> None:
        self._line = line
        self._waiting: dict[str, _Waiting] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def ask(
        self, tenant_id: str, limits: Sequence[tuple[str, Limit]], asked: Sequence[Question], *, many: int = 0
    ) -> Answers:
        """Count a request in these windows and look up what it asks; with `many`, count so many, or none if there is no room for all
        of them. Raises Redis' errors."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answers] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        written = [limit.written_for(name, many) if many else limit.written(name) for name, limit in limits]
        request = (written, asked)
        self._waiting.setdefault(tenant_id, []).append((answer, request))
        return await answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for tenant_id, group in waiting.items():
            for calls in _in_calls(group):
                task = asyncio.create_task(self._call(tenant_id, calls))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)

    async def _call(self, tenant_id: str, group: _Waiting) -> None:
        """Ask for all of them; who gave up meanwhile is passed by."""
        try:
            answers = await ask(self._line, tenant_id, [request for _, request in group])
        except Exception as error:
            for future, _ in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (future, _), answer in zip(group, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def _in_calls(group: _Waiting) -> list[_Waiting]:
    """The requests of a tenant, as many in a call as may be."""
    if len(group) == 1:
        return [group]
    calls: list[_Waiting] = []
    room = 0
    for each in group:
        _, (_, asked) = each
        weight = max(len(asked), 1)
        if not calls or room < weight:
            calls.append([])
            room = _MOST
        calls[-1].append(each)
        room -= weight
    return calls
