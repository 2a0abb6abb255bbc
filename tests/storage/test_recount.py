"""Counters put right: what the lake and the logs say, in every region, whatever was lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from redis import Redis

from domain.access import CustomerRights, FilterCondition, SubscriptionRights, TenantRights, UnitRecord
from domain.counters import bumps
from domain.usage import Door, read_event
from storage import event_log, hot_state
from storage.drain import drain
from storage.lake import Lake
from storage.recount import _move, recount
from storage.recount_inside import Conditions, put_values_back
from tests import harness
from tests.transforms.event_rows import validated

NOW = datetime(2026, 11, 15, tzinfo=UTC)
START = datetime(2026, 11, 1, tzinfo=UTC)
MICROS = int(NOW.timestamp()) * 1_000_000
PERIOD = (int(START.timestamp()) * 1_000_000, MICROS + 10 * 86_400 * 1_000_000)
UNITS = (
    UnitRecord("calls", "Calls", "COUNT"),
    UnitRecord("bytes", "Bytes", "SUM"),
    UnitRecord("seats", "Seats", "MAX"),
    UnitRecord("errors", "Errors", "COUNT", filters=(FilterCondition("status", "EQUALS", "500"),)),
    UnitRecord("visitors", "Visitors", "UNIQUE", event_field="visitor"),
    UnitRecord(
        "buyers",
        "Buyers",
        "UNIQUE",
        event_field="visitor",
        filters=(FilterCondition("bought", "EQUALS", "true"),),
    ),
)
ANN = CustomerRights(
    "ann",
    (SubscriptionRights("s", "pro", "pro", "ACTIVE", (PERIOD,), (), tuple(each.key for each in UNITS)),),
)
RIGHTS = [TenantRights("t1", UNITS, (ANN,), {})]


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


def meter(redis: Redis, *keys: str, unit: str = "bytes", quantity: str = "2.5", **said: Any) -> None:
    """One request with an event per key, as the edge would log and count it."""
    door = Door("t1", {each.key: each for each in UNITS})
    common = {"customerId": "ann", "metricName": unit, "quantity": quantity, "metadata": said}
    sent = [common | {"idempotencyKey": key} for key in keys]
    events = [read_event(each, door, received_at=MICROS, position=n) for n, each in enumerate(sent)]
    moves = [bumps(event, each, ANN) for event, each in zip(events, sent, strict=True)]
    event_log.announce(redis, "t1")
    texts = [json.dumps(each) for each in sent]
    event_log.append(redis, event_log.Request("t1", "ingest", "k", MICROS, events, texts, moves))


def validate(lake: Lake) -> None:
    """What the gates would let pass, in the lake."""
    raw = lake.scan("raw_events").filter(pl.col("door") == "ACCEPTED").sort("raw_seq").collect()
    kept = raw.unique(["tenant_id", "idempotency_key"], keep="first", maintain_order=True)
    cursor = lake.cursor("validated_events")
    seen = cursor.marker("raw_events") or 0
    last = lake.cursor("raw_events").marker("raw_seq") or 0
    rows = [
        dict.fromkeys(validated().columns)
        | {name: row[name] for name in row if name in validated().columns}
        | {"late": False}
        for row in kept.iter_rows(named=True)
        if row["raw_seq"] > seen
    ]
    cursor.append(pl.DataFrame(rows, schema=validated().schema), markers={"raw_events": last})


def counted(redis: Redis) -> dict[str, float]:
    found = hot_state.read_counters(redis, "t1", "ann")
    return {name.partition("|")[0]: amount / 1_000_000 for name, amount in found.items()}


def test_counters_that_are_right_stay(redis: Redis, lake: Lake) -> None:
    meter(redis, "a", "b")
    assert recount([redis], lake, RIGHTS).is_empty()
    drain(redis, lake)
    meter(redis, "c")
    assert recount([redis], lake, RIGHTS).is_empty()
    assert counted(redis) == {"bytes": 7.5}


def test_after_a_lost_redis_they_are_what_the_lake_and_the_log_say(redis: Redis, lake: Lake) -> None:
    meter(redis, "a", "b")
    meter(redis, "c", unit="calls")
    drain(redis, lake)
    validate(lake)
    meter(redis, "d")
    drain(redis, lake)  # and not yet validated
    redis.flushall()
    meter(redis, "e", "a")  # the door has forgotten a
    assert counted(redis) == {"bytes": 5.0}
    adrift = recount([redis], lake, RIGHTS)
    assert sorted(adrift.select("unit", "drift").iter_rows()) == [("bytes", -5), ("calls", -1)]
    assert counted(redis) == {"bytes": 10.0, "calls": 1.0}
    assert recount([redis], lake, RIGHTS).is_empty()


def test_the_largest_is_back_after_a_lost_redis_and_stays_the_largest(redis: Redis, lake: Lake) -> None:
    meter(redis, "a", unit="seats", quantity="50.5")
    drain(redis, lake)
    validate(lake)
    redis.flushall()
    meter(redis, "b", unit="seats", quantity="7")
    assert counted(redis) == {"seats": 7.0}
    assert recount([redis], lake, RIGHTS)["drift"].to_list() == [Decimal("-43.5")]
    assert counted(redis) == {"seats": 50.5}
    meter(redis, "c", unit="seats", quantity="60")
    assert recount([redis], lake, RIGHTS).is_empty()
    assert counted(redis) == {"seats": 60.0}


def test_the_largest_that_no_event_has_any_more_goes_down(redis: Redis, lake: Lake) -> None:
    meter(redis, "a", unit="seats", quantity="7")
    hot_state.reset_counters(redis, "t1", {("ann", "seats", PERIOD[0]): 90_000_000})
    assert recount([redis], lake, RIGHTS)["drift"].to_list() == [83]
    assert counted(redis) == {"seats": 7.0}


def test_a_larger_one_that_comes_meanwhile_stays(redis: Redis) -> None:
    before = pl.DataFrame(
        {
            "tenant_id": "t1", "customer_id": "ann", "unit": "seats", "period_start": START, "counted": Decimal(3),
            "aggregation": "MAX", "in_lake": Decimal(50), "drift": Decimal(-47),
        }
    )  # fmt: skip
    for came, left in (("60", 60.0), ("4", 50.0)):
        redis.flushall()
        meter(redis, "x", unit="seats", quantity=came)
        _move(redis, before)
        assert counted(redis) == {"seats": left}


def test_events_that_have_to_be_looked_into_are_after_a_lost_redis(redis: Redis, lake: Lake) -> None:
    for key, status in (("a", 500), ("b", 200), ("c", 500)):
        meter(redis, key, unit="errors", status=status)
    for key, visitor in (("d", "eve"), ("e", "kim"), ("f", "eve")):
        meter(redis, key, unit="visitors", visitor=visitor)
        meter(redis, key * 2, unit="buyers", visitor=visitor, bought=visitor == "eve")
    assert recount([redis], lake, RIGHTS).is_empty()
    before = counted(redis)
    assert before == {"errors": 2.0, "visitors": 2.0, "buyers": 1.0}
    drain(redis, lake)
    validate(lake)
    meter(redis, "g", unit="errors", status=500)
    drain(redis, lake)  # and not yet validated
    redis.flushall()
    meter(redis, "h", unit="errors", status=500)
    meter(redis, "i", unit="errors", status=200)
    meter(redis, "j", unit="visitors", visitor="lee")
    recount([redis], lake, RIGHTS)
    assert counted(redis) == {"errors": 4.0, "visitors": 3.0, "buyers": 1.0}
    meter(redis, "k", unit="visitors", visitor="eve")
    assert counted(redis)["visitors"] == 3.0, "the values are known, and not only their number"
    assert recount([redis], lake, RIGHTS).is_empty()


def test_conditions_are_not_asked_about_the_statistics_of_files(redis: Redis, lake: Lake) -> None:
    """Which are cut short, so that what an event says cannot be read from them."""
    only = [TenantRights("t1", tuple(each for each in UNITS if each.key == "errors"), (ANN,), {})]
    for key, status in (("a", 500), ("b", 200)):
        meter(redis, key, unit="errors", status=status, path="/a/path/of/some/length" * 5)
    drain(redis, lake)
    validate(lake)
    redis.flushall()
    recount([redis], lake, only)
    assert counted(redis) == {"errors": 1.0}


def test_where_nothing_was_lost_nobody_looks_into_events(redis: Redis, lake: Lake) -> None:
    meter(redis, "a", unit="errors", status=500)
    recount([redis], lake, RIGHTS)
    hot_state.reset_counters(redis, "t1", {("ann", "errors", PERIOD[0]): 9_000_000})
    assert recount([redis], lake, RIGHTS).is_empty()
    assert counted(redis) == {"errors": 9.0}


def test_more_distinct_values_than_go_into_one_command(redis: Redis, lake: Lake) -> None:
    for number in range(2_300):
        meter(redis, f"k{number}", unit="visitors", visitor=f"v{number}")
    before = counted(redis)
    drain(redis, lake)
    redis.flushall()
    recount([redis], lake, RIGHTS)
    assert counted(redis) == before
    assert before["visitors"] == pytest.approx(2_300, rel=0.03)


def test_distinct_values_of_many_customers(redis: Redis) -> None:
    names = [f"c{number}" for number in range(450)]
    customers = tuple(CustomerRights(name, ANN.subscriptions) for name in names)
    rights = [TenantRights("t1", tuple(each for each in UNITS if each.key == "visitors"), customers, {})]
    events = pl.DataFrame({"customer_id": names}).with_columns(
        tenant_id=pl.lit("t1"),
        unit=pl.lit("visitors"),
        occurred_at=pl.lit(NOW),
        payload='{"visitor":"' + pl.col("customer_id") + '"}',
    )
    put_values_back([redis], pl.concat([events, events]).lazy(), rights, Conditions(rights, START))
    told = hot_state.read_all_counters(redis, "t1")
    assert told == {(name, "visitors", PERIOD[0]): 1_000_000 for name in names}


def test_regions_come_to_know_each_others_usage_and_a_key_sent_to_both_counts_once(
    redis: Redis, lake: Lake
) -> None:
    with harness.valkey() as server, Redis.from_url(server.url) as other:
        meter(redis, "a", "b")
        meter(other, "b", "c")
        drain(other, lake)
        recount([redis, other], lake, RIGHTS)
        assert counted(redis) == counted(other) == {"bytes": 7.5}
        meter(other, "d")
        drain(redis, lake)
        validate(lake)
        recount([redis, other], lake, RIGHTS)
        assert counted(redis) == counted(other) == {"bytes": 10.0}


def test_what_has_ended_is_left_alone(redis: Redis, lake: Lake) -> None:
    old = NOW - timedelta(days=60)
    hot_state.reset_counters(redis, "t1", {("ann", "bytes", int(old.timestamp()) * 1_000_000): 5})
    assert recount([redis], lake, RIGHTS).is_empty()
    assert counted(redis)["bytes"] == 5 / 1_000_000
