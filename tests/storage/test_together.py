"""Questions of many requests in few calls."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from domain.limits import Limit
from storage.redis_line import Line
from storage.together import Together

LIMIT = [("{acme}:key:k:access", Limit(10, hard=True))]


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Line]:
    line = Line(redis_url)
    yield line
    await line.close()


def _usage(url: str, tenant: str, customers: int) -> None:
    with Redis.from_url(url) as redis:
        for n in range(customers):
            redis.hset(f"usage:{{{tenant}}}:c{n}", "calls|0", n * 1_000_000)


def _calls(url: str) -> int:
    with Redis.from_url(url) as redis:
        stats = redis.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0)) + int(
        stats.get("cmdstat_eval", {}).get("calls", 0)
    )


async def test_everybody_gets_the_answer_to_their_own_question(line: Line, redis_url: str) -> None:
    _usage(redis_url, "acme", 300)
    together = Together(line)
    answers = await asyncio.gather(*(together.ask("acme", (), [(f"c{n}", ["calls|0"])]) for n in range(300)))
    assert [answer.found[0].counted for answer in answers] == [{"calls|0": n * 1_000_000} for n in range(300)]


async def test_what_comes_up_at_once_is_asked_in_few_calls(line: Line, redis_url: str) -> None:
    together = Together(line)
    await together.ask("acme", (), [("c0", ["calls|0"])])
    before = _calls(redis_url)
    await asyncio.gather(*(together.ask("acme", (), [("c0", ["calls|0"])]) for _ in range(128)))
    assert _calls(redis_url) == before + 2


async def test_tenants_at_once_are_answered_from_their_own_counters(line: Line, redis_url: str) -> None:
    _usage(redis_url, "acme", 2)
    together = Together(line)
    mine, theirs = await asyncio.gather(
        together.ask("acme", (), [("c1", ["calls|0"])]), together.ask("rival", (), [("c1", ["calls|0"])])
    )
    assert mine.found[0].counted == {"calls|0": 1_000_000}
    assert theirs.found[0].counted == {"calls|0": 0}


async def test_each_request_counts_and_exactly_those_beyond_the_limit_are_refused(line: Line) -> None:
    together = Together(line)
    answers = await asyncio.gather(*(together.ask("acme", LIMIT, [("c0", ["calls|0"])]) for _ in range(15)))
    assert [answer.refused for answer in answers] == [False] * 10 + [True] * 5
    assert [answer.limits[0].remaining for answer in answers][:10] == list(range(9, -1, -1))
    assert [len(answer.found) for answer in answers] == [1] * 10 + [0] * 5


async def test_a_request_with_more_questions_than_a_call_takes_is_answered_whole(
    line: Line, redis_url: str
) -> None:
    _usage(redis_url, "acme", 200)
    together = Together(line)
    many = [(f"c{n}", ["calls|0"]) for n in range(200)]
    one, all_of_them = await asyncio.gather(
        together.ask("acme", (), many[7:8]), together.ask("acme", (), many)
    )
    assert one.found[0].counted == {"calls|0": 7_000_000}
    assert [found.counted["calls|0"] for found in all_of_them.found] == [n * 1_000_000 for n in range(200)]


async def test_who_gives_up_takes_nobody_along(line: Line) -> None:
    together = Together(line)
    asked = [asyncio.create_task(together.ask("acme", (), [("c0", ["calls|0"])])) for _ in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert not isinstance(found[0], BaseException) and not isinstance(found[2], BaseException)


async def test_a_lost_redis_is_everybodys_error_and_the_next_questions_are_asked_anew(
    line: Line, redis_url: str
) -> None:
    nowhere = Line("redis://127.0.0.1:1")
    together = Together(nowhere)
    found = await asyncio.gather(
        *(together.ask("acme", (), [("c0", ["calls|0"])]) for _ in range(3)), return_exceptions=True
    )
    assert [isinstance(each, RedisConnectionError | OSError) for each in found] == [True] * 3
    await nowhere.close()
    assert (await Together(line).ask("acme", (), [("c0", ["calls|0"])])).found[0].counted == {"calls|0": 0}
