"""Attachments: what was uploaded, under signed addresses that expire."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from modules.demo.discord_server.pictures import content_type, picture_size
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.state.clock import ServerClock, Snowflakes
from modules.demo.discord_server.state.people import Payload
from modules.demo.discord_server.state.world import MIB

URL_LIFETIME = 24 * 3600.0
"""Seconds for which an address works (Discord docs, Reference, Signed Attachment CDN URLs)."""
LARGEST_REQUEST = 25 * MIB
SPOILER_FLAG = 1 << 3


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One file of a multipart body: the number in `files[n]`, its name and its bytes."""

    index: int
    filename: str
    data: bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class Attachment:
    """A stored file (Message Resource, Attachment Object); `data` is None if only its hash is kept."""

    id: int
    channel_id: int
    filename: str
    size: int
    content_type: str
    sha256: str
    data: bytes | None
    width: int | None = None
    height: int | None = None
    description: str | None = None
    ephemeral: bool = False


class FileStore:
    """Keeps the files; `base_url` is known once the server listens."""

    def __init__(self, clock: ServerClock, ids: Snowflakes, *, keep: bool) -> None:
        self._clock = clock
        self._ids = ids
        self._keep = keep
        self._key = secrets.token_bytes(32)
        self._files: dict[int, Attachment] = {}
        self.base_url = ""

    def add(
        self,
        upload: Upload,
        *,
        channel_id: int,
        description: str | None = None,
        ephemeral: bool = False,
        keep: bool = False,
    ) -> Attachment:
        """Store a file; with `keep` its bytes stay, also where the bot's pictures are only hashed."""
        size = picture_size(upload.data)
        attachment = Attachment(
            id=self._ids.make(),
            channel_id=channel_id,
            filename=safe_filename(upload.filename),
            size=len(upload.data),
            content_type=content_type(upload.filename, upload.data),
            sha256=hashlib.sha256(upload.data).hexdigest(),
            data=upload.data if self._keep or keep else None,
            width=size[0] if size else None,
            height=size[1] if size else None,
            description=description,
            ephemeral=ephemeral,
        )
        self._files[attachment.id] = attachment
        return attachment

    def get(self, attachment_id: int) -> Attachment | None:
        return self._files.get(attachment_id)

    def described(self, attachment: Attachment, description: str | None) -> Attachment:
        changed = replace(attachment, description=description)
        self._files[attachment.id] = changed
        return changed

    def copied(self, attachment: Attachment, *, channel_id: int) -> Attachment:
        """The same file once more, for another message."""
        copy = replace(attachment, id=self._ids.make(), channel_id=channel_id, ephemeral=False)
        self._files[copy.id] = copy
        return copy

    def remove(self, attachment: Attachment) -> None:
        self._files.pop(attachment.id, None)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each stored file, by its name and id."""
        return {f"{each.id}/{each.filename}": each.sha256 for each in self._files.values()}

    def url(self, attachment: Attachment) -> str:
        """An address that works for the next `URL_LIFETIME` seconds."""
        issued = int(self._clock.now())
        expires = issued + int(URL_LIFETIME)
        query = f"ex={expires:x}&is={issued:x}&hm={self._sign(attachment.id, expires, issued)}"
        name = quote(attachment.filename)
        return f"{self.base_url}/attachments/{attachment.channel_id}/{attachment.id}/{name}?{query}"

    def open(self, attachment_id: int, *, expires: str, issued: str, signature: str) -> Attachment | None:
        """The file behind an address; None if it is gone, the address is forged or has expired."""
        try:
            until, since = int(expires, 16), int(issued, 16)
        except ValueError:
            return None
        genuine = hmac.compare_digest(self._sign(attachment_id, until, since), signature)
        return self._files.get(attachment_id) if genuine and self._clock.now() < until else None

    def payload(self, attachment: Attachment) -> Payload:
        url = self.url(attachment)
        shown: Payload = {
            "id": str(attachment.id),
            "filename": attachment.filename,
            "size": attachment.size,
            "url": url,
            "proxy_url": url,
            "content_type": attachment.content_type,
            "content_scan_version": 0,
            "flags": SPOILER_FLAG if attachment.filename.startswith("SPOILER_") else 0,
        }
        if attachment.width and attachment.height:
            shown.update(width=attachment.width, height=attachment.height)
        if attachment.description is not None:
            shown["description"] = attachment.description
        if attachment.ephemeral:
            shown["ephemeral"] = True
        return shown

    def _sign(self, attachment_id: int, expires: int, issued: int) -> str:
        text = f"{attachment_id}.{expires}.{issued}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def named_by(url: str, attachments: Iterable[Attachment]) -> Attachment | None:
    """The file that `attachment://name` means, or the address of one that the message has already."""
    path = urlsplit(url).path
    for attachment in attachments:
        if url == f"attachment://{attachment.filename}":
            return attachment
        if path.startswith(f"/attachments/{attachment.channel_id}/{attachment.id}/"):
            return attachment
    return None


def check_sizes(uploads: list[Upload], limit: int) -> None:
    """40005 for a file over the guild's limit, or a request over 25 MiB (Reference, Uploading Files)."""
    if any(len(upload.data) > limit for upload in uploads):
        raise Refusal(40005)
    if sum(len(upload.data) for upload in uploads) > LARGEST_REQUEST:
        raise Refusal(40005)


def safe_filename(name: str) -> str:
    """As Discord shows it: only letters, digits, `.`, `-` and `_` (community)."""
    cleaned = re.sub(r"[^\w.\-]", "_", name.replace("\\", "/").rsplit("/", 1)[-1])
    return cleaned.strip(".")[-260:] or "unknown"
