"""Guilds, their channels, members and roles (Discord docs, Guild Resource)."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from modules.demo.discord_server.bodies.channels import CreateChannel, MoveChannel
from modules.demo.discord_server.refusals import Refusal, invalid_body
from modules.demo.discord_server.rest import Call, Reply, Route
from modules.demo.discord_server.state.channels import create_channel, find_parent, tell_changed
from modules.demo.discord_server.state.guilds import Guild
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.permissions import MANAGE_CHANNELS

MOST_MEMBERS = 1000
_MOVES = TypeAdapter(list[MoveChannel])


def _require(hub: Hub, guild: Guild, needed: int) -> None:
    if needed & ~guild.permissions(hub.bot.id):
        raise Refusal(50013)


def _guild(hub: Hub, call: Call) -> Reply:
    guild = hub.guild(call.id("guild_id"))
    shown = guild.payload()
    if call.query.get("with_counts") in ("1", "true"):
        count = len(guild.members)
        shown.update(approximate_member_count=count, approximate_presence_count=count)
    return Reply(data=shown)


def _channels(hub: Hub, call: Call) -> Reply:
    guild = hub.guild(call.id("guild_id"))
    return Reply(data=[channel.payload() for channel in guild.channels.values()])


def _create_channel(hub: Hub, call: Call) -> Reply:
    guild = hub.guild(call.id("guild_id"))
    body = call.body(CreateChannel)
    _require(hub, guild, MANAGE_CHANNELS)
    return Reply(data=create_channel(hub, guild, body).payload(), status=201)


def _move_channels(hub: Hub, call: Call) -> Reply:
    """Positions, and parents with them (Modify Guild Channel Positions)."""
    guild = hub.guild(call.id("guild_id"))
    try:
        moves = _MOVES.validate_python(call.data)
    except ValidationError as error:
        raise invalid_body(error, call.data) from error
    _require(hub, guild, MANAGE_CHANNELS)
    for move in moves:
        channel = guild.channels.get(move.id)
        if channel is None:
            raise Refusal(10003)
        before = hub.viewers(channel)
        if "parent_id" in move.model_fields_set and move.parent_id != channel.parent_id:
            parent = find_parent(guild, move.parent_id)
            channel.parent_id = move.parent_id
            if move.lock_permissions and parent is not None:
                channel.overwrites = dict(parent.overwrites)
        if move.position is not None:
            channel.position = move.position
        guild.forget_viewers()
        tell_changed(hub, channel, before)
    return Reply()


def _roles(hub: Hub, call: Call) -> Reply:
    guild = hub.guild(call.id("guild_id"))
    return Reply(data=[role.payload() for role in guild.roles.values()])


def _member(hub: Hub, call: Call) -> Reply:
    member = hub.guild(call.id("guild_id")).members.get(call.id("user_id"))
    if member is None:
        raise Refusal(10007 if call.id("user_id") in hub.users else 10013)
    return Reply(data=member.payload())


def _members(hub: Hub, call: Call) -> Reply:
    """Needs the members intent in the portal (List Guild Members)."""
    guild = hub.guild(call.id("guild_id"))
    if not hub.bot_spec.members_intent:
        raise Refusal(50001)
    after, limit = call.number("after", 0), call.number("limit", 1)
    found = sorted((m for m in guild.members.values() if m.user.id > after), key=lambda m: m.user.id)
    return Reply(data=[member.payload() for member in found[: min(limit, MOST_MEMBERS)]])


def _search_members(hub: Hub, call: Call) -> Reply:
    guild = hub.guild(call.id("guild_id"))
    start, limit = call.query.get("query", "").lower(), call.number("limit", 1)
    names = ((m, (m.nick or m.user.name).lower()) for m in guild.members.values())
    found = [member for member, name in names if name.startswith(start)]
    return Reply(data=[member.payload() for member in found[: min(limit, MOST_MEMBERS)]])


ROUTES = [
    Route(method="GET", template="/guilds/{guild_id}", handler=_guild),
    Route(method="GET", template="/guilds/{guild_id}/channels", handler=_channels),
    Route(method="POST", template="/guilds/{guild_id}/channels", handler=_create_channel),
    Route(method="PATCH", template="/guilds/{guild_id}/channels", handler=_move_channels),
    Route(method="GET", template="/guilds/{guild_id}/roles", handler=_roles),
    Route(method="GET", template="/guilds/{guild_id}/members", handler=_members),
    Route(method="GET", template="/guilds/{guild_id}/members/search", handler=_search_members),
    Route(method="GET", template="/guilds/{guild_id}/members/{user_id}", handler=_member),
]
