"""How a door shows its numbers. Put here: `GET /metrics` in Prometheus' and OpenMetrics' text, who may read it, several processes behind
one port. Keep out: counting (api.meters).

Each process is a `worker` of its own in the answer, so that one that is started again is seen to begin at zero. Processes that
share a port write what they counted to a file each second; the one that is asked adds the files of the others.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil
from fastapi import Request
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.samples import Exemplar

from api.meters import BOUNDS, Latency, Meters
from api.problems import Problem

LOOPBACK = ("127.0.0.0/8", "::1/128")
_BEHIND = ("forwarded", "x-forwarded-for")
_WRITE_SECONDS = 1.0
_STALE_SECONDS = 10.0
_MOST_WORKERS = 256


class Timed(msgspec.Struct):
    """A histogram at one moment; see `Latency`."""

    counts: list[int]
    total: float
    exemplars: dict[int, tuple[str, float, float]]

    @classmethod
    def of(cls, latency: Latency) -> Timed:
        return cls(list(latency.counts), latency.total, dict(latency.exemplars))


class Numbers(msgspec.Struct):
    """What one process counted, at one moment."""

    requests: list[tuple[str, str, int, int]]
    latencies: dict[str, Timed]
    round_trips: dict[str, Timed]
    events: list[tuple[str, str, int]]
    gauges: dict[str, tuple[str, float]]
    in_progress: int
    stale: int
    from_memory: int
    memory: int
    cpu: float


def numbers_of(meters: Meters) -> Numbers:
    """The meters now, with what the process itself uses."""
    process = psutil.Process()
    times = process.cpu_times()
    return Numbers(
        [(*name, count) for name, count in meters.requests.items()],
        {route: Timed.of(latency) for route, latency in meters.latencies.items()},
        {what: Timed.of(latency) for what, latency in meters.round_trips.items()},
        [(*name, count) for name, count in meters.events.items()],
        {name: (gauge.help, float(gauge.read())) for name, gauge in meters.gauges.items()},
        meters.in_progress,
        meters.stale,
        meters.from_memory,
        process.memory_info().rss,
        times.user + times.system,
    )


class Worker:
    """This process among those behind its port. folder: where they leave their numbers; None: it is alone."""

    def __init__(self, meters: Meters, door: str, folder: Path | None = None) -> None:
        self.meters = meters
        self._door = door
        self._folder = folder
        self._held: IO[bytes] | None = None
        self._name = "0"

    async def run(self) -> None:
        """Leave this process' numbers for the others, until cancelled."""
        if self._folder is None:
            return
        self._name, self._held = _place(self._folder, self._door)
        own = self._folder / f"{self._door}-{self._name}.numbers"
        try:
            while True:
                scratch = own.with_suffix(".new")
                scratch.write_bytes(msgspec.msgpack.encode(numbers_of(self.meters)))
                scratch.replace(own)
                await asyncio.sleep(_WRITE_SECONDS)
        finally:
            own.unlink(missing_ok=True)
            self._held.close()

    def all(self) -> dict[str, Numbers]:
        """The numbers of every process behind the port by its name, this one's as of now."""
        found = {self._name: numbers_of(self.meters)}
        if self._folder is None:
            return found
        for path in sorted(self._folder.glob(f"{self._door}-*.numbers")):
            name = path.stem.rpartition("-")[2]
            with suppress(OSError, msgspec.DecodeError):
                if name not in found and time.time() - path.stat().st_mtime < _STALE_SECONDS:
                    found[name] = msgspec.msgpack.decode(path.read_bytes(), type=Numbers)
        return found


def _place(folder: Path, door: str) -> tuple[str, IO[bytes]]:
    """The first number no other process has, and the lock that keeps it until this one ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(_MOST_WORKERS):
        held = (folder / f"{door}-{number}.lock").open("ab")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
        else:
            return str(number), held
    return str(os.getpid()), (folder / f"{door}-{os.getpid()}.lock").open("ab")


def families(prefix: str, workers: dict[str, Numbers]) -> Iterator[Metric]:
    """What the processes counted, as metrics named after the door."""
    requests = CounterMetricFamily(
        f"{prefix}_requests", "Requests answered.", labels=("route", "method", "status", "worker")
    )
    events = CounterMetricFamily(
        f"{prefix}_events", "Events by what became of them.", labels=("source", "outcome", "worker")
    )
    stale = CounterMetricFamily(
        f"{prefix}_stale_answers", "Answers from the last good snapshot.", labels=("worker",)
    )
    from_memory = CounterMetricFamily(
        f"{prefix}_answers_from_memory", "Answers about access that needed no round trip.", labels=("worker",)
    )
    progress = GaugeMetricFamily(
        f"{prefix}_requests_in_progress", "Requests being worked on.", labels=("worker",)
    )
    memory = GaugeMetricFamily(
        f"{prefix}_memory_bytes", "Resident memory of the process.", labels=("worker",)
    )
    cpu = CounterMetricFamily(f"{prefix}_cpu_seconds", "Processor time of the process.", labels=("worker",))
    gauges: dict[str, GaugeMetricFamily] = {}
    for worker, numbers in workers.items():
        for route, method, status, number in numbers.requests:
            requests.add_metric((route, method, str(status), worker), number)
        for source, outcome, number in numbers.events:
            events.add_metric((source, outcome, worker), number)
        stale.add_metric((worker,), numbers.stale)
        from_memory.add_metric((worker,), numbers.from_memory)
        progress.add_metric((worker,), numbers.in_progress)
        memory.add_metric((worker,), numbers.memory)
        cpu.add_metric((worker,), numbers.cpu)
        for name, (about, value) in numbers.gauges.items():
            shown = gauges.setdefault(name, GaugeMetricFamily(f"{prefix}_{name}", about, labels=("worker",)))
            shown.add_metric((worker,), value)
    yield from (requests, events, stale, from_memory, progress, memory, cpu, *gauges.values())
    yield _histogram(
        f"{prefix}_request_seconds",
        "Time from the first byte of a request to the last of its answer.",
        "route",
        {name: numbers.latencies for name, numbers in workers.items()},
    )
    yield _histogram(
        f"{prefix}_round_trip_seconds",
        "Time until Redis answered; an append includes the sync to disk.",
        "operation",
        {name: numbers.round_trips for name, numbers in workers.items()},
    )


def _histogram(name: str, about: str, label: str, workers: dict[str, dict[str, Timed]]) -> Metric:
    shown = HistogramMetricFamily(name, about, labels=(label, "worker"))
    bounds = [f"{bound:g}" for bound in BOUNDS] + ["+Inf"]
    for worker, several in workers.items():
        for value, timed in several.items():
            buckets: list[tuple[str, float, Exemplar | None]] = []
            reached = 0
            for position, bound in enumerate(bounds):
                reached += timed.counts[position]
                buckets.append((bound, reached, _exemplar(timed.exemplars.get(position))))
            shown.add_metric((value, worker), buckets, timed.total)  # type: ignore[arg-type]
    return shown


def _exemplar(found: tuple[str, float, float] | None) -> Exemplar | None:
    return None if found is None else Exemplar({"trace_id": found[0]}, found[1], found[2])


def exposed(metrics: Iterable[Metric], accept: str | None) -> tuple[bytes, str]:
    """The text and its media type: OpenMetrics, with exemplars, where the reader asks for it, Prometheus' own otherwise."""
    encode, media_type = choose_encoder(accept or "")
    return encode(_Collected(list(metrics))), media_type


class _Collected:
    """What the encoders take for a registry."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Sequence[Metric]:
        return self._metrics


def admit(request: Request, ranges: Sequence[str]) -> None:
    """Numbers are for who runs this: from the addresses given, and not through a proxy. Raises Problem 403."""
    address = request.client.host if request.client else ""
    is_direct = not any(name in request.headers for name in _BEHIND)
    if not (is_direct and _is_within(address, ranges)):
        raise Problem(
            403,
            "Metrics are told to the addresses in AFORO_METRICS_FROM only, and not through a proxy.",
            code="FORBIDDEN",
        )


def addresses(text: str) -> tuple[str, ...]:
    """Comma-separated ranges (CIDR) as they are compared. Raises ValueError."""
    return tuple(
        str(ipaddress.ip_network(each.strip(), strict=False)) for each in text.split(",") if each.strip()
    )


def _is_within(address: str, ranges: Sequence[str]) -> bool:
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    return any(caller in ipaddress.ip_network(each) for each in ranges)


def gauge(name: str, about: str, value: float) -> Metric:
    """One number."""
    return GaugeMetricFamily(name, about, value=value)


def of_each(name: str, about: str, label: str, values: dict[str, Any]) -> Metric:
    """One number for each value of a label."""
    shown = GaugeMetricFamily(name, about, labels=(label,))
    for value, number in values.items():
        shown.add_metric((value,), float(number))
    return shown
