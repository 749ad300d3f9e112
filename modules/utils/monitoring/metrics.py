"""What happens, as figures for Prometheus: counted from the jobs' events, and read off when asked for.

No figure carries a prompt, a picture or a person.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from modules.queue_manager.jobs import Job, JobId
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
    """The figure that the database fills, which is opened before there is a queue to count."""
    return Histogram(
        "fullet_journal_seconds",
        "Time of one write of the journal",
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2),
        registry=None,
    )


class JobMetrics(Collector):
    """A `JobListener` that counts, and a collector that reads queue and engines when Prometheus asks.

    ``place`` gives the expected end of a job at its acceptance, ``requests`` the number of Discord
    requests by status, both as they are now; ``journal`` is `journal_seconds`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        queue: Callable[[], QueueStatus],
        engines: Callable[[], Sequence[EngineStatus]],
        place: Callable[[JobId], QueuePosition | None],
        requests: Callable[[], Mapping[str, int]] = dict,
        journal: Histogram | None = None,
    ) -> None:
        self._clock, self._queue, self._engines = clock, queue, engines
        self._place, self._requests = place, requests
        self._expected: dict[JobId, float] = {}
        self._waiting: dict[JobId, float] = {}
        self._failed = 0
        self._served: deque[tuple[float, int]] = deque()
        self._batches: OrderedDict[tuple[str, float], None] = OrderedDict()
        self.registry = CollectorRegistry()
        self._make_counters()
        self.journal = journal or journal_seconds()
        self.registry.register(self.journal)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def _make_counters(self) -> None:
        made = self.registry
        self._jobs = Counter("fullet_jobs", "Jobs by what became of them", ["outcome"], registry=made)
        self._failures = Counter(
            "fullet_failures", "Failed jobs by the error's kind", ["error"], registry=made
        )
        self._retries = Counter("fullet_retries", "Runs that came to nothing", ["error"], registry=made)
        self._pictures = Counter("fullet_pictures", "Pictures made", ["model", "engine"], registry=made)
        self._sizes = Histogram("fullet_batch_size", "Pictures in a run", buckets=SIZES, registry=made)
        wait, whole, run = "until a run begins", "until the picture is there", "of a run on its server"
        self._waits = Histogram("fullet_wait_seconds", f"Time {wait}", buckets=SECONDS, registry=made)
        self._wholes = Histogram("fullet_job_seconds", f"Time {whole}", buckets=SECONDS, registry=made)
        self._runs = Histogram("fullet_run_seconds", f"Time {run}", buckets=SECONDS, registry=made)
        self._estimate_error = Counter(
            "fullet_estimate_error_seconds", "Sum of |expected − actual| at acceptance", registry=made
        )
        self._estimate_actual = Counter(
            "fullet_estimate_actual_seconds", "Sum of the actual times that were estimated", registry=made
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def figures(self) -> dict[str, float]:
        """The few numbers of the status page's head."""
        requests = self._requests()
        return {
            "fairness": self.fairness(),
            "failed": self._failed,
            "requests": float(sum(requests.values())),
            "refused": float(requests.get("429", 0)),
        }

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    async def on_event(self, event: JobEvent) -> None:
        """Count it."""
        if isinstance(event, Progressed):
            return
        if isinstance(event, Queued):
            self._queued(event.job)
        elif isinstance(event, Started):
            since = self._waiting.pop(event.job.id, None)
            if since is not None:
                self._waits.observe(max(0.0, self._clock.unix() - since))
        elif isinstance(event, Requeued):
            self._waiting.setdefault(event.job.id, self._clock.unix())
            self._retries.labels(type(event.error).__name__).inc()
        elif isinstance(event, Finished):
            self._finished(event)
        else:
            self._ended(event)

    def _queued(self, job: Job) -> None:
        self._jobs.labels("queued").inc()
        self._waiting[job.id] = job.queued_at
        place = self._place(job.id)
        if place is not None and place.expected_at is not None:
            self._expected[job.id] = place.expected_at

    def _finished(self, event: Finished) -> None:
        report = event.report
        self._pictures.labels(event.job.request.model, report.engine).inc()
        run = (report.engine, report.started_at)
        if run not in self._batches:
            self._batches[run] = None
            self._sizes.observe(report.batch_size)
            self._runs.observe(report.gpu_seconds)
        while len(self._batches) > 1024:
            self._batches.popitem(last=False)

    def _ended(self, event: Delivered | Failed | Cancelled) -> None:
        job, now = event.job, self._clock.unix()
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

    # ── what is ─────────────────────────────────────────────────────────────────────────────────

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not ask the parts before they are there."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Queue, engines, fairness and Discord requests as they are now."""
        queue = self._queue()
        yield GaugeMetricFamily("fullet_queue_waiting", "Jobs that wait", queue.waiting)
        yield GaugeMetricFamily("fullet_queue_taken", "Jobs on a server that has not begun them", queue.taken)
        yield GaugeMetricFamily("fullet_queue_running", "Jobs that are being made", queue.running)
        yield GaugeMetricFamily("fullet_queue_arriving", "Pictures on their way to people", queue.arriving)
        yield GaugeMetricFamily("fullet_queue_users", "People with jobs", queue.users)
        taking = not queue.paused and queue.closed_because is None
        yield GaugeMetricFamily("fullet_queue_open", "1 while jobs are taken and served", float(taking))
        yield GaugeMetricFamily(
            "fullet_fairness", "Jain's index of pictures by person, 10 minutes", self.fairness()
        )
        yield from self._engine_figures()
        requests = CounterMetricFamily("fullet_discord_requests", "Requests to Discord", labels=["status"])
        for status, count in self._requests().items():
            requests.add_metric([status], count)
        yield requests

    def _engine_figures(self) -> Iterable[Metric]:
        state = GaugeMetricFamily(
            "fullet_engine_state", "1 for the state it is in", labels=["engine", "state"]
        )
        busy = CounterMetricFamily("fullet_engine_busy_seconds", "Time with work on it", labels=["engine"])
        for engine in self._engines():
            busy.add_metric([engine.name], engine.busy_seconds)
            for name in ENGINE_STATES:
                state.add_metric([engine.name, name], float(engine.state == name))
        yield from (state, busy)

    def fairness(self) -> float:
        """Jain's index over the pictures that each person got in the last ten minutes."""
        self._forget_served()
        return jain(Tally(user for _, user in self._served).values())

    def _forget_served(self) -> None:
        oldest = self._clock.unix() - FAIRNESS_SECONDS
        while self._served and self._served[0][0] < oldest:
            self._served.popleft()
