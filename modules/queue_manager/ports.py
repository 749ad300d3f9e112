"""The doors that lead out of the core, and what passes through them.

`ImageEngine` makes pictures, `JobStore` remembers, `PictureDelivery` hands a picture to its owner,
`JobListener` hears what happens. `Clock` is time. Implementations live in other rooms; one test
suite runs over each implementation and its double in ``tests/fakes.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from modules.queue_manager.errors import GenerationError
from modules.queue_manager.jobs import Batch, Job, Picture, Size
from modules.queue_manager.scheduling.batch_limits import Learned


class Clock(Protocol):
    """Time, so that tests need no waiting."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""
        ...

    def unix(self) -> float:
        """Seconds since 1970 by the wall clock, for what is shown or stored."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


# ── the engine ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a living server can do now.

    ``batch_limits`` maps each model the server can run to the most rows it can take in one run; of those
    in ``cautious`` nobody knows how many fit, so they begin with one. ``versions`` names, for each model,
    what its runs depend on (template, node pack, server): what they taught holds for that version.
    ``notes`` are sentences for the operator (what is missing and the mend); ``missing_files`` the model
    files that models lack there, each with the command that fetches it (empty: nobody says from where).
    """

    batch_limits: Mapping[str, int]
    cautious: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """The server began this run (it was waiting before)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgress:
    """``step`` of ``steps`` sampler steps are done. ``step`` 0: a node before the sampler began."""

    step: int
    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPreview:
    """How the picture of the batch's job ``index`` looks so far (JPEG, WebP or PNG)."""

    index: int
    image: bytes


RunEvent = RunStarted | RunProgress | RunPreview


class Run(Protocol):
    """One batch in the hands of one server."""

    @property
    def batch(self) -> Batch:
        """What was submitted."""
        ...

    def events(self) -> AsyncIterator[RunEvent]:
        """What happens, ending when the server is free for the next run.

        Raises a `GenerationError` when the run failed; ends normally when it succeeded. Survives a
        dropped socket by itself. May be iterated once.
        """
        ...

    async def fetch(self, index: int) -> Picture:
        """The picture of job ``index``; to be called once the events have ended. Raises `GenerationError`."""
        ...

    async def withdraw(self, *, interrupt: bool) -> bool:
        """Take the run back out of the server's queue; one that has begun is interrupted only if
        ``interrupt`` says so, and else goes on.

        True if it had not begun: it is gone from the server then. Only this run is touched, never
        another client's. Events of an interrupted run end with an error or normally, whichever comes
        first. Raises `GenerationError` if the server cannot be told.
        """
        ...

    async def running(self) -> bool:
        """Whether the server is at it just now. Raises `GenerationError` if it does not say."""
        ...


class ImageEngine(Protocol):
    """One server that makes pictures."""

    @property
    def name(self) -> str:
        """Host and port (or what else tells it from others), without credentials: for people and logs."""
        ...

    async def probe(self) -> Capabilities:
        """What the server can do now. Raises `EngineUnavailable` (or a child) if it is not there."""
        ...

    async def submit(self, batch: Batch) -> Run:
        """Hand the batch to the server's own queue. Raises `GenerationError`; nothing is queued then."""
        ...

    async def resume(self, batch: Batch) -> Run | None:
        """Follow a run that a former process submitted, or None if the server knows nothing of it."""
        ...

    async def doubtful(self) -> None:
        """Return when there is a reason to ask again whether the server is there: its socket broke."""
        ...

    async def aclose(self) -> None:
        """Let go of sockets. Runs go on at the server."""
        ...


# ── what happened to a job ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """How a job's picture came to be: on which engine, when (Unix seconds), with how many others."""

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
    """``step`` of ``steps`` are done; ``preview`` is the job's own picture so far, if the server shows it;
    ``expected_at`` (Unix seconds) when the picture should be there."""

    job: Job
    step: int
    steps: int
    expected_at: float | None = None
    preview: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeued:
    """The run came to nothing through no fault of the job's; it waits again, in its place."""

    job: Job
    error: GenerationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The picture is here. Delivery comes next. Listeners hear of it with ``picture.data`` empty: the bytes
    are for the store and for delivery alone."""

    job: Job
    picture: Picture
    report: RunReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """The owner has the picture, or it is kept for their next command. ``picture`` is for the store alone,
    as that of `Finished` is."""

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
    """The job ended because its owner or an administrator (``by``), or their leaving, ended it."""

    job: Job
    by: int | None


JobEvent = Queued | Started | Progressed | Requeued | Finished | Delivered | Failed | Cancelled


class JobListener(Protocol):
    """Hears of every job, of each in order. A listener that is slow holds up only itself."""

    async def on_event(self, event: JobEvent) -> None:
        """Take note. An exception is logged and goes no further."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Where a picture went, and the ``size`` of the file, if known. ``where`` kept: nowhere could be posted,
    the store keeps the bytes."""

    where: Literal["channel", "new-channel", "direct-message", "kept"]
    channel_id: int | None = None
    message_id: int | None = None
    size: Size | None = None


class PictureDelivery(Protocol):
    """Hands a picture to its owner. A door of its own, not a listener, because the outcome matters:
    the owner's place in the queue is freed by it."""

    async def deliver(self, finished: Finished) -> Receipt:
        """Post once, also if called again for the same job after a crash (``job.maybe_posted``).

        Falls back until somewhere works; returns ``kept`` when nowhere did. Raises `StoreUnavailable` or
        `LeaseLost`; whether it was posted is not known then.
        """
        ...


# ── the store ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Dispatched:
    """A batch was given to an engine. Written before the engine is asked, so that a crash between
    the two finds the run by its id."""

    batch: Batch
    engine: str


JobTurn = Dispatched | Requeued | Finished | Delivered | Failed | Cancelled
"""What the journal notes of a job's life after acceptance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What a former process left behind: jobs that wait, in their order, and batches that were given
    to an engine (name → batches, in the order of their submission; of each, the jobs that have not
    ended, with their `Batch.rows`)."""

    waiting: tuple[Job, ...] = ()
    dispatched: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)


class JobStore(Protocol):
    """What must survive a crash. The in-memory queue decides; the store only remembers."""

    async def next_numbers(self, count: int) -> Sequence[int]:
        """``count`` growing job numbers that were never given before."""
        ...

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        """Journal new jobs and the bytes of their sources; returns once they are safe on disk.

        Raises `StoreUnavailable` or `LeaseLost`; then nothing was accepted.
        """
        ...

    async def record(self, turn: JobTurn) -> None:
        """Journal a turn; returns once it is safe. Waits out a database that is away; raises `LeaseLost`."""
        ...

    async def source(self, key: str) -> bytes:
        """The bytes of a source image. Raises KeyError if it is gone."""
        ...

    async def backlog(self) -> Backlog:
        """What a former process left behind."""
        ...

    async def learned(self) -> Mapping[str, Mapping[str, Learned]]:
        """What runs have taught, by engine and model."""
        ...

    async def learn(self, engine: str, model: str, learned: Learned) -> None:
        """Remember what runs have taught. Raises `StoreUnavailable` or `LeaseLost`."""
        ...


EngineFactory = Callable[[str], ImageEngine]
"""Makes the engine for one URL."""

SourceReader = Callable[[str], Awaitable[bytes]]
"""Reads a source image's bytes by its key: `JobStore.source`, given to engines."""
