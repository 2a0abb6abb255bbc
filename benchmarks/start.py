"""From `aforo up` to the first accepted event. Put here: a fresh data folder, and the same one started again.

A fresh one includes making PostgreSQL's data folder, the tables, and `aforo apply` of a small catalog.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
CATALOG = ROOT / "examples" / "llm-inference.yaml"
PATIENCE_SECONDS = 120


def measure(repeats: int, log: Any) -> dict[str, list[float]]:
    """Seconds, each `repeats` times: {"fresh": [...], "again": [...]}."""
    from stack.embedded import free_port
    from tests import harness

    found: dict[str, list[float]] = {"fresh": [], "again": []}
    for number in range(1, repeats + 1):
        with harness.short_folder() as home:
            ports = {f"AFORO_{name}_PORT": str(free_port()) for name in ("EDGE", "CONTROL", "DAGSTER")}
            kept = {k: v for k, v in os.environ.items() if not k.startswith("AFORO_")}
            environment = {**kept, **ports, "AFORO_HOME": str(home)}
            try:
                found["fresh"].append(_first_event(environment, home, apply=True))
                _aforo(environment, "down")
                found["again"].append(_first_event(environment, home, apply=False))
            finally:
                _aforo(environment, "down")
        log(
            f"start, run {number} of {repeats}: fresh {found['fresh'][-1]:.1f} s, again {found['again'][-1]:.1f} s"
        )
    return found


def _first_event(environment: dict[str, str], home: Path, *, apply: bool) -> float:
    started = time.perf_counter()
    _aforo(environment, "up", "--detach")
    if apply:
        _until(lambda: _state(home, "schema") == "done", "the tables")
        _aforo(environment, "apply", str(CATALOG))
    secret = json.loads((home / "secrets" / "keys.json").read_text())["acme-ai"]["ingest"]
    url = f"http://127.0.0.1:{environment['AFORO_EDGE_PORT']}/v1/ingest"
    _until(lambda: _accepted(url, secret), "an event to be accepted")
    return time.perf_counter() - started


def _accepted(url: str, secret: str) -> bool:
    event = {"customerId": "code", "metricName": "requests", "quantity": 1}
    try:
        answer = httpx.post(url, json=event, headers={"Authorization": f"Bearer {secret}"}, trust_env=False)
    except httpx.TransportError:
        return False
    return answer.status_code == 202


def _state(home: Path, name: str) -> str | None:
    from stack import state

    seen = state.running(home)
    service = seen.service(name) if seen else None
    return service.state if service else None


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS} s in vain for {what}")
        time.sleep(0.05)


def _aforo(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "stack", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"aforo {' '.join(arguments)}: {done.stdout}{done.stderr}")
