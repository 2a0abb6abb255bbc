"""Counters of periods that are long over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis import Redis

from domain.access import CustomerRights, SubscriptionRights, TenantRights
from domain.counters import counter_field
from domain.instant import micros
from storage import hot_state
from storage.ended_counters import forget_ended

NOW = datetime(2026, 3, 15, tzinfo=UTC)
MONTHS = [micros(datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 2, 3, 4, 5)]
LAST, RUNNING, NEXT = ((MONTHS[n], MONTHS[n + 1]) for n in (1, 2, 3))
BEFORE = MONTHS[0]


def subscription(*periods: tuple[int, int]) -> SubscriptionRights:
    return SubscriptionRights("s1", "basic", "basic", "ACTIVE", periods, (), ("calls",))


def tenant(name: str, *customers: CustomerRights) -> TenantRights:
    return TenantRights(name, (), customers, {})


def count(redis: Redis, name: str, customer: str, *starts: int) -> None:
    hot_state.reset_counters(redis, name, {(customer, "calls", start): 5 for start in starts})


def held(redis: Redis, name: str, customer: str) -> set[str]:
    return set(hot_state.read_counters(redis, name, customer))


def test_counters_of_published_periods_stay_and_earlier_ones_go(redis: Redis) -> None:
    count(redis, "t1", "ann", BEFORE, LAST[0], RUNNING[0])
    rights = tenant("t1", CustomerRights("ann", (subscription(LAST, RUNNING, NEXT),)))
    assert [forget_ended(redis, rights, NOW) for _ in range(2)] == [1, 0]
    assert held(redis, "t1", "ann") == {counter_field("calls", each[0]) for each in (LAST, RUNNING)}


def test_young_ones_stay_should_a_change_be_taken_back(redis: Redis) -> None:
    old, young = (micros(NOW - timedelta(days=days)) for days in (63, 61))
    count(redis, "t1", "ann", old, young)
    assert forget_ended(redis, tenant("t1", CustomerRights("ann", (subscription(RUNNING),))), NOW) == 1
    assert held(redis, "t1", "ann") == {counter_field("calls", young)}


def test_the_longest_of_several_subscriptions_keeps_them(redis: Redis) -> None:
    count(redis, "t1", "ann", BEFORE, RUNNING[0])
    yearly = subscription((BEFORE, BEFORE + micros(NOW) // 50))
    rights = tenant("t1", CustomerRights("ann", (subscription(LAST, RUNNING), yearly)))
    assert forget_ended(redis, rights, NOW) == 0


def test_what_a_unique_counter_has_seen_goes_with_it(redis: Redis) -> None:
    count(redis, "t1", "ann", BEFORE, RUNNING[0])
    for start in (BEFORE, RUNNING[0]):
        redis.pfadd(hot_state.distinct_key("t1", "ann", counter_field("calls", start)), "somebody")
    forget_ended(redis, tenant("t1", CustomerRights("ann", (subscription(LAST, RUNNING),))), NOW)
    left = [key.decode() for key in redis.scan_iter("distinct:*")]
    assert left == [f"distinct:{{t1}}:ann|calls|{RUNNING[0]}"]


def test_without_rights_they_stay_for_two_years(redis: Redis) -> None:
    old, young = (micros(NOW - timedelta(days=days)) for days in (733, 731))
    for customer in ("gone", "bare"):
        count(redis, "t1", customer, old, young)
    assert forget_ended(redis, tenant("t1", CustomerRights("bare", (subscription(),))), NOW) == 2
    assert held(redis, "t1", "gone") == held(redis, "t1", "bare") == {counter_field("calls", young)}


def test_another_tenants_stay(redis: Redis) -> None:
    for name in ("t1", "t2"):
        count(redis, name, "ann", BEFORE)
    assert forget_ended(redis, tenant("t1", CustomerRights("ann", (subscription(RUNNING),))), NOW) == 1
    assert (held(redis, "t1", "ann"), len(held(redis, "t2", "ann"))) == (set(), 1)


def test_many_customers(redis: Redis) -> None:
    names = [f"c{n}" for n in range(2_500)]
    for name in names:
        count(redis, "t1", name, BEFORE, RUNNING[0])
    rights = tenant("t1", *(CustomerRights(name, (subscription(RUNNING),)) for name in names))
    assert forget_ended(redis, rights, NOW) == len(names)
    assert len(hot_state.read_all_counters(redis, "t1")) == len(names)
