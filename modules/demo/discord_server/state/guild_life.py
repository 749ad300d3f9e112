"""People and the bot coming and going, and what moderators do by hand, with the events of each."""

from __future__ import annotations

from modules.demo.discord_server.gateway import ALWAYS, GUILD_MEMBERS, GUILD_MODERATION, GUILDS
from modules.demo.discord_server.state.guilds import Guild
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.people import Member, User


def bot_leaves(hub: Hub, guild: Guild) -> None:
    """The bot left or was kicked: GUILD_DELETE without `unavailable` (Gateway Events, Guild Delete)."""
    guild.has_bot = False
    hub.add_bot(guild)
    guild.forget_viewers()
    hub.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id)}, intents=GUILDS)
    hub.clients.tell_commands(guild.id)


def member_joins(hub: Hub, guild: Guild, user: User) -> None:
    members = next(role for role in guild.roles.values() if role.name == "Members")
    member = Member(user=user, joined_at=hub.clock.now(), roles=[members.id])
    guild.members[user.id] = member
    guild.forget_viewers()
    data = {**member.payload(), "guild_id": str(guild.id)}
    hub.gateway.dispatch("GUILD_MEMBER_ADD", data, intents=GUILD_MEMBERS)


def member_leaves(hub: Hub, guild: Guild, user: User, *, banned: bool = False) -> None:
    """A person leaves, or is banned: their overwrites stay in the channels (community)."""
    seen = [channel for channel in guild.channels.values() if user.id in guild.viewers(channel)]
    guild.members.pop(user.id, None)
    guild.forget_viewers()
    data = {"guild_id": str(guild.id), "user": user.payload()}
    if banned:
        guild.banned.add(user.id)
        hub.gateway.dispatch("GUILD_BAN_ADD", data, intents=GUILD_MODERATION)
    hub.gateway.dispatch("GUILD_MEMBER_REMOVE", data, intents=GUILD_MEMBERS)
    for channel in seen:
        hub.clients.tell((user.id,), "CHANNEL_DELETE", channel.payload())


def rename(hub: Hub, user: User, *, name: str | None = None, display_name: str | None = None) -> None:
    """A new account name or display name: GUILD_MEMBER_UPDATE in each shared guild (Gateway Events)."""
    user.name = name or user.name
    user.global_name = display_name or user.global_name
    for guild in hub.guilds.values():
        if guild.has_bot and user.id in guild.members:
            tell_member(hub, guild, guild.members[user.id])


def set_roles(hub: Hub, guild: Guild, user: User, names: set[str]) -> None:
    """The roles of a member, by name, besides "Members"."""
    wanted = {"Members", *names}
    guild.members[user.id].roles = [role.id for role in guild.roles.values() if role.name in wanted]
    guild.forget_viewers()
    tell_member(hub, guild, guild.members[user.id])


def tell_member(hub: Hub, guild: Guild, member: Member) -> None:
    data = {**member.payload(), "guild_id": str(guild.id)}
    intents = ALWAYS if member.user is hub.bot else GUILD_MEMBERS
    hub.gateway.dispatch("GUILD_MEMBER_UPDATE", data, intents=intents)


def set_bot_permissions(hub: Hub, guild: Guild, permissions: int) -> None:
    """An administrator changes the bot's role: GUILD_ROLE_UPDATE."""
    role = next(role for role in guild.roles.values() if role.managed)
    role.permissions = permissions
    guild.forget_viewers()
    data = {"guild_id": str(guild.id), "role": role.payload()}
    hub.gateway.dispatch("GUILD_ROLE_UPDATE", data, intents=GUILDS)
