"""A small HTTP load of our own, over loopback sockets. Put here: sending requests and timing answers. Keep out: which requests.

Connections are kept alive; one answer is awaited per connection at a time. Nothing but 127.0.0.1 is ever called.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Measured:
    """Seconds from sending to the whole answer, by kind of request, and answers by status."""

    latencies: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, kind: str, seconds: float, status: int) -> None:
        self.latencies.setdefault(kind, []).append(seconds)
        self.statuses[status] += 1

    def percentile(self, kind: str, share: float) -> float:
        """Nearest rank, in milliseconds."""
        ranked = sorted(self.latencies[kind])
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000


def request(
    method: str, path: str, key: str, body: bytes = b"", more: Mapping[str, str] | None = None
) -> bytes:
    """An HTTP/1.1 request as bytes. more: further headers."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in (more or {}).items())
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n{extra}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One connection: `send`, and `answered(seconds, status)` when the whole answer is there."""

    def __init__(self) -> None:
        self.answered: Callable[[float, int], None] = lambda seconds, status: None
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, data: bytes) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        if len(self._buffer) < end + 4 + (int(length.group(1)) if length else 0):
            return
        status = int(self._buffer[9:12])
        self._buffer = b""
        self.answered(time.perf_counter() - self._sent_at, status)

    def close(self) -> None:
        self._transport.close()


async def timetable(port: int, plan: list[tuple[float, str, bytes]], *, connections: int = 32) -> Measured:
    """Open loop: each (second, kind, request) is sent when its time has come, whether others were answered or not."""
    measured, idle = Measured(), deque(await _connect(port, connections))
    everyone, done = list(idle), asyncio.Event()
    started, left = time.perf_counter(), len(plan)

    def finished(connection: _Connection, kind: str) -> Callable[[float, int], None]:
        def answered(seconds: float, status: int) -> None:
            nonlocal left
            measured.add(kind, seconds, status)
            idle.append(connection)
            left -= 1
            if not left:
                done.set()

        return answered

    for at, kind, data in plan:
        while (wait := at - (time.perf_counter() - started)) > 0 or not idle:
            await asyncio.sleep(max(wait, 0.0))
        connection = idle.popleft()  # in turn: the server closes what is idle for long
        connection.answered = finished(connection, kind)
        connection.send(data)
    await asyncio.wait_for(done.wait(), 30)
    measured.seconds = time.perf_counter() - started
    for connection in everyone:
        connection.close()
    return measured


async def full_load(port: int, requests: Iterator[bytes], *, connections: int, seconds: float) -> Measured:
    """Closed loop: every connection sends its next request as soon as it has its answer, until time or requests run out."""
    measured, opened = Measured(), await _connect(port, connections)
    started, running, done = time.perf_counter(), len(opened), asyncio.Event()

    def next_of(connection: _Connection) -> None:
        nonlocal running
        data = next(requests, None) if time.perf_counter() - started < seconds else None
        if data is None:
            running -= 1
            if not running:
                done.set()
            return
        connection.send(data)

    def answered_by(connection: _Connection) -> Callable[[float, int], None]:
        def answered(took: float, status: int) -> None:
            measured.add("all", took, status)
            next_of(connection)

        return answered

    for connection in opened:
        connection.answered = answered_by(connection)
        next_of(connection)
    await asyncio.wait_for(done.wait(), seconds + 30)
    measured.seconds = time.perf_counter() - started
    for connection in opened:
        connection.close()
    return measured


async def _connect(port: int, connections: int) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(_Connection, HOST, port))[1] for _ in range(connections)]
