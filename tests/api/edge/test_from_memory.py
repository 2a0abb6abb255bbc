"""canAccess asked again and again: the answers come from memory, and are what they would be if each had been asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from domain.access import MarginLevel, TenantRights
from domain.limits import Limit
from storage import access_state, hot_state
from tests import harness
from tests.api.edge.world import CUSTOMER_KEY, TENANT_KEY, event, rights, serving, sha

QUESTION = {"featureKey": "words", "customerId": "acme"}


async def ask(edge: httpx.AsyncClient, **sent: Any) -> httpx.Response:
    answer = await edge.post("/v1/canAccess", json=QUESTION, **sent)
    assert answer.status_code == 200, answer.text
    return answer


async def from_memory(edge: httpx.AsyncClient) -> float:
    text = (await edge.get("/metrics")).text
    [found] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "aforo_edge_answers_from_memory_total"
    ]
    return found


async def until_from_memory(edge: httpx.AsyncClient) -> None:
    before = await from_memory(edge)
    until = time.monotonic() + 10
    while await from_memory(edge) == before:
        assert time.monotonic() < until
        for _ in range(20):
            await ask(edge)


async def test_the_answers_are_the_same_byte_for_byte(edge: httpx.AsyncClient) -> None:
    first = (await ask(edge)).content
    await until_from_memory(edge)
    before = await from_memory(edge)
    assert {(await ask(edge)).content for _ in range(100)} == {first}
    assert await from_memory(edge) > before + 50


async def test_usage_counts_as_soon_as_its_event_is_accepted(edge: httpx.AsyncClient) -> None:
    await until_from_memory(edge)
    for number in range(1, 60):
        sent = event(f"m{number}", metricName="tokens", quantity="0.25")
        assert (await edge.post("/v1/meter", json=sent)).status_code == 202
        for _ in range(3):
            assert (await ask(edge)).json()["used"] == number / 4


async def test_usage_that_another_edge_took_counts_a_moment_later(
    edge: httpx.AsyncClient, redis_url: str
) -> None:
    async with serving(redis_url) as other:
        for number in range(1, 20):
            await until_from_memory(edge)
            sent = event(f"o{number}", metricName="tokens", quantity=1)
            assert (await other.post("/v1/meter", json=sent)).status_code == 202
            began = time.monotonic()
            while (await ask(edge)).json()["used"] != number:
                assert time.monotonic() - began < 0.5


async def test_each_request_counts_in_its_window_once(edge: httpx.AsyncClient) -> None:
    left = [int((await ask(edge)).headers["x-ratelimit-remaining"])]
    for _ in range(400):
        left.append(int((await ask(edge)).headers["x-ratelimit-remaining"]))
    assert await from_memory(edge) > 200
    # What is counted ahead is told too early by those who ask meanwhile; a window that fades out gives some back.
    assert left[0] - left[-1] in range(300, 500)


async def test_a_limit_lets_through_as_many_as_it_says_and_no_more(redis: Redis, redis_url: str) -> None:
    limits = {"access": Limit(3_000, window=86_400)}
    async with serving(redis_url, limits=limits) as edge:

        async def client() -> list[int]:
            return [(await edge.post("/v1/canAccess", json=QUESTION)).status_code for _ in range(250)]

        statuses = [each for found in await asyncio.gather(*(client() for _ in range(16))) for each in found]
        assert await from_memory(edge) > 300
    assert statuses.count(200) + statuses.count(429) == 4_000
    assert 2_950 < statuses.count(200) <= 3_000


async def test_a_block_and_new_rights_end_what_was_answered(edge: httpx.AsyncClient, redis: Redis) -> None:
    await until_from_memory(edge)
    access_state.set_margins(redis, "t1", {"acme": MarginLevel("L3_BLOCK")})
    began = time.monotonic()
    while (answer := (await ask(edge)).json())["allowed"]:
        assert time.monotonic() - began < 0.5
    assert answer["reason"] == "MARGIN_BLOCKED"
    access_state.set_margins(redis, "t1", {"acme": None})
    await until_from_memory(edge)
    hot_state.publish(redis, with_words("99"))
    began = time.monotonic()
    while (answer := (await ask(edge)).json())["quota"] != 99:
        assert time.monotonic() - began < 2
    assert answer["allowed"] is True


def with_words(limit: str) -> TenantRights:
    """The tenant, with another limit of words for acme."""
    customer, *others = rights().customers
    [subscription] = customer.subscriptions
    features = [replace(each, limit=limit) if each.key == "words" else each for each in subscription.features]
    changed = replace(customer, subscriptions=(replace(subscription, features=tuple(features)),))
    return replace(rights(), customers=(changed, *others))


async def test_a_customers_key_gets_its_customers_answers_only(edge: httpx.AsyncClient) -> None:
    await until_from_memory(edge)
    own = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
    other = {"featureKey": "words", "customerId": "idle"}
    refused = await edge.post("/v1/canAccess", json=other, headers=own)
    assert (refused.status_code, refused.json()["code"]) == (403, "CUSTOMER_MISMATCH")
    assert (await edge.post("/v1/canAccess", json=other)).json()["reason"] == "NO_SUBSCRIPTION"


async def test_a_revoked_key_is_turned_away_although_the_answer_is_known(
    edge: httpx.AsyncClient, redis: Redis
) -> None:
    await until_from_memory(edge)
    redis.delete(hot_state.key_key(sha(TENANT_KEY)))
    began = time.monotonic()
    while (await edge.post("/v1/canAccess", json=QUESTION)).status_code == 200:
        assert time.monotonic() - began < 2


async def test_a_redis_that_stands_still_is_noticed_within_a_second_and_answers_say_so() -> None:
    with harness.valkey() as valkey:
        with Redis.from_url(valkey.url) as redis:
            hot_state.publish(redis, rights())
            pid = redis.info("server")["process_id"]
        async with serving(valkey.url, access_seconds=0.5) as edge:
            await until_from_memory(edge)
            used = (await ask(edge)).json()["used"]
            os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                while "stale" not in (answer := (await ask(edge)).json()):
                    assert answer["used"] == used
                    assert time.monotonic() - began < 2.5
                assert answer["used"] == used
            finally:
                os.kill(pid, signal.SIGCONT)


async def test_it_can_be_turned_off(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, access_memory=False) as edge:
        left = [int((await ask(edge)).headers["x-ratelimit-remaining"]) for _ in range(50)]
        assert left == list(range(left[0], left[0] - 50, -1))
        assert await from_memory(edge) == 0
