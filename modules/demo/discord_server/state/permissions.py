"""Discord's permission bits and how roles and channel overwrites combine (Discord docs, Permissions)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BAN_MEMBERS = 1 << 2
ADMINISTRATOR = 1 << 3
MANAGE_CHANNELS = 1 << 4
ADD_REACTIONS = 1 << 6
VIEW_CHANNEL = 1 << 10
SEND_MESSAGES = 1 << 11
MANAGE_MESSAGES = 1 << 13
EMBED_LINKS = 1 << 14
ATTACH_FILES = 1 << 15
READ_MESSAGE_HISTORY = 1 << 16
MENTION_EVERYONE = 1 << 17
MANAGE_ROLES = 1 << 28
USE_APPLICATION_COMMANDS = 1 << 31
ALL = (1 << 53) - 1

MEMBER_DEFAULT = (
    VIEW_CHANNEL
    | SEND_MESSAGES
    | EMBED_LINKS
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | ADD_REACTIONS
    | USE_APPLICATION_COMMANDS
)
BOT_DEFAULT = (
    VIEW_CHANNEL | SEND_MESSAGES | EMBED_LINKS | ATTACH_FILES | READ_MESSAGE_HISTORY | MANAGE_CHANNELS
)
"""What the README's invitation grants, and nothing beyond it."""
BOT_MODERATOR = BOT_DEFAULT | MANAGE_ROLES | MANAGE_MESSAGES
"""For bots that do more than ours."""

ROLE, MEMBER = 0, 1
"""Overwrite types (Discord docs, Channel Resource, Overwrite Object)."""


@dataclass(frozen=True, kw_only=True)
class Overwrite:
    """What one role or member is allowed and denied in one channel."""

    id: int
    type: int
    allow: int = 0
    deny: int = 0


def base_permissions(everyone: int, roles: Iterable[int], *, owner: bool) -> int:
    """A member's permissions in the guild: @everyone and the roles together; all of them for the owner."""
    if owner:
        return ALL
    granted = everyone
    for permissions in roles:
        granted |= permissions
    return ALL if granted & ADMINISTRATOR else granted


def channel_permissions(
    base: int, *, guild_id: int, member_id: int, roles: Iterable[int], overwrites: Mapping[int, Overwrite]
) -> int:
    """A member's permissions in a channel: @everyone's overwrite, then the roles' together, then their own.

    Without VIEW_CHANNEL nothing else is left (Discord docs, Permissions, Implicit Permissions).
    """
    if base & ADMINISTRATOR:
        return ALL
    granted = base
    everyone = overwrites.get(guild_id)
    if everyone is not None:
        granted = granted & ~everyone.deny | everyone.allow
    allow = deny = 0
    for role in roles:
        overwrite = overwrites.get(role)
        if overwrite is not None:
            allow |= overwrite.allow
            deny |= overwrite.deny
    granted = granted & ~deny | allow
    own = overwrites.get(member_id)
    if own is not None:
        granted = granted & ~own.deny | own.allow
    return granted if granted & VIEW_CHANNEL else 0
