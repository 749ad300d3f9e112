"""A message as it is now, and the shape in which the API shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.demo.discord_server.state.clock import snowflake_time
from modules.demo.discord_server.state.files import Attachment, FileStore
from modules.demo.discord_server.state.guilds import Channel
from modules.demo.discord_server.state.people import Payload, User, iso

DEFAULT, REPLY, SLASH_COMMAND, CONTEXT_MENU = 0, 19, 20, 23
"""Message types (Discord docs, Message Resource, Message Types)."""
SUPPRESS_EMBEDS, EPHEMERAL, LOADING, SUPPRESS_NOTIFICATIONS, COMPONENTS_V2 = (
    1 << 2,
    1 << 6,
    1 << 7,
    1 << 12,
    1 << 15,
)
"""Message flags (Discord docs, Message Resource, Message Flags)."""


@dataclass(kw_only=True, eq=False)
class Message:
    """One message. `ephemeral_to` is the only user who sees it, if it is ephemeral."""

    id: int
    channel: Channel
    author: User
    kind: int = DEFAULT
    content: str = ""
    embeds: list[Payload] = field(default_factory=list)
    components: list[Payload] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    mentions: list[User] = field(default_factory=list)
    mention_roles: list[int] = field(default_factory=list)
    mention_everyone: bool = False
    nonce: str | int | None = None
    edited_at: float | None = None
    reference: Message | None = None
    application_id: int | None = None
    interaction: Payload | None = None
    ephemeral_to: int | None = None

    @property
    def created_at(self) -> float:
        return snowflake_time(self.id)

    @property
    def is_empty(self) -> bool:
        return not (self.content or self.embeds or self.components or self.attachments)

    def payload(self, files: FileStore, *, with_nonce: bool = False) -> Payload:
        """The message object; the nonce is told only in the answer and event of its creation."""
        named = {attachment.filename: attachment for attachment in self.attachments}
        used: set[str] = set()
        embeds = [_resolve(embed, named, files, used) for embed in self.embeds]
        components = [_resolve(component, named, files, used) for component in self.components]
        shown: Payload = {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "type": self.kind,
            "author": self.author.payload(),
            "content": self.content,
            "timestamp": iso(self.created_at),
            "edited_timestamp": iso(self.edited_at) if self.edited_at is not None else None,
            "tts": False,
            "mention_everyone": self.mention_everyone,
            "mentions": [user.payload() for user in self.mentions],
            "mention_roles": [str(role) for role in self.mention_roles],
            "attachments": [
                files.payload(attachment)
                for attachment in self.attachments
                if attachment.filename not in used
            ],
            "embeds": embeds,
            "components": components,
            "pinned": False,
            "flags": self.flags,
        }
        if self.reference is not None:
            shown["message_reference"] = {
                "type": 0,
                "channel_id": str(self.reference.channel.id),
                "message_id": str(self.reference.id),
            }
        if self.application_id is not None:
            shown["application_id"] = str(self.application_id)
        if self.interaction is not None:
            shown["webhook_id"] = str(self.application_id)
            shown["interaction_metadata"] = self.interaction
        if with_nonce and self.nonce is not None:
            shown["nonce"] = self.nonce
        return shown


def _resolve(value: Any, named: Mapping[str, Attachment], files: FileStore, used: set[str]) -> Any:
    """`attachment://name` becomes the file's address; the file leaves the attachments (Uploading Files)."""
    if isinstance(value, Mapping):
        resolved = {key: _resolve(item, named, files, used) for key, item in value.items()}
        url = resolved.get("url")
        if isinstance(url, str) and url.startswith("attachment://"):
            attachment = named.get(url.removeprefix("attachment://"))
            if attachment is not None:
                used.add(attachment.filename)
                resolved["url"] = resolved["proxy_url"] = files.url(attachment)
                if attachment.width:
                    resolved.update(width=attachment.width, height=attachment.height)
        return resolved
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_resolve(item, named, files, used) for item in value]
    return value
