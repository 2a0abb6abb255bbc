"""Traces of requests. Put here: which requests are traced, their trace ids and spans, sending them where the operator said. Keep out:
counting (api.meters).

Off unless `AFORO_TRACE_SAMPLE` says otherwise, and then nothing is paid for it. Spans leave the process only where an OTLP endpoint
is set; without one a trace id still goes with its events to the lake, and with its latency into the histograms.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import time
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_NO_TRACE, _NO_SPAN, _NO_VERSION = b"0" * 32, b"0" * 16, b"ff"
_SAMPLED = 1
_MOST_SPANS = 64

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(slots=True)
class Span:
    """One piece of work within a request: nanoseconds since the epoch."""

    name: str
    began: int
    ended: int


@dataclass(slots=True)
class Trace:
    """A traced request. trace_id: 32 hex digits, the caller's if it sent one; parent_id: the caller's span, 16 hex digits."""

    trace_id: str
    parent_id: str | None
    began: int
    spans: list[Span] = field(default_factory=list)

    def span(self, name: str, seconds: float) -> None:
        """A piece of work that has just ended and took so long."""
        if len(self.spans) < _MOST_SPANS:
            ended = time.time_ns()
            self.spans.append(Span(name, ended - int(seconds * 1e9), ended))


current: ContextVar[Trace | None] = ContextVar("trace", default=None)


class Exporter(Protocol):
    """Where finished traces go."""

    def send(self, trace: Trace, ended: int, route: str, method: str, status: int) -> None: ...

    def close(self) -> None: ...


class Traces:
    """Decides which requests are traced, and follows them."""

    def __init__(self, share: float, exporter: Exporter | None = None) -> None:
        self._share = share
        self._exporter = exporter
        self._draw = random.Random(secrets.randbits(64)).random

    def begin(self, scope: MutableMapping[str, Any]) -> Trace | None:
        """The trace of a request, if it is to be traced; from here on it is the current one."""
        trace = self._begun(scope["headers"])
        current.set(trace)
        return trace

    def _begun(self, headers: Headers) -> Trace | None:
        """As its caller decided (`traceparent`), otherwise by lot."""
        parent = next((value for name, value in headers if name == b"traceparent"), None)
        told = _read(parent) if parent is not None else None
        if told is None:
            if self._draw() >= self._share:
                return None
            return Trace(secrets.token_hex(16), None, time.time_ns())
        trace_id, parent_id, is_sampled = told
        return Trace(trace_id, parent_id, time.time_ns()) if is_sampled else None

    def end(self, begun: Trace, route: str, method: str, status: int) -> str:
        """The request is answered: its spans go where they go. Returns its trace id."""
        if self._exporter is not None:
            self._exporter.send(begun, time.time_ns(), route, method, status)
        return begun.trace_id

    @staticmethod
    def followed(name: str, seconds: float) -> str | None:
        """Work that has just ended, as a span of the request under way if that is traced; then its trace id."""
        trace = current.get()
        if trace is None:
            return None
        trace.span(name, seconds)
        return trace.trace_id

    @staticmethod
    def trace_id() -> str | None:
        """Of the request under way, if it is traced."""
        trace = current.get()
        return None if trace is None else trace.trace_id

    async def close(self) -> None:
        """Send what is left."""
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close)


def _read(sent: bytes) -> tuple[str, str, bool] | None:
    """(trace id, span id, sampled) of a W3C traceparent; None where it is none, which is as if there were none."""
    match = _TRACEPARENT.fullmatch(sent.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags = match.groups()
    if version == _NO_VERSION or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    if version == b"00" and len(sent.strip()) != 55:
        return None
    return trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED)


def traces_of(share: float, endpoint: str) -> Traces | None:
    """What traces as these settings ask; None: nothing does. endpoint: an OTLP/HTTP collector, empty: spans stay here."""
    if share <= 0:
        return None
    return Traces(share, _otlp(endpoint) if endpoint else None)


def _otlp(endpoint: str) -> Exporter:
    # Loaded only where the operator has set an endpoint: nothing here can call home by itself.
    from api.edge.otlp import Otlp

    return Otlp(endpoint)


def within(spans: list[Span]) -> list[tuple[Span, int | None]]:
    """Each span with the place of the shortest one that contains it; None: the request itself does."""
    found: list[tuple[Span, int | None]] = []
    for place, span in enumerate(spans):
        around = [
            (other.ended - other.began, at)
            for at, other in enumerate(spans)
            if at > place and other.began <= span.began and span.ended <= other.ended
        ]
        found.append((span, min(around)[1] if around else None))
    return found
