"""HTTP/1.1 as uvicorn speaks it, with bounds on what a client may send or take before there is a request. Put here: those bounds. Keep
out: bounds of bodies (bodies.py)."""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

QUIET_BYTES = 64 * 1024
"""So much may come in of a head, of trailers or of anything else that is no part of a body."""
HEAD_SECONDS = 10.0
"""So long may a head take, and a new connection until it has sent one."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Without these bounds a header without end fills the memory, and a client that sends a byte now and then keeps its
    connection for ever."""

    _quiet = 0
    _in_head = False
    _timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Any, transport))
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._quiet += len(data)
        super().data_received(data)
        if self._quiet > QUIET_BYTES:
            self._refuse(431, b"The head of the request is larger than 65536 bytes.")
        elif self._quiet and self._timer is None and self._is_waiting():
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._quiet = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._quiet = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._quiet = 0
        super().on_message_complete()

    def _is_waiting(self) -> bool:
        """For a head, and not for the rest of a body or for an answer to be ready."""
        return self._in_head or self.cycle is None or self.cycle.response_complete

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._is_waiting():
            self._refuse(408, b"The head of the request took longer than 10 seconds.")

    def _refuse(self, status: int, why: bytes) -> None:
        """Say why, unless an answer to an earlier request is under way, and hang up."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            reason = b"Request Timeout" if status == 408 else b"Request Header Fields Too Large"
            head = b"HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, reason, len(why)) + why)
        self.transport.close()
