"""PNG, JPEG and WebP files, rewritten with only what is needed to show the picture: no text, EXIF, XMP, ICC,
thumbnail, animation, or bytes after the end. Pixels are copied as they are, at about a millisecond per
megabyte."""

from __future__ import annotations

import re
import struct
import zlib

from modules.queue_manager.jobs import Size
from modules.utils.images.media_types import PNG_SIGNATURE, media_type
from modules.utils.images.metadata import OwnMetadata, exif_block, png_chunks


class NotRewritable(ValueError):
    """The bytes are not a whole, plain file of their kind; a decoder may still read them."""


def rewrite(data: bytes, metadata: OwnMetadata | None) -> tuple[bytes, Size]:
    """The same picture with no other metadata than ``metadata``, and its size. Raises `NotRewritable`."""
    writers = {"image/png": _rewrite_png, "image/jpeg": _rewrite_jpeg, "image/webp": _rewrite_webp}
    writer = writers.get(media_type(data) or "")
    if writer is None:
        raise NotRewritable("neither PNG nor JPEG nor WebP")
    try:
        return writer(data, metadata)
    except (struct.error, IndexError) as error:
        raise NotRewritable("cut short") from error


# ── PNG (ISO/IEC 15948) ─────────────────────────────────────────────────────────────────────────

_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def _rewrite_png(data: bytes, metadata: OwnMetadata | None) -> tuple[bytes, Size]:
    view = memoryview(data)
    parts: list[bytes | memoryview] = [PNG_SIGNATURE]
    at, seen = len(PNG_SIGNATURE), set[bytes]()
    size: Size | None = None
    while b"IEND" not in seen:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise NotRewritable("cut short")
        if kind in _PNG_NEEDED:
            (crc,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(view[at + 4 : end - 4]) != crc:
                raise NotRewritable("a PNG chunk is damaged")
            if kind == b"IDAT" and kind not in seen and metadata and size:
                parts.append(png_chunks(metadata, size))
            parts.append(view[at:end])
            seen.add(kind)
        if size is None:
            if kind != b"IHDR" or length != 13:
                raise NotRewritable("a PNG without its header")
            width, height = struct.unpack_from(">II", data, at + 8)
            size = Size(width=width, height=height)
        at = end
    if b"IDAT" not in seen or size is None:
        raise NotRewritable("a PNG without pixels")
    return b"".join(parts), size


# ── JPEG (ITU-T T.81) ───────────────────────────────────────────────────────────────────────────

_JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In a scan 0xFF is followed by 0x00, a restart marker or fill; anything else ends it."""

_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_NEEDED = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDD})
"""Frames, tables and scans: SOFn, DHT, DAC, SOS, DQT, DRI."""


def _rewrite_jpeg(data: bytes, metadata: OwnMetadata | None) -> tuple[bytes, Size]:
    parts: list[bytes] = []
    at, size = 2, None
    while True:
        if data[at] != 0xFF:
            raise NotRewritable("a JPEG without a marker where one belongs")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise NotRewritable("cut short")
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = Size(width=width, height=height)
        if marker == 0xDA:
            found = _NEXT_MARKER.search(data, end)
            if found is None:
                raise NotRewritable("cut short")
            end = found.start()
        # Adobe's segment of twelve bytes says how colours are coded; a longer one could hold anything.
        adobe = marker == 0xEE and data[at + 2 : at + 9] == b"\x00\x0eAdobe"
        if marker in _JPEG_NEEDED or adobe:
            parts.append(data[at:end])
        at = end
    if size is None:
        raise NotRewritable("a JPEG without a frame")
    head = b"\xff\xd8" + _JFIF
    if metadata:
        body = b"Exif\0\0" + exif_block(metadata, size)
        head += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return b"".join([head, *parts, b"\xff\xd9"]), size


# ── WebP (RFC 9649) ─────────────────────────────────────────────────────────────────────────────


def _rewrite_webp(data: bytes, metadata: OwnMetadata | None) -> tuple[bytes, Size]:
    (declared,) = struct.unpack_from("<I", data, 4)
    if declared + 8 > len(data):
        raise NotRewritable("cut short")
    at, kept = 12, dict[bytes, bytes]()
    while at + 8 <= declared + 8:
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > declared + 8:
            raise NotRewritable("cut short")
        if kind in (b"ANIM", b"ANMF"):
            raise NotRewritable("an animation")
        if kind in (b"VP8 ", b"VP8L", b"ALPH"):
            kept.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    if (b"VP8 " in kept) == (b"VP8L" in kept):
        raise NotRewritable("a WebP without one picture")
    size, alpha = _webp_size(kept)
    return _webp_file(kept, size, alpha, exif_block(metadata, size) if metadata else None), size


def _webp_size(kept: dict[bytes, bytes]) -> tuple[Size, bool]:
    if b"VP8L" in kept:
        signature, bits = struct.unpack_from("<BI", kept[b"VP8L"])
        if signature != 0x2F:
            raise NotRewritable("a WebP with a damaged header")
        size = Size(width=(bits & 0x3FFF) + 1, height=((bits >> 14) & 0x3FFF) + 1)
        return size, bool(bits >> 28 & 1)
    start, width, height = struct.unpack_from("<3sHH", kept[b"VP8 "], 3)
    width, height = width & 0x3FFF, height & 0x3FFF
    if start != b"\x9d\x01\x2a" or not width or not height:
        raise NotRewritable("a WebP with a damaged header")
    return Size(width=width, height=height), b"ALPH" in kept


def _webp_file(kept: dict[bytes, bytes], size: Size, alpha: bool, exif: bytes | None) -> bytes:
    parts: list[bytes] = []
    if exif is not None or b"ALPH" in kept:
        flags = (0x10 if alpha else 0) | (0x08 if exif is not None else 0)
        width, height = (side.to_bytes(3, "little") for side in (size.width - 1, size.height - 1))
        parts.append(_riff(b"VP8X", bytes([flags, 0, 0, 0]) + width + height))
    parts.extend(_riff(kind, kept[kind]) for kind in (b"ALPH", b"VP8 ", b"VP8L") if kind in kept)
    if exif is not None:
        parts.append(_riff(b"EXIF", exif))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
