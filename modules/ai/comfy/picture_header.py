"""Reads the header of an encoded picture without decoding it."""

from __future__ import annotations

from modules.queue_manager.jobs import Size
from modules.utils.images.media_types import media_type


def picture_size(data: bytes) -> Size | None:
    """The size in the header, None if there is none."""
    read = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}.get(media_type(data) or "")
    size = read(data) if read is not None else None
    return Size(width=size[0], height=size[1]) if size is not None and min(size) > 0 else None


def whole(data: bytes) -> bool:
    """Whether the end of the picture is there, and it was not cut off on the way."""
    kind = media_type(data)
    if kind == "image/png":
        return data[-8:-4] == b"IEND"
    if kind == "image/jpeg":
        return data[-2:] == b"\xff\xd9"
    return kind == "image/webp" and len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _png(data: bytes) -> tuple[int, int] | None:
    # signature (8), length (4), IHDR (4), width (4), height (4)
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a body
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if len(data) < 30:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return (
            int.from_bytes(data[26:28], "little") & 0x3FFF,
            int.from_bytes(data[28:30], "little") & 0x3FFF,
        )
    return None
