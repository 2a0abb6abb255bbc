"""What the supervisor tells the world: its lock and its state file. Put here: reading and writing the two.
Keep out: deciding anything by them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from stack.embedded import write_private


@dataclass
class ServiceState:
    """One process: `state` is waiting, starting, ready, done (a step that ran), or backoff; times in epoch seconds."""

    name: str
    state: str = "waiting"
    pid: int | None = None
    port: int | None = None
    started_at: float | None = None
    restarts: int = 0
    message: str | None = None
    log: str | None = None


@dataclass
class StackState:
    """The whole stack; `addresses` as in settings.Addresses, `notes` are for people."""

    supervisor_pid: int
    started_at: float
    addresses: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    services: list[ServiceState] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return all(service.state in {"ready", "done"} for service in self.services)

    def service(self, name: str) -> ServiceState | None:
        return next((service for service in self.services if service.name == name), None)


def write(home: Path, state: StackState) -> None:
    """Replace the state file at once. Private: the Redis URL in it holds a password."""
    write_private(home / "stack.json", json.dumps(asdict(state), indent=2))


def running(home: Path) -> StackState | None:
    """The state of the living supervisor; None when there is none or it has not said anything yet."""
    state, pid = _read(home), supervisor_pid(home)
    return state if state is not None and state.supervisor_pid == pid else None


def _read(home: Path) -> StackState | None:
    try:
        content = json.loads((home / "stack.json").read_text(encoding="utf-8"))
        services = [ServiceState(**service) for service in content.pop("services")]
        return StackState(**content, services=services)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def lock(home: Path) -> IO[str] | None:
    """Become the one supervisor of this folder: an open file to keep, or None when there is one already.

    The kernel gives the lock back when the holder dies, however it dies; so it, not the state file, tells the truth.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (home / "stack.lock").open("a+", encoding="utf-8")
    for _ in range(20):  # somebody who only looks (is_locked) holds it for an instant
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.02)
    else:
        file.close()
        return None
    (home / "stack.json").unlink(missing_ok=True)  # of a supervisor that was killed
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def is_locked(home: Path) -> bool:
    """Whether a supervisor of this folder is alive."""
    try:
        with (home / "stack.lock").open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def supervisor_pid(home: Path) -> int | None:
    """Process id of the living supervisor."""
    if not is_locked(home):
        return None
    text = (home / "stack.lock").read_text(encoding="utf-8")
    if not text.isdigit():
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(text), 0)  # for an instant after the lock is taken it still names the one before
        return int(text)
    return None
