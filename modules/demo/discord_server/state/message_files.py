"""Which files a message has after a body: kept ones, new ones, and those that its layout refers to."""

from __future__ import annotations

from collections.abc import Iterable

from modules.demo.discord_server.bodies.components import media_in
from modules.demo.discord_server.bodies.messages import (
    MOST_ATTACHMENTS,
    AttachmentBody,
    CreateMessage,
    EditMessage,
    WebhookMessage,
)
from modules.demo.discord_server.refusals import invalid_field
from modules.demo.discord_server.state.files import Attachment, Upload, check_sizes, named_by
from modules.demo.discord_server.state.guilds import COMPONENTS_V2, Message
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


def check_references(message: Message, body: AnyMessageBody) -> None:
    """Each `attachment://` names a file of the message, and with V2 each file is shown by a component.

    "Attachments won't show by default - they must be exposed through components" (Component Reference):
    Discord may take a file that no component shows, and nobody would ever see it, so it is refused here. A
    kept file is found by its name only if the body repeats the name (community).
    """
    nameless = {item.id for item in body.attachments or () if item.filename is None}
    unseen = {attachment.id: attachment.filename for attachment in message.attachments}
    for path, media in media_in(message.components):
        shown = named_by(media["url"], message.attachments)
        if shown is not None and shown.id in nameless and media["url"].startswith("attachment://"):
            shown = None
        if shown is None and media["url"].startswith("attachment://"):
            text = f"The referenced attachment {media['url']} was not found"
            raise invalid_field(f"{path}.url", "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", text)
        if shown is not None:
            unseen.pop(shown.id, None)
    if message.flags & COMPONENTS_V2 and unseen:
        text = f"No component shows {', '.join(unseen.values())}"
        raise invalid_field("attachments", "MESSAGE_ATTACHMENT_NOT_SHOWN", text)


def drop_files(hub: Hub, attachments: Iterable[Attachment]) -> None:
    for attachment in attachments:
        hub.files.remove(attachment)
