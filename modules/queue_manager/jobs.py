"""The nouns of the queue: what somebody asked for, what runs together, what came out.

Everything here is frozen and made of plain values, so that it can be logged, stored, compared and
sent without knowing anyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

JobId = NewType("JobId", str)
"""32 hexadecimal digits (a random UUID without hyphens). Fits a button's ``custom_id``."""

Kind = Literal["imagine", "edit", "upscale"]
"""What a model does: a picture from words, from words and pictures, or a larger picture."""

NegativeUse = Literal["none", "own", "shared"]
"""Whether a model reads a negative prompt: not at all, each row of a batch its own, or one a batch."""

MAX_SEED = 2**53 - 1
"""Largest integer a Discord option can carry, so that a shown seed can be typed back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """A second noise mixed into the first one: ``strength`` 0 is the first alone, 1 the second alone."""

    seed: int
    strength: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceImage:
    """A picture that an edit starts from. Its bytes lie in the `JobStore` under ``key`` until the job ends.

    ``size`` is what a viewer sees (EXIF rotation applied).
    """

    key: str
    size: Size


MOST_MODELS = 6
"""Of the models that a picture went through, so many are remembered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the first picture that a request starts from came from.

    ``models``: the last models it went through, the oldest first; ``request``: what made what it shows, where
    the new picture shows the same (an upscale). That one starts from no such request itself.
    """

    models: tuple[str, ...]
    request: GenerationRequest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """All that matters about one picture somebody wants.

    ``channel_id`` is the session channel where the result belongs; ``size`` the size of the result
    (for edits: of the scaled first source, see `ModelOffer.result_size`); ``tier`` the priority
    (0 is everybody, higher goes first); ``locale`` a Discord locale such as ``es-ES``;
    ``age_restricted``: what it starts from, or its model, is for adults only, and so is what comes of it;
    ``origin``: where what it starts from came from, if that was here.
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

    @property
    def maker(self) -> GenerationRequest:
        """What made what the picture shows: of an upscaled one, the request that it goes back to."""
        before = self.origin.request if self.origin is not None else None
        return self if before is None else before

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the picture went through, the oldest first."""
        return (*(self.origin.models if self.origin is not None else ()), self.model)

    def as_origin(self, kind: Kind) -> Origin:
        """What a request of this kind remembers that starts from this one's picture."""
        return Origin(models=self.models[-MOST_MODELS:], request=self.maker if kind == "upscale" else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchKey:
    """What must be equal for two jobs to share one sampler run.

    ``model`` is the id of its offer; ``negative`` is None where each row may have its own; ``sources``
    holds the scaled sizes of the pictures an edit starts from, in order.
    """

    model: str
    kind: Kind
    size: Size
    negative: str | None = None
    sources: tuple[Size, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One accepted request. ``number`` never repeats and grows with acceptance; it is shown to people.

    ``queued_at`` is in Unix seconds. ``attempts`` counts the runs that were begun for it and came to
    nothing through no fault of its own. ``maybe_posted`` is set on a job that a former process may
    already have delivered: look before posting.
    """

    id: JobId
    number: int
    request: GenerationRequest
    key: BatchKey
    queued_at: float
    attempts: int = 0
    maybe_posted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Jobs of one key that run as one. ``id`` is a canonical lower-case UUID and ComfyUI's ``prompt_id``.

    ``rows`` tells which row of the run each job has, where that is not simply its place among
    ``jobs``: what is left of a former process's batch holds the jobs that still live. ``fused`` is false
    where the model's own graph is to be run as it is, for the one job that the batch then has.
    """

    id: str
    key: BatchKey
    jobs: tuple[Job, ...]
    rows: tuple[int, ...] = ()
    fused: bool = True

    def row(self, index: int) -> int:
        """The row of the run in which the picture of job ``index`` is made."""
        return self.rows[index] if self.rows else index

    def written(self) -> tuple[str, ...]:
        """What people wrote for it, which is repeated to nobody else."""
        return tuple(text for job in self.jobs for text in (job.request.prompt, job.request.negative))


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An encoded picture as it came from the engine, for one job. ``media_type`` is such as ``image/png``."""

    data: bytes
    media_type: str
    size: Size


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOffer:
    """What can be asked of one model, made of its card: plain values that any room may read.

    ``version`` tells it from what was offered under the same name before, while this process runs;
    ``description`` maps a language (``en``, ``es``) to what the model is good at; ``source_count``
    is the least and the most number of pictures it starts from; ``source_megapixels`` what a source
    is scaled to (1 = 1024² pixels; None: not scaled) and ``size_multiple`` what sides are rounded
    to; ``upscale`` the factor by which the result's sides exceed the source's; ``max_batch`` the
    most rows the card allows in one run (None: the server decides). Models of equal ``weights`` load
    the same files, so that going from one to the other costs no loading (empty: its own name).
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
    source_megapixels: float | None = None
    size_multiple: int = 16
    upscale: float = 1.0
    max_batch: int | None = None
    nsfw: bool = False
    weights: str = ""
    version: str = ""

    @property
    def id(self) -> str:
        """The name under which engines and batches know it."""
        return f"{self.name}@{self.version}" if self.version else self.name

    def scaled(self, source: Size) -> Size:
        """The size to which ``source`` is brought before the model sees it.

        The arithmetic is that of ComfyUI's ImageScaleToTotalPixels (resolution_steps 1) followed by
        the latent's rounding down to ``size_multiple``.
        """
        if self.source_megapixels is None:
            return source
        factor = (self.source_megapixels * 1024 * 1024 / (source.width * source.height)) ** 0.5
        return Size(width=round(source.width * factor), height=round(source.height * factor))

    def result_size(self, source: Size) -> Size:
        """The size of the picture that comes out when ``source`` goes in."""
        scaled, step = self.scaled(source), self.size_multiple
        if self.kind == "upscale":
            return Size(width=int(scaled.width * self.upscale), height=int(scaled.height * self.upscale))
        return Size(
            width=max(step, scaled.width // step * step),
            height=max(step, scaled.height // step * step),
        )


def batch_key(request: GenerationRequest, offer: ModelOffer) -> BatchKey:
    """The key under which ``request`` may share a run."""
    return BatchKey(
        model=offer.id,
        kind=request.kind,
        size=request.size,
        negative=request.negative if offer.negative == "shared" else None,
        sources=tuple(offer.scaled(source.size) for source in request.sources),
    )
