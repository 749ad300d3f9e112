"""Pure: a small chart as a PNG, written by hand so that the bot does not have to load Pillow for it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

WIDTH, BAR, GAP = 400, 18, 8

_BACKGROUND, _TRACK, _BAR, _FULL = (43, 45, 49), (64, 66, 73), (88, 101, 242), (240, 178, 50)
_BUSY = 0.9
"""Share from which a bar changes its colour, because there is hardly any room left."""


def bar_chart(shares: Sequence[float]) -> bytes:
    """A horizontal bar for each share (0 to 1), the first on top, as PNG (ISO/IEC 15948): 8-bit RGB."""
    blank = bytes(_BACKGROUND) * WIDTH
    rows = [blank] * GAP
    for share in shares:
        rows += [_row(share)] * BAR + [blank] * GAP
    header = struct.pack(">IIBBBBB", WIDTH, len(rows), 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))  # \0: a row without a filter
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _row(share: float) -> bytes:
    track = WIDTH - 2 * GAP
    filled = round(track * max(0.0, min(1.0, share)))
    colour = _FULL if share >= _BUSY else _BAR
    edge = bytes(_BACKGROUND) * GAP
    return edge + bytes(colour) * filled + bytes(_TRACK) * (track - filled) + edge


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
