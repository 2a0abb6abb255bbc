"""Reservations over HTTP: agents at work at once never spend the same remainder."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis import Redis

from domain.access import CustomerRights
from storage import hot_state
from tests.api.edge.world import CUSTOMER_KEY, acme, event, rights

PATH = "/v1/reservations"


async def reserve(edge: httpx.AsyncClient, quantity: Any = 1, **sent: Any) -> httpx.Response:
    body = {"customerId": "acme", "metricName": "api_calls", "quantity": quantity} | sent
    return await edge.post(PATH, json=body)


async def left(edge: httpx.AsyncClient, feature: str = "calls") -> dict[str, Any]:
    answer = await edge.post("/v1/canAccess", json={"featureKey": feature, "customerId": "acme"})
    return answer.json()


async def test_agents_at_once_get_no_more_than_there_is(edge: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(reserve(edge) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 7
    refused = next(answer for answer in answers if answer.status_code == 429).json()
    assert (refused["code"], refused["remaining"]) == ("QUOTA_EXCEEDED", "0")
    access = await left(edge)
    assert (access["allowed"], access["remaining"], access["reserved"], access["used"]) == (False, 0, 3, 0)


async def test_a_commit_meters_once_and_frees_the_rest(edge: httpx.AsyncClient, redis: Redis) -> None:
    held = (await reserve(edge, "8.5", metricName="tokens")).json()
    assert (held["status"], held["quantity"]) == ("HELD", 8.5)
    assert (await left(edge, "words"))["remaining"] == 2
    commit = f"{PATH}/{held['reservationId']}/commit"
    first = await edge.post(commit, json={"quantity": "3.25", "metadata": {"model": "large"}})
    again = await edge.post(commit, json={"quantity": "3.25", "metadata": {"model": "large"}})
    assert (first.status_code, first.json()["accepted"], first.json()["status"]) == (202, 1, "COMMITTED")
    assert (again.status_code, again.json()["duplicates"]) == (202, 1)
    other = await edge.post(commit, json={"quantity": 4})
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    words = await left(edge, "words")
    assert (words["used"], words["remaining"], "reserved" in words) == (3.25, 7.25, False)
    assert hot_state.read_all_counters(redis, "t1").popitem()[1] == 3_250_000
    assert not redis.exists("held:{t1}:acme") and not redis.exists("holds:{t1}:acme")


async def test_without_a_body_what_was_reserved_is_metered(edge: httpx.AsyncClient) -> None:
    held = (await reserve(edge)).json()
    assert (await edge.post(f"{PATH}/{held['reservationId']}/commit")).json()["accepted"] == 1
    assert ((await left(edge))["used"], (await left(edge))["remaining"]) == (1, 2)


async def test_a_release_gives_back_all_of_it_once(edge: httpx.AsyncClient) -> None:
    held = [(await reserve(edge)).json()["reservationId"] for _ in range(2)]
    for _ in range(3):
        assert (await edge.post(f"{PATH}/{held[0]}/release")).json()["status"] == "RELEASED"
    assert (await left(edge))["remaining"] == 2
    assert (await edge.post(f"{PATH}/{held[0]}/commit")).json()["code"] == "RESERVATION_RELEASED"
    await edge.post(f"{PATH}/{held[1]}/commit")
    assert (await edge.post(f"{PATH}/{held[1]}/release")).json()["code"] == "RESERVATION_COMMITTED"


async def test_a_hold_ends_by_itself_and_its_use_counts_all_the_same(edge: httpx.AsyncClient) -> None:
    held = (await reserve(edge, ttlSeconds=1)).json()["reservationId"]
    assert (await left(edge))["remaining"] == 2
    await asyncio.sleep(2.1)
    assert (await left(edge))["remaining"] == 3
    assert (await edge.get(f"{PATH}/{held}")).json()["status"] == "EXPIRED"
    assert (await edge.post(f"{PATH}/{held}/commit")).json()["accepted"] == 1
    assert (await left(edge))["remaining"] == 2


async def test_asking_again_with_the_same_id_holds_once(edge: httpx.AsyncClient) -> None:
    first, again = await reserve(edge, reservationId="step-1"), await reserve(edge, reservationId="step-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["reservationId"] == "step-1" and (await left(edge))["remaining"] == 2
    other = await reserve(edge, reservationId="step-1", metricName="tokens", quantity=2)
    assert (other.status_code, other.json()["code"]) == (409, "RESERVATION_EXISTS")


async def test_usage_and_holds_share_the_quota(edge: httpx.AsyncClient) -> None:
    await reserve(edge)
    await edge.post("/v1/meter", json=event("a"))
    await edge.post("/v1/meter", json=event("b"))
    assert (await reserve(edge)).status_code == 429
    quota = await edge.post("/api/v1/quota/check", json={"customerId": "acme", "metricName": "api_calls"})
    assert quota.json()["decision"] == "DENY"


async def test_soft_and_unlimited_quotas_are_held_without_an_end(edge: httpx.AsyncClient) -> None:
    assert (await reserve(edge, 100, metricName="tokens")).status_code == 201
    assert (await left(edge, "words"))["reason"] == "SOFT_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"metricName": "seats"}, 422, "NOT_RESERVABLE"),
        ({"metricName": "nope"}, 403, "FEATURE_NOT_IN_PLAN"),
        ({"metricName": None}, 422, "SCHEMA_INVALID"),
        ({"customerId": "nobody"}, 403, "UNKNOWN_CUSTOMER"),
        ({"quantity": "many"}, 422, "SCHEMA_INVALID"),
        ({"quantity": -1}, 422, "SCHEMA_INVALID"),
        ({"ttlSeconds": 0}, 422, "SCHEMA_INVALID"),
        ({"ttlSeconds": 3601}, 422, "SCHEMA_INVALID"),
        ({"reservationId": "a|b"}, 422, "SCHEMA_INVALID"),
        ({"tenantId": "t2"}, 403, "FORBIDDEN"),
    ],
)
async def test_what_cannot_be_held_is_refused_by_name(
    edge: httpx.AsyncClient, sent: dict[str, Any], status: int, code: str
) -> None:
    answer = await reserve(edge, **sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_an_empty_wallet_holds_nothing(edge: httpx.AsyncClient, redis: Redis) -> None:
    [held] = acme().subscriptions
    empty = CustomerRights("acme", (replace(held, unfunded="BLOCK", balance="0"),))
    hot_state.publish(redis, replace(rights(), customers=(empty,)))
    answer = await reserve(edge)
    assert (answer.status_code, answer.json()["code"]) == (402, "INSUFFICIENT_BALANCE")


async def test_a_reservation_is_its_customers_own(edge: httpx.AsyncClient, redis: Redis) -> None:
    other = CustomerRights("other", acme().subscriptions)
    hot_state.publish(redis, replace(rights(), customers=(other,)))
    held = (await reserve(edge, customerId="other")).json()["reservationId"]
    as_acme = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
    for method, path in (("GET", ""), ("POST", "/commit"), ("POST", "/release")):
        assert (await edge.request(method, f"{PATH}/{held}{path}", headers=as_acme)).status_code == 404
