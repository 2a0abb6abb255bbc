"""Answers from memory, over a real Valkey: they are what Redis would say."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from domain.access import MarginLevel
from domain.limits import Limit
from storage import access_state
from storage.access_state import Answers, Found
from storage.nearby import Nearby
from storage.redis_line import Line, Pooled
from storage.together import Together
from tests import harness

FIELD = "calls|0"
QUESTION = [("c1", (FIELD,))]


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        client.hset("usage:{acme}:c1", FIELD, 5)
        yield client


def _nothing(tenant_id: str, customer: str, found: Found) -> None:
    """Who is told forgets it."""


@asynccontextmanager
async def nearby_to(url: str, *, fresh_for: float = 60.0, tell: Any = _nothing) -> AsyncIterator[Nearby]:
    line = Line(url)
    nearby = Nearby(line, Together(line), fresh_for=fresh_for, found=tell)
    await line.call(b"PING")
    yield nearby
    await nearby.close()
    await line.close()


@pytest.fixture
async def nearby(redis: Redis, redis_url: str) -> AsyncIterator[Nearby]:
    async with nearby_to(redis_url) as found:
        yield found


async def used(nearby: Nearby, customer: str = "c1") -> int | None:
    """As known without asking; None: it has to be asked."""
    known = nearby.known("acme", [(customer, (FIELD,))])
    return None if known is None else known[0].counted[FIELD]


async def comes_true(holds: Callable[[], Any], *, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        await asyncio.sleep(0.001)


async def test_what_was_asked_once_is_known_until_somebody_changes_it(nearby: Nearby, redis: Redis) -> None:
    assert await used(nearby) is None
    await nearby.ask("acme", (), QUESTION)
    assert await used(nearby) == 5
    redis.hincrby("usage:{acme}:c2", FIELD, 1)
    await asyncio.sleep(0.05)
    assert await used(nearby) == 5
    redis.hincrby("usage:{acme}:c1", FIELD, 2)
    await comes_true(
        lambda: (nearby.known("acme", QUESTION) or [Found({FIELD: 0}, {})])[0].counted[FIELD] == 7
    )


async def test_who_was_asked_for_lately_is_asked_about_again_and_others_are_not(
    nearby: Nearby, redis: Redis
) -> None:
    await nearby.ask("acme", (), QUESTION)
    redis.hincrby("usage:{acme}:c1", FIELD, 1)  # nobody has used the answer
    await asyncio.sleep(0.1)
    assert await used(nearby) is None


async def test_counters_of_one_customer_come_together(nearby: Nearby, redis: Redis) -> None:
    redis.hset("usage:{acme}:c1", "words|0", 9)
    await asyncio.sleep(0.05)  # until it was told
    await nearby.ask("acme", (), QUESTION)
    assert nearby.known("acme", [("c1", (FIELD, "words|0"))]) is None
    await nearby.ask("acme", (), [("c1", ("words|0",))])
    known = nearby.known("acme", [("c1", (FIELD, "words|0"))])
    assert known is not None and known[0].counted == {FIELD: 5, "words|0": 9}


async def test_what_this_process_changed_is_not_known_any_more(nearby: Nearby) -> None:
    await nearby.ask("acme", (), QUESTION)
    nearby.forget("acme", ["c1", "c2"])
    assert await used(nearby) is None


async def test_tenants_do_not_share_what_is_known(nearby: Nearby) -> None:
    await nearby.ask("acme", (), QUESTION)
    assert nearby.known("rival", QUESTION) is None


async def test_what_is_held_back_is_asked_each_time_and_a_hold_ends_what_is_known(
    nearby: Nearby, redis_url: str
) -> None:
    await nearby.ask("acme", (), QUESTION)
    assert await used(nearby) == 5
    async with AsyncRedis.from_url(redis_url) as client:
        await access_state.hold(
            client, "acme", "c1", FIELD, "r1", amount=1, quota=None, seconds=1, record=b"{}", keep=60
        )
    await comes_true(lambda: nearby.known("acme", QUESTION) is None)
    answers = await nearby.ask("acme", (), QUESTION)
    assert answers.found[0].held == {FIELD: 1}
    assert await used(nearby) is None
    await asyncio.sleep(2.1)
    assert (await nearby.ask("acme", (), QUESTION)).found[0].held == {}


async def test_a_margin_level_ends_what_is_known_of_all(nearby: Nearby, redis: Redis) -> None:
    await nearby.ask("acme", (), [*QUESTION, ("c2", (FIELD,))])
    level = MarginLevel("L3_BLOCK")
    access_state.set_margins(redis, "acme", {"c1": level})
    await comes_true(lambda: nearby.known("acme", [("c2", (FIELD,))]) is None)
    assert (await nearby.ask("acme", (), QUESTION)).found[0].margin == level


async def test_an_emptied_redis_ends_what_is_known(nearby: Nearby, redis: Redis) -> None:
    await nearby.ask("acme", (), QUESTION)
    redis.flushall()
    await comes_true(lambda: nearby.known("acme", QUESTION) is None)
    assert (await nearby.ask("acme", (), QUESTION)).found[0].counted == {FIELD: 0}


async def test_without_its_connection_nothing_is_known_and_afterwards_changes_are_told_again(
    nearby: Nearby, redis: Redis
) -> None:
    await nearby.ask("acme", (), QUESTION)
    redis.client_kill_filter(_type="normal", skipme=True)
    await comes_true(lambda: nearby.known("acme", QUESTION) is None)
    redis.hincrby("usage:{acme}:c1", FIELD, 2)
    for _ in range(2):  # the first makes the connection
        await asyncio.sleep(0.05)
        assert (await nearby.ask("acme", (), QUESTION)).found[0].counted == {FIELD: 7}
    assert await used(nearby) == 7
    redis.hincrby("usage:{acme}:c1", FIELD, 2)
    await comes_true(
        lambda: (nearby.known("acme", QUESTION) or [Found({FIELD: 0}, {})])[0].counted[FIELD] == 9
    )


async def test_what_a_silent_redis_said_holds_for_a_moment_only() -> None:
    with harness.valkey() as valkey:
        async with nearby_to(valkey.url, fresh_for=0.4) as nearby:
            await nearby.ask("acme", (), QUESTION)
            began = time.monotonic()
            while time.monotonic() - began < 1.0:  # it is proven again and again while somebody asks
                assert await used(nearby) == 0
                await asyncio.sleep(0.01)
            with Redis.from_url(valkey.url) as redis:
                pid = redis.info("server")["process_id"]
            os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                await comes_true(lambda: nearby.known("acme", QUESTION) is None)
                assert time.monotonic() - began < 0.6
            finally:
                os.kill(pid, signal.SIGCONT)


async def test_where_redis_may_not_tell_everything_is_asked(redis: Redis, redis_url: str) -> None:
    redis.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-client|tracking")
    try:
        door, _, place = redis_url.rpartition("@")
        scheme = door.partition("://")[0]
        async with nearby_to(f"{scheme}://plain:secret@{place}") as nearby:
            for _ in range(2):
                assert (await nearby.ask("acme", (), QUESTION)).found[0].counted == {FIELD: 5}
                assert nearby.known("acme", QUESTION) is None
                assert nearby.permit("acme", [("{acme}:key:k:access", Limit(50_000))]) is None
    finally:
        redis.execute_command("ACL", "DELUSER", "plain")


async def test_in_the_older_protocol_which_tells_nothing_everything_is_asked(
    redis: Redis, redis_url: str
) -> None:
    async with nearby_to(f"{redis_url}?protocol=2") as nearby:
        for amount in (5, 6):
            assert (await nearby.ask("acme", (), QUESTION)).found[0].counted == {FIELD: amount}
            assert nearby.known("acme", QUESTION) is None
            redis.hincrby("usage:{acme}:c1", FIELD, 1)


async def test_over_connections_of_its_own_everything_is_asked(redis: Redis, redis_url: str) -> None:
    async with AsyncRedis.from_url(redis_url) as client:
        line = Pooled(client)
        nearby = Nearby(line, Together(line), fresh_for=60, found=_nothing)
        assert (await nearby.ask("acme", (), QUESTION)).found[0].counted == {FIELD: 5}
        assert nearby.known("acme", QUESTION) is None


async def test_all_that_was_found_is_told_also_what_nobody_waited_for(redis: Redis, redis_url: str) -> None:
    told: list[tuple[str, str, int]] = []

    def tell(tenant_id: str, customer: str, found: Found) -> None:
        told.append((tenant_id, customer, found.counted[FIELD]))

    async with nearby_to(redis_url, tell=tell) as nearby:
        await nearby.ask("acme", (), QUESTION)
        assert await used(nearby) == 5
        redis.hincrby("usage:{acme}:c1", FIELD, 1)
        await comes_true(lambda: len(told) == 2)
    assert told == [("acme", "c1", 5), ("acme", "c1", 6)]


async def test_what_nobody_wants_to_know_any_more_is_asked_for_a_few_times_only(
    redis: Redis, redis_url: str
) -> None:
    told: list[int] = []

    def tell(tenant_id: str, customer: str, found: Found) -> None:
        told.append(found.counted[FIELD])

    async with nearby_to(redis_url, tell=tell) as nearby:
        await nearby.ask("acme", (), QUESTION)
        assert await used(nearby) == 5
        for number in range(6, 13):
            redis.hincrby("usage:{acme}:c1", FIELD, 1)
            await asyncio.sleep(0.1)
            assert told[-1] == min(number, 9)
    assert told == [5, 6, 7, 8, 9]


async def test_what_changes_just_before_the_end_is_not_asked_about_any_more(
    redis: Redis, redis_url: str
) -> None:
    told: list[int] = []
    async with nearby_to(redis_url, tell=lambda *found: told.append(found[2].counted[FIELD])) as nearby:
        await nearby.ask("acme", (), QUESTION)
        assert await used(nearby) == 5
        nearby.changed([b"usage:{acme}:c1"])
    await asyncio.sleep(0.05)
    assert told == [5]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_whoever_has_changed_something_reads_it_whatever_goes_on_beside(
    nearby: Nearby, redis_url: str
) -> None:
    """Three writers on connections of their own, each of which must never read less than it has written."""
    async with AsyncRedis.from_url(redis_url) as client:

        async def read(customer: str) -> int:
            question = [(customer, (FIELD,))]
            known = nearby.known("acme", question) or (await nearby.ask("acme", (), question)).found
            return int(known[0].counted[FIELD])

        async def writes(customer: str) -> None:
            for written in range(1, 401):
                await client.hincrby(f"usage:{{acme}}:{customer}", FIELD, 1)
                nearby.forget("acme", [customer])
                for _ in range(3):
                    assert await read(customer) == written

        async def reads() -> None:
            while True:
                await asyncio.gather(*(read(f"w{n}") for n in range(3)))

        beside = [asyncio.create_task(reads()) for _ in range(3)]
        await asyncio.gather(*(writes(f"w{n}") for n in range(3)))
        for task in beside:
            task.cancel()


async def test_a_batch_that_changes_thousands_is_told_in_one_piece(nearby: Nearby, redis: Redis) -> None:
    many = [(f"m{n}", (FIELD,)) for n in range(5_000)]
    await nearby.ask("acme", (), many)
    assert nearby.known("acme", many) is not None
    with redis.pipeline(transaction=True) as transaction:
        for customer, _ in many:
            transaction.hincrby(f"usage:{{acme}}:{customer}", FIELD, 3)
        transaction.execute()
    await comes_true(lambda: nearby.known("acme", many[-1:]) is None)
    found = (await nearby.ask("acme", (), many)).found
    assert {each.counted[FIELD] for each in found} == {3}


async def test_two_processes_together_let_through_what_one_would(redis: Redis, redis_url: str) -> None:
    limits = [("{acme}:key:k:access", Limit(6_000, window=86_400))]

    async def request(nearby: Nearby) -> tuple[bool, bool]:
        """Whether it was let through, and without asking."""
        counted = nearby.permit("acme", limits)
        if counted is not None:
            return True, True
        answers: Answers = await nearby.ask("acme", limits, ())
        return not answers.refused, False

    async def client(nearby: Nearby) -> list[tuple[bool, bool]]:
        found = []
        for _ in range(500):
            found.append(await request(nearby))
            await asyncio.sleep(0)
        return found

    async with nearby_to(redis_url) as one, nearby_to(redis_url) as other:
        lists = await asyncio.gather(*(client(each) for each in (one, other) * 8))
    found = [each for answers in lists for each in answers]
    passed = sum(is_passed for is_passed, _ in found)
    assert passed <= 6_000
    assert passed > 5_900, "what is held and never used is little"
    assert sum(at_once for _, at_once in found) > 3_000
