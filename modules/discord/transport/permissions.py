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


def invite_link(application_id: int | str) -> str:
    """The page where an administrator invites the bot, with exactly the permissions that it needs."""
    link = "https://discord.com/oauth2/authorize"
    return f"{link}?client_id={application_id}&scope=bot+applications.commands&permissions={NEEDED.value}"


def for_administrators_only(channel: object) -> bool:
    """Whether nobody but administrators, the bot itself and other bots can see a guild's channel."""
    place = channel.parent if isinstance(channel, discord.Thread) else channel
    if not isinstance(place, discord.abc.GuildChannel):
        return False
    for role in place.guild.roles:
        seen = place.permissions_for(role).view_channel
        if seen and not role.permissions.administrator and not role.is_bot_managed():
            return False
    admitted = [who for who, given in place.overwrites.items() if given.view_channel]
    people = [who for who in admitted if not isinstance(who, discord.Role) and who.id != place.guild.me.id]
    return all(
        isinstance(who, discord.Member) and (who.bot or who.guild_permissions.administrator) for who in people
    )


def names(permissions: discord.Permissions) -> Iterator[str]:
    """The permissions' names in Discord's English settings."""
    return (_SHOWN.get(name, name.replace("_", " ").title()) for name, held in permissions if held)


def member_permissions(
    roles: Iterable[Mapping[str, str]], held: Iterable[str], *, guild_id: int
) -> discord.Permissions:
    """What a member with the roles ``held`` may do in the guild; ``roles`` as the API gives them. @everyone's
    role has the guild's id (Discord docs, Permissions)."""
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
    """``base`` after a channel's overwrites: @everyone's, then the roles' together, then the member's own."""
    if base.administrator:
        return base
    by_id = {overwrite["id"]: overwrite for overwrite in overwrites}
    found = discord.Permissions(base.value)
    for layer in ([str(guild_id)], held, [member_id]):
        allow = deny = 0
        for overwrite in (by_id[each] for each in layer if each in by_id):
            allow |= int(overwrite["allow"])
            deny |= int(overwrite["deny"])
        found.handle_overwrite(allow=allow, deny=deny)
    return found
