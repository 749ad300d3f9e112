"""The media type of a picture, by its first bytes, and the extensions of such files."""

from __future__ import annotations

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


def media_type(data: bytes) -> str | None:
    """The type of a PNG, JPEG, WebP or GIF by its signature, None for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    return None
