"""Reads the pictures that a run starts from, as they are uploaded to a server."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modules.queue_manager.errors import WorkflowRejected
from modules.queue_manager.ports import SourceReader
from modules.utils.images.media_types import EXTENSIONS, media_type


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A picture with the name under which a server is to store it."""

    name: str
    media_type: str
    data: bytes


async def read_upload(read_source: SourceReader, key: str) -> Upload:
    """The source picture ``key``. Raises `WorkflowRejected` if it is gone."""
    try:
        data = await read_source(key)
    except KeyError as error:
        raise WorkflowRejected("the source picture is gone") from error
    kind = media_type(data) or "image/png"
    stem = re.sub(r"[^0-9a-zA-Z]", "", key)[:64] or "source"
    return Upload(name=f"{stem}.{EXTENSIONS.get(kind, 'png')}", media_type=kind, data=data)
