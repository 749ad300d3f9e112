"""One worker for one engine: it takes batches, follows them, and keeps the engine busy.

A worker holds up to two batches: one runs, and the next one is submitted to the server's own queue shortly
before the first one ends, so that late jobs can still join it and the GPU goes on at once. It fills every
slot of an elastic engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from modules.queue_manager.backoff import Backoff
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineForgot,
    EngineFull,
    EngineSick,
    EngineStalled,
    EngineUnavailable,
    FusionRefused,
    GenerationError,
    OutOfMemory,
    StoreError,
    StoreUnavailable,
)
from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import Batch
from modules.queue_manager.ports import (
    Capabilities,
    Clock,
    ImageEngine,
    Run,
    RunEvent,
    RunPreview,
    RunProgress,
    RunQueued,
    RunStarted,
)
from modules.queue_manager.run_tracker import RunTracker
from modules.queue_manager.scheduling.in_flight import EngineState, InFlightBatch
from modules.queue_manager.scheduling.patience import Patience
from modules.queue_manager.status import EngineAvailability
from modules.queue_manager.workers.engine_guard import GuardedEngine

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerTimes:
    """Seconds, except ``blind_share``.

    ``margin``: how long before the end of a run the next one is submitted, besides the time that submitting
    takes. ``blind_share``: the share of the learned duration after which it is submitted if the server
    reports no progress. ``refresh``: how often a living engine is asked again what it can do. ``look``: how
    often the worker checks whether a run is silent. ``patience_with_paid``: for how long an elastic engine
    that does not answer keeps the jobs of an earlier process, since another run may cost money.
    """

    margin: float = 0.25
    blind_share: float = 0.7
    probe_limit: float = 15.0
    withdraw_limit: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    refresh: float = 60.0
    look: float = 0.5
    patience_with_paid: float = 300.0
    patience: Patience = field(default_factory=Patience)


class GpuWorker:
    """Serves one engine: call `run`, which returns after `drain` or is cancelled."""

    def __init__(self, *, engine: ImageEngine, runs: RunTracker, clock: Clock, times: WorkerTimes) -> None:
        self._server = GuardedEngine(engine)
        self._runs = runs
        self._dispatcher = runs.dispatcher
        self._engines = runs.dispatcher.engines
        self.engine = EngineState(
            name=engine.name, elastic=engine.elastic, limits=self._engines.limits(engine.name)
        )
        self._clock = clock
        self._times = times
        self._backoff = Backoff(
            first=self._times.first_pause,
            longest=self._times.longest_pause,
            spread=random.Random(sum(engine.name.encode())),  # noqa: S311 - guards no secret
        )
        self._followers: set[asyncio.Task[None]] = set()
        self._trouble = self._doubt = self._on_trial = self._silent = False
        self._stir = self.engine.stir
        self._draining = asyncio.Event()
        self._asked = asyncio.Event()
        self._freed = asyncio.Event()
        self._submit_seconds = 0.05
        self._probed_at = float("-inf")
        self._stuck: Run | None = None
        self._orphaned = True
        self._began = clock.now()

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        self._engines.add(self.engine)
        self._become("starting")
        watching = [
            asyncio.create_task(self._doubt_at_times()),
            asyncio.create_task(self._look_while_busy()),
        ]
        try:
            while not self._draining.is_set():
                if await self._is_there():
                    await self._serve()
                if not self._draining.is_set():
                    await self._recuperate()
            await self._finish()
        except StoreError:
            log.exception("The database failed; the worker stops", extra={"engine": self.engine.name})
        finally:
            self._dispatcher.unregister(self.engine)
            ending = [*watching, *self._followers]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            await self._server.aclose()

    def drain(self) -> None:
        """Finish what runs, take back what only waits at the server, and take no more."""
        self._draining.set()
        self._leave_off()

    def ask_again(self) -> None:
        """Ask the engine soon what it can do, even if it is down: something has changed."""
        self._asked.set()

    def _become(self, state: EngineAvailability) -> None:
        self._engines.become(self.engine, "draining" if self._draining.is_set() else state)

    # ── health ──────────────────────────────────────────────────────────────────────────────────

    async def _doubt_at_times(self) -> None:
        while True:
            await self._server.doubtful()
            self._doubt = True
            self._stir.set()

    async def _look_while_busy(self) -> None:
        """Ask the engine what it can do while it is busy, and whenever `ask_again` was called; whether a busy
        engine is there is shown by its runs."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                async with timeout(self._times.refresh):
                    await self._asked.wait()
            if not self.engine.living:
                await self._clock.sleep(self._times.first_pause)
                continue
            if not self._asked.is_set() and not (self.engine.batches and self._stale()):
                continue
            self._asked.clear()
            with contextlib.suppress(GenerationError, asyncio.TimeoutError):
                async with timeout(self._times.probe_limit):
                    self._learn(await self._server.probe())

    def _stop_serving(self) -> None:
        self._trouble = True
        self._stir.set()

    def _leave_off(self, failed: InFlightBatch | None = None) -> None:
        """Stop, and take back what was submitted and has not begun, except the batch that ``failed``."""
        self._become("down")
        self._stop_serving()
        if self.engine.elastic is not None and not self._draining.is_set():
            return  # what it has is not lost while it does not answer
        for in_flight in self.engine.batches:
            if in_flight is not failed and in_flight.started_at is None:
                in_flight.unwanted.set()

    async def _is_there(self) -> bool:
        """Ask the engine what it can do; take over what an earlier process left there."""
        try:
            self._asked.clear()
            async with timeout(self._times.probe_limit):
                capabilities = await self._server.probe()
                await self._see_free()
        except asyncio.TimeoutError:
            return self._is_not(EngineStalled(f"no answer within {self._times.probe_limit:g} s"))
        except GenerationError as error:
            return self._is_not(error)
        self._learn(capabilities)
        self._engines.available(self.engine)
        if not self._draining.is_set():
            self._trouble = False
        self._become("busy" if self.engine.batches else "idle")
        if self._orphaned:
            self._orphaned = False
            await self._take_up_orphans()
        return True

    def _learn(self, capabilities: Capabilities) -> None:
        self._probed_at = self._clock.now()
        self._engines.told(self.engine, capabilities)

    async def _see_free(self) -> None:
        """Raise `EngineStalled` while the server is still working on a run that stalled and was interrupted:
        it answers, but the next run would stall as well."""
        if self._stuck is not None and await self._stuck.running():
            raise EngineStalled("it makes no progress with a run that it was told to stop")
        self._stuck = None

    def _is_not(self, error: GenerationError) -> bool:
        self._note(error)
        waited = self._clock.now() - self._began
        if self._orphaned and (self.engine.elastic is None or waited >= self._times.patience_with_paid):
            # The server is away, so other servers take the jobs.
            self._orphaned = False
            for batch in self._runs.orphans(self.engine.name):
                self._runs.return_orphan(batch)
        return False

    def _note(self, error: GenerationError | StoreUnavailable) -> None:
        self._engines.unavailable(self.engine, str(error))

    async def _recuperate(self) -> None:
        self._become("down")
        either = [asyncio.ensure_future(event.wait()) for event in (self._draining, self._asked)]
        await asyncio.wait(either, timeout=self._backoff.pause(), return_when=asyncio.FIRST_COMPLETED)
        for waiting in either:
            waiting.cancel()
        self._on_trial = self.engine.sick

    async def _take_up_orphans(self) -> None:
        for batch in self._runs.orphans(self.engine.name):
            with about(*batch.jobs, run=batch.id):
                await self._take_up(batch)

    async def _take_up(self, batch: Batch) -> None:
        try:
            run = await self._server.resume(batch)
        except GenerationError as error:
            self._note(error)
            run = None
        if run is None:
            self._runs.return_orphan(batch)
            return
        log.info("Resumed after a restart", extra={"engine": self.engine.name})
        in_flight = self._dispatcher.adopt(batch, self.engine, run)
        await self._runs.journal_run(in_flight, run.id)
        if in_flight.abandoned:
            in_flight.unwanted.set()
        self._spawn(in_flight)

    # ── serving ─────────────────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        """Take batches and submit them until there is trouble."""
        while not self._trouble:
            room = asyncio.ensure_future(self._room())
            if not await self._before_trouble(room):
                return
            taking = asyncio.ensure_future(self._dispatcher.take(self.engine))
            if not await self._before_trouble(taking):
                if not taking.cancelled():  # a batch came in the same instant
                    self._runs.returned(taking.result())
                return
            in_flight: InFlightBatch = taking.result()
            if self.engine.elastic is None:
                await self._give(in_flight)
            else:
                self._follow_by(self._give(in_flight), in_flight)

    async def _give(self, in_flight: InFlightBatch) -> None:
        with about(*in_flight.aboard, run=in_flight.batch.id):
            await self._submit(in_flight)

    async def _before_trouble(self, work: asyncio.Future[Any]) -> bool:
        """Wait for ``work``; false, and ``work`` is cancelled, if trouble came first. Meanwhile an idle
        engine is asked now and then, and when there is reason to doubt it, whether it is there and what it
        can do."""
        if self._doubt:
            self._stir.set()  # it came while the engine was at work
        stirred = asyncio.ensure_future(self._stir.wait())
        try:
            while not work.done() and not self._trouble:
                await asyncio.wait(
                    {work, stirred}, timeout=self._times.refresh, return_when=asyncio.FIRST_COMPLETED
                )
                if stirred.done():
                    self._stir.clear()
                    stirred = asyncio.ensure_future(self._stir.wait())
                if self.engine.sick and not self._on_trial:
                    self._fall_sick()
                if work.done() or self.engine.batches or not (self._doubt or self._stale()):
                    continue
                self._doubt = False
                if not await self._is_still_there():
                    self._stop_serving()
            if not self._trouble:
                return True
            work.cancel()
            await asyncio.wait({work})
            return False
        finally:
            stirred.cancel()
            if not work.done():
                work.cancel()

    async def _is_still_there(self) -> bool:
        """Ask an idle engine, which gets no batch meanwhile."""
        self._engines.doubt(self.engine, doubted=True)
        try:
            return await self._is_there()
        finally:
            self._engines.doubt(self.engine, doubted=False)

    def _stale(self) -> bool:
        return self._clock.now() - self._probed_at >= self._times.refresh

    async def _room(self) -> None:
        """Return when the engine can be given a batch: it is idle, or about to be, or has a free slot."""
        if self.engine.elastic is not None:
            await self._free_slot()
            return
        while len(self.engine.batches) >= (1 if self.engine.sick else 2):
            await self._moved(self.engine.batches[0], None)
        while self.engine.batches:
            in_flight = self.engine.batches[0]
            left = self._until_submission(in_flight)
            if left is not None and left <= 0.001:  # timers are no finer
                return
            await self._moved(in_flight, left)

    async def _free_slot(self) -> None:
        while True:
            if (left := self.engine.full_until - self._clock.now()) > 0:
                await self._clock.sleep(left)
            elif len(self.engine.batches) >= (1 if self.engine.sick else self.engine.slots):
                self._freed.clear()
                await self._freed.wait()
            else:
                return

    async def _moved(self, in_flight: InFlightBatch, seconds: float | None) -> None:
        in_flight.moved.clear()
        await _wait(in_flight.moved, seconds)

    def _until_submission(self, in_flight: InFlightBatch) -> float | None:
        """Seconds until the next batch should be submitted; None: only the next event will tell."""
        now = self._clock.now()
        remaining = in_flight.remaining(now)
        if in_flight.started_at is None or remaining is None:
            return None
        if in_flight.steps == 0 and in_flight.expected is not None:
            return in_flight.started_at + in_flight.expected.total * self._times.blind_share - now
        return remaining - self._times.margin - 2.0 * self._submit_seconds

    async def _submit(self, in_flight: InFlightBatch) -> None:
        await self._runs.journal_dispatch(in_flight)
        if self.engine.state == "idle":
            self._become("busy")
        before = self._clock.now()
        try:
            if not in_flight.abandoned:
                in_flight.run = await self._server.submit(in_flight.batch)
        except GenerationError as error:
            await self._failed(in_flight, error)
            return
        except StoreUnavailable as error:
            # A source picture cannot be read. The job is not to blame, so it costs no attempt; every engine
            # would find the same, so this one pauses.
            self._note(error)
            self._become("down")
            self._stop_serving()
        if in_flight.run is None:
            self._runs.returned(in_flight)
            return
        self._submit_seconds += 0.2 * (self._clock.now() - before - self._submit_seconds)
        await self._runs.journal_run(in_flight, in_flight.run.id)
        self._spawn(in_flight)

    # ── following ───────────────────────────────────────────────────────────────────────────────

    async def _follow(self, in_flight: InFlightBatch) -> None:
        with about(*in_flight.aboard, run=in_flight.batch.id):
            await self._follow_to_its_end(in_flight)

    async def _follow_to_its_end(self, in_flight: InFlightBatch) -> None:
        listening = asyncio.ensure_future(self._listen(in_flight))
        try:
            if await self._taken_back(in_flight, listening):
                self._runs.returned(in_flight)
            else:
                await listening
                self._landed(in_flight)
        except GenerationError as error:
            await self._failed(in_flight, error)
            if isinstance(error, EngineStalled):  # its jobs do not wait for this
                await self._withdraw(in_flight, interrupt=True)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            in_flight.moved.set()
            for other in self.engine.batches if self.engine.elastic is None else ():
                other.hear(self._clock.now())  # its turn has come: its silence counts from now on
            self._rest_if_idle()

    def _rest_if_idle(self) -> None:
        if not self.engine.batches:
            self._doubt_run(doubted=False)
            if self.engine.state == "busy":
                self._become("idle")

    async def _taken_back(self, in_flight: InFlightBatch, listening: asyncio.Future[None]) -> bool:
        """Watch over the run until its events have ended; true if it was taken off the server before it
        began. Raises `EngineStalled`."""
        while not listening.done():
            unwanted = asyncio.ensure_future(in_flight.unwanted.wait())
            either: set[asyncio.Future[Any]] = {listening, unwanted}
            await asyncio.wait(either, timeout=self._times.look, return_when=asyncio.FIRST_COMPLETED)
            unwanted.cancel()
            if listening.done():
                break
            if in_flight.unwanted.is_set():
                in_flight.unwanted.clear()
                if await self._withdraw(in_flight, interrupt=in_flight.abandoned):
                    return True
            elif self._is_silent(in_flight):
                if self.engine.elastic is None:
                    self._stuck = self._stuck or in_flight.run
                raise EngineStalled(f"no sign of life for {self._silence(in_flight):.0f} s")
        return False

    async def _listen(self, in_flight: InFlightBatch) -> None:
        assert in_flight.run is not None
        async for event in in_flight.run.events():
            self._hear(in_flight, event)
        in_flight.ended_at = self._clock.now()

    def _hear(self, in_flight: InFlightBatch, event: RunEvent) -> None:
        now = self._clock.now()
        self._doubt_run(doubted=False)
        if isinstance(event, RunQueued):
            in_flight.hear(now)
            return
        if isinstance(event, RunPreview):
            in_flight.hear(now)
            self._runs.progressed(in_flight, preview=(event.index, event.image))
            return
        if in_flight.started_at is None:
            in_flight.begin(now, self._clock.unix())
            self._runs.started(in_flight)
        if isinstance(event, RunProgress):
            in_flight.advance(event.step, event.steps, now)
            self._runs.progressed(in_flight)
        else:
            assert isinstance(event, RunStarted)

    def _landed(self, in_flight: InFlightBatch) -> None:
        now = self._clock.now()
        if in_flight.started_at is None:
            in_flight.started_at, in_flight.started_unix = (
                in_flight.taken_at,
                self._clock.unix() - (now - in_flight.taken_at),
            )
        in_flight.ended_at = now
        if not self.engine.sick:  # a sick one has to prove itself by its pictures
            self._backoff.reset()
        self._runs.landed(in_flight)

    async def _failed(self, in_flight: InFlightBatch, error: GenerationError) -> None:
        if isinstance(error, EngineFull):
            self._note(error)
            self._engines.full(self.engine, error.seconds)
            self.ask_again()  # it says why, for the operator
            self._runs.returned(in_flight)
            self._rest_if_idle()
            return
        if isinstance(error, OutOfMemory):
            self._engines.out_of_memory(in_flight)
        if isinstance(error, FusionRefused):
            self._engines.run_alone(self.engine, in_flight.batch.key.model, error.reason)
        wanted = not in_flight.abandoned or isinstance(error, EngineStalled)  # else we stopped it
        of_the_run = self.engine.elastic is not None and isinstance(error, EngineForgot | EngineStalled)
        of_the_engine = isinstance(error, EngineUnavailable) and not isinstance(error, EngineSick)
        if of_the_engine and wanted and not of_the_run:
            self._note(error)
            self._leave_off(in_flight)
        elif self._engines.suspect(self.engine, in_flight.aboard, error):
            self._fall_sick(in_flight)
        await self._runs.failed(in_flight, error)

    def _fall_sick(self, last: InFlightBatch | None = None) -> None:
        """The engine answers and fails every run: leave it alone for a while, then try it with one job."""
        self._note(EngineSick(self.engine.record.sentence()))
        self._leave_off(last)

    async def _withdraw(self, in_flight: InFlightBatch, *, interrupt: bool) -> bool:
        """True if the batch had not begun and is off the server, or if the server cannot be asked and no
        start was heard; ``interrupt`` stops one that has begun."""
        assert in_flight.run is not None
        try:
            async with timeout(self._times.withdraw_limit):
                return await in_flight.run.withdraw(interrupt=interrupt)
        except (asyncio.TimeoutError, GenerationError) as error:
            log.warning("Could not cancel a run: %s", error, extra={"engine": self.engine.name})
            return in_flight.started_at is None

    def _is_silent(self, in_flight: InFlightBatch) -> bool:
        """Whether the run has stalled. A server that may have gets nothing new meanwhile."""
        elastic = self.engine.elastic is not None
        if self.engine.batches and in_flight is not self.engine.batches[0] and not elastic:
            return False  # silence is usual behind another batch
        limit, silence = self._limit_of_silence(in_flight), self._silence(in_flight)
        if not elastic and silence >= limit * self._times.patience.doubt:
            self._doubt_run(doubted=True)
        return silence >= limit

    def _doubt_run(self, *, doubted: bool) -> None:
        if self._silent != doubted:
            self._silent = doubted
            self._engines.doubt(self.engine, doubted=doubted)

    def _silence(self, in_flight: InFlightBatch) -> float:
        return self._clock.now() - in_flight.heard_at

    def _limit_of_silence(self, in_flight: InFlightBatch) -> float:
        key, rows = in_flight.batch.key, len(in_flight.batch.jobs)
        own = self._runs.durations.own(
            self.engine.name, key.model, rows, work=key.size.work, swap=in_flight.swapped
        )
        limit = self._times.patience.limit(in_flight, own)
        # Another run may be paid for, and how fast a platform is differs from run to run.
        return limit if self.engine.elastic is None else max(limit, self._times.patience.unknown)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def _spawn(self, in_flight: InFlightBatch) -> None:
        self._follow_by(self._follow(in_flight), in_flight)

    def _follow_by(self, work: Coroutine[Any, Any, None], in_flight: InFlightBatch) -> None:
        task = asyncio.create_task(work)
        self._followers.add(task)
        task.add_done_callback(partial(self._follower_ended, in_flight))

    def _follower_ended(self, in_flight: InFlightBatch, task: asyncio.Task[None]) -> None:
        self._followers.discard(task)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            with about(*in_flight.aboard, run=in_flight.batch.id):
                log.error(
                    "A run could not be followed to its end",
                    exc_info=error,
                    extra={"engine": self.engine.name},
                )
            self._stop_serving()
            if not isinstance(error, StoreError):
                self._runs.rescue(in_flight)
                in_flight.moved.set()

    async def _finish(self) -> None:
        while self._followers:
            await asyncio.wait(set(self._followers))


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until ``event`` is set, at most ``seconds``."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()
