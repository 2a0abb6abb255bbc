"""HTTP/1.1 as uvicorn speaks it, with bounds on what a client may send or take before there is a request, and answers in one piece.
Put here: those bounds, how answers go out. Keep out: bounds of bodies (bodies.py)."""

from __future__ import annotations

from asyncio import AbstractEventLoop, BaseTransport, TimerHandle, Transport
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

QUIET_BYTES = 64 * 1024
"""So much may come in of a head, of trailers or of anything else that is no part of a body."""
_OWN_HEADERS = frozenset(
    (
        b"content-type",
        b"content-length",
        b"x-request-id",
        b"x-ratelimit-limit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
        b"x-ratelimit-window",
    )
)
"""Whose values are made by the edge, or looked at letter by letter before (the caller's request id)."""
HEAD_SECONDS = 10.0
"""So long may a head take, and a new connection until it has sent one."""


class Gathered:
    """A transport that writes once in a round of the event loop: head and body of an answer go out together, which also wakes the
    client once instead of twice."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
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


class Answering(RequestResponseCycle):
    """One request and its answer. The server looks at each header's letters; those of usual answers are the edge's own, and go out as
    they are."""

    def whole_body(self) -> bytes | None:
        """The body, if all of it has come, instead of `receive`; None: ask that."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

    async def send(self, message: Any) -> None:
        head = None if self.response_started else self._usual_head(message)
        if head is None:
            await super().send(message)
        else:
            self.transport.write(head)

    def _usual_head(self, message: Any) -> bytes | None:
        """The head of an answer of known length that says nothing unusual, which has then begun; None: the server has to look."""
        if message["type"] != "http.response.start" or not self.keep_alive or self.scope["method"] == "HEAD":
            return None
        if self.disconnected or self.flow.write_paused:
            return None
        parts, length = [STATUS_LINE[message["status"]]], None
        for name, value in self.default_headers:
            parts += name, b": ", value, b"\r\n"
        for name, value in message["headers"]:
            if name not in _OWN_HEADERS:
                return None
            if name == b"content-length":
                length = int(value)
            parts += name, b": ", value, b"\r\n"
        if length is None:
            return None
        self.response_started, self.waiting_for_100_continue = True, False
        self.expected_content_length, self.chunked_encoding = length, False
        parts.append(b"\r\n")
        return b"".join(parts)


class EdgeProtocol(HttpToolsProtocol):
    """One connection. Without these bounds a header without end fills the memory, and a client that sends a byte now and then keeps its
    connection for ever."""

    _quiet = 0
    _in_head = False
    _timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Any, Gathered(cast(Transport, transport), self.loop)))
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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Answering  # the server makes them itself, and asks nobody of which kind
        super()._start_asgi_task(cycle, app)

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
