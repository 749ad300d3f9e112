"""The texts that ComfyUI writes into a PNG or a WebP, without decoding the picture."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

_LARGEST_FILE = 48 * 1024 * 1024
_LARGEST_TEXT = 8 * 1024 * 1024
_KEYS = ("prompt", "workflow")


class BadPicture(ValueError):
    """The picture cannot be read; the message is one sentence."""


def picture_metadata(file: Path) -> list[str]:
    """The workflows in a picture, each a JSON text: first the graph that ran, then the editor's workflow.

    Raises `BadPicture` and `OSError`.
    """
    if file.stat().st_size > _LARGEST_FILE:
        raise BadPicture(f"larger than {_LARGEST_FILE} bytes")
    with file.open("rb") as stream:
        start = stream.read(12)
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            stream.seek(8)
            found = dict(_png_texts(stream))
        elif start.startswith(b"RIFF") and start.endswith(b"WEBP"):
            found = dict(_webp_texts(stream))
        else:
            raise BadPicture("neither a PNG nor a WebP")
    if any(len(text) > _LARGEST_TEXT for text in found.values()):
        raise BadPicture(f"the workflow in this picture is larger than {_LARGEST_TEXT} bytes")
    return [found[key] for key in _KEYS if key in found]


def _png_texts(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    while len(header := stream.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            stream.seek(length + 4, 1)
            continue
        key, _, rest = stream.read(length).partition(b"\0")
        stream.seek(4, 1)
        if key.decode("latin-1") in _KEYS:
            yield key.decode("latin-1"), _png_text(kind, rest)


def _png_text(kind: bytes, rest: bytes) -> str:
    if kind == b"zTXt":
        return _inflated(rest[1:]).decode("latin-1")
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        return (_inflated(text) if packed else text).decode("utf-8")
    return rest.decode("utf-8" if kind == b"comf" else "latin-1")


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, _LARGEST_TEXT)
    except zlib.error as fault:
        raise BadPicture("the workflow in this picture is damaged") from fault
    if unpacker.unconsumed_tail:
        raise BadPicture(f"the workflow in this picture is larger than {_LARGEST_TEXT} bytes")
    return text


def _webp_texts(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    while len(header := stream.read(8)) == 8:
        length = int.from_bytes(header[4:], "little")
        if header[:4] != b"EXIF":
            stream.seek(length + length % 2, 1)
            continue
        exif = Image.Exif()
        try:
            exif.load(stream.read(length))
        except (SyntaxError, ValueError, KeyError, OSError) as fault:
            raise BadPicture("the EXIF data of this picture are damaged") from fault
        for value in dict(exif).values():
            if isinstance(value, str) and value.partition(":")[0] in _KEYS:
                key, _, text = value.partition(":")
                yield key, text
        return
