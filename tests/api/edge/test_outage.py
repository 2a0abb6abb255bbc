"""What the edge says when Redis is gone, lost or not to be trusted: never a false 202."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from redis import Redis

from storage import event_log, hot_state
from tests import harness
from tests.api.edge.world import event, rights, serving


async def every_route(edge: httpx.AsyncClient) -> list[httpx.Response]:
    return [
        await edge.post("/v1/ingest", json=event()),
        await edge.post("/v1/ingest/batch", json={"events": [event()]}),
        await edge.get("/readyz"),
    ]


async def test_without_redis_every_route_says_503_and_when_to_come_back(tmp_path: Path) -> None:
    with harness.valkey() as server:
        url = server.url
        with Redis.from_url(url) as client:
            hot_state.publish(client, rights())
        edge = serving(url)
        assert (await edge.post("/v1/ingest", json=event())).status_code == 202
    answers = await every_route(edge)
    assert [answer.status_code for answer in answers] == [503] * 3
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert all("x-request-id" in answer.headers for answer in answers)
    assert (await edge.get("/healthz")).status_code == 200
    await edge.aclose()


async def test_a_redis_that_lost_its_rights_is_an_outage_and_not_a_wrong_key(
    redis: Redis, redis_url: str
) -> None:
    redis.flushall()
    async with serving(redis_url) as edge:
        answer = await edge.post("/v1/ingest", json=event())
    assert (answer.status_code, answer.json()["code"]) == (503, "HOT_STATE_MISSING")


async def test_after_a_lost_redis_the_tenant_is_announced_again(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, fresh_seconds=0.0) as edge:
        assert (await edge.post("/v1/ingest", json=event("a"))).status_code == 202
        redis.flushall()
        hot_state.publish(redis, rights())
        assert (await edge.post("/v1/ingest", json=event("b"))).status_code == 202
    assert event_log.tenants(redis) == ["t1"]


@pytest.mark.parametrize(("name", "value"), [("appendfsync", "everysec"), ("appendonly", "no")])
async def test_a_redis_that_may_lose_events_gets_none(
    redis: Redis, redis_url: str, name: str, value: str
) -> None:
    before = redis.config_get(name)[name]
    redis.config_set(name, value)
    try:
        async with serving(redis_url) as edge:
            answers = [await edge.post("/v1/ingest", json=event()), await edge.get("/readyz")]
    finally:
        redis.config_set(name, before)
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (503, "LOG_NOT_DURABLE")
    ] * 2
    assert event_log.pending(redis, "t1") == 0


async def test_a_ready_edge_says_so(edge: httpx.AsyncClient) -> None:
    assert (await edge.get("/readyz")).json()["status"] == "UP"


QUESTION = {"featureKey": "calls", "customerId": "acme"}


async def test_without_redis_access_goes_on_from_what_was_last_known(tmp_path: Path) -> None:
    with harness.valkey() as server:
        with Redis.from_url(server.url) as client:
            hot_state.publish(client, rights())
        edge = serving(server.url, fresh_seconds=0.0)
        await edge.post("/v1/meter", json=event())
        before = (await edge.post("/v1/canAccess", json=QUESTION)).json()
        assert before["used"] == 1 and "stale" not in before
    began = time.monotonic()
    for _ in range(20):
        answer = await edge.post("/v1/canAccess", json=QUESTION)
        assert answer.status_code == 200
        assert answer.json() == before | {"stale": True}
    assert time.monotonic() - began < 3
    quota = await edge.post("/api/v1/quota/check", json={"customerId": "acme", "metricName": "api_calls"})
    assert (quota.json()["decision"], quota.json()["stale"]) == ("ALLOW", True)
    assert (await edge.get("/v1/entitlements", params={"customerId": "acme"})).json()["stale"] is True
    stranger = await edge.post(
        "/v1/canAccess", json=QUESTION, headers={"Authorization": "Bearer sk_live_other"}
    )
    assert (stranger.status_code, stranger.headers["retry-after"]) == (503, "1")
    await edge.aclose()


@pytest.mark.parametrize(
    ("fail_open", "reason"), [(True, "UNAVAILABLE_FAIL_OPEN"), (False, "UNAVAILABLE_FAIL_CLOSED")]
)
async def test_of_a_customer_never_seen_the_setting_decides(fail_open: bool, reason: str) -> None:
    with harness.valkey() as server:
        with Redis.from_url(server.url) as client:
            hot_state.publish(client, rights())
        edge = serving(server.url, fail_open=fail_open)
        await edge.post("/v1/canAccess", json=QUESTION)
    answer = (await edge.post("/v1/canAccess", json={"featureKey": "sso", "customerId": "idle"})).json()
    assert (answer["allowed"], answer["reason"], answer["stale"]) == (fail_open, reason, True)
    await edge.aclose()


async def test_a_redis_that_hangs_holds_nobody_up_and_is_noticed_when_it_is_back(
    redis: Redis, redis_url: str
) -> None:
    async with serving(redis_url, access_seconds=0.5) as edge:
        await edge.post("/v1/canAccess", json=QUESTION)
        redis.client_pause(1500)
        began = time.monotonic()
        stale = [(await edge.post("/v1/canAccess", json=QUESTION)).json()["stale"] for _ in range(5)]
        assert stale == [True] * 5 and time.monotonic() - began < 1.2
        await asyncio.sleep(2.5)
        assert "stale" not in (await edge.post("/v1/canAccess", json=QUESTION)).json()


async def test_after_redis_restarted_empty_access_goes_on(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, fresh_seconds=0.0) as edge:
        await edge.post("/v1/canAccess", json=QUESTION)
        redis.flushall()
        assert (await edge.post("/v1/canAccess", json=QUESTION)).json()["stale"] is True
