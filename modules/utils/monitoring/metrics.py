"""Metrics for Prometheus, without any prompt, picture or person: counted from the jobs' events, or read when
Prometheus asks."""

from __future__ import annotations

from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from modules.queue_manager.jobs import JobId
from modules.queue_manager.ports import (
    Cancelled,
    Clock,
    Delivered,
    Failed,
    Finished,
    JobEvent,
    Progressed,
    Queued,
    Requeued,
    Started,
)
from modules.queue_manager.status import EngineStatus, QueuePosition, QueueStatus

SECONDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 64)
ENGINE_STATES = ("starting", "idle", "busy", "down", "draining")
FAIRNESS_SECONDS = 600.0


def jain(shares: Iterable[float]) -> float:
    """Jain's fairness index: 1 when all shares are equal, 1/n when one has everything (1 for none)."""
    given = list(shares)
    squares = sum(share * share for share in given)
    return sum(given) ** 2 / (len(given) * squares) if squares else 1.0


def journal_seconds() -> Histogram:
    """The database fills this metric, and is opened before `JobMetrics` can be made."""
    return Histogram(
        "fullet_journal_seconds",
        "Time of one write of the journal",
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2),
        registry=None,
    )


@dataclass(kw_only=True, eq=False)
class JobMetrics(Collector):
    """A `JobListener` that counts, and a collector that reads queue and engines when Prometheus asks.
    ``place`` gives the expected end of a job that was accepted, ``requests`` the number of Discord requests
    by status."""

    clock: Clock
    queue: Callable[[], QueueStatus]
    engines: Callable[[], Sequence[EngineStatus]]
    place: Callable[[JobId], QueuePosition | None]
    requests: Callable[[], Mapping[str, int]]
    journal: Histogram = field(default_factory=journal_seconds)
    _expected: dict[JobId, float] = field(init=False, default_factory=dict)
    _waiting: dict[JobId, float] = field(init=False, default_factory=dict)
    _made: int = field(init=False, default=0)
    _failed: int = field(init=False, default=0)
    _served: deque[tuple[float, int]] = field(init=False, default_factory=deque)
    _runs_seen: deque[tuple[str, float]] = field(init=False, default_factory=partial(deque, maxlen=1024))
    registry: CollectorRegistry = field(init=False, default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        counter = partial(Counter, registry=self.registry)
        self._jobs = counter("fullet_jobs", "Jobs by outcome", ["outcome"])
        self._failures = counter("fullet_failures", "Failed jobs by kind of error", ["error"])
        self._retries = counter("fullet_retries", "Jobs put back into the queue after an error", ["error"])
        self._pictures = counter("fullet_pictures", "Pictures made", ["model", "engine"])
        self._estimate_error = counter(
            "fullet_estimate_error_seconds", "Sum of |expected − actual| at acceptance"
        )
        self._estimate_actual = counter(
            "fullet_estimate_actual_seconds", "Sum of the actual times that were estimated"
        )
        histogram = partial(Histogram, registry=self.registry)
        self._sizes = histogram("fullet_batch_size", "Pictures in a run", buckets=SIZES)
        self._waits = histogram(
            "fullet_wait_seconds", "Time in the queue before a run starts", buckets=SECONDS
        )
        self._wholes = histogram(
            "fullet_job_seconds", "Time from the request to the picture", buckets=SECONDS
        )
        self._runs = histogram("fullet_run_seconds", "Time of a run on its server", buckets=SECONDS)
        self.registry.register(self.journal)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def figures(self) -> dict[str, float]:
        """The numbers at the top of the status page: since the start, and the fairness of the last ten
        minutes."""
        requests = self.requests()
        return {
            "made": self._made,
            "fairness": self.fairness(),
            "failed": self._failed,
            "requests": float(sum(requests.values())),
            "refused": float(requests.get("429", 0)),
        }

    async def on_event(self, event: JobEvent) -> None:
        if isinstance(event, Progressed):
            return
        if isinstance(event, Queued):
            self._jobs.labels("queued").inc()
            self._waiting[event.job.id] = event.job.queued_at
            place = self.place(event.job.id)
            if place is not None and place.expected_at is not None:
                self._expected[event.job.id] = place.expected_at
        elif isinstance(event, Started):
            since = self._waiting.pop(event.job.id, None)
            if since is not None:
                self._waits.observe(max(0.0, self.clock.unix() - since))
        elif isinstance(event, Requeued):
            self._waiting.setdefault(event.job.id, self.clock.unix())
            self._retries.labels(type(event.error).__name__).inc()
        elif isinstance(event, Finished):
            self._finished(event)
        else:
            self._ended(event)

    def _finished(self, event: Finished) -> None:
        report = event.report
        self._made += 1
        self._pictures.labels(event.job.request.model, report.engine).inc()
        run = (report.engine, report.started_at)
        if run not in self._runs_seen:
            self._runs_seen.append(run)
            self._sizes.observe(report.batch_size)
            self._runs.observe(report.gpu_seconds)

    def _ended(self, event: Delivered | Failed | Cancelled) -> None:
        job, now = event.job, self.clock.unix()
        expected = self._expected.pop(job.id, None)
        self._waiting.pop(job.id, None)
        if isinstance(event, Delivered):
            self._jobs.labels("kept" if event.receipt.where == "kept" else "delivered").inc()
            self._wholes.observe(max(0.0, now - job.queued_at))
            self._served.append((now, job.request.user_id))
            self._forget_served()
            if expected is not None:
                self._estimate_error.inc(abs(expected - now))
                self._estimate_actual.inc(max(0.0, now - job.queued_at))
        elif isinstance(event, Failed):
            self._failed += 1
            self._jobs.labels("failed").inc()
            self._failures.labels(type(event.error).__name__).inc()
        else:
            self._jobs.labels("cancelled").inc()

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not already read queue and engines."""
        return ()

    def collect(self) -> Iterable[Metric]:
        queue = self.queue()
        taking = not queue.paused and queue.closed_because is None
        for name, text, value in (
            ("queue_waiting", "Jobs that wait", queue.waiting),
            ("queue_taken", "Jobs on a server that has not begun them", queue.taken),
            ("queue_running", "Jobs that run", queue.running),
            ("queue_arriving", "Pictures on their way to people", queue.arriving),
            ("queue_users", "People with jobs", queue.users),
            ("queue_open", "1 while jobs are taken and served", float(taking)),
            ("fairness", "Jain's index of pictures by person, 10 minutes", self.fairness()),
        ):
            yield GaugeMetricFamily(f"fullet_{name}", text, value)
        yield from self._engine_figures()
        requests = CounterMetricFamily("fullet_discord_requests", "Requests to Discord", labels=["status"])
        for status, count in self.requests().items():
            requests.add_metric([status], count)
        yield requests

    def _engine_figures(self) -> Iterable[Metric]:
        state = GaugeMetricFamily(
            "fullet_engine_state", "1 for its current state", labels=["engine", "state"]
        )
        busy = CounterMetricFamily("fullet_engine_busy_seconds", "Time spent on work", labels=["engine"])
        slots = GaugeMetricFamily("fullet_engine_slots", "Most runs at once", labels=["engine", "kind"])
        for engine in self.engines():
            kind = "own" if engine.elastic is None else "elastic"
            slots.add_metric([engine.name, kind], engine.slots)
            busy.add_metric([engine.name], engine.busy_seconds)
            for name in ENGINE_STATES:
                state.add_metric([engine.name, name], float(engine.state == name))
        yield from (state, busy, slots)

    def fairness(self) -> float:
        """Jain's index over the pictures that each person got in the last ten minutes."""
        self._forget_served()
        return jain(Tally(user for _, user in self._served).values())

    def _forget_served(self) -> None:
        oldest = self.clock.unix() - FAIRNESS_SECONDS
        while self._served and self._served[0][0] < oldest:
            self._served.popleft()
