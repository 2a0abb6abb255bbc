"""How answers go out. Put here: HTTP/1.1 as the server speaks it, with fewer system calls. Keep out: requests."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Gathered:
    """A transport that writes once in a round of the event loop: head and body of an answer go out together, which also wakes the
    client once instead of twice."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class EdgeProtocol(HttpToolsProtocol):
    """The server's own protocol over a gathering transport."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(Gathered(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]
