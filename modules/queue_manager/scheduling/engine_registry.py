"""Every engine, and what is known of it: whether it is there, what it can do, whether it is to be trusted.

The only writer of that part of `EngineState`; workers and the queue tell it what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from modules.queue_manager.errors import EngineSick, GenerationError
from modules.queue_manager.jobs import Job
from modules.queue_manager.ports import Capabilities, Clock
from modules.queue_manager.scheduling.batch_limits import ALONE_AFTER, BatchLimits, Learned
from modules.queue_manager.scheduling.failure_record import SICK_AFTER
from modules.queue_manager.scheduling.in_flight import EngineState, InFlightBatch
from modules.queue_manager.status import EngineAvailability

log = logging.getLogger(__name__)

Remember = Callable[[str, str, Learned], None]
"""Keeps what the runs of a model on an engine have taught: (engine, model, what)."""


class EngineRegistry:
    """``on_change`` hears of each engine that may be of another use than before; ``on_sick`` of each that is
    held to be sick from now on; ``remember`` of what outlives the process."""

    def __init__(
        self,
        *,
        clock: Clock,
        on_change: Callable[[EngineState], None],
        on_sick: Callable[[EngineState], None],
        remember: Remember,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._on_sick = on_sick
        self._remember = remember
        self._states: dict[str, EngineState] = {}
        self._learned: dict[str, dict[str, Learned]] = {}
        self._working: set[str] = set()  # models of which a run came through somewhere

    @property
    def states(self) -> Mapping[str, EngineState]:
        """Every engine, living or not."""
        return self._states

    def living(self) -> Iterator[EngineState]:
        """Those to which jobs may go."""
        return (engine_state for engine_state in self._states.values() if engine_state.living)

    def add(self, engine_state: EngineState) -> None:
        """An engine came."""
        self._states[engine_state.name] = engine_state

    def remove(self, engine_state: EngineState) -> None:
        """An engine went."""
        self._states.pop(engine_state.name, None)

    # ── whether it is there, and what it can do ─────────────────────────────────────────────────

    def become(self, engine_state: EngineState, state: EngineAvailability) -> None:
        """The engine is in this state now."""
        if engine_state.state != state:
            engine_state.state, engine_state.since = state, self._clock.unix()
            log.info("Engine is %s", state, extra={"engine": engine_state.name})
        self._on_change(engine_state)

    def doubt(self, engine_state: EngineState, *, doubted: bool) -> None:
        """The engine is being asked whether it is still there, or has answered."""
        engine_state.doubted = doubted
        self._on_change(engine_state)

    def told(self, engine_state: EngineState, capabilities: Capabilities) -> None:
        """The engine said what it can do."""
        engine_state.limits.tell(
            capabilities.batch_limits, cautious=capabilities.cautious, versions=capabilities.versions
        )
        engine_state.missing_files = capabilities.missing_files
        if capabilities.notes != engine_state.notes:
            engine_state.notes = capabilities.notes
            for note in capabilities.notes:
                log.warning("%s", note, extra={"engine": engine_state.name})
        self._on_change(engine_state)

    def unavailable(self, engine_state: EngineState, why: str) -> None:
        """The engine cannot be used."""
        if engine_state.last_error != why:
            log.warning("Engine is not available: %s", why, extra={"engine": engine_state.name})
        engine_state.last_error = why

    def available(self, engine_state: EngineState) -> None:
        """The engine answered; one that is held to be sick has to show more than that."""
        if not engine_state.sick:
            engine_state.last_error = None

    # ── what its runs taught ────────────────────────────────────────────────────────────────────

    def recall(self, learned: Mapping[str, Mapping[str, Learned]]) -> None:
        """What former processes learned, by engine and model."""
        for engine, models in learned.items():
            self._learned.setdefault(engine, {}).update(models)
            self._working.update(model for model, told in models.items() if told.proven)

    def limits(self, engine: str) -> BatchLimits:
        """What is known of an engine's limits; what it learns from now on is remembered."""
        known = self._learned.setdefault(engine, {})

        def remember(model: str, learned: Learned) -> None:
            known[model] = learned
            self._remember(engine, model, learned)

        return BatchLimits(known, remember)

    def run_ended(self, in_flight: InFlightBatch, seconds: float) -> None:
        """A run came through."""
        engine_state, model, jobs = in_flight.engine_state, in_flight.batch.key.model, in_flight.batch.jobs
        engine_state.busy_seconds += seconds
        engine_state.limits.succeeded(model, len(jobs))
        proofs = engine_state.fusion_doubts.succeeded(model, [job.id for job in jobs])
        if proofs >= ALONE_AFTER:
            why = "its batches failed there, and each of their jobs worked alone"
            self.run_alone(engine_state, model, why)

    def out_of_memory(self, in_flight: InFlightBatch) -> None:
        """A run did not fit."""
        engine_state, model = in_flight.engine_state, in_flight.batch.key.model
        rows = len(in_flight.batch.jobs)
        limit = engine_state.limits.out_of_memory(model, rows)
        extra = {"engine": engine_state.name, "model": model}
        log.warning("Out of memory with %d pictures; %d at most from now on", rows, limit, extra=extra)

    def run_alone(self, engine_state: EngineState, model: str, why: str) -> None:
        """The engine fuses ``model`` no more, until its template, the node pack or the server changes."""
        if engine_state.limits.why_alone(model) is None:
            engine_state.limits.run_alone(model, why)
            log.warning("%s runs one by one from now on: %s", model, why, extra={"engine": engine_state.name})
            self._on_change(engine_state)

    # ── whether it is to be trusted ─────────────────────────────────────────────────────────────

    def suspect(self, engine_state: EngineState, jobs: Sequence[Job], error: GenerationError) -> bool:
        """A run of ``jobs`` failed. True if the engine is held to be sick, by its record or by what the error
        says: it gets nothing more then, but for one job at a time that shows whether it is well again."""
        if error.blame == "content" and jobs:
            engine_state.fusion_doubts.failed(jobs[0].key.model, [job.id for job in jobs])
        unmistakable = isinstance(error, EngineSick)
        lone = error.blame == "size" and len(jobs) == 1
        if jobs and (unmistakable or lone or error.blame == "content"):
            engine_state.record.failed(jobs, str(error), self._clock.now())
            if unmistakable or self._is_convicted(engine_state):
                self._condemn(engine_state)
        return engine_state.sick

    def came_through(self, engine_state: EngineState, job: Job) -> None:
        """The engine made the job's picture: it is sound, and the job innocent of what befell others."""
        engine_state.pictures += 1
        engine_state.record.succeeded(self._clock.now())
        if engine_state.sick:
            engine_state.sick, engine_state.last_error = False, None
            log.info("Engine is well again", extra={"engine": engine_state.name})
            self._on_change(engine_state)
        self._working.add(job.key.model)
        for other in self._states.values():
            if other.record.runs:
                other.record.innocent(job.id)
                if self._is_convicted(other):
                    self._condemn(other)

    def trusted(self, engine: str, job: Job) -> bool:
        """Whether nothing failed there lately but what ``job`` was part of."""
        engine_state = self._states.get(engine)
        return engine_state is None or not (engine_state.sick or engine_state.record.failed_without(job.id))

    def blame_job(self, job: Job, engines: Sequence[str]) -> None:
        """The job failed on all of ``engines``: if one of them made pictures meanwhile, it is to blame."""
        engine_states = [
            engine_state for name in engines if (engine_state := self._states.get(name)) is not None
        ]
        if any(
            a.record.succeeded_at >= b.record.since
            for a in engine_states
            for b in engine_states
            if a is not b
        ):
            for engine_state in engine_states:
                engine_state.record.guilty(job.id)

    def _is_convicted(self, engine_state: EngineState) -> bool:
        """Whether more people would have to be guilty than is believed."""
        return engine_state.record.culprits(self._working) >= SICK_AFTER

    def _condemn(self, engine_state: EngineState) -> None:
        if engine_state.sick:
            return
        engine_state.sick = True
        log.error(
            "Engine is held to be sick: %s",
            engine_state.record.sentence(),
            extra={"engine": engine_state.name},
        )
        self._on_sick(engine_state)
        engine_state.stir.set()
