"""Child processes that cannot outlive their parent. Put here: spawning and stopping one. Keep out: which ones, and when."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Account:
    """The system account a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """One program to run: what, where, as whom, how it is asked to stop, and how readily it gives way (0 to 19)."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    nice: int = 0


def spawn(command: Command, *, log: Path) -> subprocess.Popen[bytes]:
    """Start the program in a process group of its own, its output appended to `log`.

    The kernel sends it its stop signal when the spawning thread ends for whatever reason, so spawn from a thread
    that lives as long as the child should (Linux; elsewhere only an orderly stop ends it).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    account = command.account
    with log.open("ab") as output:
        return subprocess.Popen(
            command.argv,
            env={**os.environ, **command.env},
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=_in_child(command),
        )


def _in_child(command: Command) -> Callable[[], None]:
    """What the child does between fork and exec; everything is looked up here, before the fork."""
    nice, stop_signal, parent = command.nice, int(command.stop_signal), os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None

    def prepare() -> None:
        os.nice(nice)
        if prctl is None:
            return
        prctl(PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return prepare


def ask_to_stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    """Send the signal once, if the process still runs: many programs take a second one as "drop everything"."""
    if process.poll() is None:
        process.send_signal(stop_signal)


def finish(process: subprocess.Popen[bytes], *, patience: float = 10.0) -> int:
    """Wait for a process that was asked to stop, kill its whole group after `patience` seconds; returns its exit code."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    kill_group(process.pid)
    return process.wait()


def kill_group(leader: int) -> None:
    """Kill whatever is left in the process group of a spawned child: workers that outlived it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
