"""Fixtures of storage tests: an engine and a session on a fresh, real database, a client of a real, empty Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from storage.database import make_engine, session_scope


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    found = make_engine(database_url, pool_size=10)
    yield found
    found.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session whose transaction is committed when the test ends well."""
    with session_scope(engine) as found:
        yield found


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client
