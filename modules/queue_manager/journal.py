"""Writes each turn of a job to the store, and notices when this process may no longer write."""

from __future__ import annotations

import asyncio

from modules.queue_manager.errors import StoreError
from modules.queue_manager.ports import JobStore, JobTurn


class Journal:
    """``lost`` is set once this process may no longer write to the store."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.lost = asyncio.Event()

    async def record(self, turn: JobTurn) -> None:
        """Return once the turn is safe. Raises `StoreError`; then this process must stop."""
        try:
            await self._store.record(turn)
        except StoreError:
            self.lost.set()
            raise
