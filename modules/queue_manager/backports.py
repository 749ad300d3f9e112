"""What the standard library has since Python 3.11, for Python 3.10."""

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


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. If one fails, or the caller is cancelled, all are cancelled before this returns.

    asyncio.gather lets the others run on; asyncio.TaskGroup cancels them, but wraps the error in a group.
    https://docs.python.org/3/library/asyncio-task.html#task-groups
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
