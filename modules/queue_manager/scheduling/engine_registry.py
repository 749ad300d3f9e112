"""Every engine, and what is known of it: whether it is there, what it can do, whether it is to be trusted.

The only writer of that part of `EngineSlot`; workers and the queue tell it what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from modules.queue_manager.errors import EngineSick, GenerationError
from modules.queue_manager.jobs import Job
from modules.queue_manager.ports import Capabilities, Clock
from modules.queue_manager.scheduling.batch_limits import ALONE_AFTER, BatchLimits, Learned
from modules.queue_manager.scheduling.failure_record import SICK_AFTER
from modules.queue_manager.scheduling.in_flight import EngineSlot, Flight
from modules.queue_manager.status import EngineState

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
        on_change: Callable[[EngineSlot], None],
        on_sick: Callable[[EngineSlot], None],
        remember: Remember,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._on_sick = on_sick
        self._remember = remember
        self._slots: dict[str, EngineSlot] = {}
        self._learned: dict[str, dict[str, Learned]] = {}
        self._working: set[str] = set()  # models of which a run came through somewhere

    @property
    def slots(self) -> Mapping[str, EngineSlot]:
        """Every engine, living or not."""
        return self._slots

    def living(self) -> Iterator[EngineSlot]:
        """Those to which jobs may go."""
        return (slot for slot in self._slots.values() if slot.living)

    def add(self, slot: EngineSlot) -> None:
        """An engine came."""
        self._slots[slot.name] = slot

    def remove(self, slot: EngineSlot) -> None:
        """An engine went."""
        self._slots.pop(slot.name, None)

    # ── whether it is there, and what it can do ─────────────────────────────────────────────────

    def become(self, slot: EngineSlot, state: EngineState) -> None:
        """The engine is in this state now."""
        if slot.state != state:
            slot.state, slot.since = state, self._clock.unix()
            log.info("Engine is %s", state, extra={"engine": slot.name})
        self._on_change(slot)

    def doubt(self, slot: EngineSlot, *, doubted: bool) -> None:
        """The engine is being asked whether it is still there, or has answered."""
        slot.doubted = doubted
        self._on_change(slot)

    def told(self, slot: EngineSlot, capabilities: Capabilities) -> None:
        """The engine said what it can do."""
        slot.limits.tell(
            capabilities.batch_limits, cautious=capabilities.cautious, versions=capabilities.versions
        )
        if capabilities.notes != slot.notes:
            slot.notes = capabilities.notes
            for note in capabilities.notes:
                log.warning("%s", note, extra={"engine": slot.name})
        self._on_change(slot)

    def unavailable(self, slot: EngineSlot, why: str) -> None:
        """The engine cannot be used."""
        if slot.last_error != why:
            log.warning("Engine is not available: %s", why, extra={"engine": slot.name})
        slot.last_error = why

    def available(self, slot: EngineSlot) -> None:
        """The engine answered; one that is held to be sick has to show more than that."""
        if not slot.sick:
            slot.last_error = None

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

    def run_ended(self, flight: Flight, seconds: float) -> None:
        """A run came through."""
        slot, model, rows = flight.slot, flight.batch.key.model, len(flight.batch.jobs)
        slot.busy_seconds += seconds
        slot.limits.succeeded(model, rows)
        if slot.fusion_doubts.succeeded(model, [job.id for job in flight.batch.jobs]) >= ALONE_AFTER:
            self.run_alone(slot, model, "its batches failed there, and each of their jobs worked alone")

    def out_of_memory(self, flight: Flight) -> None:
        """A run did not fit."""
        slot, model, rows = flight.slot, flight.batch.key.model, len(flight.batch.jobs)
        limit = slot.limits.out_of_memory(model, rows)
        extra = {"engine": slot.name, "model": model}
        log.warning("Out of memory with %d pictures; %d at most from now on", rows, limit, extra=extra)

    def run_alone(self, slot: EngineSlot, model: str, why: str) -> None:
        """The engine fuses ``model`` no more, until its template, the node pack or the server changes."""
        if slot.limits.why_alone(model) is None:
            slot.limits.run_alone(model, why)
            log.warning("%s runs one by one from now on: %s", model, why, extra={"engine": slot.name})
            self._on_change(slot)

    # ── whether it is to be trusted ─────────────────────────────────────────────────────────────

    def suspect(self, slot: EngineSlot, jobs: Sequence[Job], error: GenerationError) -> bool:
        """A run of ``jobs`` failed. True if the engine is held to be sick, by its record or by what the error
        says: it gets nothing more then, but for one job at a time that shows whether it is well again."""
        if error.blame == "content" and jobs:
            slot.fusion_doubts.failed(jobs[0].key.model, [job.id for job in jobs])
        if jobs and (error.blame == "content" or (error.blame == "size" and len(jobs) == 1)):
            slot.record.failed(jobs, str(error), self._clock.now())
            self._judge(slot)
        elif jobs and isinstance(error, EngineSick):
            slot.record.failed(jobs, str(error), self._clock.now())
            self._condemn(slot)
        return slot.sick

    def came_through(self, slot: EngineSlot, job: Job) -> None:
        """The engine made the job's picture: it is sound, and the job innocent of what befell others."""
        slot.pictures += 1
        slot.record.succeeded(self._clock.now())
        if slot.sick:
            slot.sick, slot.last_error = False, None
            log.info("Engine is well again", extra={"engine": slot.name})
            self._on_change(slot)
        self._working.add(job.key.model)
        for other in self._slots.values():
            if other.record.runs:
                other.record.innocent(job.id)
                self._judge(other)

    def trusted(self, engine: str, job: Job) -> bool:
        """Whether nothing failed there lately but what ``job`` was part of."""
        slot = self._slots.get(engine)
        return slot is None or not (slot.sick or slot.record.failed_without(job.id))

    def blame_job(self, job: Job, engines: Sequence[str]) -> None:
        """The job failed on all of ``engines``: if one of them made pictures meanwhile, it is to blame."""
        slots = [slot for name in engines if (slot := self._slots.get(name)) is not None]
        if any(a.record.succeeded_at >= b.record.since for a in slots for b in slots if a is not b):
            for slot in slots:
                slot.record.guilty(job.id)

    def _judge(self, slot: EngineSlot) -> None:
        if slot.record.culprits(self._working) >= SICK_AFTER:
            self._condemn(slot)

    def _condemn(self, slot: EngineSlot) -> None:
        if slot.sick:
            return
        slot.sick = True
        log.error("Engine is held to be sick: %s", slot.record.sentence(), extra={"engine": slot.name})
        self._on_sick(slot)
        slot.stir.set()
