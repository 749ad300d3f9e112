"""Decodes and encodes pictures for ``cleaner.py``, in a separate process that may die of what it reads.

Started as ``python -m modules.utils.images.worker LIMITS``. A request and an answer are each a length
(4 bytes, big-endian), JSON of that length, and a payload whose length is the JSON's ``bytes``. Of a picture
with its mask, the mask is the payload's last ``mask_bytes``.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageCms, ImageFile, PngImagePlugin, UnidentifiedImageError

from modules.utils.images import masks

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"GIF8")

_ENCODERS: dict[str, dict[str, Any]] = {
    # Z_RLE: after PNG's filters its files are as small as those of level 4, in 40 % of the time.
    "png": {"format": "PNG", "compress_level": 1, "compress_type": zlib.Z_RLE},
    "webp": {"format": "WEBP", "quality": 90, "method": 2},
    "jpeg": {"format": "JPEG", "quality": 92, "subsampling": 0},
}

_PNG_SHOWN = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""The chunks that a PNG's pixels consist of."""

PROFILE_LIMIT = 8 << 20
"""Bytes of a colour profile that is used; those of displays have up to about 3 MB."""

_LADDER = ((1.0, 90), (1.0, 75), (0.75, 80), (0.5, 80), (0.35, 75), (0.25, 70), (0.12, 60))
"""Scale and WebP quality, tried in turn until a picture fits."""


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of each EXIF orientation (CIPA DC-008) upright."""


class Refused(Exception):
    """The bytes are not a picture that we accept; the argument is `BadSourceImage`'s problem."""


def main() -> None:
    """Answer requests from stdin until it ends."""
    limits = json.loads(sys.argv[1])
    _bind(limits["memory_mb"])
    warnings.simplefilter("ignore")
    PngImagePlugin.MAX_TEXT_CHUNK = PROFILE_LIMIT  # holds for profiles too
    Image.MAX_IMAGE_PIXELS = None  # checked here, by our own limit, before anything is decoded
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (request := _read(source)) is not None:
        header, payload = request
        _write(sink, *_answer(header, payload, limits["max_pixels"]))


def _bind(memory_mb: int) -> None:
    """Make the system enforce limits on the decoders. Windows has no such limits."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 (not there on Windows)

    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 1_000_000, memory_mb * 1_000_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)


def _answer(header: dict[str, Any], payload: bytes, max_pixels: int) -> tuple[dict[str, Any], bytes]:
    try:
        if header["do"] == "clean":
            return _cleaned(_open(payload, max_pixels), header)
        if header["do"] in _PARTS:
            mask = header["mask_bytes"]
            pictures = [payload[: len(payload) - mask], payload[len(payload) - mask :]]
            opened = [_open(data, max_pixels) for data in pictures if data]
            return _described_pair(*_PARTS[header["do"]](opened, header))
        # The engine's file may be an upscaled one, larger than any upload.
        return _encoded(_open(payload, 2 * max_pixels), header)
    except Refused as error:
        return {"problem": str(error)}, b""
    except MemoryError:
        return {"problem": "too-many-pixels"}, b""
    except Exception as error:  # noqa: BLE001 (decoders raise all kinds of things at broken files)
        return {"problem": "truncated", "why": type(error).__name__}, b""


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """The first frame, not yet loaded; its size is within the limit."""
    try:
        picture = Image.open(io.BytesIO(_without_notes(data)), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused("truncated" if data.startswith(_MAGIC) else "not-image") from None
    if picture.width * picture.height > max_pixels:
        raise Refused("too-many-pixels")
    return picture


def _without_notes(data: bytes) -> bytes:
    """A PNG without texts, and without a profile or EXIF that is damaged or too large: the decoder would
    refuse the whole picture because of them. Other files as they are."""
    if not data.startswith(_MAGIC[0]):
        return data
    return _MAGIC[0] + b"".join(whole for kind, whole, body in _chunks(data) if _is_needed(kind, whole, body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """A PNG's chunks (ISO/IEC 15948): kind, all of it, its body. The last one may be cut short."""
    at = len(_MAGIC[0])
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + 12 + length], data[at + 8 : at + 8 + length]
        at += 12 + length


def _is_needed(kind: bytes, whole: bytes, body: bytes) -> bool:
    if kind in _PNG_SHOWN:
        return True
    if kind not in (b"iCCP", b"eXIf") or whole[8 + len(body) :] != struct.pack(">I", zlib.crc32(kind + body)):
        return False
    return kind == b"eXIf" or _profile_fits(body)


def _profile_fits(body: bytes) -> bool:
    """Whether this is a profile of at most `PROFILE_LIMIT` bytes: a name, two zeros, deflated data."""
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(body[body.index(b"\0") + 2 :], PROFILE_LIMIT)
    except (ValueError, zlib.error):
        return False
    return not unpacker.unconsumed_tail


def _cleaned(picture: Image.Image, header: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Upright, sRGB, opaque, at most ``keep_pixels``; a JPEG stays one, everything else becomes a PNG."""
    kind = "jpeg" if picture.format in ("JPEG", "MPO") else "png"
    plain, hole = _layers(picture, header["keep_pixels"])
    data = _encode(plain, kind, quality=95)
    if kind == "png" and len(data) > header["keep_bytes"]:
        kind, data = "jpeg", _encode(plain, "jpeg", quality=95)
    holed = picture.format == "PNG" and hole is not None and hole.getbbox() is not None
    return {**_described(plain, kind), "holed": holed}, data


def _cut(pictures: list[Image.Image], header: dict[str, Any]) -> tuple[Image.Image, Image.Image | None]:
    """A picture, and its mask: the one that comes with it, or its transparent part."""
    first, own = _layers(pictures[0], header["keep_pixels"])
    if len(pictures) == 1:
        return first, None if own is None or not own.getbbox() else _checked(own)
    if _upright_size(pictures[0]) != _upright_size(pictures[1]):
        raise Refused("mask-size")
    return first, _checked(_marked(*_layers(pictures[1], header["keep_pixels"])))


def _marked(mask: Image.Image, hole: Image.Image | None) -> Image.Image:
    """What a mask marks: where it is transparent; if that is nowhere, or all else is white, where it is
    bright. (What is transparent is white in ``mask``.)"""
    bright = masks.bright_in(mask)
    return bright if hole is None or not hole.getbbox() or bright.getextrema()[0] else hole


def _checked(hole: Image.Image) -> Image.Image:
    if not hole.getbbox():
        raise Refused("mask-nothing")
    if hole.getextrema()[0]:
        raise Refused("mask-everything")
    return masks.with_seam(hole)


def _fitted(pictures: list[Image.Image], header: dict[str, Any]) -> tuple[Image.Image, Image.Image | None]:
    """Both scaled and cut to a size."""
    size = (header["width"], header["height"])
    first = masks.fitted(_plain(pictures[0], header["keep_pixels"]), size)
    if len(pictures) == 1:
        return first, None
    return first, _left(masks.fitted(pictures[1].convert("L"), size))


def _left(mask: Image.Image) -> Image.Image:
    """The mask, if at its current size there is still something to paint and something to keep."""
    marked = masks.bright_in(mask)
    if not marked.getbbox():
        raise Refused("mask-outside")
    if marked.getextrema()[0]:
        raise Refused("mask-everything")
    return mask


def _extended(pictures: list[Image.Image], header: dict[str, Any]) -> tuple[Image.Image, Image.Image | None]:
    """Room around a picture or beside it, and the mask of this room."""
    picture = _plain(pictures[0], header["keep_pixels"])
    how = header["how"]
    frame, mask = masks.panned(picture, how) if isinstance(how, str) else masks.zoomed(picture, how)
    return frame, _left(mask)


_PARTS = {"cut": _cut, "fit": _fitted, "extend": _extended}


def _encoded(picture: Image.Image, header: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """In the wanted format, or as WebP if that does not fit, if need be smaller."""
    plain = _plain(picture, header["keep_pixels"])
    wanted, most = header["format"], header["max_bytes"]
    data = _encode(plain, wanted)
    if len(data) <= most:
        return _described(plain, wanted), data
    for scale, quality in _LADDER:
        smaller = plain if scale == 1.0 else _scaled(plain, scale)
        data = _encode(smaller, "webp", quality=quality)
        if len(data) <= most:
            return _described(smaller, "webp"), data
    raise Refused("too-many-bytes")


def _plain(picture: Image.Image, keep_pixels: int) -> Image.Image:
    """Nothing but 8-bit RGB pixels as a viewer shows them, on white where they are transparent."""
    return _layers(picture, keep_pixels)[0]


def _layers(picture: Image.Image, keep_pixels: int) -> tuple[Image.Image, Image.Image | None]:
    """The pixels as `_plain` has them, and white where they were transparent (None: nowhere)."""
    orientation = _orientation(picture)
    loaded = _loaded(picture, keep_pixels)
    turn = _TURNS.get(orientation) if orientation is not None else None
    upright = loaded if turn is None else loaded.transpose(turn)
    if upright.mode in ("I;16", "I;16B", "I;16L", "I"):
        # 16-bit grey: the upper byte is what an 8-bit viewer shows.
        upright = upright.convert("I").point(lambda value: value / 256).convert("L")
    alpha = None
    if "A" in upright.getbands() or "transparency" in upright.info:
        alpha = upright.convert("RGBA").getchannel("A")
    if upright.mode not in ("RGB", "CMYK", "L"):
        upright = upright.convert("L" if upright.mode in ("LA", "La", "1") else "RGB")
    if profile := picture.info.get("icc_profile"):
        upright = _to_srgb(upright, profile)
    rgb = upright.convert("RGB")
    # A new object has none of what the decoder noted beside the pixels.
    bare = Image.new("RGB", rgb.size, "white")
    bare.paste(rgb, mask=alpha)
    return bare, None if alpha is None else masks.hole_in(alpha)


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    turned = (_orientation(picture) or 1) >= 5
    return (picture.height, picture.width) if turned else picture.size


def _orientation(picture: Image.Image) -> int | None:
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 (what the decoder raises at damaged EXIF, which shows nothing)
        return None
    return found if isinstance(found, int) else None


def _loaded(picture: Image.Image, keep_pixels: int) -> Image.Image:
    """Decoded and at once scaled down to ``keep_pixels``, so that at most one large copy exists."""
    excess = picture.width * picture.height / keep_pixels
    if excess > 1:
        picture.draft("RGB", (int(picture.width / excess**0.5), int(picture.height / excess**0.5)))
    picture.load()
    excess = picture.width * picture.height / keep_pixels
    if excess <= 1:
        return picture
    if picture.mode == "P":
        return _scaled(picture.convert("RGBA" if "transparency" in picture.info else "RGB"), excess**-0.5)
    return _scaled(picture, excess**-0.5)


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        changed = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture  # a damaged profile, or one for another kind of pixels
    return changed if changed is not None else picture


def _scaled(picture: Image.Image, factor: float) -> Image.Image:
    size = (max(1, int(picture.width * factor)), max(1, int(picture.height * factor)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _encode(picture: Image.Image, kind: str, quality: int | None = None) -> bytes:
    options = dict(_ENCODERS[kind])
    if quality is not None and kind != "png":
        options["quality"] = quality
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def _described_pair(picture: Image.Image, mask: Image.Image | None) -> tuple[dict[str, Any], bytes]:
    """PNGs, which lose nothing."""
    data, masked = _encode(picture, "png"), b"" if mask is None else _encode(mask, "png")
    return {**_described(picture, "png"), "mask_bytes": len(masked)}, data + masked


def _described(picture: Image.Image, kind: str) -> dict[str, Any]:
    return {"media_type": f"image/{kind}", "size": {"width": picture.width, "height": picture.height}}


def _read(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    prefix = source.read(4)
    if len(prefix) < 4:
        return None
    header: dict[str, Any] = json.loads(source.read(struct.unpack(">I", prefix)[0]))
    return header, source.read(header["bytes"])


def _write(sink: BinaryIO, header: dict[str, Any], payload: bytes) -> None:
    text = json.dumps({**header, "bytes": len(payload)}).encode()
    sink.write(struct.pack(">I", len(text)) + text)
    sink.write(payload)
    sink.flush()


if __name__ == "__main__":
    main()
