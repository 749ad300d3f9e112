"""Writes each turn of a job's life down, and notices when this process may not do so any more."""

from __future__ import annotations

import asyncio

from modules.queue_manager.errors import StoreError
from modules.queue_manager.ports import JobStore, JobTurn


class Journal:
    """The store as the queue's parts write to it. ``lost`` is set once the store is lost to this process."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.lost = asyncio.Event()

    async def record(self, turn: JobTurn) -> None:
        """Returns once the turn is safe. Raises a `StoreError`, after which nothing more may be done."""
        try:
            await self._store.record(turn)
        except StoreError:
            self.lost.set()
            raise
