"""Claims about one watched process, with real small processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack import tether
from stack.services import Service
from stack.supervisor import Watched
from stack.tether import Command
from tests.harness import alive, wait_until

SLEEPER = Command(("sleep", "300"))
FAILING = Command((sys.executable, "-c", "raise SystemExit(7)"))


def watched(service: Service, folder: Path) -> Watched:
    return Watched(service, folder / f"{service.name}.log")


def tick_until(one: Watched, state: str) -> None:
    def reached() -> bool:
        one.tick(time.time(), ready=set())
        return one.shown.state == state

    wait_until(reached, what=f"state {state}")


@pytest.fixture
def sleeper(tmp_path: Path):
    one = watched(Service("sleeper", SLEEPER, lambda since: True), tmp_path)
    tick_until(one, "ready")
    yield one
    if one.process is not None:
        tether.kill_group(one.process.pid)
        one.process.wait()


def test_a_killed_process_comes_back(sleeper: Watched) -> None:
    first = sleeper.shown.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    tick_until(sleeper, "backoff")
    assert "SIGKILL" in (sleeper.shown.message or "")
    tick_until(sleeper, "ready")
    assert (sleeper.shown.restarts, sleeper.shown.message) == (1, None)
    assert sleeper.shown.pid not in (None, first)


def test_restarts_in_a_row_are_spaced_out(tmp_path: Path) -> None:
    one = watched(Service("failing", FAILING, lambda since: False), tmp_path)
    for _ in range(2):
        tick_until(one, "starting")
        tick_until(one, "backoff")
    assert "exit code 7" in (one.shown.message or "")
    one.tick(time.time(), ready=set())
    assert one.shown.state == "backoff"


def test_a_step_that_ended_well_is_done_and_not_run_again(tmp_path: Path) -> None:
    one = watched(Service("step", Command(("true",)), lambda since: False, once=True), tmp_path)
    tick_until(one, "done")
    one.tick(time.time(), ready=set())
    assert (one.shown.state, one.process) == ("done", None)


def test_a_process_waits_for_what_it_needs(tmp_path: Path) -> None:
    one = watched(
        Service("user", Command(("true",)), lambda since: False, after=("server",), once=True), tmp_path
    )
    one.tick(time.time(), ready={"something else"})
    assert one.shown.state == "waiting"
    one.tick(time.time(), ready={"server"})
    assert one.shown.state == "starting"
    tick_until(one, "done")


def test_a_failing_preparation_is_shown_and_tried_again(tmp_path: Path) -> None:
    def prepare() -> None:
        raise OSError("no space left")

    one = watched(Service("server", SLEEPER, lambda since: True, prepare=prepare), tmp_path)
    one.tick(time.time(), ready=set())
    assert (one.shown.state, one.shown.message, one.shown.restarts) == ("backoff", "no space left", 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can tie a child to its parent")
def test_a_child_does_not_outlive_a_parent_killed_outright(tmp_path: Path) -> None:
    program = (
        "import time; from pathlib import Path; from stack import tether;"
        f"child = tether.spawn(tether.Command(('sleep', '300')), log=Path({str(tmp_path / 'log')!r}));"
        "print(child.pid, flush=True); time.sleep(300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child), what="the child to end")
