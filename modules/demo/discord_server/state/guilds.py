"""Guilds, their channels and messages as they are now: who may do what where, and how the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modules.demo.discord_server.state.clock import snowflake_time
from modules.demo.discord_server.state.files import Attachment, FileStore
from modules.demo.discord_server.state.people import Member, Payload, Role, User, iso
from modules.demo.discord_server.state.permissions import (
    ADMINISTRATOR,
    ALL,
    VIEW_CHANNEL,
    Overwrite,
    base_permissions,
    channel_permissions,
)
from modules.demo.discord_server.state.shown_components import shown_component, shown_embed
from modules.demo.discord_server.state.world import CATEGORY, DM, MIB, TEXT

MOST_CHANNELS = 500
MOST_IN_CATEGORY = 50
FILE_LIMITS = {0: 10 * MIB, 1: 10 * MIB, 2: 50 * MIB, 3: 100 * MIB}
"""Bytes of one file by the guild's boost tier (Discord docs, Reference, Uploading Files)."""
DEFAULT, REPLY, SLASH_COMMAND, CONTEXT_MENU = 0, 19, 20, 23
"""Message types (Discord docs, Message Resource, Message Types)."""
DEFAULT_REFERENCE, FORWARD = 0, 1
"""Message reference types (Discord docs, Message Resource, Message Reference Types)."""
SUPPRESS_EMBEDS, EPHEMERAL, LOADING, SUPPRESS_NOTIFICATIONS, HAS_SNAPSHOT, COMPONENTS_V2 = (
    1 << 2,
    1 << 6,
    1 << 7,
    1 << 12,
    1 << 14,
    1 << 15,
)
"""Message flags (Discord docs, Message Resource, Message Flags)."""


@dataclass(kw_only=True, eq=False)
class Channel:
    """A text channel, category or DM (Discord docs, Channel Resource)."""

    id: int
    kind: int
    name: str = ""
    guild: Guild | None = None
    topic: str | None = None
    nsfw: bool = False
    parent_id: int | None = None
    position: int = 0
    rate_limit_per_user: int = 0
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    recipients: tuple[User, ...] = ()
    last_message_id: int | None = None
    messages: dict[int, Message] = field(default_factory=dict)

    @property
    def is_dm(self) -> bool:
        return self.kind == DM

    def payload(self, *, viewer: int | None = None) -> Payload:
        """What the API shows; in a DM the `viewer` is not among the recipients."""
        if self.is_dm:
            others = [user.payload() for user in self.recipients if user.id != viewer]
            return {
                "id": str(self.id),
                "type": DM,
                "last_message_id": self.last_message_id and str(self.last_message_id),
                "flags": 0,
                "recipients": others,
                "nsfw": False,
            }
        shown: Payload = {
            "id": str(self.id),
            "type": self.kind,
            "guild_id": str(self.guild.id) if self.guild else None,
            "name": self.name,
            "position": self.position,
            "nsfw": self.nsfw,
            "flags": 0,
            "parent_id": self.parent_id and str(self.parent_id),
            "permission_overwrites": [
                {"id": str(o.id), "type": o.type, "allow": str(o.allow), "deny": str(o.deny)}
                for o in self.overwrites.values()
            ],
        }
        if self.kind == TEXT:
            shown["topic"] = self.topic
            shown["rate_limit_per_user"] = self.rate_limit_per_user
            shown["last_message_id"] = self.last_message_id and str(self.last_message_id)
        return shown


SNAPSHOT_FIELDS = (
    "type",
    "content",
    "embeds",
    "attachments",
    "timestamp",
    "edited_timestamp",
    "flags",
    "mentions",
    "mention_roles",
    "components",
)
"""What a forward shows of its message: not who wrote it (Message Resource, Message Snapshot Object)."""


@dataclass(kw_only=True, eq=False)
class Message:
    """One message. `ephemeral_to` is the only user who sees it, if it is ephemeral; `forwarded` is the copy
    of `reference` that a forward carries."""

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
    forwarded: Message | None = None
    application_id: int | None = None
    interaction: Payload | None = None
    ephemeral_to: int | None = None

    @property
    def created_at(self) -> float:
        return snowflake_time(self.id)

    @property
    def is_empty(self) -> bool:
        return not (self.content or self.embeds or self.components or self.attachments or self.forwarded)

    def payload(self, files: FileStore, *, with_nonce: bool = False) -> Payload:
        """The message object; the nonce is told only in the answer and event of its creation."""
        used: set[int] = set()
        embeds = [shown_embed(embed, self.attachments, files, used) for embed in self.embeds]
        components = [shown_component(each, self.attachments, files, used) for each in self.components]
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
                files.payload(attachment) for attachment in self.attachments if attachment.id not in used
            ],
            "embeds": embeds,
            "components": components,
            "pinned": False,
            "flags": self.flags,
        }
        if self.reference is not None:
            shown["message_reference"] = {
                "type": DEFAULT_REFERENCE if self.forwarded is None else FORWARD,
                "channel_id": str(self.reference.channel.id),
                "message_id": str(self.reference.id),
            }
        if self.forwarded is not None:
            whole = self.forwarded.payload(files)
            shown["message_snapshots"] = [{"message": {name: whole[name] for name in SNAPSHOT_FIELDS}}]
        if self.application_id is not None:
            shown["application_id"] = str(self.application_id)
        if self.interaction is not None:
            shown["webhook_id"] = str(self.application_id)
            shown["interaction_metadata"] = self.interaction
        if with_nonce and self.nonce is not None:
            shown["nonce"] = self.nonce
        return shown


@dataclass(kw_only=True, eq=False)
class Guild:
    """A guild with its members, roles and channels (Discord docs, Guild Resource)."""

    id: int
    name: str
    owner_id: int
    locale: str = "en-US"
    premium_tier: int = 0
    joined_at: float = 0.0
    has_bot: bool = True
    automod_words: tuple[str, ...] = ()
    members: dict[int, Member] = field(default_factory=dict)
    banned: set[int] = field(default_factory=set)
    roles: dict[int, Role] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    _viewers: dict[int, frozenset[int]] = field(default_factory=dict)

    @property
    def file_limit(self) -> int:
        return FILE_LIMITS[self.premium_tier]

    def permissions(self, user_id: int) -> int:
        """A member's permissions in the guild; none for anybody else."""
        member = self.members.get(user_id)
        if member is None:
            return 0
        return base_permissions(
            self.roles[self.id].permissions,
            (self.roles[role].permissions for role in member.roles if role in self.roles),
            owner=user_id == self.owner_id,
        )

    def permissions_in(
        self, channel: Channel, user_id: int, overwrites: Mapping[int, Overwrite] | None = None
    ) -> int:
        """A member's permissions in one channel; none where they cannot see it."""
        member = self.members.get(user_id)
        if member is None:
            return 0
        return channel_permissions(
            self.permissions(user_id),
            guild_id=self.id,
            member_id=user_id,
            roles=member.roles,
            overwrites=channel.overwrites if overwrites is None else overwrites,
        )

    def is_administrator(self, user_id: int) -> bool:
        return bool(self.permissions(user_id) & ADMINISTRATOR)

    def viewers(self, channel: Channel) -> frozenset[int]:
        """The members who see a channel; kept until something about it changes.

        A category is also shown to those who see a channel in it, as Discord's client does.
        """
        known = self._viewers.get(channel.id)
        if known is None:
            known = frozenset(
                user for user in self.members if self.permissions_in(channel, user) & VIEW_CHANNEL
            )
            if channel.kind == CATEGORY:
                known = known.union(*(self.viewers(child) for child in self.children(channel.id)))
            self._viewers[channel.id] = known
        return known

    def forget_viewers(self, channel: Channel | None = None) -> None:
        """To be called when overwrites, roles or members have changed."""
        if channel is None:
            self._viewers.clear()
        else:
            self._viewers.pop(channel.id, None)
            self._viewers.pop(channel.parent_id or 0, None)

    def children(self, category_id: int) -> list[Channel]:
        return [channel for channel in self.channels.values() if channel.parent_id == category_id]

    def payload(self) -> Payload:
        """The guild object of REST answers."""
        return {
            "id": str(self.id),
            "name": self.name,
            "icon": None,
            "splash": None,
            "discovery_splash": None,
            "banner": None,
            "description": None,
            "owner_id": str(self.owner_id),
            "region": "deprecated",
            "afk_channel_id": None,
            "afk_timeout": 300,
            "verification_level": 1,
            "default_message_notifications": 1,
            "explicit_content_filter": 2,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": self.premium_tier,
            "premium_subscription_count": 0,
            "premium_progress_bar_enabled": False,
            "preferred_locale": self.locale,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "rules_channel_id": None,
            "public_updates_channel_id": None,
            "safety_alerts_channel_id": None,
            "vanity_url_code": None,
            "application_id": None,
            "features": [],
            "emojis": [],
            "stickers": [],
            "roles": [role.payload() for role in self.roles.values()],
        }

    def gateway_payload(self, members: list[Member], *, joined: bool) -> Payload:
        """GUILD_CREATE; a join is one without `unavailable` (Discord docs, Gateway Events, Guild Create)."""
        shown = self.payload()
        shown.update(
            joined_at=iso(self.joined_at),
            large=len(self.members) > 250,
            member_count=len(self.members),
            members=[member.payload() for member in members],
            channels=[channel.payload() for channel in self.channels.values()],
            threads=[],
            presences=[],
            voice_states=[],
            stage_instances=[],
            guild_scheduled_events=[],
            soundboard_sounds=[],
        )
        if not joined:
            shown["unavailable"] = False
        return shown


def grantable(guild: Guild, user_id: int, category: Channel | None = None) -> int:
    """Permissions that a member may name in overwrites: those they have in the guild or the parent channel.

    Discord docs, Guild Resource, Create Guild Channel; Channel Resource, Edit Channel Permissions.
    """
    own = guild.permissions(user_id)
    if own & ADMINISTRATOR:
        return ALL
    return own | (guild.permissions_in(category, user_id) if category is not None else 0)


def is_category(channel: Channel | None) -> bool:
    return channel is not None and channel.kind == CATEGORY
