"""The edge under load: one worker on the loopback over a Valkey that syncs every write. Put here: one measured series of each.

The empty endpoint is the edge's own `/healthz`: same server, same short cuts, nothing done. Beside it, FastAPI's (empty.py).
"""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import uvloop

from benchmarks.compiled import at_their_times, client
from benchmarks.load import Measured, full_load, request, timetable
from domain.access import CustomerRights, Feature, KeyRecord, SubscriptionRights, TenantRights, UnitRecord
from domain.limits import DEFAULTS

ROOT = Path(__file__).parents[1]
TENANT, SECRET, CUSTOMERS = "bench", "sk_live_benchmark", 1_000
DAY = 86_400_000_000
ACCESS_RATE, METER_RATE = 833, 167
BATCH = 1_000


def measure(repeats: int, log: Any, *, seconds: float = 8.0, workers: int = 1) -> dict[str, Any]:
    """All edge figures, each `repeats` times: lists of numbers by name (milliseconds, or requests and events a second). Batches come
    last: they write so much that the disk is slower for a while."""
    found: dict[str, list[float]] = {}
    with _edge(workers) as (port, valkey_url), _framework() as alone:
        asyncio_run(full_load(port, _access(), connections=16, seconds=1.0))  # warm
        parts: dict[str, Callable[[], dict[str, float]]] = {
            "latencies": lambda: _latencies(port, alone, seconds),
            "full load": lambda: _full_load(port, alone, seconds / 2),
            "Redis alone": lambda: _redis_alone(valkey_url),
            "batches": lambda: _batched(port, seconds),
        }
        for part, measured in parts.items():
            for number in range(1, repeats + 1):
                figures = measured()
                for name, figure in figures.items():
                    found.setdefault(name, []).append(figure)
                _empty_log(valkey_url)
                told = ", ".join(f"{name} {figure:,.2f}" for name, figure in figures.items())
                log(f"edge, {part}, run {number} of {repeats}: {told}")
    return found


def asyncio_run(work: Any) -> Measured:
    """Run the load; the client's own garbage collection must not count as the server's time."""
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured: Measured = runner.run(work)
    return measured


def _latencies(port: int, alone: int, seconds: float) -> dict[str, float]:
    """alone: the port of FastAPI's endpoints."""
    plan = _timetable(seconds)
    nothing = [(at, "empty", request("GET", "/healthz", SECRET)) for at, _, _ in plan]
    meters = [at for at, kind, _ in plan if kind == "meter"]
    seldom, synced = (
        [(at, "empty", request("GET", path, SECRET)) for at in meters] for path in ("/healthz", "/synced")
    )
    with client() as program:
        mixed, bare, bare_seldom, only_synced = (
            at_their_times(program, to, each) if program else asyncio_run(timetable(to, each))
            for to, each in ((port, plan), (port, nothing), (port, seldom), (alone, synced))
        )
    assert set(mixed.statuses) == {200, 202}, mixed.statuses
    for other in (bare, bare_seldom, only_synced):
        assert set(other.statuses) == {200}, other.statuses
    return {
        "empty p50 ms": bare.percentile("empty", 0.50),
        "empty p99 ms": bare.percentile("empty", 0.99),
        "canAccess p50 ms": mixed.percentile("access", 0.50),
        "canAccess p99 ms": mixed.percentile("access", 0.99),
        "meter p50 ms": mixed.percentile("meter", 0.50),
        "meter p95 ms": mixed.percentile("meter", 0.95),
        "empty at meter's rate p95 ms": bare_seldom.percentile("empty", 0.95),
        "only a synced write at meter's rate p95 ms": only_synced.percentile("empty", 0.95),
    }


def _full_load(port: int, alone: int, seconds: float) -> dict[str, float]:
    """alone: the port of FastAPI's empty endpoint."""
    questions = [_question(n) for n in range(CUSTOMERS)]
    empty = _throughput(port, "GET", "/healthz", [b""], seconds)
    framework = _throughput(alone, "GET", "/empty", [b""], seconds)
    access = _throughput(port, "POST", "/v1/canAccess", questions, seconds)
    return {
        "empty requests/s": empty,
        "FastAPI's empty requests/s": framework,
        "canAccess requests/s": access,
        "canAccess share of empty": access / empty,
        "canAccess share of FastAPI's empty": access / framework,
    }


def _batched(port: int, seconds: float) -> dict[str, float]:
    batches = asyncio_run(full_load(port, _batches(), connections=4, seconds=seconds))
    assert set(batches.statuses) == {202}, batches.statuses
    return {"batch events/s": batches.statuses[202] * BATCH / batches.seconds}


def _throughput(port: int, method: str, path: str, bodies: Sequence[bytes], seconds: float) -> float:
    """Requests a second at full load, with these bodies in turn: by `wrk` where it is installed, otherwise by our own client (slower
    than wrk)."""
    wrk = shutil.which("wrk")
    if wrk is None:
        endless = itertools.cycle([request(method, path, SECRET, body) for body in bodies])
        done = asyncio_run(full_load(port, endless, connections=32, seconds=seconds))
        return sum(done.statuses.values()) / done.seconds
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        every = ", ".join(json.dumps(request(method, path, SECRET, body).decode()) for body in bodies)
        script.write(f"local all, at = {{{every}}}, 0\n")
        script.write("function request() at = at % #all + 1; return all[at] end\n")
        script.flush()
        url = f"http://127.0.0.1:{port}{path}"
        command = [wrk, "-t1", "-c32", f"-d{max(1, round(seconds))}s", "-s", script.name, url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return float(rate.group(1))


def _redis_alone(url: str) -> dict[str, float]:
    """What the same Valkey does by itself: a write with a sync now and then; where `redis-benchmark` is installed, reading and writing
    as fast as it goes."""
    seldom = {"a synced SET at meter's rate p95 ms": _synced_writes(url)}
    if shutil.which("redis-benchmark") is None:
        return seldom
    parts = urlsplit(url)
    at = (
        ["-s", unquote(parts.path)]
        if parts.scheme == "unix"
        else ["-h", str(parts.hostname), "-p", str(parts.port)]
    )
    at += ["-a", parts.password or ""]

    def rows(*options: str) -> dict[str, dict[str, str]]:
        command = ["redis-benchmark", *at, "--csv", *options]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {row["test"]: row for row in csv.DictReader(io.StringIO(said))}

    many, one = rows("-c", "32", "-n", "40000", "-t", "get,set"), rows("-c", "1", "-n", "2000", "-t", "set")
    return seldom | {
        "redis-benchmark GET requests/s": float(many["GET"]["rps"]),
        "redis-benchmark SET requests/s": float(many["SET"]["rps"]),
        "redis-benchmark SET, one client, p95 ms": float(one["SET"]["p95_latency_ms"]),
    }


def _synced_writes(url: str, many: int = 500) -> float:
    """Milliseconds, 95th percentile, of writes as long as an event's entry at the times of a meter: what no answer can be faster than.
    Processors that sleep in between are slower to answer than busy ones."""
    from redis import Redis

    rng, took = random.Random(2), []
    with Redis.from_url(url) as redis:
        for _ in range(many):
            time.sleep(rng.expovariate(METER_RATE))
            began = time.perf_counter()
            redis.set("bench:seldom", bytes(900))
            took.append(time.perf_counter() - began)
    return sorted(took)[round(many * 0.95)] * 1_000


def _timetable(seconds: float) -> list[tuple[float, str, bytes]]:
    """Requests at random moments (Poisson), at the two rates."""
    rng, plan = random.Random(1), []
    for kind, rate in (("access", ACCESS_RATE), ("meter", METER_RATE)):
        at = rng.expovariate(rate)
        while at < seconds:
            number = rng.randrange(CUSTOMERS)
            ask = request("POST", "/v1/canAccess", SECRET, _question(number)) if kind == "access" else None
            plan.append((at, kind, ask or request("POST", "/v1/meter", SECRET, _event(number))))
            at += rng.expovariate(rate)
    return sorted(plan)


def _access() -> Iterator[bytes]:
    for number in itertools.count():
        yield request("POST", "/v1/canAccess", SECRET, _question(number % CUSTOMERS))


def _question(customer: int) -> bytes:
    return b'{"featureKey":"calls","customerId":"c%d"}' % customer


_numbers = itertools.count(time.time_ns())


def _event(customer: int) -> bytes:
    moment = int(time.time() * 1000)
    return (
        b'{"customerId":"c%d","metricName":"api_calls","quantity":1,"occurredAt":%d,"idempotencyKey":"bench-%d",'
        b'"metadata":{"endpoint":"/v1/things","status":200}}' % (customer, moment, next(_numbers))
    )


def _batches() -> Iterator[bytes]:
    """Batches of fresh events; only the keys are new, so that making them costs the client little."""
    events = [_event(n % CUSTOMERS) for n in range(BATCH)]
    parts = re.split(rb"bench-\d+", b'{"events":[' + b",".join(events) + b"]}")
    while True:
        keys = [b"b%d" % next(_numbers) for _ in range(BATCH)]
        body = b"".join(itertools.chain.from_iterable(zip(parts, keys, strict=False))) + parts[-1]
        yield request("POST", "/v1/ingest/batch", SECRET, body)


@contextmanager
def _edge(workers: int) -> Iterator[tuple[int, str]]:
    from redis import Redis

    from stack.embedded import free_port
    from storage.hot_state import publish
    from tests import harness

    with harness.valkey() as valkey, tempfile.TemporaryDirectory(prefix="aforo-bench-") as home:
        with Redis.from_url(valkey.url) as redis:
            publish(redis, _rights())
        port = free_port()
        environment = {**os.environ, "AFORO_REDIS_URL": valkey.url, "AFORO_EDGE_PORT": str(port)}
        environment |= {"AFORO_EDGE_WORKERS": str(workers), "AFORO_HOME": home}
        # Requests are counted as ever, in windows nobody fills: full load is more than one key may make.
        environment |= {f"AFORO_LIMIT_{door.upper()}": "1000000000" for door in DEFAULTS}
        command = [sys.executable, "-m", "api.edge"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            harness.wait_until(lambda: _answers(port), what="the edge")
            yield port, valkey.url
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def _framework() -> Iterator[int]:
    from stack.embedded import free_port
    from tests import harness

    port = free_port()
    command = [sys.executable, "-m", "benchmarks.empty", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        harness.wait_until(lambda: _answers(port, "/empty"), what="FastAPI's empty endpoint")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int, path: str = "/readyz") -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _empty_log(valkey_url: str) -> None:
    """As the drain does each minute: without it memory would grow from run to run."""
    from redis import Redis

    from storage.event_log import log_key

    with Redis.from_url(valkey_url) as redis:
        redis.xtrim(log_key(TENANT), maxlen=0, approximate=False)


def _rights() -> TenantRights:
    now = time.time_ns() // 1000
    features = (Feature("sso", "BOOLEAN"), Feature("calls", "METERED", unit="api_calls", limit="100000000"))
    customers = tuple(
        CustomerRights(
            f"c{n}",
            (
                SubscriptionRights(
                    f"s{n}",
                    "pro",
                    "pro",
                    "ACTIVE",
                    ((now - 9 * DAY, now + 9 * DAY),),
                    features,
                    ("api_calls",),
                ),
            ),
        )
        for n in range(CUSTOMERS)
    )
    keys = {sha256(SECRET.encode()).hexdigest(): KeyRecord("key_bench", TENANT, None)}
    return TenantRights(TENANT, (UnitRecord("api_calls", "API Calls", "COUNT"),), customers, keys)
