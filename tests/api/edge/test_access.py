"""canAccess and entitlements over HTTP against a real Valkey."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis import Redis

from storage import hot_state
from tests.api.edge.world import CUSTOMER_KEY, event, rights, serving

ACME = {"Authorization": f"Bearer {CUSTOMER_KEY}"}


async def ask(edge: httpx.AsyncClient, feature: str, customer: str = "acme") -> dict[str, Any]:
    answer = await edge.post("/v1/canAccess", json={"featureKey": feature, "customerId": customer})
    assert answer.status_code == 200
    return answer.json()


async def test_usage_counts_as_soon_as_its_event_is_accepted(edge: httpx.AsyncClient) -> None:
    assert (await ask(edge, "calls"))["remaining"] == 3
    for key in ("a", "b", "b"):
        await edge.post("/v1/meter", json=event(key))
    two_used = await ask(edge, "calls")
    assert (two_used["allowed"], two_used["used"], two_used["remaining"], two_used["quota"]) == (
        True,
        2,
        1,
        3,
    )
    await edge.post("/v1/meter", json=event("c"))
    answer = await ask(edge, "calls")
    assert (answer["allowed"], answer["remaining"], answer["reason"]) == (False, 0, "QUOTA_EXCEEDED")


async def test_the_answer_carries_both_spellings(edge: httpx.AsyncClient) -> None:
    answer = await ask(edge, "words")
    assert (answer["quota"], answer["remaining"], answer["remaining_quota"]) == (10.5, 10.5, 10.5)
    assert answer["reset_at"] == answer["quota_reset"] != None  # noqa: E711
    assert (answer["plan"], answer["feature"]) == ("pro-plan", "words")
    assert answer["entitlements"] == {
        "sso": True, "audit": False, "region": "eu", "calls": 3, "words": 10.5, "people": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("feature", "customer", "allowed", "reason"),
    [
        ("sso", "acme", True, "ALLOWED"),
        ("audit", "acme", False, "FEATURE_DISABLED"),
        ("region", "acme", True, "ALLOWED"),
        ("Tokens", "acme", True, "QUOTA_LEFT"),
        ("seats", "acme", True, "UNLIMITED"),
        ("nope", "acme", False, "FEATURE_NOT_IN_PLAN"),
        ("sso", "idle", False, "NO_SUBSCRIPTION"),
        ("sso", "nobody", False, "UNKNOWN_CUSTOMER"),
    ],
)
async def test_each_answer_says_why(
    edge: httpx.AsyncClient, feature: str, customer: str, allowed: bool, reason: str
) -> None:
    answer = await ask(edge, feature, customer)
    assert (answer["allowed"], answer["reason"]) == (allowed, reason)


async def test_units_count_in_their_own_way(edge: httpx.AsyncClient, redis: Redis) -> None:
    events = [
        event("1", metricName="tokens", quantity="2.25"),
        event("2", metricName="tokens", quantity="0.25"),
        event("3", metricName="seats", quantity=7),
        event("4", metricName="seats", quantity=4),
        event("5", metricName="users", user_id="ann"),
        event("6", metricName="users", metadata={"user_id": "bob"}),
        event("7", metricName="users", user_id="ann"),
        event("8", metricName="refunds", quantity=-3),
        event("9", metricName="latency", quantity=120),
        event("10", metricName="errors", status=500),
        event("11", metricName="errors", status=200),
    ]
    assert (await edge.post("/v1/ingest/batch", json={"events": events})).json()["accepted"] == len(events)
    counters = {unit: amount for (_, unit, _), amount in hot_state.read_all_counters(redis, "t1").items()}
    assert counters == {
        "tokens": 2_500_000, "seats": 7_000_000, "users": 2_000_000, "refunds": -3_000_000, "errors": 1_000_000,
    }  # fmt: skip


async def test_usage_of_another_period_does_not_count_in_this_one(
    edge: httpx.AsyncClient, redis: Redis
) -> None:
    await edge.post("/v1/meter", json=event(occurredAt="2000-01-01T00:00:00Z"))
    await edge.post("/v1/meter", json=event("now"))
    assert (await ask(edge, "calls"))["used"] == 1


async def test_a_customers_key_asks_for_itself(edge: httpx.AsyncClient) -> None:
    own = await edge.post("/v1/canAccess", json={"featureKey": "sso"}, headers=ACME)
    other = await edge.post("/v1/canAccess", json={"featureKey": "sso", "customerId": "idle"}, headers=ACME)
    assert (own.json()["allowed"], other.status_code) == (True, 403)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"customerId": "acme"}, 422),
        ({"featureKey": "sso"}, 422),
        ({"featureKey": 7, "customerId": "acme"}, 422),
        ({"featureKey": "sso", "customerId": "acme", "tenantId": "t1"}, 200),
        ({"featureKey": "sso", "customerId": "acme", "tenantId": "t2"}, 403),
        (["sso"], 400),
    ],
)
async def test_a_question_must_be_complete(edge: httpx.AsyncClient, body: object, status: int) -> None:
    assert (await edge.post("/v1/canAccess", json=body)).status_code == status


async def test_entitlements_list_everything_with_what_is_left(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/meter", json=event())
    body = (await edge.get("/v1/entitlements", params={"customerId": "acme"})).json()
    assert (body["customerId"], body["plan"]) == ("acme", "pro-plan")
    held = {entry["feature"]: entry for entry in body["entitlements"]}
    assert (
        held["calls"]["remaining"] == 2 and held["region"]["value"] == "eu" and not held["audit"]["allowed"]
    )
    nobody = (await edge.get("/v1/entitlements", params={"customerId": "nobody"})).json()
    assert (nobody["plan"], nobody["entitlements"]) == (None, [])


async def test_new_rights_are_seen_once_published(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, fresh_seconds=0.0) as edge:
        assert (await ask(edge, "sso"))["allowed"]
        known = rights()
        hot_state.publish(redis, type(known)("t1", known.units, (), known.keys))
        assert (await ask(edge, "sso"))["reason"] == "UNKNOWN_CUSTOMER"


async def test_in_the_steady_state_an_answer_takes_one_round_trip(
    edge: httpx.AsyncClient, redis: Redis
) -> None:
    await ask(edge, "calls")
    before = _packets(redis)
    for _ in range(5):
        await ask(edge, "calls")
    assert _packets(redis) - before == 5 + 1  # what asked for the first count is in the second


def _packets(redis: Redis) -> int:
    """How often Redis read something from a connection."""
    return int(redis.info("stats")["total_reads_processed"])
