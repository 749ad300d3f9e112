"""The interfaces between the core and the other packages, which implement them, and what passes through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from modules.queue_manager.errors import GenerationError
from modules.queue_manager.jobs import Batch, Elastic, FusionCheck, Job, Learned, Picture, Size


class Clock(Protocol):
    """Time, so that tests need no waiting."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""

    def unix(self) -> float:
        """Seconds since 1970 by the wall clock, for what is shown or stored."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a living server can do now.

    ``batch_limits`` maps each model that the server can run to the most rows in one run; those in
    ``cautious`` begin with one row, because it is not known how many fit. ``versions`` names, for each model,
    what its runs depend on (template, node pack, server); what was learned holds for that version. ``notes``
    are sentences for the operator: what is missing and how to fix it. ``missing_files``: the model files that
    the server lacks, each with the command that fetches it (empty: not known from where). ``varies``: it can
    make a variation of a picture. ``checks``: what ``check --fusion`` found, by model. ``loras``: the LoRA
    files that it has, with ``/`` between folders.
    """

    batch_limits: Mapping[str, int]
    cautious: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing_files: Mapping[str, str] = field(default_factory=dict)
    varies: bool = True
    loras: frozenset[str] = frozenset()
    checks: Mapping[str, FusionCheck] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunQueued:
    """The server says that the run still waits in its queue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """The run began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgress:
    """``step`` of ``steps`` sampler steps are done; 0: a node is running and no sampler has begun."""

    step: int
    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPreview:
    """The picture of the batch's job ``index`` so far (JPEG, WebP or PNG)."""

    index: int
    image: bytes


RunEvent = RunQueued | RunStarted | RunProgress | RunPreview


class Run(Protocol):
    """One batch on one server."""

    @property
    def id(self) -> str:
        """The server's name for the run, by which `ImageEngine.resume` finds it: the batch's id where the
        server takes ours. At most 36 characters."""

    def events(self) -> AsyncIterator[RunEvent]:
        """What happens, ending when the server is free for the next run. May be iterated once.

        Raises `GenerationError` if the run failed; ends normally if it succeeded. Survives a broken socket.
        """

    async def fetch(self, index: int) -> Picture:
        """The picture of job ``index``, after the events have ended. Raises `GenerationError`."""

    async def withdraw(self, *, interrupt: bool) -> bool:
        """Take the run out of the server's queue. One that has begun goes on, unless ``interrupt``; its
        events then end with an error or normally.

        True if it had not begun, and so is gone. Never touches another client's run. Raises `GenerationError`
        if the server cannot be reached.
        """

    async def running(self) -> bool:
        """Whether the server is working on it right now. Raises `GenerationError` if it does not answer."""


class ImageEngine(Protocol):
    """One server that makes pictures."""

    @property
    def name(self) -> str:
        """Host and port, or whatever else identifies it, without credentials: for people and logs."""

    @property
    def elastic(self) -> Elastic | None:
        """The terms on which it is used; None for your own GPU."""

    async def probe(self) -> Capabilities:
        """What the server can do now. Raises `EngineUnavailable` (or a subclass) if it is not there."""

    async def submit(self, batch: Batch) -> Run:
        """Put the batch into the server's own queue. Raises `GenerationError`; then nothing is queued, as far
        as that can be found out."""

    async def resume(self, batch: Batch) -> Run | None:
        """Follow a run that an earlier process submitted; None if the server does not have it. ``batch.id``
        is the run's id, or still our own if the process died before it knew the run's."""

    async def doubtful(self) -> None:
        """Return when its socket breaks: a reason to ask whether the server is still there."""

    async def aclose(self) -> None:
        """Close sockets. Runs go on at the server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """On which engine a picture was made, when (Unix seconds), and in a batch of how many."""

    engine: str
    batch_size: int
    started_at: float
    ended_at: float

    @property
    def gpu_seconds(self) -> float:
        """Time of the whole batch on the GPU."""
        return self.ended_at - self.started_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Queued:
    """The job is accepted and journaled."""

    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A server works on the job."""

    job: Job
    engine: str
    batch_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed:
    """``step`` of ``steps`` are done; ``preview`` is the job's own picture so far, if there is one;
    ``expected_at`` (Unix seconds) is when the picture should be there."""

    job: Job
    step: int
    steps: int
    expected_at: float | None = None
    preview: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeued:
    """The run failed and the job may not be to blame; it waits again, in its place."""

    job: Job
    error: GenerationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The picture is here; delivery comes next. Listeners get it with ``picture.data`` empty: only the store
    and the delivery get the bytes."""

    job: Job
    picture: Picture
    report: RunReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """The owner has the picture, or it is kept for their next command. Only the store gets ``picture``."""

    job: Job
    receipt: Receipt
    picture: Picture | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The job ended without a picture."""

    job: Job
    error: GenerationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelled:
    """The owner or an administrator (``by``) ended the job, or the owner left (None)."""

    job: Job
    by: int | None


JobEvent = Queued | Started | Progressed | Requeued | Finished | Delivered | Failed | Cancelled


class JobListener(Protocol):
    """Hears of every job, of each in order. A slow listener delays only itself."""

    async def on_event(self, event: JobEvent) -> None:
        """An exception is logged and goes no further."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Where a picture went, and the ``size`` of the picture that was posted, if known. ``where`` is "kept"
    if it could not be posted anywhere; then the store keeps the bytes."""

    where: Literal["channel", "new-channel", "direct-message", "kept"]
    channel_id: int | None = None
    message_id: int | None = None
    size: Size | None = None


class PictureDelivery(Protocol):
    """Gives a picture to its owner. Not a listener, because the job ends with the outcome."""

    async def deliver(self, finished: Finished) -> Receipt:
        """Post once, even if called again for the same job after a crash (``job.maybe_posted``).

        Falls back to other places, and to ``kept`` if none works. Raises `StoreUnavailable` or `LeaseLost`;
        then it is not known whether it was posted.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Dispatched:
    """A batch goes to an engine. Journaled before it is submitted, so that its run can be found after a
    crash."""

    batch: Batch
    engine: str


JobTurn = Dispatched | Requeued | Finished | Delivered | Failed | Cancelled
"""What the journal records of a job after its acceptance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What an earlier process left: waiting jobs in their order, and the batches given to each engine (by
    name, in the order of submission; of each batch, the jobs that have not ended, with their
    `Batch.rows`)."""

    waiting: tuple[Job, ...] = ()
    dispatched: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)


class JobStore(Protocol):
    """Stores what must survive a crash."""

    async def next_numbers(self, count: int) -> Sequence[int]:
        """``count`` new job numbers, in growing order."""

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        """Journal new jobs and the bytes of their sources; returns once they are safe on disk. Raises
        `StoreUnavailable` or `LeaseLost`; then nothing was accepted."""

    async def record(self, turn: JobTurn) -> None:
        """Journal a turn; returns once it is safe. Waits while the database cannot be reached. Raises
        `LeaseLost`."""

    async def source(self, key: str) -> bytes:
        """The bytes of a source image. Raises KeyError if it is gone."""

    async def backlog(self) -> Backlog:
        """What an earlier process left."""

    async def learned(self) -> Mapping[str, Mapping[str, Learned]]:
        """What runs have taught, by engine and model."""

    async def learn(self, engine: str, model: str, learned: Learned) -> None:
        """Remember what runs have taught. Raises `StoreUnavailable` or `LeaseLost`."""


EngineFactory = Callable[[str], ImageEngine]
"""Makes the engine for one URL."""

SourceReader = Callable[[str], Awaitable[bytes]]
"""Reads a source image's bytes by its key: `JobStore.source`, given to engines."""
