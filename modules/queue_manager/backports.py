"""What the standard library has had since Python 3.11, for Python 3.10."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["gather_or_cancel", "timeout"]

T = TypeVar("T")

CANCEL_AGAIN = 5.0
"""Seconds after which a task that goes on is cancelled again."""


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. If one fails, or the caller is cancelled, all are cancelled before this returns.

    asyncio.gather lets the others run on; asyncio.TaskGroup cancels them, but wraps the error in a group.
    https://docs.python.org/3/library/asyncio-task.html#task-groups
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            # A database driver may lose a cancellation, or turn it into another error.
            await asyncio.wait(left, timeout=CANCEL_AGAIN)
        await asyncio.gather(*tasks, return_exceptions=True)
