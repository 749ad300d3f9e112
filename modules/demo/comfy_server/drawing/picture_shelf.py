"""The node pack's pictures: each under its own key, encoded beside the sampler, kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

_LIMIT_BYTES = 256 * 1024 * 1024


class PictureShelf:
    """Pictures that are encoded or being encoded. The oldest go when there are too many bytes."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, asyncio.Task[bytes]] = OrderedDict()
        self._types: dict[str, str] = {}

    def put(self, key: str, media_type: str, encoding: Coroutine[Any, Any, bytes]) -> None:
        """Shelve a picture that is still being encoded."""
        self.drop(key)
        self._tasks[key] = asyncio.create_task(encoding)
        self._types[key] = media_type
        self._prune()

    async def get(self, key: str, limit: float = 30.0) -> tuple[bytes, str] | None:
        """Bytes and media type, waiting for the encoder; None for an unknown key. Raises TimeoutError."""
        task = self._tasks.get(key)
        if task is None:
            return None
        done, _ = await asyncio.wait({task}, timeout=limit)
        if not done:
            raise TimeoutError(key)
        return task.result(), self._types[key]

    def drop(self, key: str) -> bool:
        """Forget a picture; False if it was not there."""
        task = self._tasks.pop(key, None)
        self._types.pop(key, None)
        if task is not None:
            task.cancel()
        return task is not None

    def clear(self) -> None:
        """Forget all, as a restart does."""
        for key in list(self._tasks):
            self.drop(key)

    def _prune(self) -> None:
        sizes = {
            key: len(task.result())
            for key, task in self._tasks.items()
            if task.done() and not task.cancelled()
        }
        total = sum(sizes.values())
        for key, size in sizes.items():
            if total <= _LIMIT_BYTES:
                return
            self.drop(key)
            total -= size
