"""The engines that are there now: one worker each, added and removed while the bot runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from modules.queue_manager.ports import Clock, EngineFactory
from modules.queue_manager.run_tracker import RunTracker
from modules.queue_manager.status import EngineStatus
from modules.queue_manager.workers.worker import GpuWorker, WorkerTimes

log = logging.getLogger(__name__)

AFTER_A_MISTAKE = 5.0
"""Seconds until a server gets another worker after its last one died of a mistake of ours."""


class Fleet:
    """A worker for each URL. Several URLs that lead to one server are the operator's affair."""

    def __init__(
        self,
        *,
        runs: RunTracker,
        make_engine: EngineFactory,
        clock: Clock,
        times: WorkerTimes | None = None,
    ) -> None:
        self._runs = runs
        self._make_engine = make_engine
        self._clock = clock
        self._times = times or WorkerTimes()
        self._workers: dict[str, GpuWorker] = {}
        self._drained: set[str] = set()
        self._tasks: dict[asyncio.Task[None], GpuWorker] = {}

    async def set_urls(self, urls: Sequence[str]) -> None:
        """Serve exactly these, but for drained ones: new ones get a worker, the others finish their batch
        and leave."""
        self._drained.intersection_update(urls)
        for url in [url for url in self._workers if url not in urls]:
            log.info("Engine leaves", extra={"engine": self._workers[url].engine.name})
            self._workers.pop(url).drain()
        for url in urls:
            if url not in self._workers and url not in self._drained:
                self._start(url)
        self._runs.release_orphans([worker.engine.name for worker in self._workers.values()])

    def _start(self, url: str, *, pause: float = 0.0) -> None:
        worker = GpuWorker(
            engine=self._make_engine(url), runs=self._runs, clock=self._clock, times=self._times
        )
        self._workers[url] = worker
        before = [task for task, other in self._tasks.items() if other.engine.name == worker.engine.name]
        task = asyncio.create_task(self._serve(worker, before, pause), name=f"serve {worker.engine.name}")
        self._tasks[task] = worker
        task.add_done_callback(partial(self._ended, url))

    async def _serve(self, worker: GpuWorker, before: Sequence[asyncio.Task[None]], pause: float) -> None:
        """A server that was taken away and named again has its last batch to finish first."""
        if before:
            await asyncio.wait(before)
        if pause:
            await self._clock.sleep(pause)
        await worker.run()

    def _ended(self, url: str, task: asyncio.Task[None]) -> None:
        worker = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A worker died", exc_info=error, extra={"engine": worker.engine.name})
            for in_flight in list(worker.engine_state.batches):
                self._runs.rescue(in_flight)
            if self._workers.get(url) is worker:  # by a mistake of ours, which costs no server
                self._start(url, pause=AFTER_A_MISTAKE)

    async def drain(self, name: str) -> bool:
        """Let the engine of this name finish its batch and take no more, until `recall`. False if there is
        none of this name."""
        for url, worker in list(self._workers.items()):
            if name in (url, worker.engine.name):
                self._workers.pop(url).drain()
                self._drained.add(url)
                return True
        return False

    def ask_anew(self) -> None:
        """Ask every engine soon what it can do: the models are others than they were."""
        for worker in self._workers.values():
            worker.ask_anew()

    def recall(self) -> None:
        """Let the next `set_urls` start drained engines again."""
        self._drained.clear()

    def engines(self) -> tuple[EngineStatus, ...]:
        """Every engine, leaving ones included, in the order in which they came."""
        return tuple(self._status(worker) for worker in self._tasks.values())

    def _status(self, worker: GpuWorker) -> EngineStatus:
        engine_state = worker.engine_state
        return EngineStatus(
            name=engine_state.name,
            state=engine_state.state,
            since=engine_state.since,
            model=engine_state.batches[0].batch.key.model if engine_state.batches else None,
            running=tuple(job.id for in_flight in engine_state.batches for job in in_flight.batch.jobs),
            pictures=engine_state.pictures,
            busy_seconds=engine_state.busy_seconds,
            models=engine_state.limits.models(),
            notes=(*engine_state.notes, *engine_state.limits.notes()),
            missing_files=engine_state.missing_files,
            last_error=engine_state.last_error,
        )

    async def aclose(self, grace_seconds: float) -> None:
        """Drain every worker; those that are not through after ``grace_seconds`` are cancelled, and
        their runs go on at the servers, to be taken up at the next start."""
        for worker in self._tasks.values():
            worker.drain()
        self._workers.clear()
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
