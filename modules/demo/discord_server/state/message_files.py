"""Which files a message has after a body: kept ones, new ones, and those that its layout refers to."""

from __future__ import annotations

from collections.abc import Iterable

from modules.demo.discord_server.bodies.components import walk
from modules.demo.discord_server.bodies.messages import (
    MOST_ATTACHMENTS,
    AttachmentBody,
    CreateMessage,
    EditMessage,
    WebhookMessage,
)
from modules.demo.discord_server.refusals import invalid_field
from modules.demo.discord_server.state.files import Attachment, Upload, check_sizes
from modules.demo.discord_server.state.guilds import Message
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.world import MIB

DM_FILE_LIMIT = 10 * MIB
AnyMessageBody = CreateMessage | EditMessage | WebhookMessage


def attachments_after(
    hub: Hub, message: Message, body: AnyMessageBody, uploads: list[Upload]
) -> list[Attachment]:
    """The message's files after this body: kept ones by id, new ones by the number of their part.

    Discord docs, Reference, Uploading Files; Message Resource, Edit Message.
    """
    limit = message.channel.guild.file_limit if message.channel.guild else DM_FILE_LIMIT
    check_sizes(uploads, limit)
    by_index = {upload.index: upload for upload in uploads}
    kept = {attachment.id: attachment for attachment in message.attachments}
    described: dict[int, AttachmentBody] = {}
    result: list[Attachment] = []
    if body.attachments is None:
        result = list(kept.values())
    for position, item in enumerate(body.attachments or ()):
        if item.id in by_index:
            described[item.id] = item
        elif item.id in kept:
            result.append(_kept(hub, kept[item.id], item))
        else:
            raise invalid_field(
                f"attachments.{position}.id", "MESSAGE_ATTACHMENT_NOT_FOUND", "Attachment not found."
            )
    if len(result) + len(uploads) > MOST_ATTACHMENTS:
        raise invalid_field("attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    for upload in uploads:
        about = described.get(upload.index)
        result.append(
            hub.files.add(
                upload,
                channel_id=message.channel.id,
                description=about.description if about else None,
                ephemeral=message.ephemeral_to is not None,
                keep=not message.author.bot,
            )
        )
    return result


def _kept(hub: Hub, attachment: Attachment, item: AttachmentBody) -> Attachment:
    if "description" in item.model_fields_set and item.description != attachment.description:
        return hub.files.described(attachment, item.description)
    return attachment


def check_references(message: Message) -> None:
    """A V2 file or picture must name an uploaded attachment (Component Reference, File)."""
    names = {attachment.filename for attachment in message.attachments}
    for component in walk(message.components):
        media = [component.get("file"), component.get("media")]
        media += [item["media"] for item in component.get("items") or ()]
        for each in media:
            url = (each or {}).get("url", "")
            if url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
                raise invalid_field(
                    "components", "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", f"{url} not found"
                )


def drop_files(hub: Hub, attachments: Iterable[Attachment]) -> None:
    for attachment in attachments:
        hub.files.remove(attachment)
