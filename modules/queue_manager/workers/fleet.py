"""One worker for each engine, added and removed while the bot runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from modules.queue_manager.ports import Clock, EngineFactory
from modules.queue_manager.run_tracker import RunTracker
from modules.queue_manager.status import EngineStatus
from modules.queue_manager.workers.worker import GpuWorker, WorkerTimes

log = logging.getLogger(__name__)

AFTER_A_MISTAKE = 5.0
"""Seconds until a server gets a new worker after the last one died of a bug."""


@dataclass(kw_only=True, eq=False, repr=False)
class Fleet:
    """A worker for each URL, even if several URLs lead to the same server."""

    runs: RunTracker
    make_engine: EngineFactory
    clock: Clock
    times: WorkerTimes = field(default_factory=WorkerTimes)

    def __post_init__(self) -> None:
        self._workers: dict[str, GpuWorker] = {}
        self._drained: set[str] = set()
        self._tasks: dict[asyncio.Task[None], GpuWorker] = {}

    async def set_urls(self, urls: Sequence[str]) -> None:
        """Serve exactly these, except drained ones: new ones get a worker, the others finish their batch and
        leave."""
        self._drained.intersection_update(urls)
        for url in [url for url in self._workers if url not in urls]:
            log.info("Engine removed", extra={"engine": self._workers[url].engine.name})
            self._workers.pop(url).drain()
        for url in urls:
            if url not in self._workers and url not in self._drained:
                self._start(url)
        self.runs.release_orphans([worker.engine.name for worker in self._workers.values()])

    def _start(self, url: str, *, pause: float = 0.0) -> None:
        worker = GpuWorker(engine=self.make_engine(url), runs=self.runs, clock=self.clock, times=self.times)
        self._workers[url] = worker
        before = [task for task, other in self._tasks.items() if other.engine.name == worker.engine.name]
        task = asyncio.create_task(self._serve(worker, before, pause), name=f"serve {worker.engine.name}")
        self._tasks[task] = worker
        task.add_done_callback(partial(self._ended, url))

    async def _serve(self, worker: GpuWorker, before: Sequence[asyncio.Task[None]], pause: float) -> None:
        """Serve after ``before``: a server that left and came back finishes its last batch first."""
        if before:
            await asyncio.wait(before)
        if pause:
            await self.clock.sleep(pause)
        await worker.run()

    def _ended(self, url: str, task: asyncio.Task[None]) -> None:
        worker = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A worker died", exc_info=error, extra={"engine": worker.engine.name})
            for in_flight in list(worker.engine.batches):
                self.runs.rescue(in_flight)
            if self._workers.get(url) is worker:  # a bug must not cost the server
                self._start(url, pause=AFTER_A_MISTAKE)

    async def drain(self, name: str) -> bool:
        """Let the engine finish its batch and take no more, until `recall`; False for an unknown name."""
        for url, worker in list(self._workers.items()):
            if name in (url, worker.engine.name):
                self._workers.pop(url).drain()
                self._drained.add(url)
                return True
        return False

    def ask_again(self) -> None:
        """Ask every engine soon what it can do, even those that are down: something has changed."""
        for worker in self._workers.values():
            worker.ask_again()

    def recall(self) -> None:
        """Let the next `set_urls` start drained engines again."""
        self._drained.clear()

    def engines(self) -> tuple[EngineStatus, ...]:
        """Every engine, leaving ones included, in the order of arrival."""
        return tuple(self._status(worker) for worker in self._tasks.values())

    def _status(self, worker: GpuWorker) -> EngineStatus:
        engine = worker.engine
        return EngineStatus(
            name=engine.name,
            state=engine.state,
            since=engine.since,
            model=engine.batches[0].batch.key.model if engine.batches else None,
            running=tuple(job.id for in_flight in engine.batches for job in in_flight.batch.jobs),
            pictures=engine.pictures,
            busy_seconds=engine.busy_seconds,
            models=engine.limits.models(),
            notes=(*engine.notes, *engine.limits.notes()),
            missing_files=engine.missing_files,
            loras=engine.loras,
            checks=engine.limits.checks,
            last_error=engine.last_error,
            elastic=engine.elastic,
        )

    async def aclose(self, grace_seconds: float) -> None:
        """Drain every worker. Those that are not done after ``grace_seconds`` are cancelled; their runs go on
        at the servers and are taken over at the next start."""
        for worker in self._tasks.values():
            worker.drain()
        self._workers.clear()
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
