"""Hot state on a real Valkey."""

from __future__ import annotations

from dataclasses import replace

from redis import Redis

from domain.access import (
    CustomerRights,
    Feature,
    FilterCondition,
    KeyRecord,
    SubscriptionRights,
    TenantRights,
    UnitRecord,
)
from storage import hot_state

CALLS = UnitRecord("calls", "API Calls", "COUNT", filters=(FilterCondition("status", "LESS_THAN", "500"),))
TRICKY = UnitRecord("tricky", "Calls", "SUM")
SUBSCRIPTION = SubscriptionRights(
    "s1", "pro", "plan", "ACTIVE", ((0, 10),), (Feature("f", "METERED", unit="calls", limit="5"),), ("calls",)
)
ACME = CustomerRights("acme", (SUBSCRIPTION,))
RIGHTS = TenantRights(
    "t1", (CALLS, TRICKY), (ACME, CustomerRights("idle")), {"a" * 64: KeyRecord("k1", "t1", "acme")}
)


def test_what_is_published_is_read(redis: Redis) -> None:
    assert hot_state.publish(redis, RIGHTS) == 1
    assert hot_state.read_rights(redis, "t1", "acme") == ACME
    assert hot_state.read_rights(redis, "t1", "idle") == CustomerRights("idle")
    assert hot_state.read_key(redis, "a" * 64) == KeyRecord("k1", "t1", "acme")
    assert hot_state.published_tenants(redis) == ["t1"]


def test_units_are_found_by_key_and_name_and_a_key_beats_a_name(redis: Redis) -> None:
    hot_state.publish(redis, RIGHTS)
    assert hot_state.read_units(redis, "t1") == {"calls": CALLS, "api calls": CALLS, "tricky": TRICKY}


def test_publishing_replaces_everything_of_the_tenant(redis: Redis) -> None:
    hot_state.publish(redis, RIGHTS)
    smaller = TenantRights("t1", (TRICKY,), (CustomerRights("new"),), {"b" * 64: KeyRecord("k2", "t1", None)})
    assert hot_state.publish(redis, smaller) == 2
    assert hot_state.read_rights(redis, "t1", "acme") is None
    assert hot_state.read_key(redis, "a" * 64) is None
    assert set(hot_state.read_units(redis, "t1")) == {"tricky", "calls"}
    hot_state.publish(redis, TenantRights("t1"))
    assert hot_state.read_units(redis, "t1") == {} and hot_state.read_key(redis, "b" * 64) is None


def test_other_tenants_stay_as_they_are(redis: Redis) -> None:
    hot_state.publish(redis, RIGHTS)
    hot_state.publish(redis, replace(RIGHTS, tenant_id="t2", customers=(), keys={}))
    hot_state.publish(redis, TenantRights("t2"))
    assert hot_state.read_rights(redis, "t1", "acme") == ACME
    assert (hot_state.read_version(redis, "t1"), hot_state.read_version(redis, "t2")) == (1, 2)
    assert hot_state.read_version(redis, "t3") is None


def test_publishing_leaves_usage_alone(redis: Redis) -> None:
    hot_state.reset_counters(redis, "t1", {("acme", "calls", 0): 7})
    hot_state.publish(redis, RIGHTS)
    assert hot_state.read_counters(redis, "t1", "acme") == {"calls|0": 7}


def test_all_counters_of_a_tenant_are_read_and_set(redis: Redis) -> None:
    counters = {("acme", "a|b", 1_000): 1, ("acme", "calls", 2_000): 2, ("zenith", "calls", 1_000): 3}
    hot_state.reset_counters(redis, "t1", counters)
    hot_state.reset_counters(redis, "t2", {("acme", "calls", 0): 9})
    assert hot_state.read_all_counters(redis, "t1") == counters
    hot_state.reset_counters(redis, "t1", {("acme", "calls", 2_000): 5})
    assert hot_state.read_all_counters(redis, "t1") == counters | {("acme", "calls", 2_000): 5}
