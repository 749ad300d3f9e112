"""One coroutine for one engine: it pulls batches, follows them, and never lets the engine wait.

A worker holds up to two batches: one runs, the next is handed to the server's own queue shortly
before the first one ends, so that late arrivals can still join it and the GPU goes on at once.
Fetching and delivering are tasks of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineSick,
    EngineStalled,
    EngineUnavailable,
    FusionRefused,
    GenerationError,
    OutOfMemory,
    StoreError,
    StoreUnavailable,
)
from modules.queue_manager.ports import (
    Capabilities,
    Clock,
    ImageEngine,
    Run,
    RunEvent,
    RunPreview,
    RunProgress,
    RunStarted,
)
from modules.queue_manager.run_tracker import Runs
from modules.queue_manager.scheduling.in_flight import EngineSlot, Flight
from modules.queue_manager.status import EngineState
from modules.queue_manager.workers.backoff import CircuitBreaker
from modules.queue_manager.workers.engine_guard import FencedEngine

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerTimes:
    """Time limits and habits, in seconds unless said otherwise.

    ``margin``: how long before the end of a run, beyond what handing over takes, the next one is
    handed over. ``blind_share``: the share of the learned duration after which it is handed over
    where the server tells no progress. ``stall_factor``, ``stall_floor``, ``stall_unknown``: a run
    that is silent for so many times its learned duration, at least ``stall_floor`` (or for
    ``stall_unknown`` while nothing was learned) has stalled. ``refresh``: how often a living engine
    is asked again what it can do.
    """

    margin: float = 0.25
    blind_share: float = 0.7
    stall_factor: float = 5.0
    stall_floor: float = 30.0
    stall_unknown: float = 600.0
    probe_limit: float = 15.0
    withdraw_limit: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    refresh: float = 60.0


class GpuWorker:
    """Serves one engine until `drain` or cancellation. `run` is its whole life."""

    def __init__(
        self, *, engine: ImageEngine, runs: Runs, clock: Clock, times: WorkerTimes | None = None
    ) -> None:
        self.engine = FencedEngine(engine)
        self._runs = runs
        self._dispatcher = runs.dispatcher
        self._engines = runs.dispatcher.engines
        self.slot = EngineSlot(name=engine.name, limits=self._engines.limits(engine.name))
        self._clock = clock
        self._times = times or WorkerTimes()
        self._breaker = CircuitBreaker(
            first_pause=self._times.first_pause,
            longest_pause=self._times.longest_pause,
            seed=sum(engine.name.encode()),
        )
        self._followers: set[asyncio.Task[None]] = set()
        self._trouble = self._doubt = self._on_trial = False
        self._stir = self.slot.stir
        self._draining = asyncio.Event()
        self._submit_seconds = 0.05
        self._probed_at = float("-inf")
        self._stuck: Run | None = None
        self._orphaned = True

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Serve until drained."""
        self._engines.add(self.slot)
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
            log.exception("The job store is lost; the worker stops", extra={"engine": self.slot.name})
        finally:
            self._dispatcher.unregister(self.slot)
            ending = [*watching, *self._followers]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            await self.engine.aclose()

    def drain(self) -> None:
        """Finish what runs, give back what only waits at the server, take no more."""
        self._draining.set()
        self._stop_serving()
        self._become("draining")
        for flight in self.slot.flights:
            if flight.started_at is None:
                flight.unwanted.set()

    def _become(self, state: EngineState) -> None:
        self._engines.become(self.slot, "draining" if self._draining.is_set() else state)

    # ── health ──────────────────────────────────────────────────────────────────────────────────

    async def _doubt_at_times(self) -> None:
        while True:
            await self.engine.doubtful()
            self._doubt = True
            self._stir.set()

    async def _look_while_busy(self) -> None:
        """What an engine can do by now is asked of one that is never idle, too; whether it is there, its runs
        tell."""
        while True:
            await self._clock.sleep(self._times.refresh)
            if not self.slot.flights or not self.slot.living or not self._stale():
                continue
            with contextlib.suppress(GenerationError, asyncio.TimeoutError):
                async with timeout(self._times.probe_limit):
                    self._learn(await self.engine.probe())

    def _stop_serving(self) -> None:
        self._trouble = True
        self._stir.set()

    async def _is_there(self) -> bool:
        """Ask the engine what it can do; take up what a former process left there."""
        try:
            async with timeout(self._times.probe_limit):
                capabilities = await self.engine.probe()
                await self._see_free()
        except asyncio.TimeoutError:
            return self._is_not(EngineStalled(f"no answer within {self._times.probe_limit:g} s"))
        except GenerationError as error:
            return self._is_not(error)
        self._learn(capabilities)
        self._engines.available(self.slot)
        if not self._draining.is_set():
            self._trouble = False
        self._become("busy" if self.slot.flights else "idle")
        if self._orphaned:
            self._orphaned = False
            await self._take_up_orphans()
        return True

    def _learn(self, capabilities: Capabilities) -> None:
        self._probed_at = self._clock.now()
        self._engines.told(self.slot, capabilities)

    async def _see_free(self) -> None:
        """Raise `EngineStalled` while the server is still at a run that had stalled and was interrupted: it
        answers, but would take whatever comes next into the same standstill."""
        if self._stuck is not None and await self._stuck.running():
            raise EngineStalled("it stands still, at a run that it was told to end")
        self._stuck = None

    def _is_not(self, error: GenerationError) -> bool:
        self._note(error)
        if self._orphaned:
            # Its server is away: nobody waits for it while another one lives.
            self._orphaned = False
            for batch in self._runs.orphans(self.slot.name):
                self._runs.return_orphan(batch)
        return False

    def _note(self, error: GenerationError | StoreUnavailable) -> None:
        self._engines.unavailable(self.slot, str(error))

    async def _recuperate(self) -> None:
        self._become("down")
        pause = self._breaker.failed()
        draining = asyncio.ensure_future(self._draining.wait())
        napping = asyncio.ensure_future(self._clock.sleep(pause))
        await asyncio.wait({draining, napping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, napping):
            task.cancel()
        self._on_trial = self.slot.sick

    async def _take_up_orphans(self) -> None:
        for batch in self._runs.orphans(self.slot.name):
            try:
                run = await self.engine.resume(batch)
            except GenerationError as error:
                self._note(error)
                run = None
            if run is None:
                self._runs.return_orphan(batch)
                continue
            flight = self._dispatcher.adopt(batch, self.slot, run)
            if flight.abandoned:
                flight.unwanted.set()
            self._spawn(flight)

    # ── serving ─────────────────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        """Take and hand over batches until there is trouble."""
        while not self._trouble:
            room = asyncio.ensure_future(self._room())
            if not await self._before_trouble(room):
                return
            taking = asyncio.ensure_future(self._dispatcher.take(self.slot))
            if not await self._before_trouble(taking):
                if not taking.cancelled():  # it came in the same instant
                    self._runs.returned(taking.result())
                return
            await self._hand_over(taking.result())

    async def _before_trouble(self, work: asyncio.Future[Any]) -> bool:
        """Wait for ``work``; false, and ``work`` cancelled, if trouble came first. An idle engine is
        asked now and then, and at once when there is a reason to, whether it is still there and what it can
        do by now."""
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
                if self.slot.sick and not self._on_trial:
                    self._fall_sick()
                if work.done() or self.slot.flights or not (self._doubt or self._stale()):
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
        """Ask an idle engine; meanwhile nothing is given to it that another one could take."""
        self._engines.doubt(self.slot, doubted=True)
        try:
            return await self._is_there()
        finally:
            self._engines.doubt(self.slot, doubted=False)

    def _stale(self) -> bool:
        return self._clock.now() - self._probed_at >= self._times.refresh

    async def _room(self) -> None:
        """Return when the engine can be handed a batch: it is idle, or about to be."""
        while len(self.slot.flights) >= (1 if self.slot.sick else 2):
            await self._moved(self.slot.flights[0], None)
        while self.slot.flights:
            flight = self.slot.flights[0]
            left = self._until_handover(flight)
            if left is not None and left <= 0.001:  # timers are no finer
                return
            await self._moved(flight, left)

    async def _moved(self, flight: Flight, seconds: float | None) -> None:
        flight.moved.clear()
        waiting = asyncio.ensure_future(flight.moved.wait())
        await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()

    def _until_handover(self, flight: Flight) -> float | None:
        """Seconds until the next batch should be handed over; None: only the next event will tell."""
        now = self._clock.now()
        remaining = flight.remaining(now)
        if flight.started_at is None:
            return None
        lead = self._times.margin + 2.0 * self._submit_seconds
        if remaining is None:
            return None
        if flight.steps == 0 and flight.expected is not None:
            return flight.started_at + flight.expected.total * self._times.blind_share - now
        return remaining - lead

    async def _hand_over(self, flight: Flight) -> None:
        """Journal, submit, follow."""
        await self._runs.journal_dispatch(flight)
        if self.slot.state == "idle":
            self._become("busy")
        before = self._clock.now()
        try:
            if not flight.abandoned:
                flight.run = await self.engine.submit(flight.batch)
        except GenerationError as error:
            await self._failed(flight, error)
            return
        except StoreUnavailable as error:
            # What it starts from cannot be read. That is no fault of the job's, so it costs no attempt; and
            # every engine will find the same, so this one makes a pause.
            self._note(error)
            self._become("down")
            self._stop_serving()
        if flight.run is None:
            self._runs.returned(flight)
            return
        self._submit_seconds += 0.2 * (self._clock.now() - before - self._submit_seconds)
        self._spawn(flight)

    # ── following ───────────────────────────────────────────────────────────────────────────────

    async def _follow(self, flight: Flight) -> None:
        """One run from submission to its end."""
        withdrawn = False
        listening = asyncio.ensure_future(self._listen(flight))
        try:
            while not listening.done():
                unwanted = asyncio.ensure_future(flight.unwanted.wait())
                await asyncio.wait(
                    {listening, unwanted},
                    timeout=self._patience(flight),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                unwanted.cancel()
                if listening.done():
                    break
                if flight.unwanted.is_set():
                    flight.unwanted.clear()
                    if await self._withdraw(flight, interrupt=flight.abandoned):
                        withdrawn = True
                        break
                elif self._stalled(flight):
                    await self._withdraw(flight, interrupt=True)
                    self._stuck = self._stuck or flight.run
                    raise EngineStalled(f"no sign of life for {self._silence(flight):.0f} s")
            if withdrawn:
                self._runs.returned(flight)
            else:
                await listening
                self._landed(flight)
        except GenerationError as error:
            await self._failed(flight, error)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            flight.moved.set()
            for other in self.slot.flights:
                other.hear(self._clock.now())  # its turn has come: silence counts from here
            if not self.slot.flights and self.slot.state == "busy":
                self._become("idle")

    async def _listen(self, flight: Flight) -> None:
        assert flight.run is not None
        async for event in flight.run.events():
            self._hear(flight, event)
        flight.ended_at = self._clock.now()

    def _hear(self, flight: Flight, event: RunEvent) -> None:
        now = self._clock.now()
        if isinstance(event, RunPreview):
            flight.hear(now)
            self._runs.progressed(flight, preview=(event.index, event.image))
            return
        if flight.started_at is None:
            flight.begin(now, self._clock.unix())
            self._runs.started(flight)
        if isinstance(event, RunProgress):
            flight.advance(event.step, event.steps, now)
            self._runs.progressed(flight)
        else:
            assert isinstance(event, RunStarted)

    def _landed(self, flight: Flight) -> None:
        now = self._clock.now()
        if flight.started_at is None:
            flight.started_at, flight.started_unix = (
                flight.taken_at,
                self._clock.unix() - (now - flight.taken_at),
            )
        flight.ended_at = now
        if not self.slot.sick:  # else its pictures have to be there, too
            self._breaker.succeeded()
        self._runs.landed(flight)

    async def _failed(self, flight: Flight, error: GenerationError) -> None:
        if isinstance(error, OutOfMemory):
            self._engines.out_of_memory(flight)
        if isinstance(error, FusionRefused):
            self._engines.run_alone(self.slot, flight.batch.key.model, error.reason)
        wanted = not flight.abandoned or isinstance(error, EngineStalled)  # else it was stopped by us
        if isinstance(error, EngineUnavailable) and not isinstance(error, EngineSick) and wanted:
            self._note(error)
            self._leave_off(flight)
        elif self._engines.suspect(self.slot, flight.aboard, error):
            self._fall_sick(flight)
        await self._runs.failed(flight, error)

    def _fall_sick(self, last: Flight | None = None) -> None:
        """The engine answers and fails every run: leave it alone for a while, then try it with one job."""
        self._note(EngineSick(self.slot.record.sentence()))
        self._leave_off(last)

    def _leave_off(self, last: Flight | None) -> None:
        self._become("down")
        self._stop_serving()
        self._call_back_the_other(last)

    def _call_back_the_other(self, lost: Flight | None) -> None:
        """What was handed over to a server in trouble, and has not begun, is taken back."""
        for flight in self.slot.flights:
            if flight is not lost and flight.started_at is None:
                flight.unwanted.set()

    async def _withdraw(self, flight: Flight, *, interrupt: bool) -> bool:
        """True if the batch never began and is ours again; one that has begun is interrupted if asked."""
        assert flight.run is not None
        try:
            async with timeout(self._times.withdraw_limit):
                return await flight.run.withdraw(interrupt=interrupt)
        except (asyncio.TimeoutError, GenerationError) as error:
            log.warning("Could not withdraw a run: %s", error, extra={"engine": self.slot.name})
            return flight.started_at is None

    def _patience(self, flight: Flight) -> float:
        """Seconds until it is worth asking whether the run has stalled."""
        least = 0.05 if self.slot.flights[:1] == [flight] else 1.0  # behind another one, silence is usual
        return max(self._limit_of_silence(flight) - self._silence(flight), least)

    def _stalled(self, flight: Flight) -> bool:
        first = not self.slot.flights or flight is self.slot.flights[0]
        return first and self._silence(flight) >= self._limit_of_silence(flight)

    def _silence(self, flight: Flight) -> float:
        return self._clock.now() - flight.heard_at

    def _limit_of_silence(self, flight: Flight) -> float:
        if flight.expected is None:
            return self._times.stall_unknown
        return max(flight.expected.total * self._times.stall_factor, self._times.stall_floor)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def _spawn(self, flight: Flight) -> None:
        task = asyncio.create_task(self._follow(flight))
        self._followers.add(task)
        task.add_done_callback(partial(self._follower_ended, flight))

    def _follower_ended(self, flight: Flight, task: asyncio.Task[None]) -> None:
        self._followers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Following a run failed", exc_info=error, extra={"engine": self.slot.name})
            self._stop_serving()
            if not isinstance(error, StoreError):
                self._runs.rescue(flight)
                flight.moved.set()

    async def _finish(self) -> None:
        while self._followers:
            await asyncio.wait(set(self._followers))
