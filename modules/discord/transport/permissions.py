"""The permissions that the bot needs in its guild, and the link that grants exactly these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import discord

NEEDED = discord.Permissions(
    view_channel=True,
    manage_channels=True,
    send_messages=True,
    embed_links=True,
    attach_files=True,
    read_message_history=True,
)
"""`manage_channels` is for making the private channels, the others for posting results there."""

_SHOWN = {"read_messages": "View Channels"}

SCOPES = ("bot", "applications.commands")


def invite_link(application_id: int | str) -> str:
    """The page where an administrator invites the bot, with exactly the permissions that it needs."""
    link = "https://discord.com/oauth2/authorize"
    return f"{link}?client_id={application_id}&scope={'+'.join(SCOPES)}&permissions={NEEDED.value}"


def names(permissions: discord.Permissions) -> Iterator[str]:
    """The permissions' names in Discord's English settings."""
    return (_SHOWN.get(name, name.replace("_", " ").title()) for name, held in permissions if held)


def member_permissions(
    roles: Iterable[Mapping[str, str]], held: Iterable[str], *, guild_id: int
) -> discord.Permissions:
    """What a member with the roles ``held`` may do in the guild; ``roles`` as the API gives them.

    @everyone's role has the guild's id (Discord docs, Permissions).
    """
    counted = {*held, str(guild_id)}
    granted = 0
    for role in roles:
        if role["id"] in counted:
            granted |= int(role["permissions"])
    found = discord.Permissions(granted)
    return discord.Permissions.all() if found.administrator else found


def in_channel(
    base: discord.Permissions,
    overwrites: Iterable[Mapping[str, str]],
    held: Iterable[str],
    *,
    guild_id: int,
    member_id: str,
) -> discord.Permissions:
    """What is left of ``base`` in a channel: @everyone's overwrite, the roles' together, the member's own."""
    if base.administrator:
        return base
    by_id = {overwrite["id"]: overwrite for overwrite in overwrites}
    layers = [[str(guild_id)], list(held), [member_id]]
    value = base.value
    for layer in layers:
        there = [by_id[each] for each in layer if each in by_id]
        for overwrite in there:
            value &= ~int(overwrite["deny"])
        for overwrite in there:
            value |= int(overwrite["allow"])
    return discord.Permissions(value)
