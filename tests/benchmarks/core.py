"""The core alone, without sockets, journal and Discord: for figures in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from modules.queue_manager.jobs import Job
from modules.queue_manager.ports import Dispatched, Finished, JobTurn, Receipt
from tests.fakes import FakeEngine, MemoryStore

PACES = {"flux": (2.5, 0.5), "z-image": (4.0, 1.0)}
"""Seconds a batch and a picture of each model take."""


class NoJournal(MemoryStore):
    """Remembers nothing. ``on_dispatch`` hears of the jobs that go to an engine."""

    on_dispatch: Callable[[Sequence[Job]], None] | None = None

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        return None

    async def record(self, turn: JobTurn) -> None:
        if self.on_dispatch is not None and isinstance(turn, Dispatched):
            self.on_dispatch(turn.batch.jobs)


class Doorstep:
    """A `PictureDelivery` that tells who got a picture."""

    def __init__(
        self, on_picture: Callable[[Finished], Awaitable[None] | None], seconds: float = 0.0
    ) -> None:
        self._on_picture, self._seconds = on_picture, seconds

    async def deliver(self, finished: Finished) -> Receipt:
        if self._seconds:
            await asyncio.sleep(self._seconds)
        self._on_picture(finished)
        return Receipt(where="channel", channel_id=1, message_id=1)


class TwoModelEngine(FakeEngine):
    """Takes longer for one model than for another (`PACES`)."""

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name == "loaded" and isinstance(value, str):
            self.fixed, self.each = PACES[value]
