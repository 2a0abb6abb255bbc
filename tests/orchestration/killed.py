"""A billing run in a process of its own, to be killed by a test. Keep out: assertions."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from tests.scenarios import MARCH
from tests.world import World


def run(database_url: str, redis_url: str, lake_url: str, docs: str) -> None:
    """Bill March over these servers."""
    with dg.DagsterInstance.ephemeral() as instance:
        World(database_url, redis_url, lake_url, Path(docs), instance).close(MARCH)
