"""Limits how many pictures are fetched and delivered at once.

The others stay on the server that made them until they are fetched, so memory stays bounded however far
delivery is behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

from modules.queue_manager.backports import timeout


class DeliveryLimiter:
    """Places for ``pictures``; one person takes ``per_person`` at most, so that somebody with many pictures
    and a slow channel does not hold up the others."""

    def __init__(self, *, pictures: int, per_person: int) -> None:
        self._places = asyncio.Semaphore(pictures)
        self._per_person = per_person
        self._persons: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, user_id: int) -> AsyncIterator[None]:
        """Wait for a place; inside, one of this person's pictures may be fetched and delivered."""
        own = self._persons.get(user_id)
        if own is None:
            own = self._persons[user_id] = asyncio.Semaphore(self._per_person)
        async with own, self._places:
            yield


class ArrivalOrder:
    """Lets those who come to the same channel go on in the order in which they came. If one takes longer
    than ``patience`` seconds, the others pass it: a stuck picture holds up no other for long."""

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._last: dict[int, asyncio.Event] = {}

    @asynccontextmanager
    async def of(self, channel_id: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Yields a function to await before going on; those who came later wait until this block ends."""
        before, mine = self._last.get(channel_id), asyncio.Event()
        self._last[channel_id] = mine

        async def turn() -> None:
            if before is not None:
                with suppress(asyncio.TimeoutError):
                    async with timeout(self._patience):
                        await before.wait()

        try:
            yield turn
        finally:
            mine.set()
            if self._last.get(channel_id) is mine:  # not if a later one came and has passed this one
                del self._last[channel_id]
