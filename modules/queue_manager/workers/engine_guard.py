"""A guard around an engine: whatever it raises unexpectedly becomes `EngineUnavailable`.

A mistake in reading one server's answers costs that server's batch and a pause, never the worker.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from modules.queue_manager.errors import BotError, EngineUnavailable
from modules.queue_manager.jobs import Batch, Picture
from modules.queue_manager.ports import Capabilities, ImageEngine, Run, RunEvent

log = logging.getLogger(__name__)


@contextmanager
def _guard(engine: str, what: str) -> Iterator[None]:
    try:
        yield
    except (BotError, StopAsyncIteration):
        raise
    except Exception as error:
        log.exception("%s failed unexpectedly", what, extra={"engine": engine})
        raise EngineUnavailable(f"unexpected {type(error).__name__}") from error


class GuardedEngine:
    """An `ImageEngine` that raises nothing but `BotError`."""

    def __init__(self, engine: ImageEngine) -> None:
        self._engine = engine
        self.name = engine.name
        self.elastic = engine.elastic

    async def probe(self) -> Capabilities:
        with _guard(self.name, "Probing"):
            return await self._engine.probe()

    async def submit(self, batch: Batch) -> Run:
        with _guard(self.name, "Submitting"):
            return _GuardedRun(await self._engine.submit(batch), self.name)

    async def resume(self, batch: Batch) -> Run | None:
        with _guard(self.name, "Resuming"):
            run = await self._engine.resume(batch)
        return None if run is None else _GuardedRun(run, self.name)

    async def doubtful(self) -> None:
        with _guard(self.name, "Listening"):
            await self._engine.doubtful()

    async def aclose(self) -> None:
        with _guard(self.name, "Closing"):
            await self._engine.aclose()


class _GuardedRun:
    def __init__(self, run: Run, engine: str) -> None:
        self._run = run
        self._engine = engine
        self.id = run.id

    async def events(self) -> AsyncIterator[RunEvent]:
        events = self._run.events()
        while True:
            try:
                with _guard(self._engine, "Following a run"):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            yield event

    async def fetch(self, index: int) -> Picture:
        with _guard(self._engine, "Fetching a picture"):
            return await self._run.fetch(index)

    async def withdraw(self, *, interrupt: bool) -> bool:
        with _guard(self._engine, "Withdrawing a run"):
            return await self._run.withdraw(interrupt=interrupt)

    async def running(self) -> bool:
        with _guard(self._engine, "Looking up a run"):
            return await self._run.running()
