"""Every engine, and what is known of it: whether it is there, what it can do, whether it can be trusted.

Workers and the queue report to it; only it writes that part of `EngineState`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from modules.queue_manager.errors import EngineSick, GenerationError
from modules.queue_manager.job_log import about
from modules.queue_manager.jobs import Job, Learned
from modules.queue_manager.ports import Capabilities, Clock
from modules.queue_manager.scheduling.batch_limits import ALONE_AFTER, BatchLimits
from modules.queue_manager.scheduling.estimates import DurationBook
from modules.queue_manager.scheduling.failure_record import SICK_AFTER
from modules.queue_manager.scheduling.in_flight import EngineState, InFlightBatch
from modules.queue_manager.status import EngineAvailability

log = logging.getLogger(__name__)

Remember = Callable[[str, str, Learned], None]
"""Stores what the runs of a model on an engine have taught: (engine, model, what)."""


@dataclass(kw_only=True, eq=False, repr=False)
class EngineRegistry:
    """``on_change`` is called with each engine whose use may have changed, ``on_sick`` with each that has
    become sick, ``remember`` with what outlives the process."""

    clock: Clock
    durations: DurationBook
    on_change: Callable[[EngineState], None]
    on_sick: Callable[[EngineState], None]
    remember: Remember

    def __post_init__(self) -> None:
        self.states: dict[str, EngineState] = {}
        self._learned: dict[str, dict[str, Learned]] = {}
        self._working: set[str] = set()  # models of which a run came through somewhere

    def living(self) -> Iterator[EngineState]:
        return (engine for engine in self.states.values() if engine.living)

    def add(self, engine: EngineState) -> None:
        self.states[engine.name] = engine

    def remove(self, engine: EngineState) -> None:
        self.states.pop(engine.name, None)

    def become(self, engine: EngineState, state: EngineAvailability) -> None:
        if engine.state != state:
            engine.state, engine.since = state, self.clock.unix()
            with about():  # of no job, though one may be the cause
                log.info("Engine is %s", state, extra={"engine": engine.name})
        self.on_change(engine)

    def doubt(self, engine: EngineState, *, doubted: bool) -> None:
        """Whether the engine is being asked if it is still there."""
        engine.doubted = doubted
        self.on_change(engine)

    def told(self, engine: EngineState, capabilities: Capabilities) -> None:
        alone = set(engine.limits.notes())
        outdated = engine.limits.tell(
            capabilities.batch_limits,
            cautious=capabilities.cautious,
            versions=capabilities.versions,
            checks=capabilities.checks,
        )
        for model in outdated:
            self.durations.forget(engine.name, model)
        engine.asked = True
        for note in set(engine.limits.notes()) - alone:
            log.warning("%s", note, extra={"engine": engine.name})
        engine.missing_files, engine.varies = capabilities.missing_files, capabilities.varies
        engine.loras = capabilities.loras
        if capabilities.notes != engine.notes:
            engine.notes = capabilities.notes
            for note in capabilities.notes:
                log.warning("%s", note, extra={"engine": engine.name})
        self.on_change(engine)

    def unavailable(self, engine: EngineState, why: str) -> None:
        if engine.last_error != why:
            log.warning("Engine is not available: %s", why, extra={"engine": engine.name})
        engine.last_error = why

    def available(self, engine: EngineState) -> None:
        """The engine answered; a sick one has to show more than that."""
        if not engine.sick:
            engine.last_error = None

    def full(self, engine: EngineState, seconds: float) -> None:
        """The engine finishes what it has, and takes nothing new for ``seconds``."""
        engine.full_until = self.clock.now() + seconds

    def recall(self, learned: Mapping[str, Mapping[str, Learned]]) -> None:
        """Take over what earlier processes learned, by engine and model."""
        for name, models in learned.items():
            self._learned.setdefault(name, {}).update(models)
            self._working.update(model for model, told in models.items() if told.proven)
            for model, told in models.items():
                self.durations.recall(name, model, told.durations)

    def limits(self, name: str) -> BatchLimits:
        """An engine's limits as far as known; what they learn from now on is remembered."""
        known = self._learned.setdefault(name, {})

        def remember(model: str, learned: Learned) -> None:
            known[model] = learned
            self.remember(name, model, learned)

        return BatchLimits(known, remember)

    def run_ended(self, in_flight: InFlightBatch, seconds: float) -> None:
        """The run came through: learn from it."""
        engine, model, jobs = in_flight.engine, in_flight.batch.key.model, in_flight.batch.jobs
        seen = in_flight.observed()
        if seen is not None:
            self.durations.learn(seen)
            if (durations := self.durations.written(engine.name, model)) is not None:
                engine.limits.took(model, durations)
        engine.busy_seconds += seconds
        engine.limits.succeeded(model, len(jobs))
        proofs = engine.fusion_doubts.succeeded(model, [job.id for job in jobs])
        if proofs >= ALONE_AFTER:
            why = "batches failed there, but each of their jobs worked alone"
            self.run_alone(engine, model, why)

    def out_of_memory(self, in_flight: InFlightBatch) -> None:
        engine, model = in_flight.engine, in_flight.batch.key.model
        rows = len(in_flight.batch.jobs)
        limit = engine.limits.out_of_memory(model, rows)
        extra = {"engine": engine.name, "model": model}
        log.warning("Out of memory (pictures at once: %d; from now on at most %d)", rows, limit, extra=extra)

    def run_alone(self, engine: EngineState, model: str, why: str) -> None:
        """Stop fusing ``model`` on the engine, until its template, the node pack or the server changes."""
        if engine.limits.why_alone(model) is None:
            engine.limits.run_alone(model, why)
            log.warning(
                "%s makes pictures one by one from now on: %s", model, why, extra={"engine": engine.name}
            )
            self.on_change(engine)

    def suspect(self, engine: EngineState, jobs: Sequence[Job], error: GenerationError) -> bool:
        """A run of ``jobs`` failed. True if the engine is sick, by its record or by what the error says: it
        then gets one job at a time, which shows whether it works again."""
        if error.blame == "content" and jobs:
            engine.fusion_doubts.failed(jobs[0].key.model, [job.id for job in jobs])
        unmistakable = isinstance(error, EngineSick)
        lone = error.blame == "size" and len(jobs) == 1
        if jobs and (unmistakable or lone or error.blame == "content"):
            engine.record.failed(jobs, str(error), self.clock.now())
            if unmistakable or self._is_convicted(engine):
                self._condemn(engine)
        return engine.sick

    def came_through(self, engine: EngineState, job: Job) -> None:
        """The engine made the job's picture: it works, and the job is not to blame for failures elsewhere."""
        engine.pictures += 1
        engine.record.succeeded(self.clock.now())
        if engine.sick:
            engine.sick, engine.last_error = False, None
            log.info("Engine works again", extra={"engine": engine.name})
            self.on_change(engine)
        self._working.add(job.key.model)
        for other in self.states.values():
            if other.record.runs:
                other.record.innocent(job.id)
                if self._is_convicted(other):
                    self._condemn(other)

    def trusted(self, name: str, job: Job) -> bool:
        """Whether the engine is not sick, and every recent failure there was of a run with ``job``."""
        engine = self.states.get(name)
        return engine is None or not (engine.sick or engine.record.failed_without(job.id))

    def blame_job(self, job: Job, engines: Sequence[str]) -> None:
        """The job failed on all ``engines``: the job is to blame if one of them made pictures meanwhile."""
        blamed = [self.states[name] for name in set(engines) if name in self.states]
        if any(a.record.succeeded_at >= b.record.since for a, b in permutations(blamed, 2)):
            for engine in blamed:
                engine.record.guilty(job.id)

    def _is_convicted(self, engine: EngineState) -> bool:
        """Whether so many people would have to be guilty that the engine is the likelier culprit."""
        return engine.record.culprits(self._working) >= SICK_AFTER

    def _condemn(self, engine: EngineState) -> None:
        if engine.sick:
            return
        engine.sick = True
        log.error(
            "Engine gets no more jobs for now: %s",
            engine.record.sentence(),
            extra={"engine": engine.name},
        )
        self.on_sick(engine)
        engine.stir.set()
