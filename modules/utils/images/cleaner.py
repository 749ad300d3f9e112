"""Cleans pictures: nothing but the picture stays in the file. Uploads are decoded in a separate process
(``worker.py``), which may die of them; the engine's pictures mostly keep their pixels, and only the file
around these is rewritten (``files.py``)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import InitVar, dataclass
from typing import Any, ClassVar, Literal

from modules.queue_manager.errors import BadMask, BadSourceImage, NoOutput
from modules.queue_manager.jobs import Picture, Size
from modules.utils.images.files import NotRewritable, rewrite
from modules.utils.images.media_types import media_type
from modules.utils.images.metadata import OwnMetadata
from modules.utils.images.process import ImageProcess, WorkerDied

log = logging.getLogger(__name__)

OutputFormat = Literal["png", "webp", "jpeg"]

Extension = float | Literal["left", "up", "right", "down"]
"""Room to paint in: around a picture that becomes this many times smaller, or on one side."""

MAX_PIXELS = 50_000_000
"""Uploads with more are not decoded."""

METADATA_ROOM = 1_000
"""Bytes left free around the metadata when a picture is made to fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanPicture:
    """A cleaned upload: upright, sRGB, opaque, pixels only. ``size`` is what a viewer sees; ``holed``: it was
    a PNG with a transparent part."""

    data: bytes
    media_type: str
    size: Size
    holed: bool = False


@dataclass(kw_only=True, eq=False)
class PictureCleaner:
    """Cleans pictures. Worker processes start when they are needed and end when they are idle. Pictures of
    more than ``keep_pixels`` are scaled down, uploads of more than ``keep_bytes`` become JPEGs. A worker has
    ``seconds`` for one upload, three times as long for an engine's picture, which is lost otherwise, and an
    address space of ``memory_mb``."""

    keep_pixels: int = 4096 * 4096
    keep_bytes: int = 8_000_000
    seconds: float = 10.0
    memory_mb: int = 900
    idle_seconds: float = 30.0
    processes: InitVar[int] = 2
    max_bytes: ClassVar = 16_000_000
    """Larger uploads are not read."""

    def __post_init__(self, processes: int) -> None:
        self._free: list[ImageProcess] = []
        self._places = asyncio.Semaphore(processes)
        self._resting: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def clean(self, data: bytes) -> CleanPicture:
        """The upload's pixels and nothing else. Raises `BadSourceImage`."""
        self._check(data)
        answer, pixels = await self._cleaned({"do": "clean"}, data)
        size = Size(**answer["size"])
        return CleanPicture(data=pixels, media_type=answer["media_type"], size=size, holed=answer["holed"])

    async def cut(self, data: bytes, mask: bytes = b"") -> tuple[CleanPicture, CleanPicture | None]:
        """A picture without loss, and its mask as `GenerationRequest` has one: from the upload ``mask``, in
        which white or transparent means: paint here, else from the picture's transparent part; None if there
        is none. Raises `BadSourceImage` and `BadMask`."""
        for upload in filter(None, (data, mask)):
            self._check(upload)
        return await self._parts({"do": "cut"}, data, mask)

    async def fit(
        self, picture: CleanPicture, mask: CleanPicture | None, size: Size
    ) -> tuple[CleanPicture, CleanPicture | None]:
        """Both scaled to cover ``size``, and cut to it. Raises `BadSourceImage` and `BadMask`."""
        header = {"do": "fit", "width": size.width, "height": size.height}
        return await self._parts(header, picture.data, b"" if mask is None else mask.data)

    async def extend(self, data: bytes, how: Extension) -> tuple[CleanPicture, CleanPicture | None]:
        """A picture of the same size with room to paint in, and the mask of this room. Either the old picture
        is ``how`` times smaller in the middle, or its half on the side ``how`` has moved to the other side.
        Raises `BadSourceImage`, and `BadMask` for a strip of which nothing could stay."""
        self._check(data)
        return await self._parts({"do": "extend", "how": how}, data)

    async def _parts(
        self, header: dict[str, Any], data: bytes, mask: bytes = b""
    ) -> tuple[CleanPicture, CleanPicture | None]:
        answer, both = await self._cleaned({**header, "mask_bytes": len(mask)}, data + mask)
        start, size = len(both) - answer["mask_bytes"], Size(**answer["size"])
        pictures = [
            CleanPicture(data=part, media_type=answer["media_type"], size=size)
            for part in (both[:start], both[start:])
        ]
        return pictures[0], pictures[1] if pictures[1].data else None

    def _check(self, data: bytes) -> None:
        if len(data) > self.max_bytes:
            raise BadSourceImage("too-many-bytes", megabytes=self.max_bytes / 1_000_000)
        if media_type(data) is None:
            raise BadSourceImage("not-image")

    async def _cleaned(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            pictures = 2 if header.get("mask_bytes") else 1
            answer, pixels = await self._ask(header, payload, pictures * self.seconds)
        except asyncio.TimeoutError:
            raise BadSourceImage("took-too-long") from None
        except WorkerDied:
            raise BadSourceImage("not-image") from None
        problem = answer.get("problem", "")
        if problem.startswith("mask-"):
            raise BadMask(problem.removeprefix("mask-"))
        if problem:
            raise BadSourceImage(problem, megapixels=MAX_PIXELS / 1_000_000)
        return answer, pixels

    async def present(
        self,
        picture: Picture,
        *,
        metadata: OwnMetadata | None,
        output_format: OutputFormat,
        max_bytes: int,
    ) -> Picture:
        """The engine's picture for its owner: nothing but pixels and ``metadata``. In ``output_format``
        unless that exceeds ``max_bytes``: then as WebP, if need be smaller, as the result's ``media_type``
        and ``size`` say. Raises `NoOutput` for bytes that are not a picture."""
        if media_type(picture.data) == f"image/{output_format}":
            try:
                data, size = await asyncio.to_thread(rewrite, picture.data, metadata)
            except NotRewritable as error:
                log.debug("Encoding a picture again: %s", error)
            else:
                if len(data) <= max_bytes:
                    return Picture(data=data, media_type=f"image/{output_format}", size=size)
        texts = metadata and (
            metadata.prompt,
            metadata.negative,
            metadata.style,
            metadata.lora,
            *metadata.models,
        )
        written = [text for text in texts or () if text]
        room = METADATA_ROOM + 12 * sum(map(len, written)) if written else 0
        wanted = {"do": "encode", "format": output_format, "max_bytes": max_bytes - room}
        try:
            answer, pixels = await self._ask(wanted, picture.data, 3 * self.seconds)
        except (asyncio.TimeoutError, WorkerDied) as error:
            raise NoOutput("the picture could not be encoded") from error
        if "problem" in answer:
            raise NoOutput(f"the engine's file is not a picture ({answer['problem']})")
        data, size = await asyncio.to_thread(rewrite, pixels, metadata)
        return Picture(data=data, media_type=answer["media_type"], size=size)

    async def aclose(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        self._end_free()
        if self._ending:
            await asyncio.wait(set(self._ending))

    async def _ask(
        self, header: dict[str, Any], payload: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        header |= {"keep_pixels": self.keep_pixels, "keep_bytes": self.keep_bytes}
        async with self._places:
            try:
                return await self._ask_once(header, payload, seconds)
            except WorkerDied as error:
                log.warning("The picture worker died (%s); trying once more", error)
                return await self._ask_once(header, payload, seconds)

    async def _ask_once(
        self, header: Mapping[str, Any], payload: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        async with self._worker() as worker:
            return await worker.ask(header, payload, seconds)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[ImageProcess]:
        if self._resting is not None:
            self._resting.cancel()
        while self._free and not self._free[-1].alive:
            self._free.pop()
        if self._free:
            worker = self._free.pop()
        else:
            worker = await ImageProcess.start(max_pixels=MAX_PIXELS, memory_mb=self.memory_mb)
        try:
            yield worker
        finally:
            if worker.alive:
                self._free.append(worker)
            self._resting = asyncio.get_running_loop().call_later(self.idle_seconds, self._end_free)

    def _end_free(self) -> None:
        free, self._free = self._free, []
        for worker in free:
            task = asyncio.get_running_loop().create_task(worker.kill())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
