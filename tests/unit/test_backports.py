"""What of several things at once is left when one of them fails."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from modules.queue_manager.backports import gather_or_cancel


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
