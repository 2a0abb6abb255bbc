"""`aforo up`, `down` and `status`. Put here: what a person sees of the stack's life. Keep out: how it lives (supervisor)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import PermanentFailure, TransientFailure
from stack.console import Exit, emit, err, out

if TYPE_CHECKING:
    from rich.table import Table

    from stack.state import ServiceState, StackState

PATIENCE_SECONDS = 180.0
GIVE_UP_AFTER = 5
"""Restarts of one process in a row before `up` stops waiting for it."""
COLOURS = {"ready": "green", "done": "green", "starting": "yellow", "waiting": "dim", "backoff": "red"}


class StackDidNotStart(PermanentFailure):
    """A process of the stack does not come up."""

    code = "STACK_DID_NOT_START"


class StackDidNotStop(TransientFailure):
    """The supervisor did not end in time."""

    code = "STACK_DID_NOT_STOP"


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(app: typer.Typer) -> None:
    """Add the three commands."""
    app.command(epilog="Example: aforo up --detach")(up)
    app.command(epilog="Example: aforo down")(down)
    app.command(epilog="Example: aforo status --json")(status)


def up(
    wait: Annotated[
        bool, typer.Option("--wait/--detach", help="Wait until all parts answer, or return at once.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Start everything in the background; prints where it is. Does nothing when it is up already."""
    from stack import state
    from stack.settings import Settings

    home = Settings().folder
    started = time.monotonic()
    already = state.is_locked(home)
    seen = start(home, wait=wait, quiet=as_json)
    if as_json:
        emit(_as_data(home, seen))
        return
    took = "It is up already." if already else f"Up in {time.monotonic() - started:.1f} s."
    _show(seen)
    out.print(took if wait or already else "Starting in the background; `aforo status` shows how far it is.")


def down(as_json: JsonOption = False) -> None:
    """Stop everything, in order. Nothing is lost: the data stays in the data folder."""
    from stack import state
    from stack.settings import Settings
    from stack.supervisor import end_strays

    home = Settings().folder
    pid = state.supervisor_pid(home)
    if pid is not None:
        _end_supervisor(home, pid)
    if home.exists():
        end_strays(home)
    if as_json:
        emit({"home": str(home), "running": False, "was_running": pid is not None})
        return
    out.print(f"Stopped. Data is kept in {home}." if pid is not None else f"Nothing was running over {home}.")


def status(as_json: JsonOption = False) -> None:
    """Show each process and where the stack is. Exit code 1 when it is not up, or not all of it is."""
    from stack import state
    from stack.settings import Settings

    home = Settings().folder
    seen = state.running(home)
    if as_json:
        emit(_as_data(home, seen))
    elif seen is None:
        out.print(f"Nothing is running over {home}: start it with `aforo up`.")
    else:
        _show(seen)
    if seen is None or not seen.is_ready:
        raise typer.Exit(Exit.FAILED)


def start(home: Path, *, wait: bool = True, quiet: bool = False) -> StackState:
    """Start the stack over this folder unless it is up already; waits until all parts answer, or (not `wait`) are named.

    Raises StackDidNotStart.
    """
    from stack import state

    already = state.is_locked(home)
    supervisor = None if already else _spawn_supervisor(home)
    return _watch(home, supervisor, wait=wait, quiet=quiet or already)


def _spawn_supervisor(home: Path) -> subprocess.Popen[bytes]:
    logs = home / "logs"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs.mkdir(exist_ok=True)
    with (logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "stack.supervisor"],
            env={**os.environ, "AFORO_HOME": str(home)},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _watch(home: Path, supervisor: subprocess.Popen[bytes] | None, *, wait: bool, quiet: bool) -> StackState:
    """Follow the start, telling of each part once it is there; ends when all are (with `wait`) or the first are named."""
    from stack import state

    deadline = time.monotonic() + PATIENCE_SECONDS
    told: set[str] = set()
    with out.status("Starting …") as spinner:
        while True:
            seen = state.running(home)
            if seen is not None:
                waiting_for = _tell(seen, told, quiet)
                spinner.update(f"Starting {', '.join(waiting_for)} …")
                if seen.is_ready or not wait:
                    return seen
                _give_up_on_failures(seen)
            if supervisor is not None and supervisor.poll() not in (None, 3):  # 3: another `up` was faster
                raise StackDidNotStart(f"The supervisor ended: {_tail(home / 'logs' / 'supervisor.log')}")
            if time.monotonic() > deadline:
                late = ", ".join(_not_ready(seen)) if seen else "the supervisor"
                raise StackDidNotStart(
                    f"Not ready after {PATIENCE_SECONDS:.0f} s: {late}. Logs: {home / 'logs'}"
                )
            time.sleep(0.1)


def _tell(seen: StackState, told: set[str], quiet: bool) -> list[str]:
    for service in seen.services:
        if service.state in {"ready", "done"} and service.name not in told:
            told.add(service.name)
            if not quiet:
                out.print(f"[green]✓[/] {service.name:<10} {time.time() - seen.started_at:5.1f} s")
    return _not_ready(seen)


def _not_ready(seen: StackState) -> list[str]:
    return [service.name for service in seen.services if service.state not in {"ready", "done"}]


def _give_up_on_failures(seen: StackState) -> None:
    for service in seen.services:
        if service.state == "backoff" and service.restarts >= GIVE_UP_AFTER:
            tail = _tail(Path(service.log)) if service.log else ""
            raise StackDidNotStart(
                f"{service.name} does not come up ({service.message}). The others go on; stop them with `aforo down`. "
                f"Its log, {service.log}, ends with:\n{tail}"
            )


def _tail(log: Path, lines: int = 15) -> str:
    try:
        text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8", errors="replace"))
        return "\n".join(text.splitlines()[-lines:])
    except FileNotFoundError:
        return f"(no log at {log})"


def _end_supervisor(home: Path, pid: int) -> None:
    from stack import state

    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    with err.status("Stopping …"):
        while state.is_locked(home):
            if time.monotonic() > deadline:
                raise StackDidNotStop(
                    f"The supervisor (process {pid}) still runs after 60 s; see {home / 'logs'}."
                )
            time.sleep(0.1)


def _show(seen: StackState) -> None:
    out.print(_table(seen))
    places = {"edge": "edge_url", "control API": "control_url", "Dagster": "dagster_url"}
    running = {"edge": "edge", "control API": "control", "Dagster": "webserver"}
    for place, key in places.items():
        if seen.service(running[place]) is not None:
            out.print(f"  {place:<12} [link]{seen.addresses[key]}[/link]", soft_wrap=True)
    out.print(f"  {'data':<12} {seen.addresses['home']}", soft_wrap=True)
    for note in seen.notes:
        out.print(f"[yellow]{note}[/]", soft_wrap=True)


def _table(seen: StackState) -> Table:
    from rich.table import Table

    troubled = any(service.message for service in seen.services)
    table = Table("process", "state", "pid", "port", "uptime", "restarts", *(["trouble"] if troubled else []))
    for service in seen.services:
        colour = COLOURS.get(service.state, "dim")
        cells = (service.pid or "", service.port or "", _uptime(service), service.restarts)
        trouble = [service.message or ""] if troubled else []
        table.add_row(service.name, f"[{colour}]{service.state}[/]", *map(str, cells), *trouble)
    return table


def _uptime(service: ServiceState) -> str:
    if service.pid is None or service.started_at is None:
        return ""
    seconds = int(time.time() - service.started_at)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds % 60}s"


def _as_data(home: Path, seen: StackState | None) -> dict[str, Any]:
    """Status as data; without the URLs that hold passwords."""
    if seen is None:
        return {"home": str(home), "running": False, "ready": False, "urls": {}, "notes": [], "services": []}
    names = ("edge_url", "control_url", "dagster_url")
    return {
        "home": str(home),
        "running": True,
        "ready": seen.is_ready,
        "supervisor_pid": seen.supervisor_pid,
        "urls": {name.removesuffix("_url"): seen.addresses.get(name) for name in names},
        "notes": seen.notes,
        "services": [vars(service) for service in seen.services],
    }
