"""Waves of people and GPUs that take 90 seconds to start, scaled by the numbers of `deploy/kubernetes/keda`.

In virtual time: the real queue and fleet, and the rules of KEDA and the Kubernetes HorizontalPodAutoscaler
(https://keda.sh/docs/latest/concepts/scaling-deployments/ and
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/, "Algorithm details" and
"Configurable scaling behavior").
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, cos, pi
from pathlib import Path
from typing import Any

import yaml

from modules.queue_manager.errors import UserLimitReached
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Finished
from modules.queue_manager.workers.fleet import Fleet
from tests.benchmarks.core import Doorstep, NoJournal
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process
from tests.fakes import FakeEngine, offer, request
from tests.virtual_time import VirtualClock, run_virtual

SCALED_OBJECT = Path(__file__).parents[2] / "deploy" / "kubernetes" / "keda" / "scaledobject.yaml"

START_SECONDS = 90.0
"""From the decision to a GPU that the bot knows: node, image, loading."""
LEAVE_SECONDS = 45.0
"""What leaving takes after the last run: its name goes, and `drain.py` waits for an empty queue."""
BATCH, FIXED, EACH = 4, 1.0, 1.0
"""A batch of 4 takes 5 seconds: a GPU makes 0.8 pictures a second at most."""
WAVE, WAVES, QUIET = 2400.0, 3, 1200.0
"""Seconds of a wave, and of silence after it."""
PEAK = 4.0
"""Pictures a second that people ask for at the top of a wave: what five GPUs make."""
SYNC = 15.0
"""Seconds between two checks by the HorizontalPodAutoscaler."""
TOLERANCE = 0.1
"""It does nothing while the jobs for each GPU are so near to the threshold."""


async def measure(run: int) -> Measurement:
    return await in_fresh_process(_simulate, run)


def _simulate(seed: int) -> Measurement:
    return run_virtual(_Simulation(seed=seed).run())


@dataclass(kw_only=True, eq=False)
class _Replica:
    """A GPU that is paid for from ``since`` to ``until``."""

    name: str
    since: float
    engine: FakeEngine
    until: float | None = None
    ready: bool = False


@dataclass(kw_only=True)
class _Simulation:
    seed: int
    replicas: list[_Replica] = field(default_factory=list)
    gone: list[_Replica] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    tasks: set[asyncio.Future[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        spec = yaml.safe_load(SCALED_OBJECT.read_text(encoding="utf-8"))["spec"]
        self.most = int(spec["maxReplicaCount"])
        self.polling, self.cooldown = float(spec["pollingInterval"]), float(spec["cooldownPeriod"])
        (trigger,) = spec["triggers"]
        self.threshold = float(trigger["metadata"]["threshold"])
        down: dict[str, Any] = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        self.stabilization = float(down["stabilizationWindowSeconds"])
        (policy,) = down["policies"]
        self.down_by, self.down_every = int(policy["value"]), float(policy["periodSeconds"])

    async def run(self) -> Measurement:
        self.clock = VirtualClock()
        self.queue = QueueManager(
            offers=[offer("flux")], store=NoJournal(), clock=self.clock, delivery=Doorstep(self._delivered)
        )
        self.fleet = Fleet(runs=self.queue.runs, make_engine=self._engine, clock=self.clock)
        scaling = [asyncio.ensure_future(work) for work in (self._wake_and_sleep(), self._scale())]
        asked = 0
        for _ in range(WAVES):
            asked += await self._wave()
            await asyncio.sleep(QUIET)
        for work in scaling:
            work.cancel()
        await self.fleet.aclose(0)
        await self.queue.aclose()
        assert len(self.waits) == asked, "every picture that was asked for was made"
        paid = sum((replica.until or self.clock.now()) - replica.since for replica in self._all())
        ideal = asked / BATCH * (FIXED + BATCH * EACH)
        ordered = sorted(self.waits)
        return {
            "autoscaling_p95_wait": ordered[int(0.95 * len(ordered))],
            "autoscaling_median_wait": ordered[len(ordered) // 2],
            "autoscaling_paid": paid / ideal,
            "autoscaling_turns": self._turns() / WAVES,
        }

    def _all(self) -> list[_Replica]:
        return [*self.gone, *self.replicas]

    def _turns(self) -> int:
        """How often the number of GPUs turned from growing to shrinking or back."""
        steps = [after - before for before, after in pairwise(self.counts)]
        return sum((one > 0) != (two > 0) for one, two in pairwise(step for step in steps if step))

    # ── people ──────────────────────────────────────────────────────────────────────────────────

    async def _wave(self) -> int:
        """Poisson arrivals whose rate rises from nothing to `PEAK` and falls again, as a raised cosine."""
        drawn, began, asked = random.Random(self.seed), self.clock.now(), 0
        while (at := self.clock.now() - began) < WAVE:
            await asyncio.sleep(drawn.expovariate(PEAK))
            if drawn.random() < (1 - cos(2 * pi * at / WAVE)) / 2:
                with suppress(UserLimitReached):
                    await self.queue.submit([request(user=drawn.randrange(100_000), prompt="p")])
                    asked += 1
        return asked

    def _delivered(self, finished: Finished) -> None:
        self.waits.append(self.clock.unix() - finished.job.queued_at)

    # ── KEDA and the HorizontalPodAutoscaler ────────────────────────────────────────────────────

    def _jobs(self) -> float:
        status = self.queue.status()
        return status.waiting + status.taken + status.running

    async def _wake_and_sleep(self) -> None:
        """KEDA: from none to one as soon as there is a job, back to none after the cooldown."""
        active_at = self.clock.now()
        while True:
            await asyncio.sleep(self.polling)
            if self._jobs():
                active_at = self.clock.now()
                if not self.replicas:
                    await self._become(1)
            elif self.replicas and self.clock.now() - active_at >= self.cooldown:
                await self._become(0)

    async def _scale(self) -> None:
        """The autoscaler, between one and the most: up at once, but to no more than twice as many or four
        more; down to the most that was wanted within the stabilization window, no faster than the policy."""
        wanted_at: deque[tuple[float, int]] = deque()
        left_at: deque[float] = deque()
        while True:
            await asyncio.sleep(SYNC)
            now, have = self.clock.now(), len(self.replicas)
            if not have:
                continue
            jobs = self._jobs()
            near = abs(jobs / have / self.threshold - 1) <= TOLERANCE
            wanted = have if near else min(max(ceil(jobs / self.threshold), 1), self.most)
            wanted_at.append((now, wanted))
            while wanted_at[0][0] < now - self.stabilization:
                wanted_at.popleft()
            while left_at and left_at[0] <= now - self.down_every:
                left_at.popleft()
            if wanted > have:
                await self._become(min(wanted, max(2 * have, have + 4)))
            elif (most := max(count for _, count in wanted_at)) < have:
                leaving = min(have - most, self.down_by - len(left_at))
                left_at.extend([now] * max(leaving, 0))
                await self._become(have - max(leaving, 0))

    # ── GPUs ────────────────────────────────────────────────────────────────────────────────────

    def _engine(self, name: str) -> FakeEngine:
        return next(replica.engine for replica in self.replicas if replica.name == name)

    async def _become(self, count: int) -> None:
        self.counts.append(count)
        while len(self.replicas) > count:
            # A Deployment takes away those first that are not ready, then the youngest.
            leaving = min(reversed(self.replicas), key=lambda replica: replica.ready)
            self.replicas.remove(leaving)
            self.gone.append(leaving)
            self._keep(self._leave(leaving))
        for name in self._new_names(count - len(self.replicas)):
            engine = FakeEngine(
                name=name, clock=self.clock, fixed=FIXED, each=EACH, noise=0.15, seed=self.seed
            )
            replica = _Replica(name=name, since=self.clock.now(), engine=engine)
            self.replicas.append(replica)
            self._keep(self._begin(replica))
        await self._tell()

    def _new_names(self, count: int) -> Iterator[str]:
        begun = len(self._all())
        return (str(begun + n) for n in range(count))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        self.tasks.add(asyncio.ensure_future(work))

    async def _tell(self) -> None:
        await self.fleet.set_urls([replica.name for replica in self.replicas if replica.ready])

    async def _begin(self, replica: _Replica) -> None:
        await asyncio.sleep(START_SECONDS)
        if replica in self.replicas:
            replica.ready = True
            await self._tell()

    async def _leave(self, replica: _Replica) -> None:
        while any(engine.name == replica.name for engine in self.fleet.engines()):
            await asyncio.sleep(1.0)
        await asyncio.sleep(LEAVE_SECONDS if replica.ready else 0.0)
        replica.until = self.clock.now()


SUBJECT = Subject(
    name="autoscaling",
    measure=measure,
    figures=(
        Figure(
            name="autoscaling_p95_wait",
            unit="s",
            about="95th percentile until the picture is there: waves up to 4 pictures/s, GPUs start in 90 s",
            target=30.0,
        ),
        Figure(name="autoscaling_median_wait", unit="s", about="the median"),
        Figure(
            name="autoscaling_paid",
            unit="×",
            about="GPU seconds paid, as a multiple of what full batches need",
            target=2.5,
        ),
        Figure(
            name="autoscaling_turns",
            unit="",
            about="changes of direction of the number of GPUs for each of 3 waves; up, then down: 1.67",
            target=2.0,
        ),
    ),
)
