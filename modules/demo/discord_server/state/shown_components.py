"""Components and embeds as the API shows them: what it fills in, and where their files are.

A file that a component or embed shows leaves the message's attachments (Reference, Uploading Files). What is
filled in are the fields that OpenAPI's `…ComponentResponse` and `UnfurledMediaResponse` require.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.demo.discord_server.bodies.components import (
    CHANNEL_SELECT,
    CONTAINER,
    FILE,
    MENTIONABLE_SELECT,
    ROLE_SELECT,
    SEPARATOR,
    STRING_SELECT,
    THUMBNAIL,
    USER_SELECT,
)
from modules.demo.discord_server.state.files import Attachment, FileStore, named_by
from modules.demo.discord_server.state.people import Payload

_SELECT = {"min_values": 1, "max_values": 1}
_PICTURE = {"description": None, "spoiler": False}
_FILLED_IN: dict[int, Payload] = {
    CONTAINER: {"accent_color": None, "spoiler": False},
    THUMBNAIL: _PICTURE,
    FILE: {"spoiler": False},
    SEPARATOR: {"spacing": 1, "divider": True},
    **dict.fromkeys((STRING_SELECT, USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT), _SELECT),
}


def shown_component(
    component: Payload, attachments: Sequence[Attachment], files: FileStore, used: set[int]
) -> Payload:
    """A component with all that is in it; ``used`` gathers the ids of the files that it shows."""
    shown = {**_FILLED_IN.get(component["type"], {}), **component}

    def media(item: Payload) -> Payload:
        return _shown_media(item, component["id"], attachments, files, used)

    if "media" in shown:
        shown["media"] = media(shown["media"])
    if "items" in shown:
        shown["items"] = [{**_PICTURE, **item, "media": media(item["media"])} for item in shown["items"]]
    if "file" in shown:
        attachment = named_by(shown["file"]["url"], attachments)
        shown["file"] = media(shown["file"])
        shown["name"] = attachment.filename if attachment is not None else None
        shown["size"] = attachment.size if attachment is not None else None
    if "components" in shown:
        shown["components"] = [shown_component(c, attachments, files, used) for c in shown["components"]]
    if "accessory" in shown:
        shown["accessory"] = shown_component(shown["accessory"], attachments, files, used)
    return shown


def shown_embed(value: Any, attachments: Sequence[Attachment], files: FileStore, used: set[int]) -> Any:
    """`attachment://name` becomes the file's address."""
    if isinstance(value, Mapping):
        resolved = {key: shown_embed(item, attachments, files, used) for key, item in value.items()}
        url = resolved.get("url")
        attachment = named_by(url, attachments) if isinstance(url, str) else None
        return resolved if attachment is None else {**resolved, **_address(attachment, files, used)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [shown_embed(item, attachments, files, used) for item in value]
    return value


def _shown_media(
    item: Payload, number: int, attachments: Sequence[Attachment], files: FileStore, used: set[int]
) -> Payload:
    """An unfurled media item; one from elsewhere has no attachment behind it."""
    attachment = named_by(item["url"], attachments)
    if attachment is None:
        return {"id": str(number), "url": item["url"], "proxy_url": item["url"]}
    return {
        "id": str(attachment.id),
        **_address(attachment, files, used),
        "content_type": attachment.content_type,
        "attachment_id": str(attachment.id),
    }


def _address(attachment: Attachment, files: FileStore, used: set[int]) -> Payload:
    used.add(attachment.id)
    url = files.url(attachment)
    shown: Payload = {"url": url, "proxy_url": url}
    if attachment.width and attachment.height:
        shown.update(width=attachment.width, height=attachment.height)
    return shown
