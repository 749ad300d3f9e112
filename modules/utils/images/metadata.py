"""What a person's own file says about its picture: the ``parameters`` text that other tools read, and the
same as JSON; as PNG chunks or as EXIF. Without Pillow, which is not loaded in the bot's own process."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass

from modules.queue_manager.jobs import Size, Variation

SOFTWARE = "FuLLet"
JSON_KEYWORD = "fullet"

EXIF_LIMIT = 60_000
"""A JPEG segment holds 65,533 bytes; beyond this the JSON is left out, then the text is cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnMetadata:
    """What a person's own file may say about its picture (``METADATA=own``), besides its size. ``models``:
    all that the picture went through, in order, if they are more than ``model``; ``strength``: that of its
    start picture; ``part``: only a part of that was painted."""

    prompt: str
    seed: int
    model: str
    models: tuple[str, ...] = ()
    negative: str = ""
    steps: int | None = None
    variation: Variation | None = None
    strength: float | None = None
    part: bool = False
    style: str | None = None
    lora: str | None = None


def parameters_text(metadata: OwnMetadata, size: Size) -> str:
    """The text as the AUTOMATIC1111 web UI writes it: prompt, negative prompt, one line of fields."""
    variation = metadata.variation
    fields = {
        "Steps": metadata.steps,
        "Seed": metadata.seed,
        "Size": f"{size.width}x{size.height}",
        "Model": metadata.model,
        "Models": ", ".join(metadata.models) or None,
        "Style": metadata.style,
        "Lora": metadata.lora,
        "Variation seed": variation and variation.seed,
        "Variation seed strength": variation and variation.strength,
        "Denoising strength": metadata.strength,
        "Masked": True if metadata.part else None,
        "Version": SOFTWARE,
    }
    given = [f"{name}: {_quoted(str(value))}" for name, value in fields.items() if value is not None]
    negative = f"Negative prompt: {metadata.negative}\n" if metadata.negative else ""
    return _clean(f"{metadata.prompt}\n{negative}{', '.join(given)}")


def json_text(metadata: OwnMetadata, size: Size) -> str:
    """The same as JSON in ASCII."""
    given = {name: value for name, value in asdict(metadata).items() if value not in (None, (), False)}
    return json.dumps({"software": SOFTWARE, **given, "width": size.width, "height": size.height})


def png_chunks(metadata: OwnMetadata, size: Size) -> bytes:
    """Two text chunks, for before the first IDAT of a picture of this size."""
    return _text_chunk("parameters", parameters_text(metadata, size)) + _text_chunk(
        JSON_KEYWORD, json_text(metadata, size)
    )


def exif_block(metadata: OwnMetadata, size: Size) -> bytes:
    """A TIFF structure: the text as UserComment, at most `EXIF_LIMIT` bytes, and the JSON as
    ImageDescription, left empty if both together exceed that."""
    comment = b"UNICODE\0" + parameters_text(metadata, size).encode("utf-16-be")
    description = json_text(metadata, size).encode("ascii") + b"\0"
    if len(comment) + len(description) > EXIF_LIMIT:
        description = b"\0"
        # An even number of bytes: half a UTF-16 unit would garble the text.
        comment = comment[: EXIF_LIMIT // 2 * 2]
    # Header (8) and IFD0 with two entries (2 + 2·12 + 4), then the Exif IFD with one (2 + 12 + 4).
    exif_ifd = 8 + 30
    description_at = exif_ifd + 18
    comment_at = description_at + len(description)
    comment_at += comment_at % 2
    ifd0 = struct.pack(
        ">HHHIIHHIII",
        *(2, 0x010E, 2, len(description), _inline_or(description, description_at)),
        *(0x8769, 4, 1, exif_ifd, 0),
    )
    exif = struct.pack(">HHHIII", 1, 0x9286, 7, len(comment), comment_at, 0)
    body = (b"MM\0\x2a\0\0\0\x08" + ifd0 + exif + description).ljust(comment_at, b"\0")
    return body + comment


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _inline_or(value: bytes, offset: int) -> int:
    """TIFF puts a value of up to four bytes in the place of its offset."""
    return int.from_bytes(value.ljust(4, b"\0"), "big") if len(value) <= 4 else offset


def _text_chunk(keyword: str, text: str) -> bytes:
    try:
        return chunk(b"tEXt", keyword.encode("ascii") + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return chunk(b"iTXt", keyword.encode("ascii") + b"\0\0\0\0\0" + text.encode("utf-8"))


def _clean(text: str) -> str:
    """Without NULs (which end a PNG text) and half surrogate pairs (which have no encoding)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ',:\n"') else value
