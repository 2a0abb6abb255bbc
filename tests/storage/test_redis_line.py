"""Many commands over one connection."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stack.embedded import Valkey
from storage.redis_line import Line
from tests import harness


@pytest.fixture(params=["unix", "tcp"])
async def line(redis_url: str, redis_server: Valkey, request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    assert redis_url.startswith("unix://")
    tcp = f"redis://:{redis_server.password}@127.0.0.1:{redis_server.port}/0"
    line = Line(redis_url if request.param == "unix" else tcp)
    yield line
    await line.close()


async def test_each_of_many_commands_at_once_gets_its_own_answer(line: Line) -> None:
    answers = await asyncio.gather(*(line.call(b"ECHO", str(n)) for n in range(2_000)))
    assert answers == [str(n).encode() for n in range(2_000)]


async def test_a_command_that_fails_fails_alone(line: Line) -> None:
    before, wrong, after = await asyncio.gather(
        line.call(b"ECHO", "a"), line.evalsha("0" * 40, 0), line.call(b"ECHO", "b"), return_exceptions=True
    )
    assert (before, after) == (b"a", b"b")
    assert isinstance(wrong, NoScriptError)


async def test_the_answer_of_who_gave_up_goes_to_nobody_else(line: Line) -> None:
    await line.call(b"PING")
    given_up = asyncio.create_task(line.eval("return 'late'", 0))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await line.call(b"ECHO", "mine") == b"mine"


async def test_a_connection_that_was_closed_is_made_anew_and_the_command_sent_again(
    line: Line, redis_url: str
) -> None:
    with Redis.from_url(redis_url) as redis:
        for number in range(3):
            own = await line.call(b"CLIENT", "ID")
            assert redis.client_kill_filter(_id=str(own)) == 1
            answers = await asyncio.gather(*(line.call(b"ECHO", f"{number} {n}") for n in range(50)))
            assert answers == [f"{number} {n}".encode() for n in range(50)]


async def test_a_redis_that_stopped_fails_all_who_wait_and_answers_again_when_it_goes_on() -> None:
    with harness.valkey() as valkey:
        line = Line(valkey.url, seconds=0.5)
        with Redis.from_url(valkey.url) as redis:
            pid = redis.info("server")["process_id"]
        assert await line.call(b"PING") == b"PONG"
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            answers = await asyncio.gather(
                *(line.call(b"ECHO", str(n)) for n in range(10)), return_exceptions=True
            )
            assert all(isinstance(answer, RedisTimeoutError) for answer in answers)
            assert time.monotonic() - started < 3
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await line.call(b"ECHO", "again") == b"again"
        await line.close()


async def test_nobody_listening_is_a_connection_error() -> None:
    line = Line(f"redis://127.0.0.1:{harness.free_port()}/0")
    with pytest.raises(RedisConnectionError):
        await line.call(b"PING")
    await line.close()


async def test_a_server_that_takes_the_call_and_says_nothing_fails_all_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = Line(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", seconds=0.5)
        started = time.monotonic()
        answers = await asyncio.gather(*(line.call(b"PING") for _ in range(20)), return_exceptions=True)
        assert all(isinstance(answer, RedisTimeoutError) for answer in answers)
        assert time.monotonic() - started < 2.5, "they did not wait for each other"
        await line.close()


@asynccontextmanager
async def saying(*answers: bytes) -> AsyncIterator[Line]:
    """A line to a server that says these, one after the other, to PING, and OK to all else."""
    said = iter(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await reader.read(65_536):
            writer.write(next(said) if b"PING" in command else b"+OK\r\n" * command.count(b"*"))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        line = Line(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0?protocol=2", seconds=2)
        yield line
        await line.close()


@pytest.mark.parametrize("wrong", [b"what is this?\r\n", b"-LOADING Redis is loading its file\r\n"])
async def test_a_server_that_makes_no_sense_or_is_not_ready_is_asked_anew_once(wrong: bytes) -> None:
    async with saying(wrong, b"+PONG\r\n", wrong, wrong) as line:
        assert await line.call(b"PING") == b"PONG"
        with pytest.raises(RedisConnectionError):
            await line.call(b"PING")


async def test_an_answer_that_nobody_asked_for_shifts_none_of_the_others() -> None:
    async with saying(b"+PONG\r\n+EXTRA\r\n", b"+PONG\r\n") as line:
        assert await line.call(b"PING") == b"PONG"
        assert await line.call(b"PING") == b"PONG"


async def test_closing_fails_those_who_still_wait(line: Line) -> None:
    await line.call(b"PING")
    waiting = asyncio.create_task(line.call(b"BLPOP", "nothing", 1))
    await asyncio.sleep(0.05)
    await line.close()
    with pytest.raises(RedisConnectionError):
        await asyncio.wait_for(waiting, 0.5)


async def test_a_closed_line_stays_closed(line: Line) -> None:
    await line.call(b"PING")
    await line.close()
    with pytest.raises(RedisConnectionError):
        await line.call(b"PING")
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == {asyncio.current_task()}
