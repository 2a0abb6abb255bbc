"""What a door counts about itself. Put here: plain numbers that requests add to, and the middleware that does. Keep out: how they are
shown (api.monitoring), what a scrape asks elsewhere.

Requests pay for additions to Python integers and nothing else; a process has one thread that counts, its event loop.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BOUNDS = (
    0.00025, 0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the latency histograms in seconds; the last bucket is open."""

UNKNOWN_ROUTE = "other"
_GONE = 499
"""No answer was begun: the client had gone."""

now = time.perf_counter
_NOTHING: dict[str, Any] = {}


class Latency:
    """A histogram. Each bucket remembers the last sampled trace in it: (trace id, seconds, epoch seconds)."""

    __slots__ = ("counts", "exemplars", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.exemplars: dict[int, tuple[str, float, float]] = {}
        self.total = 0.0

    def observe(self, seconds: float, trace_id: str | None = None) -> None:
        bucket = bisect_left(BOUNDS, seconds)
        self.counts[bucket] += 1
        self.total += seconds
        if trace_id is not None:
            self.exemplars[bucket] = (trace_id, seconds, time.time())


@dataclass(slots=True)
class Gauge:
    """A number that is looked at when somebody asks."""

    help: str
    read: Callable[[], float]


@dataclass(slots=True)
class Meters:
    """One process' numbers. events: by (source, outcome). latencies of requests by route, of round trips by what was asked.
    is_leaving: the process is about to end, and closes connections with the answers it gives on them.
    followed: is told of work that ended, and gives the trace id of its request; None: nothing is traced."""

    requests: dict[tuple[str, str, int], int] = field(default_factory=dict)
    latencies: dict[str, Latency] = field(default_factory=dict)
    round_trips: dict[str, Latency] = field(default_factory=dict)
    events: dict[tuple[str, str], int] = field(default_factory=dict)
    gauges: dict[str, Gauge] = field(default_factory=dict)
    in_progress: int = 0
    stale: int = 0
    from_memory: int = 0
    is_leaving: bool = False
    followed: Callable[[str, float], str | None] | None = None

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Show one more number of this process, looked at when somebody asks. name: without the door's prefix."""
        self.gauges[name] = Gauge(about, read)

    def answered(self, route: str, method: str, status: int, seconds: float, trace_id: str | None) -> None:
        name = (route, method, status)
        self.requests[name] = self.requests.get(name, 0) + 1
        latency = self.latencies.get(route)
        if latency is None:
            latency = self.latencies[route] = Latency()
        latency.observe(seconds, trace_id)

    def round_trip(self, what: str, began: float) -> None:
        """A round trip has ended that began at `now()`."""
        latency = self.round_trips.get(what)
        if latency is None:
            latency = self.round_trips[what] = Latency()
        seconds = now() - began
        trace_id = None if self.followed is None else self.followed(f"redis {what}", seconds)
        latency.observe(seconds, trace_id)

    def take(self, source: str, verdicts: str, codes: Sequence[str]) -> None:
        """The events of one request: the log's verdicts, and the codes of those that failed. Of the source its kind is told."""
        kind, counted = source.partition(":")[0], self.events
        for outcome, events in (("ACCEPTED", verdicts.count("A")), ("DUPLICATE", verdicts.count("D"))):
            if events:
                counted[kind, outcome] = counted.get((kind, outcome), 0) + events
        for code in codes:
            counted[kind, code] = counted.get((kind, code), 0) + 1


def _closing(send: Send) -> Send:
    """Tells the client not to use the connection again; the server then closes it after the answer."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return closing


class Tracer(Protocol):
    """What follows some of the requests."""

    def begin(self, scope: Scope) -> Any:
        """Something to hand back at the end; None: this one is not traced."""

    def end(self, begun: Any, route: str, method: str, status: int) -> str:
        """The request is answered; its trace id."""


class Measured:
    """Counts and times every request. The envelope, further in, leaves the status in the scope's state. tracer: follows some.
    paths: those without parameters, which are routes by themselves, however they are found."""

    def __init__(
        self,
        app: App,
        meters: Meters,
        tracer: Tracer | None = None,
        paths: Collection[str] = (),
    ) -> None:
        self.app = app
        self.paths = frozenset(paths)
        self.meters = meters
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        meters = self.meters
        meters.in_progress += 1
        if meters.is_leaving:
            send = _closing(send)
        begun = None if self.tracer is None else self.tracer.begin(scope)
        began = now()
        try:
            await self.app(scope, receive, send)
        finally:
            meters.in_progress -= 1
            seconds = now() - began
            status = (scope.get("state") or _NOTHING).get("status", _GONE)
            route = scope["path"]
            if route not in self.paths:
                route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
            method = scope["method"] if route is not UNKNOWN_ROUTE else UNKNOWN_ROUTE
            trace_id = None
            if begun is not None and self.tracer is not None:
                trace_id = self.tracer.end(begun, route, method, status)
            meters.answered(route, method, status, seconds, trace_id)
