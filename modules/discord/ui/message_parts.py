"""What a message or form holds, however deep its layout nests it: the ``custom_id`` of each control; files.

Everything here reads Discord's JSON as well as discord.py's objects. A file that a layout shows is not among
the message's attachments (Discord docs, Component Reference), so ask here instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mimetypes import guess_type
from typing import Any

import discord
from yarl import URL

from modules.queue_manager.jobs import JobId, Size

AnyMessage = discord.Message | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownFile:
    """A file of a message; ``id`` is that of the attachment and ``size`` that of a picture, in pixels, each
    only if Discord gives it."""

    name: str
    url: str
    id: str = ""
    content_type: str = ""
    size: Size | None = None


def components_of(message: AnyMessage) -> Iterator[Any]:
    """Each component of a message or of a form's data, parents first."""
    for component in _field(message, "components") or ():
        yield from _walk(component)


def custom_ids_of(message: AnyMessage) -> list[str]:
    """The ``custom_id`` of each button and menu, in the order in which they stand."""
    found = (_field(component, "custom_id") for component in components_of(message))
    return [str(custom_id) for custom_id in found if custom_id is not None]


def texts_of(message: AnyMessage) -> dict[int, str]:
    """The message's texts, by the number of each component."""
    found = ((_field(part, "id"), _field(part, "content")) for part in components_of(message))
    return {int(number): str(content) for number, content in found if number and content is not None}


def options_of(message: AnyMessage, menu: str) -> list[str]:
    """The options of the menus whose ``custom_id`` begins like this."""
    menus = (part for part in components_of(message) if str(_field(part, "custom_id")).startswith(menu))
    return [str(_field(option, "value")) for part in menus for option in _field(part, "options") or ()]


def files_of(message: AnyMessage) -> list[ShownFile]:
    """The message's files: those that are attached, then those that its layout shows."""
    found = list(_field(message, "attachments") or ())
    for component in components_of(message):
        found += [_field(item, "media") for item in _field(component, "items") or ()]
        found += [_field(component, "media", "file")]
    return [_file(media) for media in found if media is not None]


def file_of(message: AnyMessage, job_id: JobId) -> ShownFile | None:
    """The picture of a job in its result, or in a copy of that."""
    return next((file for file in files_of(message) if job_id in file.name), None)


def pictures_of(message: AnyMessage) -> list[ShownFile]:
    """The message's pictures: its files, those of a message that it forwards, and what its embeds show."""
    found = [file for file in files_of(message) if _is_picture(file)]
    for snapshot in _field(message, "message_snapshots") or ():
        found += pictures_of(_field(snapshot, "message") or snapshot)
    for embed in _field(message, "embeds") or ():
        shown = [_field(embed, name) for name in ("image", "thumbnail")]
        # Discord's own copy: the picture itself may be anywhere
        found += [_file(media, _field(media, "proxy_url")) for media in shown if _field(media, "url")]
    return found


def _is_picture(file: ShownFile) -> bool:
    kind = file.content_type or guess_type(file.name)[0] or ""
    return kind.startswith("image/")


def _walk(component: Any) -> Iterator[Any]:
    yield component
    children = _field(component, "components", "children") or ()
    for child in (*children, _field(component, "component"), _field(component, "accessory")):
        if child is not None:
            yield from _walk(child)


def _file(media: Any, copy: str | None = None) -> ShownFile:
    """``copy``: where to read it instead."""
    url, width, height = (
        copy or str(_field(media, "url") or ""),
        _field(media, "width"),
        _field(media, "height"),
    )
    return ShownFile(
        name=str(_field(media, "filename") or URL(url).name),
        url=url,
        id=str(_field(media, "attachment_id", "id") or ""),
        content_type=str(_field(media, "content_type") or ""),
        size=Size(width=width, height=height) if width and height else None,
    )


def _field(part: Any, *names: str) -> Any:
    """The first of these fields that is set; discord.py's names for some of them differ from Discord's."""
    values = (part.get(name) if isinstance(part, Mapping) else getattr(part, name, None) for name in names)
    return next((value for value in values if value is not None), None)
