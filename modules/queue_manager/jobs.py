"""The nouns of the queue: what somebody asked for, what runs together, what came out. Frozen plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, NewType

JobId = NewType("JobId", str)
"""32 hexadecimal digits (a random UUID without hyphens). Fits a button's ``custom_id``."""

Kind = Literal["imagine", "edit", "upscale"]
"""What a model does: a picture from words, from words and pictures, or a larger picture."""

MaskUse = Literal["none", "may", "best", "must"]
"""Whether a model can paint only a part of a picture: not at all, it can, it was made for it, or it does
nothing else."""

NegativeUse = Literal["none", "own", "shared"]
"""Whether a model uses a negative prompt: not at all, one for each row of a batch, or one for the batch."""

JobState = Literal["waiting", "taken", "running", "arriving"]
"""Where an active job stands, kept on its entry in the fair queue: ``waiting`` there; ``taken`` by a server
that has not begun it; ``running``; or ``arriving``: made, and on its way to its owner."""

START_STEP = 0.05
"""The smallest strength of a start picture, and the step between strengths: equal ones share runs."""

MAX_SEED = 2**53 - 1
"""Largest integer of a Discord option, so that a shown seed can be typed in again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def work(self) -> float:
        """About how many times as long a sampler step takes as at 1024×1024: in proportion to the pixels.
        Smaller pictures are not much faster, since they leave a part of the GPU unused."""
        return max(self.width * self.height / 2**20, 1.0)

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """A second noise mixed into the first: ``strength`` 0 is the first alone, 1 the second alone."""

    seed: int
    strength: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceImage:
    """A picture that a request starts from, or its mask. The `JobStore` has its bytes under ``key`` until the
    job ends. ``size`` is what a viewer sees (EXIF rotation applied)."""

    key: str
    size: Size


PROMPT_MARK = "{prompt}"
"""The placeholder in a style for what a person typed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """Words around a prompt: ``prompt`` has `PROMPT_MARK` exactly once. ``name`` is its entry in
    ``styles.toml``; ``label`` maps a language (``en``, ``es``) to what people read."""

    name: str
    label: tuple[tuple[str, str], ...]
    prompt: str
    negative: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraUse:
    """A LoRA, as it is used for a picture. ``name`` is its entry in ``loras.toml``; ``file`` what servers
    call it, with ``/`` between folders; ``clip``: it changes the text encoder too; ``words`` are added to the
    prompt."""

    name: str
    label: str
    file: str
    strength: float
    clip: bool = False
    words: str = ""


MOST_MODELS = 6
"""How many of the models that a picture went through are remembered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the first picture that a request starts from came from.

    ``models``: the last models it went through, the oldest first; ``request``: for an upscale, the request
    that made the original picture.
    """

    models: tuple[str, ...]
    request: GenerationRequest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSet:
    """``count`` pictures that were asked for at once, and are shown together. ``id`` is like a job's."""

    id: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """One picture that somebody wants.

    ``prompt`` and ``negative`` are what the person typed; ``channel_id`` is the session channel for the
    result; ``size`` the size of the result (for edits: of the scaled first source, see
    `ModelOffer.result_size`); ``tier`` the priority (0 is everybody, higher goes first); ``locale`` a Discord
    locale such as ``es-ES``; ``age_restricted``: its source or its model is for adults only, and so is the
    result; ``origin``: where its source came from, if the bot made it; ``set``: the pictures that were asked
    for with it, whose numbers are next to its own; ``style`` has a negative only if its model takes one from
    each person.

    With ``strength`` or ``mask``, the first of ``sources`` has exactly the size of the result, and the
    sampler starts from it. ``strength``: how much of it becomes noise first, in steps of `START_STEP`;
    None: as much as in the model's graph. ``mask`` is of that size too, in grey: white is painted again,
    black stays as it is, and grey is the seam, where both are mixed.
    """

    user_id: int
    guild_id: int
    channel_id: int
    locale: str
    kind: Kind
    model: str
    prompt: str
    size: Size
    seed: int
    negative: str = ""
    variation: Variation | None = None
    sources: tuple[SourceImage, ...] = ()
    tier: int = 0
    age_restricted: bool = False
    origin: Origin | None = None
    set: PictureSet | None = None
    lora: LoraUse | None = None
    style: Style | None = None
    strength: float | None = None
    mask: SourceImage | None = None

    @property
    def starts(self) -> bool:
        """Whether the sampler starts from a picture of the result's size."""
        return self.strength is not None or self.mask is not None

    @property
    def inputs(self) -> tuple[SourceImage, ...]:
        """All pictures that it needs: what it starts from, and the mask."""
        return (*self.sources, *((self.mask,) if self.mask is not None else ()))

    @property
    def full_prompt(self) -> str:
        """The prompt that the model gets: what was typed, in its style, then the words of the LoRA."""
        before, mark, after = (self.style.prompt if self.style is not None else "").partition(PROMPT_MARK)
        styled = f"{before}{self.prompt}{after}" if mark else self.prompt
        words = self.lora.words if self.lora is not None else ""
        return f"{styled}, {words}" if words else styled

    @property
    def full_negative(self) -> str:
        """The negative prompt that the model gets: what was typed, then that of the style."""
        return ", ".join(filter(None, (self.negative, self.style.negative if self.style is not None else "")))

    @property
    def maker(self) -> GenerationRequest:
        """The request that made what the picture shows: for an upscale, the original one."""
        before = self.origin.request if self.origin is not None else None
        return self if before is None else before

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the picture went through, the oldest first."""
        return (*(self.origin.models if self.origin is not None else ()), self.model)

    def as_origin(self, kind: Kind) -> Origin:
        """The origin of a request of this kind that starts from this one's picture."""
        return Origin(models=self.models[-MOST_MODELS:], request=self.maker if kind == "upscale" else None)


class Need(NamedTuple):
    """What a server must have for a job: a model, by the id of its offer, and a LoRA's file (empty: none)."""

    model: str
    lora: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchKey:
    """What must be equal for two jobs to share one sampler run.

    ``model`` is the id of its offer; ``negative`` is None where each row may have its own; ``sources``
    holds the scaled sizes of the pictures an edit starts from, in order; ``strength`` as in the request;
    ``masked``: each has a mask.
    """

    model: str
    kind: Kind
    size: Size
    negative: str | None = None
    sources: tuple[Size, ...] = ()
    lora: LoraUse | None = None
    strength: float | None = None
    masked: bool = False

    @property
    def need(self) -> Need:
        """What a server must have."""
        return Need(self.model, self.lora.file if self.lora is not None else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One accepted request. ``number`` never repeats and grows with acceptance; it is shown to people.

    ``queued_at`` is in Unix seconds. ``attempts`` counts submissions that failed, and runs that began and
    failed, without the job being to blame. ``maybe_posted``: it may already have been delivered, so look
    before posting.
    """

    id: JobId
    number: int
    request: GenerationRequest
    key: BatchKey
    queued_at: float
    attempts: int = 0
    maybe_posted: bool = False

    @property
    def group(self) -> str:
        """What is the same for all that is shown together: the id of its set, or its own."""
        return self.id if self.request.set is None else self.request.set.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Jobs of one key that run as one. ``id`` is a canonical lower-case UUID and ComfyUI's ``prompt_id``.

    ``rows`` is the row of each job in the run, if that differs from its place in ``jobs``: a batch of an
    earlier process has only the jobs that have not ended. ``fused`` is false if the model's own graph runs as
    it is, for a single job.
    """

    id: str
    key: BatchKey
    jobs: tuple[Job, ...]
    rows: tuple[int, ...] = ()
    fused: bool = True

    @property
    def shared(self) -> bool:
        """Whether the run may have more than one row: cancelled jobs stay in it, and an earlier process's
        batch no longer names those that have ended."""
        return len(self.jobs) > 1 or bool(self.rows)

    def row(self, index: int) -> int:
        """The row of the run in which the picture of job ``index`` is made."""
        return self.rows[index] if self.rows else index

    def written(self) -> tuple[str, ...]:
        """What people wrote for it, which is never shown to others."""
        return tuple(
            text for job in self.jobs for text in (job.request.full_prompt, job.request.full_negative)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One job's encoded picture as it came from the engine. ``media_type`` is ``image/png`` or the like."""

    data: bytes
    media_type: str
    size: Size


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """How a picture is scaled. With ``shapes``: to the one whose proportions are nearest to its own.
    Otherwise it keeps its proportions, and its longer side becomes ``longest``, or it gets about ``pixels``
    in all; both sides are multiples of ``step``."""

    shapes: tuple[Size, ...] = ()
    longest: int = 0
    pixels: float = 0.0
    step: int = 1

    def of(self, source: Size) -> Size:
        """The size that a picture of the size ``source`` gets."""
        width, height = source.width, source.height
        if self.shapes:
            return min(self.shapes, key=lambda shape: abs(width / height - shape.width / shape.height))
        by = self.longest / max(width, height) if self.longest else (self.pixels / (width * height)) ** 0.5
        steps = round(width * by / self.step), round(height * by / self.step)
        return Size(width=steps[0] * self.step, height=steps[1] * self.step)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOffer:
    """What one model can do, from its card.

    ``version`` tells it from what was offered under the same name before, while this process runs;
    ``description`` maps a language (``en``, ``es``) to what the model is good at; ``source_count`` is the
    smallest and the largest number of pictures it starts from; ``scalings`` how each of them is scaled (None:
    not at all) and ``size_multiple`` what the sides of the result are rounded to; ``upscale`` the factor by
    which the result's sides exceed the source's; ``max_batch`` the most rows the card allows in one run
    (None: the server decides); ``starts``: it can start from a picture with a strength; ``masks``: whether it
    can paint a part of one. Models of equal ``weights`` load the same files, so that going from one to the
    other costs no loading (empty: its own name).
    """

    name: str
    label: str
    kind: Kind
    description: tuple[tuple[str, str], ...]
    sizes: tuple[Size, ...]
    default_size: Size
    steps: int
    negative: NegativeUse = "none"
    source_count: tuple[int, int] = (0, 0)
    scalings: tuple[Scaling | None, ...] = ()
    size_multiple: int = 16
    upscale: float = 1.0
    max_batch: int | None = None
    nsfw: bool = False
    weights: str = ""
    version: str = ""
    starts: bool = False
    masks: MaskUse = "none"

    @property
    def id(self) -> str:
        """The name under which engines and batches know it."""
        return f"{self.name}@{self.version}" if self.version else self.name

    def scaled(self, source: Size, position: int = 0) -> Size:
        """The size to which the source at ``position`` is brought before the model sees it."""
        scaling = self.scalings[position] if position < len(self.scalings) else None
        return source if scaling is None else scaling.of(source)

    def result_size(self, source: Size) -> Size:
        """The size of the result for ``source``; the latent rounds sides down to ``size_multiple``."""
        scaled, step = self.scaled(source), self.size_multiple
        if self.kind == "upscale":
            return Size(width=int(scaled.width * self.upscale), height=int(scaled.height * self.upscale))
        return Size(
            width=max(step, scaled.width // step * step),
            height=max(step, scaled.height // step * step),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What the runs of one model on one engine have taught. It survives a restart.

    ``version`` names the template, node pack and server of those runs; ``rows`` is the most rows to try now
    (None: as many as the engine says); ``proven`` the most that ever succeeded; ``patience`` how many full
    batches must succeed before one row more is tried; ``why_alone`` why the model is not fused there (None:
    it is); ``durations`` how long its runs took, as `DurationBook` writes it.
    """

    version: str = ""
    rows: int | None = None
    proven: int = 0
    patience: int = 1
    why_alone: str | None = None
    durations: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionCheck:
    """What ``check --fusion`` last found about one model on one engine. It survives a restart.

    ``version`` as that of `Learned`; ``checked_at`` in Unix seconds; ``gain``: how many times as fast
    pictures are made in batches of ``rows`` as alone (0 and 0: not measured); ``why_alone`` why the model is
    not fused there until it is checked again (None: it is).
    """

    version: str
    checked_at: float
    gain: float = 0.0
    rows: int = 0
    why_alone: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Elastic:
    """How an engine that is not your own GPU, and may cost money, is used: up to ``slots`` runs at once, with
    one picture each, for jobs that would wait longer than ``after`` seconds for your own GPUs (0: for any job
    that these do not take first)."""

    slots: int
    after: float


def batch_key(request: GenerationRequest, offer: ModelOffer) -> BatchKey:
    """The key under which ``request`` may share a run."""
    return BatchKey(
        model=offer.id,
        kind=request.kind,
        size=request.size,
        negative=request.negative if offer.negative == "shared" else None,
        sources=tuple(offer.scaled(source.size, n) for n, source in enumerate(request.sources)),
        lora=request.lora,
        strength=request.strength,
        masked=request.mask is not None,
    )
