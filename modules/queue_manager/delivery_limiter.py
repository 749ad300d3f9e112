"""How many pictures may be on their way from their servers to their owners at once.

The others stay at the server that made them, which keeps them until they are fetched: memory is bounded
by what is under way and not by how far delivery is behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class DeliveryLimiter:
    """Places for ``pictures``, of which one person takes ``per_person`` at most: whoever has many, and whose
    channel takes them slowly, holds up nobody else."""

    def __init__(self, *, pictures: int, per_person: int) -> None:
        self._places = asyncio.Semaphore(pictures)
        self._per_person = per_person
        self._persons: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, user_id: int) -> AsyncIterator[None]:
        """Inside, a picture of this person's may be fetched and delivered."""
        own = self._persons.get(user_id)
        if own is None:
            own = self._persons[user_id] = asyncio.Semaphore(self._per_person)
        async with own, self._places:
            yield
