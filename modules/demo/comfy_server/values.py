"""What travels along a graph's links: descriptions of tensors, cheap to make, drawn only when saved."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from modules.demo.comfy_server.marks import mark_of
from modules.demo.comfy_server.pictures import picture_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Painting:
    """A picture that a sampler made. ``sources`` are what it was edited from, if anything."""

    prompt: str
    seed: int
    size: tuple[int, int]
    sources: tuple[Recipe, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """A picture that was uploaded (RGB, EXIF rotation applied), by the digest of its pixels."""

    pixels: bytes
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """Another picture at another size."""

    base: Painting | Photo
    size: tuple[int, int]


Recipe = Painting | Photo | Scaled


def scaled(recipe: Recipe, size: tuple[int, int]) -> Recipe:
    """``recipe`` brought to ``size``."""
    base = recipe.base if isinstance(recipe, Scaled) else recipe
    return base if base.size == size else Scaled(base=base, size=size)


def render(recipe: Recipe) -> Image.Image:
    """The picture itself. Takes tens of milliseconds: to be called in a thread."""
    if isinstance(recipe, Scaled):
        return render(recipe.base).resize(recipe.size, Image.Resampling.BILINEAR)
    if isinstance(recipe, Photo):
        return Image.frombytes("RGB", recipe.size, recipe.pixels)
    source = side_by_side([render(source) for source in recipe.sources]) if recipe.sources else None
    return picture_of(recipe.prompt, recipe.seed, recipe.size, source)


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


def mark_in(recipe: Recipe) -> int:
    """The mark that the picture will carry (0 for an uploaded one)."""
    base = recipe.base if isinstance(recipe, Scaled) else recipe
    return mark_of(base.prompt, base.seed) if isinstance(base, Painting) else 0


def mixed_seed(*parts: str | float) -> int:
    """The seed that stands for noise mixed of several: a place in a batch, or a variation's strength."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")


# ── values of links ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A diffusion model by its file. ``fused_for`` are the prompts whose unequal lengths it handles; with
    ``mixing`` it has a patch that lets the rows of a batch change each other."""

    file: str
    fused_for: tuple[str, ...] | None = None
    mixing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A CLIP, a VAE or an upscale model, by its file."""

    kind: str
    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """Prompts, one a row. ``references`` are the pictures of ReferenceLatent nodes, each a batch."""

    prompts: tuple[str, ...]
    references: tuple[tuple[Recipe, ...], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Latent:
    """A batch of ``size`` pixels each: empty rows (None) or pictures."""

    size: tuple[int, int]
    rows: tuple[Recipe | None, ...]


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
    """A schedule of ``steps`` steps."""

    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Guider:
    """What steers the sampler."""

    model: Model
    positive: Conditioning
    negative: Conditioning | None = None


def with_reference(conditioning: Conditioning, latent: Latent) -> Conditioning:
    """``conditioning`` with one more reference picture a row."""
    rows = tuple(row for row in latent.rows if row is not None)
    return replace(conditioning, references=(*conditioning.references, rows))
