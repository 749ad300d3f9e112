"""The last half hour for the status page, without any prompt, picture or person: each GPU's batches, the
queue's depth, the waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modules.queue_manager.jobs import Job, JobId
from modules.queue_manager.ports import (
    Cancelled,
    Clock,
    Delivered,
    Finished,
    JobEvent,
    Progressed,
    Queued,
    Started,
)
from modules.queue_manager.status import EngineStatus, QueueStatus

WINDOW_SECONDS = 1800.0
SAMPLE_SECONDS = 0.5
"""Changes of the queue that are closer together than this are one point of the chart."""
BATCHES_KEPT = 400
"""For each GPU."""
WAITS_KEPT = 600
_QUEUE = ("waiting", "taken", "running", "arriving", "users")
TOGETHER_SECONDS = 2.0
"""The jobs of one batch are reported as started one after the other, within less than this."""


@dataclass
class _Stretch:
    """A batch on a GPU. ``ended_at`` None: it still runs; ``good``: none of its jobs failed."""

    model: str
    size: int
    started_at: float
    ended_at: float | None = None
    good: bool = True
    jobs: set[JobId] = field(default_factory=set)

    def since(self, oldest: float) -> bool:
        """Whether some of it is later than ``oldest``."""
        return self.ended_at is None or self.ended_at > oldest

    def shown(self) -> dict[str, object]:
        return {
            "model": self.model,
            "size": self.size,
            "from": round(self.started_at, 2),
            "to": None if self.ended_at is None else round(self.ended_at, 2),
            "good": self.good,
        }


@dataclass(kw_only=True, eq=False)
class StatusHistory:
    """A `JobListener` that remembers what the page shows. ``figures`` gives more numbers for its top."""

    clock: Clock
    queue: Callable[[], QueueStatus]
    engines: Callable[[], Sequence[EngineStatus]]
    figures: Callable[[], Mapping[str, float]] = dict
    _queued_at: dict[JobId, float] = field(init=False, default_factory=dict)
    _lanes: dict[str, deque[_Stretch]] = field(init=False, default_factory=dict)
    _running: dict[JobId, _Stretch] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._started_at = self.clock.unix()
        self._waits: deque[tuple[float, float]] = deque(maxlen=WAITS_KEPT)
        self._depth: deque[tuple[float, int, int]] = deque(maxlen=int(WINDOW_SECONDS / SAMPLE_SECONDS))

    async def on_event(self, event: JobEvent) -> None:
        if isinstance(event, Progressed):
            return
        if isinstance(event, Queued):
            self._queued_at[event.job.id] = event.job.queued_at
        elif isinstance(event, Started):
            self._begun(event.job, event.engine, event.batch_size)
        elif isinstance(event, Finished):
            report = event.report
            self._over(event.job.id, began=report.started_at, ended=report.ended_at, good=True)
        elif isinstance(event, Delivered):
            self._queued_at.pop(event.job.id, None)
        else:
            self._over(event.job.id, ended=self.clock.unix(), good=isinstance(event, Cancelled))
        self._sample()

    def _begun(self, job: Job, engine: str, size: int) -> None:
        now = self.clock.unix()
        queued_at = self._queued_at.pop(job.id, None)
        if queued_at is not None:
            self._waits.append((now, max(0.0, now - queued_at)))
        lane = self._lanes.get(engine)
        if lane is None:
            oldest = now - WINDOW_SECONDS  # a server that comes back may have another name
            self._lanes = {name: lane for name, lane in self._lanes.items() if lane[-1].since(oldest)}
            lane = self._lanes[engine] = deque(maxlen=BATCHES_KEPT)
        last = lane[-1] if lane else None
        joins = (
            last is not None
            and last.ended_at is None
            and (last.model, last.size) == (job.request.model, size)
            and len(last.jobs) < size
            and now - last.started_at < TOGETHER_SECONDS
        )
        if last is None or not joins:
            last = _Stretch(model=job.request.model, size=size, started_at=now)
            lane.append(last)
        last.jobs.add(job.id)
        self._running[job.id] = last

    def _over(self, job_id: JobId, *, ended: float, good: bool, began: float | None = None) -> None:
        self._queued_at.pop(job_id, None)
        stretch = self._running.pop(job_id, None)
        if stretch is None:
            return
        stretch.good = stretch.good and good
        if began is not None:
            stretch.started_at, stretch.ended_at = began, ended
        elif not any(self._running.get(other) is stretch for other in stretch.jobs):
            stretch.ended_at = stretch.ended_at or ended

    def _sample(self) -> None:
        now, queue = self.clock.unix(), self.queue()
        sample = (now, queue.waiting, queue.running)
        if self._depth and self._depth[-1][1:] == sample[1:]:
            return
        if self._depth and now - self._depth[-1][0] < SAMPLE_SECONDS:
            self._depth[-1] = (self._depth[-1][0], *sample[1:])
        else:
            self._depth.append(sample)

    def snapshot(self) -> dict[str, object]:
        """Everything the page draws, as JSON's types; times in Unix seconds."""
        self._sample()
        now, queue = self.clock.unix(), self.queue()
        oldest = now - WINDOW_SECONDS
        return {
            "now": round(now, 2),
            "started_at": round(self._started_at, 2),
            "window": WINDOW_SECONDS,
            "queue": {name: getattr(queue, name) for name in _QUEUE},
            "figures": {name: round(value, 3) for name, value in self.figures().items()},
            "engines": [self._engine(engine, now, oldest) for engine in self.engines()],
            "depth": [
                [round(at, 2), waiting, running] for at, waiting, running in self._depth if at > oldest
            ],
            "waits": [[round(at, 2), round(seconds, 2)] for at, seconds in self._waits if at > oldest],
        }

    def _engine(self, engine: EngineStatus, now: float, oldest: float) -> dict[str, object]:
        lane = self._lanes.get(engine.name, ())
        return {
            "name": engine.name,
            "state": engine.state,
            "since": round(engine.since, 2),
            "model": engine.model,
            "trouble": engine.last_error,
            "pictures": engine.pictures,
            "elastic": None if engine.elastic is None else engine.elastic.slots,
            "busy": round(engine.busy_share(now - self._started_at), 4),
            "batches": [stretch.shown() for stretch in lane if stretch.since(oldest)],
        }
