"""The management door over a large tenant: requests at random moments, lists at any depth, rights on their way to the edge. Put
here: one measured series of each. Keep out: the tenant (control_data.py).

The door runs as `aforo up` runs it: two processes and the publisher of rights beside them, over PostgreSQL and Valkey that keep what they accept on disk.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import psutil
import psycopg
from redis import Redis

from benchmarks import control_data
from benchmarks.control_data import OFFERINGS, TENANT
from benchmarks.load import Measured, request, timetable

ROOT = Path(__file__).parents[1]
RATE = 50
READS = ("GET customer", "GET subscription", "GET rate plan", "customers by e-mail", "customers, page 1")
WRITES = ("POST customer", "PATCH customer", "POST subscription", "POST api-key")
MIX = (*READS * 2, *WRITES)
"""Ten reads to four writes, each kind as often as the others of its side."""
PAGE = 50
VISIBLE_EVERY = 0.5
_numbers = count(time.time_ns() // 1000)


@dataclass(frozen=True, slots=True)
class World:
    """A running door and what it stands on. free: numbers of customers without subscription; used up as they get one."""

    pids: list[int]
    port: int
    secret: str
    database_url: str
    redis_url: str
    home: Path
    customers: int
    free: list[int]


def measure(repeats: int, customers: int, seconds: float, log: Any) -> dict[str, list[float]]:
    """All figures in milliseconds, each `repeats` times, by name."""
    found: dict[str, list[float]] = {}
    with running(customers, log) as world:
        _loaded(world, min(5.0, seconds), [])  # warm
        for number in range(1, repeats + 1):
            visible: list[float] = []
            began = _processor_time(world)
            measured = _loaded(world, seconds, visible)
            spent = (_processor_time(world) - began) / (sum(measured.statuses.values()) + len(visible))
            figures = {**_latencies(measured), "processor time of the door a request": spent}
            figures |= {**_visibility(visible), **_lists(world)}
            for name, figure in figures.items():
                found.setdefault(name, []).append(figure)
            log(
                f"control, run {number} of {repeats}: "
                + ", ".join(f"{n} {f:.1f}" for n, f in figures.items())
            )
    return found


def measure_files(repeats: int, customers: int, log: Any) -> dict[str, list[float]]:
    """Seconds of `aforo apply` of a file with so many customers: into nothing, and again with nothing to change."""
    from storage.database import migrate

    found: dict[str, list[float]] = {}
    for number in range(1, repeats + 1):
        with _servers() as (database_url, redis_url, home):
            migrate(database_url)
            file = home / "catalog.yaml"
            control_data.write_file(file, customers)
            for name in ("apply, all new", "apply, nothing new"):
                found.setdefault(name, []).append(_applied(file, database_url, redis_url, home))
        log(f"files, run {number} of {repeats}: " + ", ".join(f"{n} {f[-1]:.1f} s" for n, f in found.items()))
    return found


@contextmanager
def running(customers: int, log: Any) -> Iterator[World]:
    """The door over a filled database, answering."""
    from stack.embedded import free_port
    from storage.database import migrate
    from tests import harness

    with _servers() as (database_url, redis_url, home):
        migrate(database_url)
        began = time.perf_counter()
        secret = control_data.fill(database_url, redis_url, customers)
        log(f"{customers:,} customers made and published in {time.perf_counter() - began:.1f} s")
        port = free_port()
        environment = _environment(database_url, redis_url, home) | {
            "AFORO_CONTROL_PORT": str(port),
            "AFORO_CONTROL_RATE": "1000000",
        }
        modules = ("api.control", "api.control", "api.control.rights")
        processes = [
            subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, env=environment) for module in modules
        ]
        try:
            harness.wait_until(lambda: _answers(port), what="the management door")
            harness.wait_until(
                lambda: _waiting(database_url) == 0, what="rights to be published", seconds=300
            )
            free = random.sample(range(0, customers, 2), customers // 2)
            yield World(
                [each.pid for each in processes[:2]],
                port,
                secret,
                database_url,
                redis_url,
                home,
                customers,
                free,
            )
        finally:
            for each in processes:
                each.terminate()
            for each in processes:
                each.wait(20)


@contextmanager
def _servers() -> Iterator[tuple[str, str, Path]]:
    """URLs of PostgreSQL and Valkey with the settings of `aforo up`, and a folder."""
    from stack.embedded import Postgres
    from tests import harness

    with harness.short_folder() as folder, harness.valkey() as valkey:
        server = Postgres(folder / "pg")
        with harness.running(server, folder / "postgres.log"):
            server.create_database()
            with tempfile.TemporaryDirectory(prefix="aforo-home-") as home:
                yield server.url(), valkey.url, Path(home)


def _environment(database_url: str, redis_url: str, home: Path) -> dict[str, str]:
    told = {"AFORO_DATABASE_URL": database_url, "AFORO_REDIS_URL": redis_url, "AFORO_HOME": str(home)}
    return {**os.environ, **told}


def _processor_time(world: World) -> float:
    """Milliseconds the door has computed so far."""
    times = [psutil.Process(pid).cpu_times() for pid in world.pids]
    return sum(each.user + each.system for each in times) * 1000


def _waiting(database_url: str) -> int:
    """How many changes of rights are not published yet."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM rights_outbox").fetchone()
        return int(row[0]) if row else 0


def _answers(port: int) -> bool:
    with suppress(httpx.TransportError):
        url = f"http://127.0.0.1:{port}/actuator/health"
        return httpx.get(url, trust_env=False).status_code == 200
    return False


def _applied(file: Path, database_url: str, redis_url: str, home: Path) -> float:
    command = [sys.executable, "-m", "stack", "apply", str(file), "--json"]
    began = time.perf_counter()
    environment = _environment(database_url, redis_url, home)
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _loaded(world: World, seconds: float, visible: list[float]) -> Measured:
    """The mix at its rate from a process of its own; meanwhile this one changes contracts and waits for them to be visible."""
    context = multiprocessing.get_context("spawn")
    answers, theirs = context.Pipe(duplex=False)
    plan = _timetable(world, seconds)
    load = context.Process(target=_send, args=(world.port, plan, theirs), daemon=True)
    load.start()
    answers.recv()  # it is up and begins
    deadline = time.monotonic() + seconds
    with Redis.from_url(world.redis_url) as redis, httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline - 2 * VISIBLE_EVERY:
            visible.append(_until_visible(world, client, redis))
            time.sleep(VISIBLE_EVERY)
    measured: Measured = answers.recv()
    load.join(20)
    wrong = {status: times for status, times in measured.statuses.items() if status not in (200, 201)}
    assert not wrong, f"the door answered {wrong}"
    return measured


def _send(port: int, plan: list[tuple[float, str, bytes]], answers: Any) -> None:
    from benchmarks.edge import asyncio_run

    signal.alarm(int(plan[-1][0]) + 60)  # it ends, whatever becomes of its parent
    answers.send("ready")
    answers.send(asyncio_run(timetable(port, plan)))


def _timetable(world: World, seconds: float) -> list[tuple[float, str, bytes]]:
    """Requests at random moments (Poisson), of random kinds."""
    rng, plan = random.Random(next(_numbers)), []
    at = rng.expovariate(RATE)
    while at < seconds:
        kind = rng.choice(MIX)
        plan.append((at, kind, _request(world, kind, rng)))
        at += rng.expovariate(RATE)
    return plan


def _request(world: World, kind: str, rng: random.Random) -> bytes:
    if kind in READS:
        return request("GET", _path(world, kind, rng), world.secret)
    method, number, odd = kind.split()[0], next(_numbers), rng.randrange(1, world.customers, 4)
    path, body = {
        "POST customer": (
            "customers",
            {"name": f"New {number}", "email": f"new{number}@example.com", "plan": "BUSINESS"},
        ),
        "PATCH customer": (f"customers/cus_{odd}", {"metadata": {"seen": str(number)}}),
        "POST subscription": (
            "subscriptions",
            {"customerId": f"cus_{world.free.pop()}", "offeringId": f"offering-{number % OFFERINGS}"},
        ),
        "POST api-key": (
            "api-keys",
            {"name": f"key {number}", "customerId": f"cus_{odd}", "subscriptionIds": [f"sub_{odd}"]},
        ),
    }[kind]
    repeat = {"Idempotency-Key": f"bench-{number}"} if method == "POST" else {}
    return request(method, f"/api/v1/{path}", world.secret, json.dumps(body).encode(), repeat)


def _path(world: World, kind: str, rng: random.Random) -> str:
    number, odd = rng.randrange(world.customers), rng.randrange(1, world.customers, 2)
    return {
        "GET customer": f"/api/v1/customers/cus_{number}",
        "GET subscription": f"/api/v1/subscriptions/sub_{odd}",
        "GET rate plan": f"/api/v1/rateplans/plan-{number % OFFERINGS}",
        "customers by e-mail": f"/api/v1/customers?email={quote(f'billing{number}@example.com')}",
        "customers, page 1": f"/api/v1/customers?size={PAGE}",
    }[kind]


def _latencies(measured: Measured) -> dict[str, float]:
    for side, kinds in (("all reads", READS), ("all writes", WRITES)):
        measured.latencies[side] = [each for kind in kinds for each in measured.latencies[kind]]
    return {
        f"{kind} p{share:.0%}".rstrip("%"): measured.percentile(kind, share)
        for kind in (*READS, "all reads", *WRITES, "all writes")
        for share in (0.5, 0.95, 0.99)
    }


def _until_visible(world: World, client: httpx.Client, redis: Redis) -> float:
    """Milliseconds from sending a change of a contract until hot state holds it."""
    from storage.hot_state import read_rights

    odd = random.randrange(3, world.customers, 4)  # those whose contracts the load leaves alone
    began = time.perf_counter()
    answer = client.post(
        f"http://127.0.0.1:{world.port}/api/v1/subscriptions/sub_{odd}/pause",
        headers={"Authorization": f"Bearer {world.secret}"},
        json={},
    )
    if answer.status_code == 422:  # paused in a run before
        return _until_visible(world, client, redis)
    assert answer.status_code == 200, answer.text
    while time.perf_counter() - began < 30:
        rights = read_rights(redis, TENANT, f"cus_{odd}")
        if rights is None or all(each.status != "ACTIVE" for each in rights.subscriptions):
            break
        time.sleep(0.001)
    return (time.perf_counter() - began) * 1000


def _visibility(visible: list[float]) -> dict[str, float]:
    ranked = sorted(visible)
    last = ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
    return {
        "change visible to the edge p50": statistics.median(ranked),
        "change visible to the edge p99": last,
    }


def _lists(world: World) -> dict[str, float]:
    """Medians of single requests without other load: pages at depths, by number and by cursor; filters and orders."""
    with httpx.Client(
        base_url=f"http://127.0.0.1:{world.port}/api/v1/",
        headers={"Authorization": f"Bearer {world.secret}"},
        trust_env=False,
        timeout=60,
    ) as client:
        get = _getter(client)
        found = {}
        for depth in (0, world.customers // 10, world.customers * 9 // 10):
            found[f"list, row {depth:,}, by page number"] = _median(lambda d=depth: get(page=d // PAGE))
            before = get(page=max(0, depth // PAGE - 1))["meta"]["nextCursor"]
            found[f"list, row {depth:,}, by cursor"] = _median(lambda c=before: get(cursor=c))
        found["list, part of a name"] = _median(lambda: get(name="1234"))
        found["list, part of a name, none has it"] = _median(lambda: get(name="nobody"))
        for order in ("name", "name,desc", "createdAt,desc"):
            found[f"list, by {order}"] = _median(lambda o=order: get(sort=o))
        return found


def _getter(client: httpx.Client) -> Callable[..., Any]:
    def get(**query: Any) -> Any:
        answer = client.get(f"customers?{urlencode({'size': PAGE, **query})}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


def _median(work: Callable[[], Any], times: int = 9) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)
