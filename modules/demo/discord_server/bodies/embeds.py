"""Embeds and their limits (Discord docs, Message Resource, Embed Limits)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from modules.demo.discord_server.bodies.base import Body, Url, text
from modules.demo.discord_server.refusals import invalid_field

LONGEST_EMBEDS = 6000


class EmbedAuthor(Body):
    name: Annotated[str, text(256)]
    url: Url | None = None
    icon_url: Url | None = None
    proxy_icon_url: str | None = None


class EmbedFooter(Body):
    text: Annotated[str, text(2048)]
    icon_url: Url | None = None
    proxy_icon_url: str | None = None


class EmbedMedia(Body):
    url: Url
    proxy_url: str | None = None
    width: int | None = None
    height: int | None = None
    description: str | None = None
    content_type: str | None = None
    placeholder: str | None = None
    placeholder_version: int | None = None
    flags: int | None = None


class EmbedProvider(Body):
    name: Annotated[str, text(256)] | None = None
    url: Url | None = None


class EmbedField(Body):
    name: Annotated[str, text(256, 1)]
    value: Annotated[str, text(1024, 1)]
    inline: bool | None = None


class Embed(Body):
    type: str | None = None
    title: Annotated[str, text(256)] | None = None
    description: Annotated[str, text(4096)] | None = None
    url: Url | None = None
    timestamp: str | None = None
    color: Annotated[int, Field(ge=0, le=0xFFFFFF)] | None = None
    footer: EmbedFooter | None = None
    image: EmbedMedia | None = None
    thumbnail: EmbedMedia | None = None
    video: EmbedMedia | None = None
    provider: EmbedProvider | None = None
    author: EmbedAuthor | None = None
    fields: Annotated[tuple[EmbedField, ...], Field(max_length=25)] | None = None
    flags: int | None = None

    def length(self) -> int:
        """Characters that count towards the sum over all embeds of a message."""
        texts = [self.title, self.description]
        texts.append(self.footer.text if self.footer else None)
        texts.append(self.author.name if self.author else None)
        texts += [part for field in self.fields or () for part in (field.name, field.value)]
        return sum(len(part) for part in texts if part)


def check_embeds(embeds: Sequence[Embed]) -> None:
    """At most 6000 characters over all embeds of a message."""
    if sum(embed.length() for embed in embeds) > LONGEST_EMBEDS:
        raise invalid_field("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")
