"""A world per test."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.scenarios import MARCH_USAGE, TWO_TENANTS
from tests.world import World


@pytest.fixture
def world(database_url: str, redis_url: str, lake_url: str, tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(database_url, redis_url, lake_url, tmp_path / "data-docs", instance)


@pytest.fixture
def billed(world: World) -> World:
    """Two tenants with the same customers and usage, March 2026 billed."""
    for tenant, catalog in TWO_TENANTS.items():
        world.apply(catalog)
        world.send(tenant, MARCH_USAGE, received="2026-03-15T00:00:00")
    world.ingest()
    world.close("2026-03")
    return world
