"""Usage so far, by subscription and unit, as counted at the door."""

from __future__ import annotations

from typing import Any

import httpx
from redis import Redis

from storage import hot_state
from tests import harness
from tests.api.edge.world import CUSTOMER_KEY, event, rights, serving


async def used(edge: httpx.AsyncClient, query: str = "customer=acme") -> dict[str, Any]:
    answer = await edge.get(f"/v1/usage?{query}")
    assert answer.status_code == 200, answer.text
    return {each["metricName"]: each["used"] for each in answer.json()["usage"]}


async def test_usage_is_told_by_unit_as_soon_as_it_is_accepted(edge: httpx.AsyncClient) -> None:
    assert await used(edge) == {
        "api_calls": 0, "tokens": 0, "seats": 0, "users": 0, "refunds": 0, "errors": 0, "latency": None,
    }  # fmt: skip
    sent = [
        event("a"), event("b"), event("b"), event("c", metricName="tokens", quantity="2.5"),
        event("d", metricName="seats", quantity=7), event("e", metricName="users", user_id="u1"),
    ]  # fmt: skip
    await edge.post("/v1/ingest/batch", json={"events": sent})
    now = await used(edge)
    assert (now["api_calls"], now["tokens"], now["seats"], now["users"]) == (2, 2.5, 7, 1)
    assert await used(edge, "customerId=acme&metricName=API+Calls") == {"api_calls": 2}
    answer = (await edge.get("/v1/usage?customer=acme&metricName=tokens")).json()
    (row,) = answer["usage"]
    assert (answer["reason"], row["subscriptionId"], row["plan"], row["aggregation"]) == (
        "FOUND", "sub_1", "pro-plan", "SUM",
    )  # fmt: skip
    assert row["periodStart"] < answer["asOf"] < row["periodEnd"]


async def test_usage_says_why_there_is_none_and_whose_it_may_tell(edge: httpx.AsyncClient) -> None:
    assert (await edge.get("/v1/usage?customer=idle")).json()["reason"] == "NO_SUBSCRIPTION"
    assert (await edge.get("/v1/usage?customer=nobody")).json()["reason"] == "UNKNOWN_CUSTOMER"
    assert (await edge.get("/v1/usage")).status_code == 422
    own = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
    assert (await edge.get("/v1/usage", headers=own)).json()["customerId"] == "acme"
    assert (await edge.get("/v1/usage?customer=idle", headers=own)).status_code == 403


async def test_without_redis_usage_is_what_was_last_known() -> None:
    with harness.valkey() as server:
        with Redis.from_url(server.url) as client:
            hot_state.publish(client, rights())
        edge = serving(server.url)
        await edge.post("/v1/ingest", json=event("a"))
        await edge.post("/v1/canAccess", json={"featureKey": "calls", "customerId": "acme"})
    stale = (await edge.get("/v1/usage?customer=acme&metricName=api_calls")).json()
    assert (stale["stale"], stale["usage"][0]["used"]) == (True, 1)
    await edge.aclose()
