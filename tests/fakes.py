"""Working test doubles of the core's ports: a GPU in virtual or real time, a store in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modules.queue_manager.errors import (
    EngineForgot,
    EngineSick,
    EngineUnavailable,
    ExecutionFailed,
    FusionRefused,
    GenerationError,
    NoOutput,
    OutOfMemory,
    StoreUnavailable,
    WorkflowRejected,
)
from modules.queue_manager.jobs import (
    Batch,
    Elastic,
    GenerationRequest,
    Job,
    JobId,
    Learned,
    LoraUse,
    ModelOffer,
    Origin,
    Picture,
    Scaling,
    Size,
    SourceImage,
    Style,
    Variation,
)
from modules.queue_manager.ports import (
    Backlog,
    Cancelled,
    Capabilities,
    Clock,
    Delivered,
    Dispatched,
    Failed,
    Finished,
    JobEvent,
    JobTurn,
    Receipt,
    Requeued,
    RunEvent,
    RunProgress,
    RunStarted,
)

SQUARE = Size(width=1024, height=1024)


def offer(name: str = "flux", *, kind: str = "imagine", steps: int = 4, **more: object) -> ModelOffer:
    """A model's offer, as a card would make it."""
    values: dict[str, object] = {
        "name": name,
        "label": name.title(),
        "kind": kind,
        "description": (("en", "good"), ("es", "bueno")),
        "sizes": (SQUARE, Size(width=768, height=1024)),
        "default_size": SQUARE,
        "steps": steps,
    }
    if kind == "edit":
        values.update(source_count=(1, 2), scalings=(Scaling(pixels=1024 * 1024),) * 2)
    values.update(more)
    return ModelOffer(**values)  # type: ignore[arg-type]


def request(
    user: int = 1,
    prompt: str = "a lighthouse",
    *,
    model: str = "flux",
    kind: str = "imagine",
    seed: int = 1,
    size: Size = SQUARE,
    tier: int = 0,
    negative: str = "",
    sources: tuple[SourceImage, ...] = (),
    variation: Variation | None = None,
    channel: int = 0,
    guild: int = 1,
    locale: str = "en-US",
    age_restricted: bool = False,
    origin: Origin | None = None,
    lora: LoraUse | None = None,
    style: Style | None = None,
    strength: float | None = None,
    mask: SourceImage | None = None,
) -> GenerationRequest:
    """A request, everything but the asker at its usual value."""
    return GenerationRequest(
        user_id=user,
        guild_id=guild,
        channel_id=channel or user * 1000,
        locale=locale,
        kind=kind,  # type: ignore[arg-type]
        model=model,
        prompt=prompt,
        size=size,
        seed=seed,
        tier=tier,
        negative=negative,
        sources=sources,
        variation=variation,
        age_restricted=age_restricted,
        origin=origin,
        lora=lora,
        style=style,
        strength=strength,
        mask=mask,
    )


@dataclass
class MemoryStore:
    """A `JobStore` in memory that notices what must not happen: a turn of a job that has ended."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    sources: dict[str, bytes] = field(default_factory=dict)
    turns: list[JobTurn] = field(default_factory=list)
    ended: dict[JobId, JobTurn] = field(default_factory=dict)
    where: dict[JobId, tuple[str, Batch]] = field(default_factory=dict)
    broken: bool = False
    delay: float = 0.0
    taught: dict[str, dict[str, Learned]] = field(default_factory=dict)
    _next: int = 0

    async def next_numbers(self, count: int) -> Sequence[int]:
        first = self._next + 1
        self._next += count
        return range(first, first + count)

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        await asyncio.sleep(self.delay)
        if self.broken:
            raise StoreUnavailable("the disk is full")
        self.jobs.update({job.id: job for job in jobs})
        self.sources.update(sources)

    async def record(self, turn: JobTurn) -> None:
        await asyncio.sleep(self.delay)
        jobs = turn.batch.jobs if isinstance(turn, Dispatched) else (turn.job,)
        for job in jobs:
            assert job.id in self.jobs, "a turn of a job that was never accepted"
            if not isinstance(turn, Dispatched):
                assert job.id not in self.ended, f"{turn} after {self.ended[job.id]}"
        self.turns.append(turn)
        if isinstance(turn, Dispatched):
            self.where.update({job.id: (turn.engine, turn.batch) for job in jobs})
        elif isinstance(turn, Requeued):
            self.where.pop(turn.job.id, None)
            self.jobs[turn.job.id] = turn.job
        elif isinstance(turn, (Delivered, Failed, Cancelled)):
            self.ended[turn.job.id] = turn

    async def source(self, key: str) -> bytes:
        return self.sources[key]

    async def learned(self) -> Mapping[str, Mapping[str, Learned]]:
        return {engine: dict(models) for engine, models in self.taught.items()}

    async def learn(self, engine: str, model: str, learned: Learned) -> None:
        self.taught.setdefault(engine, {})[model] = learned

    async def backlog(self) -> Backlog:
        living = [job for job in self.jobs.values() if job.id not in self.ended]
        dispatched: dict[str, list[Batch]] = {}
        for job in living:
            if job.id in self.where:
                engine, batch = self.where[job.id]
                here = self.where[job.id]
                left = [
                    n
                    for n, other in enumerate(batch.jobs)
                    if other.id not in self.ended and self.where.get(other.id) == here
                ]
                rest = replace(batch, jobs=tuple(batch.jobs[n] for n in left), rows=tuple(left))
                known = dispatched.setdefault(engine, [])
                if rest not in known:
                    known.append(rest)
        return Backlog(
            waiting=tuple(job for job in living if job.id not in self.where),
            dispatched={name: tuple(batches) for name, batches in dispatched.items()},
        )


@dataclass
class Postbox:
    """A `PictureDelivery` that keeps what it was given, and refuses to be given it twice."""

    pictures: dict[JobId, Finished] = field(default_factory=dict)
    seconds: float = 0.0
    unreadable: int = 0

    async def deliver(self, finished: Finished) -> Receipt:
        await asyncio.sleep(self.seconds)
        if self.unreadable > 0:
            self.unreadable -= 1
            raise StoreUnavailable("away")
        assert finished.job.id not in self.pictures, "delivered twice"
        self.pictures[finished.job.id] = finished
        return Receipt(where="channel", channel_id=finished.job.request.channel_id, message_id=1)


@dataclass
class Listener:
    """A `JobListener` that keeps what it heard."""

    events: list[JobEvent] = field(default_factory=list)

    async def on_event(self, event: JobEvent) -> None:
        self.events.append(event)

    def of(self, job: Job) -> list[str]:
        """The names of a job's events, progress left out."""
        names = [type(event).__name__ for event in self.events if event.job.id == job.id]
        return [name for name in names if name != "Progressed"]


class FakeRun:
    """See `FakeEngine`."""

    def __init__(self, engine: FakeEngine, batch: Batch) -> None:
        self._engine = engine
        self._batch = batch
        self.rows = batch
        self.begun = asyncio.Event()
        self.withdrawn = False
        self.interrupted = asyncio.Event()

    @property
    def batch(self) -> Batch:
        return self._batch

    @property
    def id(self) -> str:
        return f"its-own-{self._batch.id}"[:36] if self._engine.elastic is not None else self._batch.id

    async def events(self) -> AsyncIterator[RunEvent]:
        engine, batch = self._engine, self._batch
        async with engine.gpu:
            if self.withdrawn:
                return
            engine.check_alive()
            self.begun.set()
            yield RunStarted()
            began = engine.clock.now()
            steps = engine.steps
            load = engine.load if engine.loaded != batch.key.model else 0.0
            engine.loaded = batch.key.model
            noise = engine.random.uniform(1 - engine.noise, 1 + engine.noise)
            size = batch.key.size
            area = size.width * size.height / 2**20 if engine.by_area else 1.0
            per_step = (engine.fixed + engine.each * area * len(batch.jobs)) / steps * noise
            await self._pass(load)
            engine.check_health(batch)
            if len(batch.jobs) > engine.fits:
                raise OutOfMemory("Allocation on device")
            for step in range(1, steps + 1):
                await self._pass(per_step)
                if engine.deadly and any(engine.deadly in job.request.prompt for job in batch.jobs):
                    asyncio.get_running_loop().call_later(1.0, engine.live)
                    engine.die()
                    engine.check_alive()
                yield RunProgress(step=step, steps=steps)
            bad = [job for job in batch.jobs if engine.poison and engine.poison in job.request.prompt]
            if bad:
                raise ExecutionFailed("a node raised")
            engine.log.append((began, engine.clock.now(), batch))

    async def _pass(self, seconds: float) -> None:
        dying = asyncio.ensure_future(self._engine.dead.wait())
        stopping = asyncio.ensure_future(self.interrupted.wait())
        await asyncio.wait({dying, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        stopping.cancel()
        while self._engine.stalling:
            await asyncio.sleep(0.1)
        self._engine.check_alive()
        if self.interrupted.is_set():
            raise EngineForgot("interrupted")

    async def fetch(self, index: int) -> Picture:
        await asyncio.sleep(self._engine.fetch_seconds)
        self._engine.check_alive()
        if self._engine.lost_pictures > 0:
            self._engine.lost_pictures -= 1
            raise NoOutput("the node gave no picture")
        job = self._batch.jobs[self.rows.row(index)]
        text = f"{job.request.prompt}|{job.request.seed}"
        return Picture(data=text.encode(), media_type="image/png", size=job.request.size)

    async def withdraw(self, *, interrupt: bool) -> bool:
        self._engine.check_alive()
        if not self.begun.is_set():
            self.withdrawn = True
            return True
        if interrupt:
            self.interrupted.set()
        return False

    async def running(self) -> bool:
        self._engine.check_alive()
        return self._engine.stalling and self.begun.is_set()


@dataclass
class FakeEngine:
    """An `ImageEngine` that takes ``fixed`` + ``each`` × pictures seconds a batch, one batch at a time, or as
    many as it has slots if it is ``elastic``; it then also chooses the ids of its runs. ``by_area``: ``each``
    is for 1024², and others take in proportion.

    ``noise`` is the share by which a batch's time varies; ``fits`` the rows its memory holds;
    ``poison`` a text in a prompt at which a node raises, ``deadly`` one at which it dies for a second,
    ``refused`` one with which no batch is taken;
    ``rejects`` what the next batches are refused with;
    ``unreadable`` how often the sources cannot be read, ``lost_pictures`` how many are not there at the end,
    ``hiccups`` how often it does not answer when asked what it can do; ``sick`` what every run fails with,
    ``full`` that its disk is; ``refuses`` a model that it does not fuse, ``breaks`` one of
    which it runs no batch of several.
    """

    name: str
    clock: Clock
    limits: Mapping[str, int] = field(default_factory=lambda: {"flux": 4, "z-image": 4, "flux_edit": 4})
    fixed: float = 1.0
    each: float = 1.0
    by_area: bool = False
    load: float = 0.0
    noise: float = 0.0
    steps: int = 4
    fits: int = 1000
    poison: str = ""
    deadly: str = ""
    refused: str = ""
    rejects: list[GenerationError] = field(default_factory=list)
    unreadable: int = 0
    lost_pictures: int = 0
    hiccups: int = 0
    sick: str = ""
    full: bool = False
    refuses: str = ""
    breaks: str = ""
    varies: bool = True
    loras: frozenset[str] = frozenset()
    cautious: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    fetch_seconds: float = 0.02
    submit_seconds: float = 0.01
    stalling: bool = False
    seed: int = 0
    elastic: Elastic | None = None
    loaded: str | None = None
    log: list[tuple[float, float, Batch]] = field(default_factory=list)
    submitted: list[Batch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gpu = asyncio.Semaphore(1 if self.elastic is None else self.elastic.slots)
        self.dead = asyncio.Event()
        self.broke = asyncio.Event()
        self.random = random.Random(self.seed)
        self.known: dict[str, FakeRun] = {}

    def check_alive(self) -> None:
        """Raise as a client does whose server is gone."""
        if self.dead.is_set():
            raise EngineUnavailable("connection refused")

    def check_health(self, batch: Batch) -> None:
        """Raise what a run ends with on a server that answers and cannot do it."""
        if self.full:
            raise EngineSick("no space left on device")
        if self.sick:
            raise ExecutionFailed(self.sick)
        if batch.fused and batch.key.model == self.refuses:
            raise FusionRefused("FusedModel: input model: a patch is not known to be exact.")
        if len(batch.jobs) > 1 and batch.key.model == self.breaks:
            raise ExecutionFailed("The size of tensor a must match the size of tensor b")

    def die(self) -> None:
        """Everything it knew is lost."""
        self.dead.set()
        self.broke.set()
        self.known.clear()
        self.loaded = None

    def live(self) -> None:
        """It is there again."""
        self.dead.clear()

    async def probe(self) -> Capabilities:
        self.check_alive()
        if self.hiccups > 0:
            self.hiccups -= 1
            raise EngineUnavailable("no answer")
        return Capabilities(
            batch_limits=self.limits,
            cautious=self.cautious,
            versions=self.versions,
            varies=self.varies,
            loras=self.loras,
        )

    async def submit(self, batch: Batch) -> FakeRun:
        await asyncio.sleep(self.submit_seconds)
        self.check_alive()
        if self.unreadable > 0:
            self.unreadable -= 1
            raise StoreUnavailable("away")
        if self.rejects:
            raise self.rejects.pop(0)
        self.submitted.append(batch)
        if self.refused and any(self.refused in job.request.prompt for job in batch.jobs):
            raise WorkflowRejected("refused")
        run = FakeRun(self, batch)
        self.known[run.id] = run
        return run

    async def resume(self, batch: Batch) -> FakeRun | None:
        self.check_alive()
        run = self.known.get(batch.id)
        if run is not None:
            run.rows = batch
        return run

    async def doubtful(self) -> None:
        await self.broke.wait()
        self.broke.clear()

    async def aclose(self) -> None:
        return None

    def busy_share(self) -> float:
        """Σ time on the GPU / (last end − first start)."""
        return sum(end - start for start, end, _ in self.log) / (self.log[-1][1] - self.log[0][0])
