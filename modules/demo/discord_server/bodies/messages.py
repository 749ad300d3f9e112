"""Bodies that create and edit messages (Discord docs, Message Resource; Webhook Resource)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from modules.demo.discord_server.bodies.base import Body, Snowflake, text
from modules.demo.discord_server.bodies.components import MessageComponent
from modules.demo.discord_server.bodies.embeds import Embed

LONGEST_CONTENT = 2000
MOST_ATTACHMENTS = 10


class AllowedMentions(Body):
    """Which mentions ping (Discord docs, Message Resource, Allowed Mentions Object)."""

    parse: tuple[Literal["users", "roles", "everyone"], ...] | None = None
    users: Annotated[tuple[Snowflake, ...], Field(max_length=100)] | None = None
    roles: Annotated[tuple[Snowflake, ...], Field(max_length=100)] | None = None
    replied_user: bool | None = None

    @field_validator("users", "roles")
    @classmethod
    def _not_twice(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value and len(set(value)) != len(value):
            raise ValueError("The set already contains this value")
        return value


class AttachmentBody(Body):
    """One attachment: `id` is the number of an uploaded file, or the id of one that is kept."""

    id: Snowflake
    filename: Annotated[str, text(1024, 1)] | None = None
    description: Annotated[str, text(1024)] | None = None
    title: Annotated[str, text(1024)] | None = None
    duration_secs: float | None = None
    waveform: str | None = None
    is_spoiler: bool | None = None
    # discord.py sends a kept attachment as it came; Discord ignores the rest
    url: str | None = None
    proxy_url: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    content_type: str | None = None
    spoiler: bool | None = None


class MessageReference(Body):
    type: Literal[0, 1] | None = None
    message_id: Snowflake
    channel_id: Snowflake | None = None
    guild_id: Snowflake | None = None
    fail_if_not_exists: bool | None = None


class _MessageContent(Body):
    """What creating and editing have in common."""

    content: Annotated[str, text(LONGEST_CONTENT)] | None = None
    embeds: Annotated[tuple[Embed, ...], Field(max_length=10)] | None = None
    allowed_mentions: AllowedMentions | None = None
    components: Annotated[tuple[MessageComponent, ...], Field(max_length=40)] | None = None
    attachments: Annotated[tuple[AttachmentBody, ...], Field(max_length=MOST_ATTACHMENTS)] | None = None
    flags: Annotated[int, Field(ge=0)] | None = None


class CreateMessage(_MessageContent):
    nonce: Annotated[str, text(25)] | Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    enforce_nonce: bool | None = None
    tts: bool | None = None
    message_reference: MessageReference | None = None
    sticker_ids: Annotated[tuple[Snowflake, ...], Field(max_length=3)] | None = None


class EditMessage(_MessageContent):
    tts: bool | None = None  # discord.py sends it with edits; Discord ignores it


class WebhookMessage(_MessageContent):
    """A followup, or the data of an interaction's answer."""

    tts: bool | None = None


class BulkDelete(Body):
    messages: tuple[Snowflake, ...]
