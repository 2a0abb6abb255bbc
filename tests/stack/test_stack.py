"""Claims about the whole stack, run as a person runs it: `aforo up`, kill what you like, `aforo down`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.embedded import free_port
from stack.supervisor import strays
from tests import harness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATHS = {"edge": "/readyz?rights=optional", "control": "/actuator/health", "dagster": "/server_info"}
AFORO = str(Path(sys.executable).parent / "aforo")


class Stack:
    """One installation: its folder, its environment, and the command."""

    def __init__(self, home: Path, **settings: str) -> None:
        ports = {f"AFORO_{name}_PORT": str(free_port()) for name in ("EDGE", "CONTROL", "DAGSTER")}
        self.home = home
        self.environment = {
            **harness.forget_settings(dict(os.environ)),
            "AFORO_HOME": str(home),
            **ports,
            **settings,
        }

    def aforo(self, *arguments: str, code: int = 0) -> Any:
        done = subprocess.run(
            [AFORO, *arguments, "--json"], env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def pids(self) -> dict[str, int]:
        services = self.aforo("status")["services"]
        return {service["name"]: service["pid"] for service in services if service["pid"] is not None}

    def is_ready(self) -> bool:
        done = subprocess.run(
            [AFORO, "status", "--json"], env=self.environment, capture_output=True, text=True
        )
        return done.returncode == 0

    def answers(self) -> bool:
        urls = self.aforo("status")["urls"]
        with httpx.Client(trust_env=False) as client:
            try:
                return all(client.get(urls[name] + path).status_code == 200 for name, path in PATHS.items())
            except httpx.TransportError:
                return False


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with harness.short_folder() as home:
        one = Stack(home)
        try:
            one.aforo("up")
            yield one
        finally:
            one.aforo("down")
            assert strays(home) == []


def test_up_ends_when_every_part_answers(stack: Stack) -> None:
    assert stack.aforo("status")["ready"] is True
    assert stack.answers()


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = stack.pids()
    assert stack.aforo("up")["ready"] is True
    assert stack.pids() == before


def test_dagster_has_our_definitions_and_live_daemons(stack: Stack) -> None:
    query = (
        "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } }"
        "  instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"
    )
    url = stack.aforo("status")["urls"]["dagster"]

    def ask() -> Any:
        return httpx.post(f"{url}/graphql", json={"query": query}, trust_env=False, timeout=20).json()["data"]

    locations = ask()["workspaceOrError"]["locationEntries"]
    assert [(one["name"], one["locationOrLoadError"]["__typename"]) for one in locations] == [
        ("aforo", "RepositoryLocation")
    ]

    def healthy() -> bool:
        statuses = ask()["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] for status in statuses if status["required"])

    harness.wait_until(healthy, what="Dagster's daemons to send heartbeats", seconds=60)


@pytest.mark.parametrize(
    "name", ["valkey", "postgres", "edge", "control", "rights", "daemon", "webserver", "code"]
)
def test_whatever_is_killed_comes_back(stack: Stack, name: str) -> None:
    before = stack.pids()[name]
    os.kill(before, signal.SIGKILL)
    harness.wait_until(lambda: not harness.alive(before), what=f"{name} to die")
    harness.wait_until(
        lambda: stack.is_ready() and stack.pids().get(name) not in (None, before),
        what=f"{name} to come back",
        seconds=60,
    )
    harness.wait_until(stack.answers, what="all to answer again", seconds=30)


def test_nothing_outlives_a_killed_supervisor_and_up_starts_anew(stack: Stack) -> None:
    os.kill(stack.aforo("status")["supervisor_pid"], signal.SIGKILL)
    harness.wait_until(lambda: strays(stack.home) == [], what="the orphans to end")
    assert stack.aforo("status", code=1)["running"] is False
    assert stack.aforo("up")["ready"] is True


def test_down_leaves_no_process_and_up_finds_the_data_again(stack: Stack) -> None:
    stack.aforo("down")
    assert strays(stack.home) == []
    assert stack.aforo("status", code=1)["running"] is False
    assert stack.aforo("up", "--detach")["running"] is True
    assert stack.aforo("up")["ready"] is True


def test_a_port_taken_by_a_stranger_is_replaced_and_told() -> None:
    with harness.short_folder() as home, socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        one = Stack(home, AFORO_EDGE_PORT=str(taken))
        try:
            shown = one.aforo("up", "--detach")
            assert not shown["urls"]["edge"].endswith(f":{taken}")
            assert [note for note in shown["notes"] if str(taken) in note]
        finally:
            one.aforo("down")
            assert strays(home) == []
