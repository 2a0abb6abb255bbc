"""The one background process that starts all others, brings back whatever dies, and ends them in order.
Keep out: what the others are (services)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from stack import state, tether
from stack.services import SERVERS, Plan, Service, plan
from stack.settings import Settings
from stack.state import ServiceState, StackState

TICK_SECONDS = 0.2
DELAYS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the n-th restart in a row; a process that stayed up for a minute starts at the front again."""
STEADY_SECONDS = 60.0
PATIENCE_SECONDS = 15.0
"""How long processes that were asked to stop may take before they are killed."""
LOG_LIMIT = 20_000_000
"""Bytes; a longer log is moved to <name>.log.1, replacing the one before."""
MARK = "AFORO_SUPERVISED_HOME"
"""Every process below the supervisor carries it, so that strays of a killed supervisor can be told from strangers."""


class Watched:
    """One service with its process, if it has one now."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.shown = ServiceState(service.name, port=service.port, log=str(log))
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_ready(self) -> bool:
        return self.shown.state in {"ready", "done"}

    def tick(self, now: float, ready: set[str]) -> None:
        """Look at the process, if there is one, or start one, if it is time and all it needs is there."""
        if self.process is not None and self.process.poll() is not None:
            self._ended(now, self.process)
        elif self.process is not None and self.shown.state == "starting":
            if self.service.is_ready(now - (self.shown.started_at or now)):
                self.shown.state, self.shown.message = "ready", None
        elif self._may_start(now, ready):
            self._start(now)

    def _may_start(self, now: float, ready: set[str]) -> bool:
        idle = self.process is None and self.shown.state != "done"
        return idle and now >= self._not_before and ready.issuperset(self.service.after)

    def _start(self, now: float) -> None:
        try:
            self.service.prepare()
            self.process = tether.spawn(self.service.command, log=self.log)
        except Exception as error:
            self._failed(now, str(error))
            return
        self.shown.state, self.shown.pid, self.shown.started_at = "starting", self.process.pid, now

    def _ended(self, now: float, process: subprocess.Popen[bytes]) -> None:
        tether.kill_group(process.pid)
        self.process, self.shown.pid = None, None
        if self.service.once and process.returncode == 0:
            self.shown.state, self.shown.message = "done", None
            return
        if now - (self.shown.started_at or now) > STEADY_SECONDS:
            self._failures = 0
        code = process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._failed(now, f"ended with {how}; see its log")

    def _failed(self, now: float, message: str) -> None:
        self.shown.state, self.shown.message = "backoff", message
        self.shown.restarts += 1
        self._not_before = now + DELAYS[min(self._failures, len(DELAYS) - 1)]
        self._failures += 1
        print(f"{self.service.name}: {message}", flush=True)  # noqa: T201  (this is the supervisor's log)


class Supervisor:
    """Runs a plan until told to stop."""

    def __init__(self, home: Path, plan: Plan) -> None:
        self._home = home
        mark = {MARK: str(home)}
        logs = home / "logs"
        os.environ.update(mark)
        self._watched = [Watched(service, logs / f"{service.name}.log") for service in plan.services]
        self._state = StackState(
            supervisor_pid=os.getpid(),
            started_at=time.time(),
            addresses=vars(plan.addresses),
            notes=list(plan.notes),
            services=[watched.shown for watched in self._watched],
        )
        self._asked_to_stop = False

    def run(self) -> None:
        """Start, watch and restart until SIGTERM or SIGINT; then end everything, users of a server before the server."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        state.write(self._home, self._state)
        try:
            while not self._asked_to_stop:
                self._tick()
                time.sleep(TICK_SECONDS)
        finally:
            self._stop_all()

    def _on_signal(self, number: int, frame: object) -> None:
        self._asked_to_stop = True

    def _tick(self) -> None:
        before = [vars(watched.shown).copy() for watched in self._watched]
        for watched in self._watched:
            ready = {other.service.name for other in self._watched if other.is_ready}
            watched.tick(time.time(), ready)
            _rotate(watched.log)
        if before != [vars(watched.shown) for watched in self._watched]:
            state.write(self._home, self._state)

    def _stop_all(self) -> None:
        servers = [watched for watched in self._watched if watched.service.name in SERVERS]
        users = [watched for watched in self._watched if watched.service.name not in SERVERS]
        for layer in (users, servers):
            _stop_together(layer)
        (self._home / "stack.json").unlink(missing_ok=True)


def _stop_together(layer: list[Watched]) -> None:
    running = [(watched, watched.process) for watched in layer if watched.process is not None]
    for watched, process in running:
        tether.ask_to_stop(process, watched.service.command.stop_signal)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for _, process in running:
        tether.finish(process, patience=max(0.0, deadline - time.monotonic()))


def _rotate(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)  # writers append, so they go on at the new end


def strays(home: Path) -> list[psutil.Process]:
    """Processes that a supervisor of this folder started, or that those started, and that are still alive."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(home):
                found.append(process)
    return found


def end_strays(home: Path) -> None:
    """End what a killed supervisor left behind, so that two of a kind never share a data folder.

    SIGINT first: PostgreSQL then shuts down at once and cleanly, and the others end by it as well.
    """
    for number, patience in ((signal.SIGINT, 10.0), (signal.SIGKILL, 5.0)):
        left = strays(home)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        psutil.wait_procs(left, timeout=patience)


def main() -> int:
    """Run the stack of AFORO_HOME in the foreground of this process. 0: stopped when asked; 3: one is running already."""
    settings = Settings()
    home = settings.folder
    held = state.lock(home)
    if held is None:
        return 3
    with held:
        end_strays(home)
        Supervisor(home, plan(settings)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
