"""Fixtures every test may use. Put here: servers and folders. Keep out: worlds and helpers of one folder's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from stack.embedded import Valkey
from tests import harness


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AFORO_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def database_server() -> Iterator[harness.Databases]:
    """One PostgreSQL per test worker."""
    with harness.databases() as server:
        yield server


@pytest.fixture
def database_url(database_server: harness.Databases) -> Iterator[str]:
    """A fresh, migrated PostgreSQL database; plain postgresql:// URL."""
    with database_server.fresh() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Valkey]:
    """One Valkey per test worker, appendfsync always."""
    with harness.valkey() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Valkey) -> str:
    """A real, empty Valkey."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def lake_url(tmp_path: Path) -> str:
    """An empty folder for Delta tables."""
    folder = tmp_path / "lake"
    folder.mkdir()
    return str(folder)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty AFORO_HOME, set in the environment."""
    with harness.short_folder() as folder:
        monkeypatch.setenv("AFORO_HOME", str(folder))
        yield folder
