"""From a real log into a real Delta table, exactly once, wherever a drain dies."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from redis import Redis

from domain.access import UnitRecord
from domain.usage import Door, read_event
from storage import event_log
from storage.drain import FIRST_PAGE, PAGE_BYTES, BrokenEntry, Drained, backlog, drain, to_raw
from storage.event_log import LogEntry
from storage.lake import Lake, LostRace
from transforms.frames import RAW_EVENTS

NOW = 1_700_000_000_123_456
UNITS = {"tokens": UnitRecord("tokens", "Tokens", "SUM")}


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


def send(redis: Redis, *keys: str, tenant: str = "acme", **given: Any) -> str:
    """One request with an event per key, as the edge would log it; its entry id."""
    sent = [
        {"customerId": "c1", "metricName": "tokens", "quantity": 1, "idempotencyKey": key} | given
        for key in keys
    ]
    door = Door(tenant, UNITS)
    events = [read_event(each, door, received_at=NOW, position=n) for n, each in enumerate(sent)]
    texts = [json.dumps(each) for each in sent]
    event_log.announce(redis, tenant)
    request = event_log.Request(tenant, "ingest", "key_1", NOW, events, texts, [[] for _ in events])
    return event_log.append(redis, request).entry_id


def raw(lake: Lake) -> pl.DataFrame:
    return lake.scan("raw_events").collect().sort("raw_seq")


def keys(lake: Lake) -> list[str]:
    return raw(lake)["idempotency_key"].to_list()


def commit_without_trim(redis: Redis, lake: Lake, tenant: str = "acme") -> None:
    """What is left of a drain that dies after its commit."""
    entries = event_log.read(redis, tenant)
    cursor = lake.cursor("raw_events")
    seen = cursor.marker("raw_seq") or 0
    frame = to_raw(tenant, entries, first=seen + 1)
    app = f"log:{tenant}:{event_log.incarnation(redis, tenant)}"
    cursor.append(frame, markers={app: entries[-1].position, "raw_seq": seen + frame.height})


def test_everything_in_the_log_becomes_raw_events_and_leaves_the_log(redis: Redis, lake: Lake) -> None:
    send(redis, "a", "b", "a")
    send(redis, "c", quantity=-1)
    done = drain(redis, lake)
    assert done == Drained({"ACCEPTED": 2, "DUPLICATE": 1, "REJECTED": 1}, 1, 4)
    assert raw(lake).select("raw_seq", "idempotency_key", "door").rows() == [
        (1, "a", "ACCEPTED"), (2, "b", "ACCEPTED"), (3, "a", "DUPLICATE"), (4, "c", "REJECTED"),
    ]  # fmt: skip
    assert event_log.pending(redis, "acme") == 0


def test_a_raw_event_is_what_was_sent_and_what_the_edge_made_of_it(redis: Redis, lake: Lake) -> None:
    send(redis, "ü\n\"'", quantity="0.123456789", occurredAt="2023-11-14T22:00:00.000001Z", note="{é\\}")
    drain(redis, lake)
    found = raw(lake).row(0, named=True)
    assert (found["quantity"], found["idempotency_key"]) == (Decimal("0.123456789"), "ü\n\"'")
    assert found["occurred_at"] == datetime(2023, 11, 14, 22, 0, 0, 1, tzinfo=UTC)
    assert found["received_at"] == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert (found["received_day"], found["source"], found["key_id"]) == ("2023-11-14", "ingest", "key_1")
    assert json.loads(found["payload"])["note"] == "{é\\}"
    assert (found["correction"], found["backfill"], found["reject_code"]) == (False, None, None)


def test_a_refused_event_keeps_its_reason(redis: Redis, lake: Lake) -> None:
    send(redis, "a", metricName="nope", quantity="x")
    drain(redis, lake)
    found = raw(lake).row(0, named=True)
    assert (found["door"], found["reject_code"], found["quantity"]) == ("REJECTED", "SCHEMA_INVALID", None)
    assert found["reject_detail"].startswith("quantity:")
    for rule in RAW_EVENTS.rules:
        assert raw(lake).filter(~rule.holds).is_empty(), rule.name


def test_an_empty_log_drains_nothing(redis: Redis, lake: Lake) -> None:
    assert drain(redis, lake) == Drained()
    send(redis, "a")
    drain(redis, lake)
    version = lake.version("raw_events")
    assert drain(redis, lake) == Drained()
    assert lake.version("raw_events") == version


def test_tenants_share_one_unbroken_sequence(redis: Redis, lake: Lake) -> None:
    for tenant in ("b", "a", "b"):
        send(redis, f"{tenant}{event_log.pending(redis, tenant)}", tenant=tenant)
    drain(redis, lake)
    assert raw(lake).select("raw_seq", "tenant_id").rows() == [(1, "a"), (2, "b"), (3, "b")]


@pytest.mark.parametrize("events", [1, 3, 4, 100])
def test_small_commits_keep_order_and_lose_nothing(redis: Redis, lake: Lake, events: int) -> None:
    sent = [[f"{request}-{n}" for n in range(request)] for request in (1, 3, 2, 5, 1)]
    for several in sent:
        send(redis, *several)
    assert drain(redis, lake, events=events).events == 12
    assert keys(lake) == [key for several in sent for key in several]
    assert raw(lake)["raw_seq"].to_list() == list(range(1, 13))


def test_a_drain_that_died_after_its_commit_doubles_nothing(redis: Redis, lake: Lake) -> None:
    send(redis, "a", "b")
    commit_without_trim(redis, lake)
    assert drain(redis, lake) == Drained()
    assert (keys(lake), event_log.pending(redis, "acme")) == (["a", "b"], 0)


def test_what_came_after_a_death_is_drained_once(redis: Redis, lake: Lake) -> None:
    send(redis, "a")
    commit_without_trim(redis, lake)
    send(redis, "b")
    assert drain(redis, lake).events == 1
    assert (keys(lake), event_log.pending(redis, "acme")) == (["a", "b"], 0)


def test_a_drain_that_died_before_its_commit_lost_nothing(redis: Redis, lake: Lake) -> None:
    send(redis, "a")
    to_raw("acme", event_log.read(redis, "acme"), first=1)
    drain(redis, lake)
    assert keys(lake) == ["a"]


def test_a_log_that_was_lost_and_starts_empty_is_drained_from_its_beginning(redis: Redis, lake: Lake) -> None:
    send(redis, "a")
    drain(redis, lake)
    redis.flushall()
    send(redis, "b")
    assert drain(redis, lake).events == 1
    assert keys(lake) == ["a", "b"]


def test_a_new_log_with_lower_positions_than_the_old_one_loses_nothing(redis: Redis, lake: Lake) -> None:
    send(redis, "a")
    [entry] = redis.xrange(event_log.log_key("acme"))
    drain(redis, lake)
    redis.flushall()
    event_log.announce(redis, "acme")
    redis.xadd(event_log.log_key("acme"), entry[1], id="5-1")
    assert drain(redis, lake).events == 1
    assert keys(lake) == ["a", "a"]


def test_drains_at_once_neither_lose_nor_double(redis: Redis, lake: Lake) -> None:
    sent = [f"k{n}" for n in range(30)]
    for key in sent:
        send(redis, key)
    lake.cursor("raw_events")

    def attempt(_: int) -> str:
        try:
            drain(redis, lake, events=3)
        except LostRace:
            return "lost"
        return "done"

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(attempt, range(3)))
    drain(redis, lake)
    assert set(outcomes) <= {"done", "lost"}
    assert keys(lake) == sent
    assert raw(lake)["raw_seq"].to_list() == list(range(1, 31))


def test_large_entries_are_read_in_small_pages_and_none_is_lost(redis: Redis, lake: Lake) -> None:
    sent = [f"k{n}" for n in range(2 * FIRST_PAGE + 1)]
    for place, key in enumerate(sent):
        send(redis, key, note="x" * (PAGE_BYTES // 4 if place == 3 else 10))
    assert drain(redis, lake).events == len(sent)
    assert keys(lake) == sent


def test_requests_without_events_are_passed_over(redis: Redis, lake: Lake) -> None:
    send(redis)
    send(redis, "a")
    send(redis)
    assert drain(redis, lake) == Drained({"ACCEPTED": 1}, 1, 1)
    assert event_log.pending(redis, "acme") == 0


def test_an_entry_with_fewer_records_than_verdicts_is_never_taken_for_whole() -> None:
    body = b'{"c":"c1","u":"tokens","q":"1","t":1,"k":"a","h":1,"p":1,"n":false,"x":null,"d":null,"f":null,"j":"{}"}'
    broken = LogEntry("1-1", 1 << 20 | 1, NOW, "ingest", "key_1", "AA", body)
    with pytest.raises(BrokenEntry, match=r"entry 1-1: has 2 verdicts and 1 records"):
        to_raw("acme", [broken], first=1)


def test_the_backlog_is_counted_and_its_oldest_named(redis: Redis) -> None:
    assert backlog(redis) == (0, None)
    send(redis, "a")
    send(redis, "b", tenant="other")
    assert backlog(redis) == (2, datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC))
