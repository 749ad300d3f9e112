"""Your own GPUs first: finds the waiting jobs that these would begin too late, for an elastic engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import ceil

from modules.queue_manager.jobs import Job
from modules.queue_manager.scheduling.batching import Lane
from modules.queue_manager.scheduling.engine_registry import EngineRegistry
from modules.queue_manager.scheduling.eta import PLAYED_THROUGH, Line, start_times
from modules.queue_manager.scheduling.fair_queue import FairQueue
from modules.queue_manager.scheduling.in_flight import EngineState

WANTED = 64
"""The most jobs that an elastic engine is offered: the largest number of slots that it may have."""

HOLDS_FOR = 0.25
"""Seconds for which an answer holds. Your own GPUs do little in that time, and a job that comes meanwhile
waits for the next answer."""


@dataclass(kw_only=True, eq=False, repr=False)
class OwnFirst:
    """``soonest_lanes`` and ``first_in_line``: see `Dispatcher`; ``avoided`` gives the engines on which a job
    failed; ``may_run``: whether an engine may have it in spite of that; ``waits_since``: when it began to
    wait."""

    queue: FairQueue
    engines: EngineRegistry
    max_key_wait: int
    soonest_lanes: Callable[[Iterable[EngineState], float], list[Lane]]
    first_in_line: Callable[[], tuple[list[Job], Line]]
    may_run: Callable[[Job, EngineState], bool]
    avoided: Callable[[Job], frozenset[str]]
    waits_since: Callable[[Job], float]
    _known: dict[str, tuple[float, tuple[Job, ...]]] = field(init=False, default_factory=dict)

    def late(self, engine: EngineState, now: float) -> tuple[Job, ...]:
        """The first waiting jobs that the elastic ``engine`` may run and that your own GPUs would begin
        later than its terms say.

        While that is unknown (a GPU is starting or away, or the model never ran), a job is late once it has
        waited that long.
        """
        assert engine.elastic is not None
        after = engine.elastic.after
        known = self._known.get(engine.name)
        if known is None or known[0] <= now or not after:
            late = self._late(after, now) if after else self.queue.in_order()
            fitting = (j for j in late if engine.can(j.key.need) and self.may_run(j, engine))
            known = self._known[engine.name] = now + HOLDS_FOR, tuple(islice(fitting, WANTED))
        return known[1]

    def _late(self, after: float, now: float) -> Iterator[Job]:
        own = [e for e in self.engines.states.values() if e.elastic is None and e.state != "draining"]
        jobs, line = self.first_in_line()
        starts = start_times(self.soonest_lanes(own, now), line, max_key_wait=self.max_key_wait)
        for job, start in zip(jobs, starts, strict=True):
            able = [e for e in own if not e.asked or e.can(job.key.need)]
            wait = now - self.waits_since(job) if start is None else start
            if wait > after or all(e.name in self.avoided(job) for e in able):
                yield job
        rate = sum(e.pictures / e.busy_seconds for e in own if e.living and e.busy_seconds)
        if rate:
            begin = max(PLAYED_THROUGH, ceil(after * rate))
            yield from islice(self.queue.in_order(), begin, None)
