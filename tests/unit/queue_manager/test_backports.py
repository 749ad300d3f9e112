"""What is left of several tasks at once when one of them fails, and what a time limit ends."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from modules.queue_manager.backports import gather_or_cancel, timeout


async def test_results_come_in_the_order_asked_whatever_ends_first() -> None:
    later = asyncio.Event()

    async def first() -> str:
        await later.wait()
        return "first"

    async def second() -> str:
        later.set()
        return "second"

    assert await gather_or_cancel([first(), second()]) == ["first", "second"]


@pytest.mark.parametrize("cause", ["one fails", "the caller is cancelled"])
async def test_none_outlives_the_call(cause: str) -> None:
    running: set[int] = set()
    started = asyncio.Event()

    async def long(number: int) -> None:
        running.add(number)
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # an ending that takes its time is waited for
            running.discard(number)

    async def failing() -> None:
        await started.wait()
        raise ValueError("the one that fails")

    call = asyncio.ensure_future(
        gather_or_cancel([long(1), long(2), *([failing()] if cause == "one fails" else [])])
    )
    if cause == "one fails":
        with pytest.raises(ValueError, match="the one that fails"):
            await call
    else:
        await started.wait()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert call.cancelled()
    assert not running


class Stubborn:
    """Ends only when it is allowed to, as a driver does that waits for its server."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.may_end = asyncio.Event()

    async def work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.told.set()
            await self.may_end.wait()


async def test_what_takes_too_long_is_cancelled_and_its_ending_waited_for() -> None:
    stubborn = Stubborn()
    asyncio.get_running_loop().call_later(0.05, stubborn.may_end.set)
    with pytest.raises(asyncio.TimeoutError):
        async with timeout(0.01):
            await stubborn.work()
    assert stubborn.may_end.is_set()
    async with timeout(10):  # and nothing of it is left for the next
        await asyncio.sleep(0)


async def test_an_inner_limit_is_not_taken_for_an_outer_one() -> None:
    async with timeout(10):
        with pytest.raises(asyncio.TimeoutError):
            async with timeout(0.01):
                await asyncio.Event().wait()
        await asyncio.sleep(0)
