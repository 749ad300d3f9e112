"""Limits how many pictures are fetched and delivered at once.

The others stay on the server that made them until they are fetched, so memory stays bounded however far
delivery is behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


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
