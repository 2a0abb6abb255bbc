"""How many requests a key and a tenant may make, and how they are told."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis import Redis

from domain.access import CustomerRights
from domain.limits import DEFAULTS, Limit, NotALimit, read_limit, write_limit
from storage import access_state, event_log, hot_state
from storage.repositories.keys import sha256_of
from tests.api.edge.world import CUSTOMER_KEY, acme, event, rights, serving

ACME = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
QUESTION = {"featureKey": "sso", "customerId": "acme"}
FEW = {door: Limit(2, 1) for door in DEFAULTS}


async def ask(edge: httpx.AsyncClient, **sent: Any) -> httpx.Response:
    return await edge.post("/v1/canAccess", json=QUESTION, **sent)


async def test_every_counted_answer_says_what_is_left(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url) as edge:
        answers = [
            await ask(edge),
            await edge.get("/v1/entitlements", params={"customerId": "acme"}),
            await edge.post("/v1/meter", json=event()),
            await edge.post("/v1/ingest/batch", json={"events": [event()]}),
        ]
    limits = [int(answer.headers["x-ratelimit-limit"]) for answer in answers]
    assert limits == [55_000, 5_500, 11_000, 11_000]
    for answer, limit in zip(answers, limits, strict=True):
        assert int(answer.headers["x-ratelimit-remaining"]) == limit - 1
        assert answer.headers["x-ratelimit-window"] == "60"
        assert 0 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= 61


async def test_beyond_limit_and_burst_a_key_is_turned_away_and_told_when_to_come_back(
    redis: Redis, redis_url: str
) -> None:
    async with serving(redis_url, limits=FEW) as edge:
        answers = [await edge.post("/v1/meter", json=event(str(n))) for n in range(4)]
        other = await edge.post("/v1/meter", json=event("other"), headers=ACME)
        refused = answers[-1]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
        assert refused.headers["content-type"] == "application/problem+json"
        body = refused.json()
        assert (body["title"], body["code"]) == ("Too Many Requests", "RATE_LIMITED")
        assert refused.headers["retry-after"] == str(body["retryAfter"]) and 1 <= body["retryAfter"] <= 120
        assert (refused.headers["x-ratelimit-remaining"], other.status_code) == ("0", 202)
        assert [(await ask(edge)).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert event_log.pending(redis, "t1") == 4  # what was refused is not in the log


async def test_a_soft_limit_says_so_and_lets_pass(redis: Redis, redis_url: str) -> None:
    soft = dict.fromkeys(DEFAULTS, Limit(1, hard=False))
    async with serving(redis_url, limits=soft) as edge:
        first, second = (
            await edge.post("/v1/meter", json=event("a")),
            await edge.post("/v1/meter", json=event("b")),
        )
    assert (first.status_code, second.status_code) == (202, 202)
    assert "x-ratelimit-warning" not in first.headers
    assert second.headers["x-ratelimit-warning"] == "limit-exceeded-soft-mode"


async def test_the_window_slides(redis: Redis, redis_url: str) -> None:
    limits = {"meter": Limit(4, window=1)}
    async with serving(redis_url, limits=limits) as edge:
        passed = 0
        began = time.monotonic()
        while time.monotonic() - began < 3.0:
            answer = await edge.post("/v1/meter", json=event(None))
            passed += answer.status_code == 202
    assert 8 <= passed <= 16  # never more than four in any second, nor two windows' worth at their border


async def test_a_tenant_and_a_plan_may_have_limits_of_their_own(redis: Redis, redis_url: str) -> None:
    access_state.set_limits(redis, "t1", {"plan/pro-plan/access": Limit(1), "tenant/access": Limit(3)})
    async with serving(redis_url) as edge:
        of_plan = [(await ask(edge, headers=ACME)).status_code for _ in range(2)]
        of_tenant = [(await ask(edge)).status_code for _ in range(3)]
        assert (of_plan, of_tenant) == ([200, 429], [200, 200, 429])
        access_state.set_limits(redis, "t1", {"access": None})
    async with serving(redis_url) as edge:
        assert "x-ratelimit-limit" not in (await ask(edge)).headers


async def test_a_key_may_have_limits_of_its_own(redis: Redis, redis_url: str) -> None:
    key = hot_state.read_key(redis, sha256_of(CUSTOMER_KEY))
    assert key is not None
    access_state.set_limits(
        redis, "t1", {"plan/pro-plan/access": Limit(1), f"key/{key.key_id}/access": Limit(2)}
    )
    async with serving(redis_url) as edge:
        assert [(await ask(edge, headers=ACME)).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_plans_rate_limit_holds_for_each_key_of_its_customers(redis: Redis, redis_url: str) -> None:
    world = rights()
    [held] = acme().subscriptions
    limited = CustomerRights("acme", (replace(held, rate_limit="2/1/HARD/60s"),))
    hot_state.publish(redis, replace(world, customers=(limited,)))
    async with serving(redis_url) as edge:
        assert [(await ask(edge, headers=ACME)).status_code for _ in range(4)] == [200, 200, 200, 429]
        batch = [
            await edge.post("/v1/ingest/batch", json={"events": [event(str(n))]}, headers=ACME)
            for n in range(4)
        ]
        assert [answer.status_code for answer in batch] == [202] * 4  # told, not turned away
        assert "x-ratelimit-warning" in batch[-1].headers
        assert (await ask(edge)).headers["x-ratelimit-limit"] == "55000"


async def test_limits_are_no_reason_to_write_to_disk(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url) as edge:
        await ask(edge)
        before = redis.info("persistence")["aof_current_size"]
        for _ in range(20):
            await ask(edge)
    assert redis.info("persistence")["aof_current_size"] == before


async def test_unknown_keys_count_nowhere(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url) as edge:
        for n in range(20):
            await ask(edge, headers={"Authorization": f"Bearer sk_live_{n}"})
    assert redis.keys("limit:*") == []


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "10/HARDER", "10/1/SOFT/0s", "10/1/2/3"])
def test_what_is_no_limit_is_told_how_one_is_written(text: str) -> None:
    with pytest.raises(NotALimit, match="10000/1000/HARD"):
        read_limit(text)


@pytest.mark.parametrize("limit", [None, Limit(5), Limit(10, 2, False, 3600)])
def test_a_limit_is_read_as_it_was_written(limit: Limit | None) -> None:
    assert read_limit(write_limit(limit)) == limit


async def test_a_key_of_another_tenant_counts_for_itself(redis: Redis, redis_url: str) -> None:
    world = rights()
    hot_state.publish(redis, replace(world, tenant_id="t2", keys={}))
    access_state.set_limits(redis, "t2", {"access": Limit(1)})
    async with serving(redis_url) as edge:
        assert [(await ask(edge)).status_code for _ in range(3)] == [200] * 3
