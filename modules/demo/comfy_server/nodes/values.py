"""What travels along a graph's links: descriptions of tensors, cheap to make, drawn only when saved.

``made`` and ``making`` describe in words how a value came about. The node pack's nodes are described as the
stock nodes that they stand for, so that a picture of a fused run is the picture of its request alone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from modules.demo.comfy_server.drawing.marks import NoMark, mark_of, mark_of_making, read_mark, stamp
from modules.demo.comfy_server.drawing.pictures import picture_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Painting:
    """A picture that a sampler made. ``sources`` are what it was edited from, if anything; ``start`` is what
    the sampler started from, with a denoise of ``strength``; ``making`` is all that made it besides prompt,
    seed and size."""

    prompt: str
    seed: int
    size: tuple[int, int]
    sources: tuple[Recipe, ...] = ()
    start: Recipe | None = None
    strength: float = 1.0
    making: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """A picture that was uploaded (RGB, EXIF rotation applied), by the digest of its pixels."""

    pixels: bytes
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mask:
    """Grey pixels, one byte each."""

    pixels: bytes
    size: tuple[int, int]

    def __str__(self) -> str:
        return hashlib.blake2b(self.pixels, digest_size=8).hexdigest()

    @property
    def image(self) -> Image.Image:
        return Image.frombytes("L", self.size, self.pixels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Composite:
    """One picture over another of equal size, where a mask is white."""

    over: Recipe
    under: Recipe
    mask: Mask

    @property
    def size(self) -> tuple[int, int]:
        return self.under.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """Another picture at another size. ``making`` tells each way it was scaled and where it led."""

    base: Painting | Photo | Composite
    size: tuple[int, int]
    making: str


Recipe = Painting | Photo | Composite | Scaled


def scaled(recipe: Recipe, size: tuple[int, int], way: str) -> Recipe:
    """``recipe`` brought to ``size`` by ``way``: an interpolation's name, an upscaler's file."""
    if recipe.size == size:
        return recipe
    base, former = (recipe.base, recipe.making) if isinstance(recipe, Scaled) else (recipe, "")
    return Scaled(base=base, size=size, making=f"{former} > {way} to {size[0]}×{size[1]}")


def decoded(recipe: Recipe, by: str) -> Recipe:
    """``recipe`` with ``by`` added to what made it; an uploaded picture or a composite stays what it is."""
    if isinstance(recipe, Photo | Composite):
        return recipe
    return replace(recipe, making=f"{recipe.making} > {by}")


def identity(recipe: Recipe) -> str:
    """A digest of all that ``recipe`` came of, as text."""
    if isinstance(recipe, Photo):
        parts: tuple[Any, ...] = (recipe.size, hashlib.blake2b(recipe.pixels).hexdigest())
    elif isinstance(recipe, Composite):
        parts = (identity(recipe.over), identity(recipe.under), str(recipe.mask))
    elif isinstance(recipe, Scaled):
        parts = (recipe.size, identity(recipe.base), recipe.making)
    else:
        parts = (recipe.size, recipe.prompt, recipe.seed, recipe.making)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def render(recipe: Recipe) -> Image.Image:
    """The picture itself, with its marks unless it is an unchanged upload. Takes tens of milliseconds: to be
    called in a thread."""
    image = _drawn(recipe)
    if isinstance(recipe, Scaled) and min(recipe.size) >= 40:
        return stamp(image, *marks_in(recipe))
    return image


def _drawn(recipe: Recipe) -> Image.Image:
    if isinstance(recipe, Scaled):
        return _drawn(recipe.base).resize(recipe.size, Image.Resampling.BILINEAR)
    if isinstance(recipe, Photo):
        return Image.frombytes("RGB", recipe.size, recipe.pixels)
    if isinstance(recipe, Composite):
        return composed(render(recipe.over), recipe)
    source = side_by_side([_drawn(source) for source in recipe.sources]) if recipe.sources else None
    start = None if recipe.start is None else (_drawn(recipe.start), recipe.strength)
    return picture_of(recipe.prompt, recipe.seed, recipe.size, source, start, making=recipe.making)


def composed(over: Image.Image, recipe: Composite) -> Image.Image:
    """The picture ``over``, drawn already, and what lies under it."""
    return Image.composite(over, render(recipe.under), recipe.mask.image)


def side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a row, as high as the first."""
    height = images[0].height
    scaled_images = [
        image.resize((max(1, round(image.width * height / image.height)), height)) for image in images
    ]
    row = Image.new("RGB", (sum(image.width for image in scaled_images), height))
    left = 0
    for image in scaled_images:
        row.paste(image, (left, 0))
        left += image.width
    return row


def photo_of(image: Image.Image) -> Photo:
    """A picture in memory as a value."""
    rgb = image.convert("RGB")
    return Photo(pixels=rgb.tobytes(), size=rgb.size)


def encode(image: Image.Image, kind: str, quality: int = 90) -> bytes:
    """``image`` as a PNG, WebP or JPEG file without any metadata."""
    buffer = io.BytesIO()
    if kind == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, kind.upper(), quality=quality)
    return buffer.getvalue()


def marks_in(recipe: Recipe) -> tuple[int, int]:
    """The marks that the picture will carry. An uploaded picture or a composite keeps the mark that says
    whose it is, if it has one."""
    base = recipe.base if isinstance(recipe, Scaled) else recipe
    making = mark_of_making(
        base.making if recipe is base and isinstance(base, Painting) else identity(recipe)
    )
    if isinstance(base, Painting):
        return mark_of(base.prompt, base.seed), making
    try:
        return read_mark(_drawn(base)), making
    except NoMark:
        return 0, making


def mixed_seed(*parts: str | float) -> int:
    """The seed that stands for noise mixed of several: a place in a batch, or a variation's strength."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")


# ── values of links ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A diffusion model by its file, and by all that was done to it. ``fused_for`` are the prompts whose
    unequal lengths it handles; with ``mixing`` it has a patch that lets the rows of a batch change each
    other."""

    file: str
    made: str
    fused_for: tuple[str, ...] | None = None
    mixing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A CLIP, a VAE or an upscale model, by its file, and by all that was done to it."""

    kind: str
    file: str
    made: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """Prompts, one per row. ``references`` are the pictures of ReferenceLatent nodes, each a batch; ``apart``
    are the conditionings that this one was joined from, one per row."""

    prompts: tuple[str, ...]
    made: str
    references: tuple[tuple[Recipe, ...], ...] = ()
    apart: tuple[Conditioning, ...] = ()

    def row(self, index: int) -> str:
        """What row ``index`` holds, in words."""
        if self.apart:
            return self.apart[index % len(self.apart)].row(0) + self.made
        seen = [identity(batch[index % len(batch)]) for batch in self.references]
        return repr((self.prompts[index % len(self.prompts)], self.made, seen))


def joined(rows: Sequence[Conditioning]) -> Conditioning:
    """What was made for each person, as one."""
    references = zip(*(each.references for each in rows), strict=True)
    return Conditioning(
        prompts=tuple(each.prompts[0] for each in rows),
        made="",
        references=tuple(tuple(batch[0] for batch in column) for column in references),
        apart=tuple(rows),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Latent:
    """A batch of ``size`` pixels each: empty rows (None) or pictures; ``masks``: one per row, or none."""

    size: tuple[int, int]
    rows: tuple[Recipe | None, ...]
    masks: tuple[Mask, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """A batch of pictures."""

    rows: tuple[Recipe, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the first."""
        return self.rows[0].size


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """``own`` holds one seed for each row; else the whole batch is drawn from ``seed``, so that only the
    first row is what that seed gives alone."""

    seed: int = 0
    own: tuple[int, ...] | None = None

    def row(self, index: int) -> int:
        """The seed that row ``index`` amounts to."""
        if self.own is not None:
            return self.own[index]
        return self.seed if index == 0 else mixed_seed(self.seed, index)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampler:
    """A sampler by name. ``own`` are the seeds of each row's own step noise."""

    name: str
    own: tuple[int, ...] | None = None

    @property
    def noisy(self) -> bool:
        """Whether it draws noise at each step."""
        return any(part in self.name for part in ("ancestral", "sde", "seeds_", "lcm", "ddpm", "sa_solver"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sigmas:
    """A schedule of ``steps`` steps, over the last ``denoise`` of the noise levels."""

    steps: int
    made: str
    denoise: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Guider:
    """What steers the sampler: conditionings by their roles, and the scales of guidance between them."""

    model: Model
    positive: Conditioning
    others: tuple[Conditioning, ...] = ()
    scale: str = "1.0"

    def row(self, index: int) -> str:
        """What steers row ``index``, in words."""
        return repr(
            (
                self.model.made,
                self.scale,
                [each.row(index) for each in (self.positive, *self.others)],
            )
        )


def guided(model: Model, positive: Conditioning, negative: Conditioning, cfg: float) -> Guider:
    """Classifier-free guidance. At a scale of 1 the negative side is not even computed."""
    others = () if cfg == 1 else (negative,)
    return Guider(model=model, positive=positive, others=others, scale=repr(float(cfg)))


def told(node: str, inputs: Mapping[str, Any]) -> str:
    """A node by its class and by what is written in it, in words."""
    written = {k: v for k, v in sorted(inputs.items()) if isinstance(v, str | int | float)}
    return f"{node}({', '.join(f'{name}={value!r}' for name, value in written.items())})"


def with_reference(conditioning: Conditioning, latent: Latent) -> Conditioning:
    """``conditioning`` with one more reference picture per row."""
    rows = tuple(row for row in latent.rows if row is not None)
    return replace(conditioning, references=(*conditioning.references, rows))
