"""Limits of requests, margin levels and killed sessions over HTTP, and how they reach the edge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from redis import Redis

from storage import access_state
from storage.database import engine_of
from storage.edge_acts import record_edge_acts
from storage.rights_flow import publish_changes, rebuild_if_lost
from tests.api.control.conftest import Api, problem
from tests.api.control.examples import World

LIMITS, MARGINS = "/api/v1/request-limits", "/api/v1/margin-levels"
METER = {"door": "METER", "requests": 600, "burst": 60, "windowSeconds": 60, "enforcementMode": "HARD"}


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def published(api: Api, redis: Redis) -> None:
    engine = engine_of(api.database_url)
    while publish_changes(engine, redis):
        pass
    engine.dispose()


def known_limits(redis: Redis) -> dict[str, str]:
    found: Any = redis.hgetall(access_state.limits_key("acme"))
    return {name.decode(): text.decode() for name, text in found.items()}


def audited(api: Api, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/api/v1/audit-log?action={action}").json()["data"]
    return found


def test_limits_of_every_scope_are_set_shown_and_reach_the_edge(api: Api, redis: Redis) -> None:
    world = World(api, "acme")
    key, plan = world["/api/v1/api-keys"], world["/api/v1/rateplans"]
    paths = ("tenant", "each-key", f"plans/{plan}", f"keys/{key}")
    for number, path in enumerate(paths, 1):
        assert api.get(f"{LIMITS}/{path}").json()["data"]["revision"] == 0
        told = api.put(f"{LIMITS}/{path}", {"limits": [METER | {"requests": number}]}).json()["data"]
        assert told["limits"] == [METER | {"requests": number}]
        assert api.get(f"{LIMITS}/{path}").json()["data"] == told
    listed = api.get(LIMITS).json()["data"]
    assert [(each["scope"], each["targetId"]) for each in listed] == [
        ("EACH_KEY", None), ("KEY", key), ("PLAN", plan), ("TENANT", None),
    ]  # fmt: skip
    published(api, redis)
    assert known_limits(redis) == {
        "tenant/meter": "1/60/HARD/60s", "meter": "2/60/HARD/60s", f"plan/{plan}/meter": "3/60/HARD/60s",
        f"key/{key}/meter": "4/60/HARD/60s",
    }  # fmt: skip
    assert len(audited(api, "REQUEST_LIMITS_UPDATED")) == 4


def test_a_key_that_takes_anothers_place_takes_its_limits_with_it(api: Api, redis: Redis) -> None:
    key = World(api, "acme")["/api/v1/api-keys"]
    api.put(f"{LIMITS}/keys/{key}", {"limits": [METER]})
    new = api.made(f"/api/v1/api-keys/{key}/rotate")["id"]
    assert api.get(f"{LIMITS}/keys/{new}").json()["data"]["limits"] == [METER]
    published(api, redis)
    assert known_limits(redis) == {f"key/{each}/meter": "600/60/HARD/60s" for each in (key, new)}


def test_limits_survive_an_empty_redis(api: Api, redis: Redis) -> None:
    world = World(api, "acme")
    customer = world["/api/v1/customers"]
    api.put(f"{LIMITS}/tenant", {"limits": [METER, {"door": "ACCESS", "unlimited": True}]})
    api.put(f"{MARGINS}/{customer}", {"level": "L3_BLOCK"})
    api.put("/api/v1/killed-sessions/s-1", {"reason": "loop"})
    published(api, redis)
    redis.flushall()
    engine = engine_of(api.database_url)
    assert rebuild_if_lost(engine, redis)
    engine.dispose()
    assert known_limits(redis) == {"tenant/meter": "600/60/HARD/60s", "tenant/access": "off"}
    assert access_state.margins_known(redis, "acme") == [customer]
    assert redis.zscore(access_state.killed_key("acme"), "s-1")


def test_what_is_no_limit_is_refused_by_field_and_a_stale_edit_by_its_revision(api: Api) -> None:
    path = f"{LIMITS}/tenant"
    problem(api.put(path, {"limits": [METER | {"door": "window"}]}), 422, field="limits[0].door")
    problem(api.put(path, {"limits": [METER, METER]}), 422, field="limits[1].door")
    problem(api.put(path, {"limits": [METER | {"requests": 0}]}), 422, field="limits[0].requests")
    problem(api.put(path, {"limits": [METER | {"unlimited": True}]}), 422, field="limits[0].requests")
    tag = api.put(path, {"limits": [METER]}).headers["etag"]
    assert api.put(path, {"limits": []}, if_match=tag).json()["data"]["limits"] == []
    problem(api.put(path, {"limits": [METER]}, if_match=tag), 412)
    problem(api.put(f"{LIMITS}/keys/nobody", {"limits": [METER]}), 404, "NOTHING_TO_LIMIT")
    problem(api.get(f"{LIMITS}/plans/nobody"), 404, "NOTHING_TO_LIMIT")


def test_a_margin_level_is_set_taken_away_and_recorded_with_its_reason(api: Api, redis: Redis) -> None:
    world = World(api, "acme")
    path = f"{MARGINS}/{world['/api/v1/customers']}"
    assert api.get(path).json()["data"]["level"] == "NONE"
    body = {"level": "L2_THROTTLE", "throttleRate": 25, "message": "slow down", "reason": "costs"}
    told = api.put(path, body).json()["data"]
    assert (told["level"], told["throttleRate"], told["retryAfterSeconds"]) == ("L2_THROTTLE", 25, 1800)
    published(api, redis)
    held: Any = redis.hget(access_state.margin_key("acme"), told["customerId"])
    assert access_state.decode_margin(held).throttle_rate == 25
    assert [each["customerId"] for each in api.get(f"{MARGINS}?level=L2_THROTTLE").json()["data"]]
    api.put(path, {"level": "NONE"}, if_match='"1"')
    published(api, redis)
    assert access_state.margins_known(redis, "acme") == []
    first = audited(api, "MARGIN_LEVEL_SET")[-1]
    assert (first["changes"]["level"]["after"], first["metadata"]["reason"]) == ("L2_THROTTLE", "costs")
    problem(api.put(path, {"level": "L4"}), 422, field="level")
    problem(api.put(path, {"level": "NONE"}, role="DEVELOPER"), 403)
    problem(api.put(f"{MARGINS}/nobody", {"level": "NONE"}), 404, "CUSTOMER_NOT_FOUND")


def test_a_killed_session_is_recorded_and_listed(api: Api, redis: Redis) -> None:
    told = api.put("/api/v1/killed-sessions/s-1", {"reason": "loop"}).json()["data"]
    assert (told["sessionId"], told["reason"]) == ("s-1", "loop")
    assert api.get("/api/v1/killed-sessions").json()["data"] == [told]
    assert api.get("/api/v1/killed-sessions", tenant="rival").json()["data"] == []
    assert [each["target"]["id"] for each in audited(api, "SESSION_KILLED")] == ["s-1"]
    published(api, redis)
    assert redis.zrange(access_state.killed_key("acme"), 0, -1) == [b"s-1"]


def test_a_session_killed_at_the_edge_is_recorded_with_the_key_that_did(api: Api, redis: Redis) -> None:
    act = access_state.KilledAtEdge("acme", "s-2", "key_1", int(time.time()))
    unknown = replace(act, tenant_id="gone")
    for each in (unknown, act):
        redis.rpush(access_state.KILLED_AT_EDGE, msgspec.json.encode(each))
    engine = engine_of(api.database_url)
    assert [record_edge_acts(engine, redis) for _ in range(2)] == [2, 0]
    engine.dispose()
    (entry,) = audited(api, "SESSION_KILLED")
    assert (entry["target"]["id"], entry["actor"]["user_id"]) == ("s-2", "key_1")
    assert [each["sessionId"] for each in api.get("/api/v1/killed-sessions").json()["data"]] == ["s-2"]
