"""What the script that appends does with keys and counters, on a real Valkey: seen before, seen by older versions, after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import msgspec
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError

from domain.counters import Bump
from domain.usage import UsageEvent, key_digest
from stack.embedded import Valkey, free_port
from storage import event_log, hot_state
from tests import harness
from tests.storage.log_world import NOW, TENANT, event


def request(*events: UsageEvent, customers: Sequence[str] = ("acme",)) -> event_log.Request:
    moves = [[Bump(each, "tokens|0", "+", 10)] for each in customers]
    bumps = [[] if e.refusals else moves[n % len(moves)] for n, e in enumerate(events)]
    return event_log.Request(TENANT, "meter", "key_1", NOW, events, ["{}" for _ in events], bumps)


def name_of(key: str) -> str:
    return f"seen:{{{TENANT}}}:{key_digest(TENANT, key).hex()}"


def payload_of(read: UsageEvent) -> str:
    assert read.payload_hash is not None
    return f"{read.payload_hash & 0xFFFFFFFFFFFFFFFF:016x}"


def test_a_key_is_remembered_with_what_was_said_under_it(redis: Redis) -> None:
    event_log.append(redis, request(event("a"), event("b", 2)))
    kept = {key: redis.get(name_of(key)) for key in "ab"}
    assert kept == {"a": payload_of(event("a")).encode(), "b": payload_of(event("b", 2)).encode()}


def test_one_old_key_among_new_ones_is_told_and_the_new_ones_are_remembered(redis: Redis) -> None:
    redis.set(name_of("b"), payload_of(event("b")), ex=60)  # as every version wrote it
    redis.set(name_of("c"), payload_of(event("c")), ex=60)
    events = [event("a"), event("b"), event("x", unit="nope"), event("c", 2), event("d")]
    assert event_log.append(redis, request(*events)).verdicts == "ADXCA"
    assert hot_state.read_counters(redis, TENANT, "acme") == {"tokens|0": 20}
    assert event_log.append(redis, request(*events)).verdicts == "DDXCD"
    assert redis.ttl(name_of("b")) <= 60, "an old key keeps its time"


def test_a_batch_of_several_commands_with_an_old_key_in_each(redis: Redis) -> None:
    many = [event(f"k{n}") for n in range(2_500)]
    event_log.append(redis, request(many[10], many[1_010], many[2_010]))
    verdicts = event_log.append(redis, request(*many)).verdicts
    assert [n for n, verdict in enumerate(verdicts) if verdict == "D"] == [10, 1_010, 2_010]
    assert verdicts.count("A") == 2_497
    assert hot_state.read_counters(redis, TENANT, "acme") == {"tokens|0": 25_000}


def test_an_entry_that_is_not_allowed_in_leaves_no_key_behind(redis: Redis, redis_url: str) -> None:
    redis.acl_setuser("mute", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-xadd"])
    try:
        with (
            Redis.from_url(redis_url, username="mute", password="any") as client,
            pytest.raises(ResponseError),
        ):
            event_log.append(client, request(event("a"), event("b")))
    finally:
        redis.acl_deluser("mute")
    assert redis.keys("*") == []
    assert event_log.append(redis, request(event("a"))).verdicts == "A"


def test_customers_are_listed_when_they_are_first_counted_and_when_they_come_back_from_nothing(
    redis: Redis,
) -> None:
    event_log.append(redis, request(event("a"), event("b"), customers=("acme", "beta")))
    assert redis.smembers(hot_state.counted_key(TENANT)) == {b"acme", b"beta"}
    redis.delete(hot_state.counted_key(TENANT), hot_state.usage_key(TENANT, "acme"))
    event_log.append(redis, request(event("c")))
    assert redis.smembers(hot_state.counted_key(TENANT)) == {b"acme"}


def test_what_an_older_version_spooled_is_taken_over(redis: Redis, redis_url: str) -> None:
    """Its keys were 48 chars each in one text, its counters without sums."""
    event_log.append(redis, request(event("b")))
    read = [event("a"), event("x", unit="nope"), event("b"), event("c"), event("c", 2)]
    keys = "".join(
        name_of(key)[-32:] + payload_of(event(key, n)) for key, n in (("a", 1), ("b", 1), ("c", 1), ("c", 2))
    )
    plan = {
        "counters": [("acme", "tokens|0", "+")],
        "events": [1, 3, 4, 5], "which": [1, 1, 1, 1], "amounts": [1, 10, 100, "1000"],
        "limits": [], "sessions": [], "kept": ("spool", 1),
    }  # fmt: skip
    body = b"\n".join(b"{}" for _ in read)
    arguments = (
        event_log.log_key(TENANT), f"{{{TENANT}}}", 60, "?X???", keys, msgspec.msgpack.encode(plan), NOW, "meter", "key_1", body, "",
    )  # fmt: skip
    packed = msgspec.msgpack.encode((1, TENANT, arguments))

    async def take_over() -> list[str]:
        async with AsyncRedis.from_url(redis_url) as client:
            return [(await event_log.append_packed_async(client, packed)).verdicts for _ in range(2)]

    assert event_log.packed_tenant(packed) == TENANT
    assert asyncio.run(take_over()) == ["AXDAC", ""]
    assert hot_state.read_counters(redis, TENANT, "acme") == {"tokens|0": 10 + 101}
    assert event_log.read(redis, TENANT)[-1].verdicts == "AXDAC"


def test_after_a_kill_what_was_acknowledged_is_in_the_log_and_known() -> None:
    with harness.short_folder() as folder:
        server = Valkey(folder / "valkey", port=free_port(), password="secret")
        with harness.running(server, folder / "1.log") as process, Redis.from_url(server.url) as client:
            assert event_log.append(client, request(event("a"), event("b")), remember=600).verdicts == "AA"
            assert event_log.append(client, request(event("b"), event("c")), remember=600).verdicts == "DA"
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        with harness.running(server, folder / "2.log"), Redis.from_url(server.url) as client:
            assert [entry.verdicts for entry in event_log.read(client, TENANT)] == ["AA", "DA"]
            assert hot_state.read_counters(client, TENANT, "acme") == {"tokens|0": 30}
            assert all(500 < client.ttl(name_of(key)) <= 600 for key in "abc")
            again = request(event("a"), event("b", 2), event("c"), event("d"))
            assert event_log.append(client, again, remember=600).verdicts == "DCDA"
