"""Readiness tells the truth: Redis answers, the log takes writes, rights are published, and the edge is not about to end."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from redis import Redis

from storage import hot_state
from tests import harness
from tests.api.edge.world import rights, serving


async def asked(edge: httpx.AsyncClient, path: str = "/readyz") -> tuple[int, str | None, dict[str, str]]:
    """Status, code, and the status of each part."""
    answer = await edge.get(path)
    body = answer.json()
    parts = {name: part["status"] for name, part in body["components"].items()}
    return answer.status_code, body.get("code"), parts


async def test_a_ready_edge_names_its_parts(edge: httpx.AsyncClient) -> None:
    assert await asked(edge) == (200, None, {"redis": "UP", "log": "UP", "rights": "UP"})


async def test_without_rights_an_edge_is_not_ready_unless_it_need_not_have_any(redis_url: str) -> None:
    async with serving(redis_url) as edge:
        parts = {"redis": "UP", "log": "UP", "rights": "DOWN"}
        assert await asked(edge) == (503, "HOT_STATE_MISSING", parts)
        parts["rights"] = "EMPTY"
        assert await asked(edge, "/readyz?rights=optional") == (200, None, parts)


async def test_a_log_that_takes_no_writes_is_not_ready(redis: Redis, redis_url: str) -> None:
    before = redis.config_get("maxmemory")["maxmemory"]
    redis.config_set("maxmemory", "1")
    try:
        async with serving(redis_url) as edge:
            status, code, parts = await asked(edge)
    finally:
        redis.config_set("maxmemory", before)
    assert (status, code, parts) == (503, "LOG_NOT_WRITABLE", {"redis": "UP", "log": "DOWN", "rights": "UP"})


async def test_without_redis_no_part_is_up(tmp_path: Path) -> None:
    with harness.valkey() as server:
        with Redis.from_url(server.url) as client:
            hot_state.publish(client, rights())
        edge = serving(server.url)
        assert (await edge.get("/readyz")).status_code == 200
    assert await asked(edge) == (503, "REDIS_UNAVAILABLE", {"redis": "DOWN", "log": "DOWN", "rights": "DOWN"})
    assert await asked(edge, "/readyz?rights=optional") == (
        503, "REDIS_UNAVAILABLE", {"redis": "DOWN", "log": "DOWN", "rights": "DOWN"},
    )  # fmt: skip
    await edge.aclose()


async def test_asking_often_writes_once_a_second_at_most(edge: httpx.AsyncClient, redis: Redis) -> None:
    redis.config_resetstat()
    for _ in range(20):
        assert (await edge.get("/readyz")).status_code == 200
    assert redis.info("commandstats")["cmdstat_set"]["calls"] <= 3


@pytest.mark.parametrize("path", ["/health", "/healthz"])
async def test_alive_is_not_ready(path: str) -> None:
    async with serving("redis://127.0.0.1:9/0") as edge:
        assert (await edge.get(path)).json() == {"status": "UP"}
