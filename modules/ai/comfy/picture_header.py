"""Reads the header of an encoded picture without decoding it."""

from __future__ import annotations

import struct

from modules.queue_manager.jobs import Size
from modules.utils.images.media_types import media_type


def picture_size(data: bytes) -> Size | None:
    """The size in the header, None if there is none."""
    read = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}.get(media_type(data) or "")
    try:
        width, height = read(data) if read is not None else (0, 0)
    except (struct.error, IndexError):
        return None
    return Size(width=width, height=height) if min(width, height) > 0 else None


def whole(data: bytes) -> bool:
    """Whether the end of the picture is there, and it was not cut off on the way."""
    kind = media_type(data)
    if kind == "image/png":
        return data[-8:-4] == b"IEND"
    if kind == "image/jpeg":
        return data[-2:] == b"\xff\xd9"
    return kind == "image/webp" and len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _png(data: bytes) -> tuple[int, int]:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    return (width, height) if kind == b"IHDR" else (0, 0)


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a body
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + max(2, *struct.unpack_from(">H", data, at + 2))
    return 0, 0


def _webp(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        low, middle, high = struct.unpack_from("<HHH", data, 24)  # two numbers of 24 bits
        return 1 + low + (middle & 0xFF) * 0x10000, 1 + (middle >> 8) + high * 0x100
    if data[12:16] == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
