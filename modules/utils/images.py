"""Pictures on their way in and out: checked, turned upright, freed of whatever else they carry.

Foreign bytes are decoded in a process of its own (``image_worker.py``) that may die.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modules.queue_manager.jobs import Picture, Size, Variation

OutputFormat = Literal["png", "webp", "jpeg"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanPicture:
    """An upload after cleaning: upright, sRGB, opaque, pixels only. ``size`` is what a viewer sees."""

    data: bytes
    media_type: str
    size: Size


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnMetadata:
    """What a person's own file may say about itself (``METADATA=own``)."""

    prompt: str
    seed: int
    model: str
    size: Size
    negative: str = ""
    steps: int | None = None
    variation: Variation | None = None


class PictureCleaner:
    """Cleans pictures. The worker process starts with the first upload and ends when it is idle."""

    def __init__(
        self,
        *,
        max_bytes: int = 16_000_000,
        max_pixels: int = 50_000_000,
        seconds: float = 10.0,
        memory_mb: int = 1024,
        idle_seconds: float = 30.0,
    ) -> None:
        raise NotImplementedError

    async def clean(self, data: bytes) -> CleanPicture:
        """An upload's pixels, and nothing else. Raises `BadSourceImage`."""
        raise NotImplementedError

    async def present(
        self,
        picture: Picture,
        *,
        metadata: OwnMetadata | None,
        output_format: OutputFormat,
        max_bytes: int,
    ) -> Picture:
        """The engine's picture as its owner gets it: nothing in it but pixels and ``metadata``.

        In ``output_format`` unless it would exceed ``max_bytes``: then as WebP, then smaller. Raises
        `NoOutput` for bytes that are no picture.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """End the worker process."""
        raise NotImplementedError
