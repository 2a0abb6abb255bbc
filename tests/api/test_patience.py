"""Waits that are given up after a while, many at once."""

import asyncio

import pytest

from api.patience import Patience


async def test_what_takes_too_long_is_given_up_and_the_task_goes_on() -> None:
    patience = Patience(0.05)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError), patience.wait():
        await asyncio.sleep(5)
    assert 0.05 <= asyncio.get_running_loop().time() - began < 1
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_what_is_done_in_time_is_left_alone_whoever_else_waits() -> None:
    patience = Patience(0.1)

    async def take(seconds: float) -> str:
        try:
            with patience.wait():
                await asyncio.sleep(seconds)
        except TimeoutError:
            return "given up"
        await asyncio.sleep(0.2)
        return "done"

    assert await asyncio.gather(take(5), take(0), take(0.01), take(5)) == [
        "given up",
        "done",
        "done",
        "given up",
    ]


async def test_a_task_cancelled_by_somebody_else_is_cancelled() -> None:
    patience = Patience(5)

    async def wait() -> None:
        with patience.wait():
            await asyncio.sleep(5)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_is_the_works_error() -> None:
    with pytest.raises(ZeroDivisionError), Patience(1).wait():
        raise ZeroDivisionError


async def test_waits_that_are_over_leave_nothing_behind() -> None:
    patience = Patience(0.02)
    for _ in range(100):
        with patience.wait():
            await asyncio.sleep(0)
    assert not patience._waits
    await asyncio.sleep(0.05)
    assert not patience._is_looking
