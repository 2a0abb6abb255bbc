"""The event log on a real Valkey."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from domain.counters import Bump
from domain.usage import UsageEvent
from storage import event_log, hot_state
from tests.storage.log_world import NOW, TENANT, event


def request(*events: UsageEvent, bumps: Sequence[Sequence[Bump]] | None = None) -> event_log.Request:
    texts = [f'{{"n": {n},\n"é": "…"}}' for n in range(len(events))]
    return event_log.Request(TENANT, "meter", "key_1", NOW, events, texts, bumps or [[] for _ in events])


def plus(amount: int, operation: str = "+", field: str = "tokens|0") -> list[Bump]:
    return [Bump("acme", field, operation, amount)]


def test_an_entry_comes_back_as_it_went_in(redis: Redis) -> None:
    receipt = event_log.append(redis, request(event("a", "1.50"), event("b", "x")))
    [entry] = event_log.read(redis, TENANT)
    assert (entry.id, entry.position) == (receipt.entry_id, event_log.position_of(receipt.entry_id))
    assert (entry.received_at_us, entry.source, entry.key_id, entry.verdicts) == (NOW, "meter", "key_1", "AX")
    first, second = (json.loads(line) for line in entry.body.split(b"\n"))
    assert (first["c"], first["u"], first["q"], first["t"], first["k"]) == ("acme", "tokens", "1.5", NOW, "a")
    assert first["j"] == '{"n": 0,\n"é": "…"}'
    assert (first["x"], second["x"], second["q"]) == (None, "SCHEMA_INVALID", None)
    assert event_log.entry_id(entry.position) == entry.id


def test_a_key_is_accepted_once_and_another_payload_is_a_conflict(redis: Redis) -> None:
    assert event_log.append(redis, request(event("a"))).verdicts == "A"
    assert event_log.append(redis, request(event("a"), event("a", 2), event("b"))).verdicts == "DCA"


def test_duplicates_within_one_request_are_seen(redis: Redis) -> None:
    assert event_log.append(redis, request(event("a"), event("a"), event("a", 2))).verdicts == "ADC"


def test_a_rejected_event_does_not_use_up_its_key(redis: Redis) -> None:
    assert event_log.append(redis, request(event("a", unit="nope"))).verdicts == "X"
    assert event_log.append(redis, request(event("a"))).verdicts == "A"


def test_more_events_than_one_look_up_takes(redis: Redis) -> None:
    many = [event(f"k{n}") for n in range(2_500)]
    assert event_log.append(redis, request(*many)).verdicts == "A" * 2_500
    assert event_log.append(redis, request(*many)).verdicts == "D" * 2_500


def test_keys_are_remembered_for_a_while_only(redis: Redis) -> None:
    event_log.append(redis, request(event("a")), remember=60)
    [name] = redis.keys("seen:*")
    assert 0 < redis.ttl(name) <= 60


def test_keys_are_remembered_by_a_server_that_cannot_set_many_at_once(redis: Redis, redis_url: str) -> None:
    redis.acl_setuser("older", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-msetex"])
    try:
        with Redis.from_url(redis_url, username="older", password="any") as client:
            assert event_log.append(client, request(event("a"), event("b")), remember=60).verdicts == "AA"
            assert event_log.append(client, request(event("a"), event("b", 2)), remember=60).verdicts == "DC"
    finally:
        redis.acl_deluser("older")
    assert all(0 < redis.ttl(name) <= 60 for name in redis.keys("seen:*"))


def test_counters_move_for_accepted_events_alone(redis: Redis) -> None:
    events = [event("a"), event("a"), event("b"), event("c", "x")]
    event_log.append(redis, request(*events, bumps=[plus(1), plus(10), plus(100), plus(1000)]))
    assert hot_state.read_counters(redis, TENANT, "acme") == {"tokens|0": 101}


def test_each_kind_of_counter_counts_in_its_way(redis: Redis) -> None:
    moves = [
        [*plus(5), *plus(7, "M", "peak|0"), Bump("acme", "users|0", "U", "ann")],
        [*plus(-2), *plus(3, "M", "peak|0"), Bump("acme", "users|0", "U", "bob")],
        [*plus(600_000_000_000), *plus(9, "M", "peak|0"), Bump("acme", "users|0", "U", "ann")],
    ]
    event_log.append(redis, request(event("a"), event("b"), event("c"), bumps=moves))
    assert hot_state.read_counters(redis, TENANT, "acme") == {
        "tokens|0": 600_000_000_003, "peak|0": 9, "users|0": 2_000_000,
    }  # fmt: skip


def test_a_counter_that_overflows_stops_at_the_largest_number_and_harms_nothing_else(redis: Redis) -> None:
    moves = [plus(2**62), plus(2**62), plus(10**29), plus(1, field="other|0")]
    receipt = event_log.append(redis, request(*(event(k) for k in "abcd"), bumps=moves))
    assert receipt.verdicts == "AAAA"
    assert hot_state.read_counters(redis, TENANT, "acme") == {"tokens|0": 2**63 - 1, "other|0": 1}
    assert event_log.pending(redis, TENANT) == 1


def test_a_broken_counter_does_not_stop_events(redis: Redis) -> None:
    redis.set(hot_state.usage_key(TENANT, "acme"), "not a hash")
    moves = [plus(1), plus(1, "M"), [Bump("acme", "tokens|0", "U", "ann")]]
    assert event_log.append(redis, request(event("a"), event("b"), event("c"), bumps=moves)).verdicts == "AAA"


def test_when_the_log_cannot_take_the_entry_nothing_at_all_is_written(redis: Redis) -> None:
    redis.set(event_log.log_key(TENANT), "not a stream")
    with pytest.raises(ResponseError):
        event_log.append(redis, request(event("a"), bumps=[plus(1)]))
    assert redis.keys("*") == [event_log.log_key(TENANT).encode()]


def test_a_receipt_says_when_the_log_is_new(redis: Redis) -> None:
    assert event_log.append(redis, request(event("a"))).created
    assert not event_log.append(redis, request(event("b"))).created
    event_log.trim(redis, TENANT, event_log.read(redis, TENANT)[-1].id)
    assert not event_log.append(redis, request(event("c"))).created


def test_reading_goes_on_after_the_last_entry_read(redis: Redis) -> None:
    ids = [event_log.append(redis, request(event(key))).entry_id for key in "abc"]
    assert [entry.id for entry in event_log.read(redis, TENANT, count=2)] == ids[:2]
    assert [entry.id for entry in event_log.read(redis, TENANT, after=ids[1])] == ids[2:]
    positions = [event_log.position_of(name) for name in ids]
    assert positions == sorted(set(positions))


def test_trimming_removes_up_to_an_entry_and_never_a_newer_one(redis: Redis) -> None:
    ids = [event_log.append(redis, request(event(key))).entry_id for key in "abcd"]
    assert event_log.trim(redis, TENANT, ids[1]) == 2
    assert event_log.trim(redis, TENANT, ids[1]) == 0
    assert [entry.id for entry in event_log.read(redis, TENANT)] == ids[2:]
    assert event_log.pending(redis, TENANT) == 2


def test_a_lost_redis_shows_as_another_incarnation(redis: Redis) -> None:
    before = event_log.incarnation(redis, TENANT)
    assert event_log.incarnation(redis, TENANT) == before
    redis.flushall()
    assert event_log.incarnation(redis, TENANT) != before


def test_tenants_are_listed_once_announced(redis: Redis) -> None:
    for tenant in ("t2", "t1", "t2"):
        event_log.announce(redis, tenant)
    assert event_log.tenants(redis) == ["t1", "t2"]


def test_the_script_survives_a_restart_of_redis(redis: Redis) -> None:
    event_log.append(redis, request(event("a")))
    redis.script_flush()
    assert event_log.append(redis, request(event("b"))).verdicts == "A"


def test_a_redis_that_syncs_every_write_is_durable(redis: Redis) -> None:
    assert event_log.assert_durable(redis) is False


@pytest.mark.parametrize(("name", "value"), [("appendfsync", "everysec"), ("appendonly", "no")])
def test_a_redis_that_may_lose_acknowledged_events_is_refused(redis: Redis, name: str, value: str) -> None:
    before = redis.config_get(name)[name]
    redis.config_set(name, value)
    try:
        with pytest.raises(event_log.LogNotDurable, match=name):
            event_log.assert_durable(redis)
    finally:
        redis.config_set(name, before)


def test_where_the_configuration_is_hidden_each_append_waits_for_the_disk(
    redis: Redis, redis_url: str
) -> None:
    redis.acl_setuser(
        "edge", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"], channels=["*"]
    )
    try:
        with Redis.from_url(redis_url, username="edge", password="any") as client:
            assert event_log.assert_durable(client) is True
            assert event_log.append(client, request(event("a")), wait=True).verdicts == "A"
    finally:
        redis.acl_deluser("edge")
