"""Real processes that are killed, frozen and starved, and load that keeps accounts. Put here: nodes, sites, load, the accounts' check.
Keep out: what is done to whom (test_chaos.py, test_two_regions.py)."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psycopg
from redis import Redis
from redis.exceptions import RedisError

from domain.catalog.catalog import read_catalog
from stack import tether
from stack.embedded import Postgres, Valkey, free_port
from stack.schema import prepare
from stack.tether import Command
from storage import event_log
from storage.catalog_service import apply_catalog
from storage.database import advisory_lock, make_engine, session_scope
from storage.lake import Lake
from storage.recount import recount
from storage.repositories.rights import tenant_rights
from tests.harness import forget_settings, wait_until
from tests.journeys.moving import LOCK

ROOT = Path(__file__).parents[2]
BATCH = 20
MONTH = datetime.now(UTC).strftime("%Y-%m")
CATALOG: dict[str, Any] = {
    "tenant": {"id": "acme", "name": "Acme", "currency": "USD"},
    "units": [
        {"key": "api_calls", "name": "API Calls", "aggregation": "COUNT"},
        {"key": "gigabytes", "name": "Gigabytes", "aggregation": "SUM"},
    ],
    "ratePlans": [
        {
            "key": "basic",
            "name": "Basic",
            "metrics": [
                {"unit": "api_calls", "model": "PER_UNIT", "rate": "0.01"},
                {"unit": "gigabytes", "model": "PER_UNIT", "rate": "0.10"},
            ],
        }
    ],
    "offerings": [{"code": "basic", "name": "Basic", "ratePlan": "basic"}],
    "customers": [{"id": "ada", "name": "Ada"}],
    "subscriptions": [{"id": "sub-ada", "customer": "ada", "offering": "basic", "startDate": f"{MONTH}-01"}],
    "keys": [{"name": "gateway"}, {"name": "spare"}],
}
UNLIMITED = {f"AFORO_LIMIT_{door}": "off" for door in ("METER", "INGEST", "ACCESS")}


@dataclass
class Node:
    """One process that may be killed, frozen, starved of disk, and started again."""

    name: str
    command: Command
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        env = {**forget_settings(dict(os.environ)), **self.command.env, **environment}
        handler = signal.signal(
            signal.SIGXFSZ, signal.SIG_IGN
        )  # inherited: a full disk is an error, not a death
        try:
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(
                    self.command.argv, env=env, cwd=self.command.cwd or ROOT, stdout=output, stderr=output,
                    user=self.command.account.uid if self.command.account else None,
                    group=self.command.account.gid if self.command.account else None,
                    extra_groups=[] if self.command.account else None,
                    process_group=0,
                )  # fmt: skip
        finally:
            signal.signal(signal.SIGXFSZ, handler)

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9, of it and its children."""
        if self.process is not None:
            tether.kill_group(self.process.pid)
            self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def file_limit(self, size: int | None) -> None:
        """No file of it can grow beyond so many bytes, as on a full disk; None: as much as there is."""
        assert self.process is not None
        soft = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


class Site:
    """A log and an edge over it, in a folder of their own; `clock` is how far its clock is off."""

    def __init__(self, folder: Path, name: str = "site") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.server = Valkey(self.folder / "valkey", port=free_port(), password="secret")
        self.server.prepare()
        self.port = free_port()
        self.clock(0)
        self.valkey = Node(f"{name}-valkey", self.server.command(), self.folder / "valkey.log")
        environment = {
            "AFORO_REDIS_URL": self.server.url,
            "AFORO_EDGE_PORT": str(self.port),
            "AFORO_HOME": str(self.folder),
            "AFORO_CLOCK_FILE": str(self.folder / "clock"),
            **UNLIMITED,
        }
        command = Command((sys.executable, "-m", "tests.journeys.stepped_edge"), env=environment, cwd=ROOT)
        self.edge = Node(f"{name}-edge", command, self.folder / "edge.log")
        self.redis = Redis.from_url(self.server.url, socket_timeout=5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clock(self, seconds: int) -> None:
        scratch = self.folder / "clock.new"
        scratch.write_text(str(seconds))
        scratch.replace(self.folder / "clock")

    def start_valkey(self) -> None:
        self.valkey.start()
        wait_until(self.server.is_ready, what=f"{self.valkey.name} to answer")

    def start_edge(self, *, spool: bool) -> None:
        self.edge.start(AFORO_EDGE_SPOOL="on" if spool else "off")
        wait_until(self.is_ready, what=f"{self.edge.name} to be ready")

    def is_ready(self) -> bool:
        """Redis is there, and nothing waits on the edge's disk."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=3, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.json()["status"] == "UP"

    def is_empty(self) -> bool:
        with suppress(RedisError):
            spooled = list((self.folder / "spool").glob("*/*.log"))
            return not spooled and event_log.pending(self.redis, "acme") == 0
        return False


class World:
    """Sites, one database, one lake, and what moves events and rights between them."""

    def __init__(self, folder: Path, names: Sequence[str] = ("site",)) -> None:
        self.folder = folder
        self.sites = [Site(folder, name) for name in names]
        self.site = self.sites[0]
        self.server = Postgres(folder / "pg")
        self.server.prepare()
        self.postgres = Node("postgres", self.server.command(), folder / "postgres.log")
        self.lake = Lake(str(folder / "lake"))
        self.environment = {
            "AFORO_DATABASE_URL": self.server.url(),
            "AFORO_LAKE_URL": str(folder / "lake"),
            "AFORO_HOME": str(folder),
            "AFORO_REDIS_URL": self.site.server.url,
            "AFORO_REGION_REDIS_URLS": " ".join(site.server.url for site in self.sites[1:]),
        }
        self.movers = [self._node(f"mover-{n}", "tests.journeys.moving") for n in range(2)]
        self.rights = self._node("rights", "api.control.rights")
        self.secret = self.spare = ""

    def _node(self, name: str, module: str) -> Node:
        command = Command((sys.executable, "-m", module), env=self.environment, cwd=ROOT)
        return Node(name, command, self.folder / f"{name}.log")

    @property
    def nodes(self) -> list[Node]:
        sites = [node for site in self.sites for node in (site.valkey, site.edge)]
        return [*self.movers, self.rights, *sites, self.postgres]

    def start(self) -> None:
        for site in self.sites:
            site.start_valkey()
        self.start_postgres()
        self.server.create_database()
        prepare(self.server.url())
        self.engine = make_engine(self.server.url(), pool_size=2)
        with session_scope(self.engine) as session:
            _, issued = apply_catalog(session, read_catalog(CATALOG))
        self.secret, self.spare = (key.secret for key in issued)
        self.rights.start()
        self.movers[0].start()
        for site in self.sites:
            site.start_edge(spool=False)
            wait_until(lambda site=site: bool(site.redis.exists("hot-state")), what="rights to be published")

    def start_postgres(self) -> None:
        """A killed one may still be leaving."""

        def is_up() -> bool:
            if not self.postgres.is_alive:
                self.postgres.start()
                time.sleep(0.3)
            return self.server.is_ready()

        wait_until(is_up, what="PostgreSQL to answer")

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                with suppress(ProcessLookupError):
                    node.process.send_signal(signal.SIGCONT)
                node.kill()

    def settle(self) -> None:
        """Until everything that was accepted has been through the gates."""
        for site in self.sites:
            wait_until(site.is_ready, what="the edge to be ready")
            wait_until(site.is_empty, what=f"{site.edge.name}: spool and log to be empty")
        wait_until(self._is_validated, what="what was drained to be validated")

    def _is_validated(self) -> bool:
        last = self.lake.cursor("raw_events").marker("raw_seq") or 0
        halves = (self.lake.cursor(name) for name in ("validated_events", "quarantined_events"))
        return all((cursor.marker("raw_events") or 0) == last for cursor in halves)

    def recount(self) -> pl.DataFrame:
        """The counters put right; those that were not."""
        with advisory_lock(self.engine, LOCK):
            with session_scope(self.engine) as session:
                rights = tenant_rights(session, "acme", datetime.now(UTC))
            return recount([site.redis for site in self.sites], self.lake, [rights])


@contextmanager
def world(folder: Path, names: Sequence[str] = ("site",)) -> Iterator[World]:
    made = World(folder, names)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@dataclass
class Told:
    """A load's accounts. accepted: keys that a 202 did not refuse; refused: keys that it did."""

    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    retries: int = 0
    lost_answers: int = 0
    spooled: int = 0


class Load(threading.Thread):
    """Requests of usage until told to stop; what was not acknowledged is sent again with the same keys. Some answers are not waited
    for, as if lost. Each request goes to one of the urls."""

    def __init__(self, name: str, urls: Sequence[str], secret: str, dice: random.Random) -> None:
        super().__init__(daemon=True, name=name)
        self.urls, self.secret, self.dice = list(urls), secret, dice
        self.ended = threading.Event()
        self.told = Told()
        self.loses_answers = 0.05
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx.Client(timeout=4, trust_env=False) as client:
                batch = 0
                while not self.ended.is_set():
                    events = self._events(batch)
                    if self.dice.random() < self.loses_answers:
                        self._send_and_go(events)
                    while not self._is_acknowledged(client, events):
                        self.told.retries += 1
                        time.sleep(0.05)
                    batch += 1
        except BaseException as error:
            self.failure = error
            raise

    def _events(self, batch: int) -> list[dict[str, Any]]:
        """Every seventh batch says again what the one before said; each has an event of an unknown unit; some are single ones."""
        again = batch - 1 if batch % 7 == 6 else batch
        size = 1 if again % 3 == 0 else BATCH
        moment = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return [
            {
                "customerId": "ada",
                "metricName": "nonsense" if n == 4 else ("api_calls", "gigabytes")[n % 2],
                "quantity": n + 1,
                "occurredAt": moment.isoformat(),
                "idempotencyKey": f"{self.name}-{again}-{n}",
            }
            for n in range(size)
        ]

    def _is_acknowledged(self, client: httpx.Client, events: list[dict[str, Any]]) -> bool:
        url = self.dice.choice(self.urls)
        try:
            answer = client.post(
                f"{url}/v1/ingest/batch",
                json={"events": events},
                headers={"Authorization": f"Bearer {self.secret}"},
            )
        except httpx.HTTPError:
            return False
        if answer.status_code != 202:
            assert answer.status_code == 503, answer.text
            assert "retry-after" in answer.headers
            return False
        told = answer.json()
        assert told["accepted"] + told["duplicates"] + told["failed"] == len(events), told
        refused = {events[each["index"]]["idempotencyKey"] for each in told["errors"]}
        self.told.refused |= refused
        self.told.accepted |= {event["idempotencyKey"] for event in events} - refused
        self.told.spooled += "spooled" in told
        return True

    def _send_and_go(self, events: list[dict[str, Any]]) -> None:
        """A request whose answer nobody reads."""
        url = httpx.URL(self.dice.choice(self.urls))
        body = json.dumps({"events": events}).encode()
        head = (
            f"POST /v1/ingest/batch HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {self.secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError), socket.create_connection((url.host, url.port), timeout=2) as line:
            line.sendall(head.encode() + body)
            time.sleep(self.dice.random() * 0.01)
            self.told.lost_answers += 1


@contextmanager
def under_load(
    world: World, name: str, dice: random.Random, *, urls: Sequence[str] = (), loads: int = 2
) -> Iterator[list[Load]]:
    """Load on while the block runs. Afterwards every request has been acknowledged."""
    where = urls or [world.site.url]
    running = [Load(f"{name}-{n}", where, world.secret, random.Random(dice.random())) for n in range(loads)]
    with ExitStack() as stack:
        for load in running:
            stack.callback(load.ended.set)
            load.start()
        yield running
    for load in running:
        load.join(30)
        assert not load.is_alive(), "a request was never acknowledged"
        assert load.failure is None, load.failure


def assert_accounted_for(world: World, name: str, loads: Sequence[Load]) -> None:
    """received = accepted + duplicate + refused; what was accepted is in the lake, once, and nothing else is."""
    mine = pl.col("idempotency_key").str.starts_with(f"{name}-")
    raw, validated, quarantined = (
        world.lake.scan(table).filter(mine).collect()
        for table in ("raw_events", "validated_events", "quarantined_events")
    )
    accepted = set().union(*(load.told.accepted for load in loads))
    refused = set().union(*(load.told.refused for load in loads))
    assert len(accepted) > 100, "there was hardly any load"
    assert set(validated["idempotency_key"]) == accepted
    assert validated.height == len(accepted), "each once"
    assert raw.height == validated.height + quarantined.height
    unknown = quarantined.filter(code="UNKNOWN_METRIC")
    assert set(unknown["idempotency_key"]) == refused
    assert set(quarantined["code"]) <= {"UNKNOWN_METRIC", "DUPLICATE"}
    taken = raw.filter(door="ACCEPTED")
    again = quarantined.filter(door="ACCEPTED")
    assert taken.height == validated.height + again.height


def wait_for_database(world: World) -> None:
    def answers() -> bool:
        with suppress(psycopg.Error), psycopg.connect(world.server.url(), connect_timeout=2):
            return True
        return False

    wait_until(answers, what="PostgreSQL to answer")
