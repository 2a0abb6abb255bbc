"""Going away without losing anybody. Put here: what happens between SIGTERM and the end. Keep out: the server's own end (uvicorn).

Told to end, the edge goes on answering for a while (`drain_seconds`): not ready any more, and closing each connection with the answer
it gives on it, so that clients come back elsewhere. Only then does the server stop listening, and finishes what it has begun.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from api.edge.service import EdgeService

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def leave_in_order(service: EdgeService) -> None:
    """Put this before what the server does on SIGTERM and SIGINT; a second signal goes to the server at once. Does nothing outside
    of the main thread, where nobody sends signals."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        servers = signal.getsignal(number)
        if callable(servers):
            signal.signal(number, _handler(service, loop, servers))


def _handler(
    service: EdgeService, loop: asyncio.AbstractEventLoop, servers: Callable[[int, FrameType | None], Any]
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        if service.meters.is_leaving:
            servers(number, frame)
            return
        service.meters.is_leaving = True
        loop.call_soon_threadsafe(begin)

    def begin() -> None:
        service.live.close()
        loop.call_later(service.settings.drain_seconds, servers, signal.SIGTERM, None)

    return handle
