"""The edge as a process of its own, as it is served. Keep out: edges within the test's process (world.py, wire.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from stack.embedded import free_port
from tests import harness


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def lines(self) -> list[str]:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8").splitlines()


@contextmanager
def running(redis_url: str, home: Path, **settings: str) -> Iterator[Running]:
    """An edge over this Redis, ready; ended afterwards if it still runs."""
    port, log = free_port(), home / "edge.log"
    environment = harness.forget_settings(dict(os.environ))
    environment |= {"AFORO_REDIS_URL": redis_url, "AFORO_HOME": str(home), "AFORO_EDGE_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.edge"], env=environment | settings, stdout=output, stderr=output
        )
    try:
        harness.wait_until(lambda: _is_ready(port), what=f"the edge (see {log})", seconds=60)
        yield Running(process, port, log)
    finally:
        process.kill()
        process.wait(20)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
