"""What the standard library has since Python 3.11, for 3.10 as well."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, TypeVar

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:

    class timeout:
        """``async with timeout(seconds)``: raises asyncio.TimeoutError where the time runs out first.

        The packages that offer this for 3.10 take every cancellation that arrives once the time is up for
        their own: whoever is cancelled while a driver still ends what timed out would run on for ever. Here
        ours are told from others' by their message, which asyncio passes on since 3.9:
        https://docs.python.org/3.10/library/asyncio-task.html#asyncio.Task.cancel
        """

        def __init__(self, seconds: float) -> None:
            self._seconds = seconds
            self._expired = False

        async def __aenter__(self) -> timeout:
            task = asyncio.current_task()
            assert task is not None

            def expire() -> None:
                self._expired = True
                task.cancel(self)

            self._timer = asyncio.get_running_loop().call_later(self._seconds, expire)
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            self._timer.cancel()
            if self._expired and isinstance(error, asyncio.CancelledError) and error.args == (self,):
                raise asyncio.TimeoutError from error


__all__ = ["gather_or_cancel", "timeout"]

T = TypeVar("T")


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. If one fails, or the caller is cancelled, none of them outlives this call.

    That is asyncio.TaskGroup's rule, whereas asyncio.gather lets the others run on; but the error is raised
    as it is, not in a group. https://docs.python.org/3/library/asyncio-task.html#task-groups
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
