"""The edge over a real Valkey with one published tenant. Put here: fixtures; the world itself is in world.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from redis import Redis

from storage import hot_state
from tests.api.edge.world import rights, serving


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        hot_state.publish(client, rights())
        yield client


@pytest.fixture
async def edge(redis: Redis, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the edge, holding the tenant's key."""
    async with serving(redis_url) as client:
        yield client
