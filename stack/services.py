"""The processes of the stack, in the order they depend on each other. Put here: what each is, and how to tell it is ready.
Keep out: starting, watching and stopping them (the supervisor)."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stack import dagster_home
from stack.embedded import Postgres, Valkey, free_port, share_of_memory
from stack.settings import Addresses, Settings
from stack.tether import Command

QUIET = {"GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
"""No process of ours reports home; logs appear as they are written."""
SERVERS = frozenset({"postgres", "valkey"})
"""Stopped last: the others use them."""
CONTROL = ("control", "control-2")
"""The management door is two processes on one port: a long request in one of them does not hold up the others."""
BATCH_NICENESS = 5
"""Dagster's processes and their runs give way to the edge and its servers where processors are few."""
VALKEYS_SHARE = 0.5
"""Of the machine's memory: a log that is not drained must not take it all, but refuse in time."""
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through the proxy the environment may name."""


@dataclass(frozen=True)
class Service:
    """One process: `prepare` runs before each start, `is_ready` is asked until it is true, `after` names what it needs.

    `once`: a step that ends; ready when it ended well.
    """

    name: str
    command: Command
    is_ready: Callable[[float], bool]
    after: tuple[str, ...] = ()
    port: int | None = None
    prepare: Callable[[], None] = lambda: None
    once: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything to run, where it will be reachable, and what people should know about it."""

    services: tuple[Service, ...]
    addresses: Addresses
    notes: tuple[str, ...] = field(default=())


def plan(settings: Settings) -> Plan:
    """The stack these settings ask for: embedded servers only where no URL names another one."""
    home = settings.folder
    ports, notes = _choose_ports(settings)
    settings.secret("operator_token")  # what the control API asks of its callers
    servers: list[Service] = []
    database_url, redis_url = settings.database_url, settings.redis_url
    if redis_url is None:
        memory = settings.valkey_bytes or share_of_memory(VALKEYS_SHARE)
        password = settings.secret("valkey_password")
        valkey = Valkey(home / "valkey", port=ports["valkey"], password=password, memory=memory)
        redis_url = valkey.url
        servers.append(_embedded("valkey", valkey, port=valkey.port))
    if database_url is None:
        postgres = Postgres(home / "postgres")
        database_url = postgres.url()
        servers.append(_embedded("postgres", postgres))
    addresses = Addresses(
        home=str(home),
        database_url=database_url,
        redis_url=redis_url,
        lake_url=settings.lake_url or str(home / "lake"),
        edge_url=f"http://127.0.0.1:{ports['edge']}",
        control_url=f"http://127.0.0.1:{ports['control']}",
        dagster_url=f"http://127.0.0.1:{ports['dagster']}",
    )
    environment = {**QUIET, **addresses.environment()}
    if settings.database_url is None:
        environment["AFORO_EMBEDDED_DATABASE"] = "1"
    known = {server.name for server in servers}
    programs = _doors(environment, ports, known) + _dagster(home, environment, ports)
    return Plan((*servers, *programs), addresses, tuple(notes))


def _choose_ports(settings: Settings) -> tuple[dict[str, int], list[str]]:
    wanted = {"edge": settings.edge_port, "control": settings.control_port, "dagster": settings.dagster_port}
    ports: dict[str, int] = {}
    notes = []
    for name, port in wanted.items():
        ports[name] = free_port(port)
        if ports[name] != port:
            notes.append(f"Port {port} is taken by another program: {name} listens on {ports[name]} instead.")
    return {**ports, "valkey": free_port(), "code": free_port()}, notes


def _embedded(name: str, server: Postgres | Valkey, port: int | None = None) -> Service:
    return Service(name, server.command(), lambda since: server.is_ready(), port=port, prepare=server.prepare)


def _python(environment: dict[str, str], *arguments: str, nice: int = 0) -> Command:
    folder = Path(environment["AFORO_HOME"])
    return Command((sys.executable, *arguments), env=environment, cwd=folder, nice=nice)


def _doors(environment: dict[str, str], ports: dict[str, int], servers: set[str]) -> list[Service]:
    """The schema step and the two APIs; the edge needs no database, so it is there first."""
    edge, control = ports["edge"], ports["control"]
    log, database = tuple(servers & {"valkey"}), tuple(servers & {"postgres"})
    run = partial(_python, environment)
    return [
        Service(
            "edge", run("-m", "api.edge"), _answers(edge, "/readyz?rights=optional"), after=log, port=edge
        ),
        Service("schema", run("-m", "stack.schema"), lambda since: False, after=database, once=True),
        *(
            Service(
                name,
                run("-m", "api.control"),
                _answers(control, "/actuator/health"),
                after=("schema", *log),
                port=control,
            )
            for name in CONTROL
        ),
        Service("rights", run("-m", "api.control.rights"), _lives(1.0), after=("schema", *log)),
    ]


def _dagster(home: Path, environment: dict[str, str], ports: dict[str, int]) -> list[Service]:
    """One code server holds the definitions for both the webserver and the daemon: half the memory, and a run outlives both."""
    code, web = ports["code"], ports["dagster"]
    folder = home / "dagster"
    workspace = str(folder / "workspace.yaml")
    run = partial(_python, environment, "-m", nice=BATCH_NICENESS)
    write = partial(dagster_home.write, folder, code_port=code)
    return [
        Service(
            "code",
            run("stack.code_server", str(code)),
            _listens(code),
            after=("schema",),
            port=code,
            prepare=write,
        ),
        Service("daemon", run("dagster._daemon", "run", "-w", workspace), _lives(3.0), after=("code",)),
        Service(
            "webserver",
            run("dagster_webserver", "-h", "127.0.0.1", "-p", str(web), "-w", workspace),
            _answers(web, "/server_info"),
            after=("code",),
            port=web,
        ),
    ]


def _answers(port: int, path: str) -> Callable[[float], bool]:
    def ask(since: float) -> bool:
        try:
            with LOOPBACK.open(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    return ask


def _listens(port: int) -> Callable[[float], bool]:
    def ask(since: float) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ask


def _lives(seconds: float) -> Callable[[float], bool]:
    return lambda since: since >= seconds
