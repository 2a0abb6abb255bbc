"""A world per test."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import redis

from stack.embedded import Valkey
from tests import harness
from tests.scenarios import MARCH_USAGE, TWO_TENANTS
from tests.world import World


@pytest.fixture
def world(database_url: str, redis_url: str, lake_url: str, tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(database_url, redis_url, lake_url, tmp_path / "data-docs", instance)


@dataclass(frozen=True)
class Original:
    """What copies are made of: the name of a database, a lake, Redis' keys as dumped, and the runs so far."""

    database: str
    lake: Path
    keys: dict[bytes, bytes]
    runs: list[dg.ExecuteInProcessResult]


@pytest.fixture(scope="session")
def march(
    database_server: harness.Databases, redis_server: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Original]:
    """Two tenants with the same customers and usage, March 2026 billed; made once per worker."""
    folder = tmp_path_factory.mktemp("march")
    with (
        redis.Redis.from_url(redis_server.url) as client,
        database_server.fresh("march") as url,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        client.flushall()
        world = World(url, redis_server.url, str(folder / "lake"), folder / "data-docs", instance)
        for tenant, catalog in TWO_TENANTS.items():
            world.apply(catalog)
            world.send(tenant, MARCH_USAGE, received="2026-03-15T00:00:00")
        world.ingest()
        world.close("2026-03")
        keys = {key: client.dump(key) for key in client.scan_iter()}
        yield Original("march", folder / "lake", keys, world.runs)


@pytest.fixture
def billed(
    march: Original, database_server: harness.Databases, redis_url: str, tmp_path: Path
) -> Iterator[World]:
    """Two tenants with the same customers and usage, March 2026 billed."""
    lake = tmp_path / "lake"
    shutil.copytree(march.lake, lake)
    shutil.copytree(march.lake.parent / "data-docs", tmp_path / "data-docs")
    with redis.Redis.from_url(redis_url) as client:
        for key, dumped in march.keys.items():
            client.restore(key, 0, dumped)
    with (
        database_server.fresh(like=march.database) as url,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield World(url, redis_url, str(lake), tmp_path / "data-docs", instance, list(march.runs))
