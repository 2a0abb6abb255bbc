"""What gateways ask before they let a request through, and canAccess for many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis import Redis

from domain.access import CustomerRights, MarginLevel
from storage import access_state, hot_state
from tests.api.edge.world import CUSTOMER_KEY, acme, event, rights, serving

ACME = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
QUOTA, MARGIN = "/api/v1/quota/check", "/internal/v1/margin-guard/quick-check"


async def quota(edge: httpx.AsyncClient, **sent: Any) -> dict[str, Any]:
    answer = await edge.post(QUOTA, json={"customerId": "acme"} | sent)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def use(edge: httpx.AsyncClient, unit: str, amount: int) -> None:
    events = [event(f"{unit}{n}", metricName=unit) for n in range(amount)]
    assert (await edge.post("/v1/ingest/batch", json={"events": events})).json()["accepted"] == amount


async def test_quota_goes_from_allow_over_warn_to_deny(edge: httpx.AsyncClient) -> None:
    assert (await quota(edge, metricName="api_calls", estimatedQuantity=1))["decision"] == "ALLOW"
    assert (await quota(edge, metricName="api_calls", estimatedQuantity=3))["decision"] == "WARN"
    assert (await quota(edge, metricName="api_calls", estimatedQuantity=4))["decision"] == "DENY"
    await use(edge, "api_calls", 3)
    answer = await quota(edge, metricName="API Calls")
    assert (answer["decision"], answer["reason"]) == ("DENY", "QUOTA_EXCEEDED")
    assert (answer["currentUsage"], answer["limit"], answer["tierName"]) == (3, 3, "pro-plan")
    assert answer["retryAfterMs"] > 60_000 and answer["resetsAt"].endswith("Z")
    assert (await quota(edge, metricName=None))[
        "decision"
    ] == "DENY"  # nothing named: the quota nearest to its end


async def test_a_soft_quota_warns_and_an_unlimited_unit_does_not(edge: httpx.AsyncClient) -> None:
    await use(edge, "tokens", 11)
    soft = await quota(edge, metricName="tokens")
    assert (soft["decision"], soft["headers"]) == ("WARN", {"X-RateLimit-Warning": "approaching-limit"})
    assert (await quota(edge, metricName="seats"))["decision"] == "ALLOW"
    assert (await quota(edge, customerId="nobody", metricName="seats"))["reason"] == "UNKNOWN_CUSTOMER"


async def test_an_empty_wallet_is_denied_and_a_full_one_is_shown(
    redis: Redis, edge: httpx.AsyncClient
) -> None:
    [held] = acme().subscriptions
    world = rights()
    empty = CustomerRights("empty", (replace(held, unfunded="BLOCK", balance="0"),))
    full = CustomerRights("full", (replace(held, balance="12.50"),))
    hot_state.publish(redis, replace(world, customers=(empty, full)))
    denied = await quota(edge, customerId="empty", metricName="seats")
    assert (denied["decision"], denied["reason"], denied["retryAfterMs"]) == (
        "DENY", "INSUFFICIENT_BALANCE", 60_000,
    )  # fmt: skip
    answer = await edge.post("/v1/canAccess", json={"featureKey": "seats", "customerId": "full"})
    assert (answer.json()["allowed"], answer.json()["balance"]) == (True, 12.5)


async def test_a_gateway_at_a_known_address_names_the_tenant_alone(redis: Redis, redis_url: str) -> None:
    tenant, nobody = {"X-Tenant-Id": "t1"}, {"Authorization": ""}
    body = {"customerId": "acme", "metricName": "api_calls"}
    async with serving(redis_url) as edge:
        del edge.headers["Authorization"]
        assert (await edge.post(QUOTA, json=body, headers=tenant)).json()["decision"] == "ALLOW"
        assert (await edge.get(MARGIN, params={"scopeId": "acme"}, headers=tenant)).status_code == 200
        behind = tenant | {"X-Forwarded-For": "192.0.2.1"}
        assert (await edge.post(QUOTA, json=body, headers=behind)).status_code == 401
        assert (await edge.post(QUOTA, json=body)).status_code == 401
        made_up = await edge.post(QUOTA, json=body, headers={"X-Tenant-Id": "nobody"})
        assert made_up.status_code == 503
        assert "stale" not in (await edge.post(QUOTA, json=body, headers=tenant)).json()
        assert (await edge.post("/v1/meter", json=event(), headers=tenant)).status_code == 401
        assert (await edge.post("/v1/canAccess", json=body, headers=tenant)).status_code == 401
    async with serving(redis_url, gateways=()) as edge:
        assert (await edge.post(QUOTA, json=body, headers=tenant | nobody)).status_code == 401


@pytest.mark.parametrize(
    ("level", "answer", "allowed"),
    [
        (None, {"allowed": True, "level": "NONE"}, True),
        (MarginLevel("L1_ALERT"), {"allowed": True, "level": "L1_ALERT"}, True),
        (
            MarginLevel("L2_THROTTLE", throttle_rate=20),
            {"allowed": True, "level": "L2_THROTTLE", "throttleRate": 20, "retryAfterSeconds": 1800},
            True,
        ),
        (
            MarginLevel("L3_BLOCK", message="below cost"),
            {"allowed": False, "level": "L3_BLOCK", "retryAfterSeconds": 1800, "message": "below cost"},
            False,
        ),
    ],
)
async def test_margin_levels_are_told_and_honoured(
    edge: httpx.AsyncClient, redis: Redis, level: MarginLevel | None, answer: dict[str, Any], allowed: bool
) -> None:
    access_state.set_margins(redis, "t1", {"acme": level})
    params = {"tenantId": "t1", "scopeType": "CUSTOMER", "scopeId": "acme"}
    found = await edge.get(MARGIN, params=params, headers={"X-Tenant-Id": "t1"})
    assert found.json() == answer
    access = (await edge.post("/v1/canAccess", json={"featureKey": "sso", "customerId": "acme"})).json()
    assert access["allowed"] is allowed
    if not allowed:
        assert access["reason"] == "MARGIN_BLOCKED"
    assert (await edge.get(MARGIN, params=params | {"scopeType": "PRODUCT"})).status_code == 422


async def test_a_revoked_token_is_known(edge: httpx.AsyncClient, redis: Redis) -> None:
    redis.set(hot_state.blocked_token_key("j1"), "1")
    redis.set(hot_state.blocked_client_key("key_1"), "1")

    async def revoked(**params: str) -> bool:
        return (await edge.get("/internal/v1/auth/token-check", params=params)).json()["revoked"]

    assert await revoked(jti="j1") and await revoked(jti="j2", keyId="key_1")
    assert not await revoked(jti="j2", keyId="key_2") and not await revoked()


async def test_many_questions_get_as_many_answers_in_order(edge: httpx.AsyncClient) -> None:
    checks = [
        {"featureKey": "sso", "customerId": "acme"},
        {"metricName": "api_calls", "customerId": "acme"},
        {"featureKey": "sso", "customerId": "nobody"},
    ]
    several = (await edge.post("/v1/canAccess", json={"checks": checks})).json()["results"]
    assert [(each["feature"], each["allowed"]) for each in several] == [
        ("sso", True), ("calls", True), ("sso", False),
    ]  # fmt: skip
    of_one = await edge.post("/v1/canAccess", json={"customerId": "acme", "featureKeys": ["sso", "audit"]})
    assert [each["allowed"] for each in of_one.json()["results"]] == [True, False]
    for wrong in ({"checks": "sso"}, {"checks": [{}]}, {"featureKeys": [1]}, {"checks": checks * 200}):
        assert (await edge.post("/v1/canAccess", json={"customerId": "acme"} | wrong)).status_code == 422


async def test_the_edge_check_says_whether_a_key_may_call_at_all(
    edge: httpx.AsyncClient, redis: Redis
) -> None:
    own = (await edge.get("/v1/check/t1", headers=ACME | {"X-Product-Id": "prd_1"})).json()
    assert (own["allowed"], own["customerId"], own["plan"]) == (True, "acme", "pro-plan")
    assert (await edge.get("/v1/check/t1")).json()["allowed"]
    idle = (await edge.get("/v1/check/t1", params={"customerId": "idle"})).json()
    assert (idle["allowed"], idle["reason"]) == (False, "NO_SUBSCRIPTION")
    assert (await edge.get("/v1/check/t2", headers=ACME)).status_code == 403
