"""Many waits of the same length. Put here: giving up after a while, at next to no cost for what is done in time.

`asyncio.timeout` sets a timer for each wait, which a request in a hurry pays for several times. Here one timer looks now and then
whose time is over.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

_LOOKS = 8
"""So often within the time it is looked: who waits may wait an eighth longer."""


class Patience:
    """How long requests wait for something: `with patience.wait(): …` cancels what takes longer than `seconds`, and at most an
    eighth more, and raises TimeoutError, as `asyncio.timeout` does. Use it from one event loop only."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waits: dict[Wait, None] = {}
        self._is_looking = False

    def wait(self) -> Wait:
        """Bound what the current task does within."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        wait = Wait(task, loop.time() + self.seconds, self._waits)
        self._waits[wait] = None
        if not self._is_looking:
            self._look_later(loop)
        return wait

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_looking = True
        loop.call_later(self.seconds / _LOOKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """They are in the order in which their time is over."""
        now, late = loop.time(), []
        for wait in self._waits:
            if wait.until > now:
                break
            late.append(wait)
        for wait in late:
            wait.give_up()
        self._is_looking = False
        if self._waits:
            self._look_later(loop)


class Wait:
    """One wait, a context manager."""

    __slots__ = ("_among", "_before", "_is_over", "_task", "until")

    def __init__(self, task: asyncio.Task[Any], until: float, among: dict[Wait, None]) -> None:
        self.until = until
        self._task = task
        self._before = task.cancelling()
        self._among = among
        self._is_over = False

    def give_up(self) -> None:
        """Its time is over."""
        del self._among[self]
        self._is_over = True
        self._task.cancel()

    def __enter__(self) -> None:
        """It has begun when it was made."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._among.pop(self, None)
        if self._is_over and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error
