"""Making, changing and removing channels and overwrites, with the events that tell of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modules.demo.discord_server.bodies.channels import CreateChannel, EditChannel, OverwriteBody
from modules.demo.discord_server.gateway import GUILDS
from modules.demo.discord_server.refusals import Refusal, invalid_field
from modules.demo.discord_server.state.guilds import (
    MOST_CHANNELS,
    MOST_IN_CATEGORY,
    Channel,
    Guild,
    grantable,
    is_category,
)
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.permissions import MANAGE_ROLES, Overwrite
from modules.demo.discord_server.state.world import CATEGORY, TEXT

Seen = Mapping[Channel, frozenset[int]]
"""Categories and who saw them before a change."""
EMPTY: Seen = {}


def create_channel(hub: Hub, guild: Guild, body: CreateChannel) -> Channel:
    """A new text channel or category; 500 in a guild (30013), 50 in a category (Guild Resource)."""
    kind = TEXT if body.type is None else body.type
    if kind not in (TEXT, CATEGORY):
        raise invalid_field("type", "BASE_TYPE_CHOICES", "Value must be one of {0, 4}.")
    if len(guild.channels) >= MOST_CHANNELS:
        raise Refusal(30013)
    parent = find_parent(guild, body.parent_id)
    overwrites = read_overwrites(hub, guild, body.permission_overwrites, parent)
    if body.permission_overwrites is None and parent is not None:
        # Without overwrites of its own a channel starts with its category's (community).
        overwrites = dict(parent.overwrites)
    channel = Channel(
        id=hub.ids.make(),
        kind=kind,
        name=channel_name(body.name, kind),
        guild=guild,
        topic=body.topic,
        nsfw=bool(body.nsfw),
        parent_id=body.parent_id,
        position=len(guild.channels) if body.position is None else body.position,
        rate_limit_per_user=body.rate_limit_per_user or 0,
        overwrites=overwrites,
    )
    seen = _parents(hub, channel)
    guild.channels[channel.id] = hub.channels[channel.id] = channel
    guild.forget_viewers(channel)
    hub.counters["channels made"] += 1
    _show_parents(hub, seen, appear=True)
    hub.clients.tell(hub.viewers(channel), "CHANNEL_CREATE", channel.payload())
    hub.gateway.dispatch("CHANNEL_CREATE", channel.payload(), intents=GUILDS)
    return channel


def edit_channel(hub: Hub, channel: Channel, body: EditChannel) -> None:
    guild = guild_of(channel)
    before, seen = hub.viewers(channel), _parents(hub, channel)
    given = body.model_fields_set
    if body.parent_id is not None and body.parent_id != channel.parent_id:
        find_parent(guild, body.parent_id)
    if "permission_overwrites" in given:
        parent = guild.channels.get(channel.parent_id or 0)
        channel.overwrites = read_overwrites(hub, guild, body.permission_overwrites, parent)
    if "parent_id" in given:
        guild.forget_viewers(channel)
        channel.parent_id = body.parent_id
        seen = {**_parents(hub, channel), **seen}
    if body.name is not None:
        channel.name = channel_name(body.name, channel.kind)
    if "topic" in given:
        channel.topic = body.topic
    if "nsfw" in given:
        channel.nsfw = bool(body.nsfw)
    if body.position is not None:
        channel.position = body.position
    if body.rate_limit_per_user is not None:
        channel.rate_limit_per_user = body.rate_limit_per_user
    tell_changed(hub, channel, before, seen)


def put_overwrite(hub: Hub, channel: Channel, overwrite: Overwrite) -> None:
    guild = guild_of(channel)
    old = channel.overwrites.get(overwrite.id, Overwrite(id=overwrite.id, type=overwrite.type))
    changed = (old.allow ^ overwrite.allow) | (old.deny ^ overwrite.deny)
    if changed & ~grantable(guild, hub.bot.id, channel):
        raise Refusal(50013)
    before, seen = hub.viewers(channel), _parents(hub, channel)
    channel.overwrites[overwrite.id] = overwrite
    tell_changed(hub, channel, before, seen)


def delete_overwrite(hub: Hub, channel: Channel, overwrite_id: int) -> None:
    if overwrite_id not in channel.overwrites:
        raise Refusal(10009)
    before, seen = hub.viewers(channel), _parents(hub, channel)
    del channel.overwrites[overwrite_id]
    tell_changed(hub, channel, before, seen)


def delete_channel(hub: Hub, channel: Channel) -> None:
    """Remove a channel; a category's children stay, without parent (Channel Resource, Delete Channel)."""
    guild = guild_of(channel)
    viewers, seen = hub.viewers(channel), _parents(hub, channel)
    for child in guild.children(channel.id):
        child.parent_id = None
        tell_changed(hub, child, hub.viewers(child))
    del guild.channels[channel.id]
    del hub.channels[channel.id]
    guild.forget_viewers(channel)
    hub.clients.tell(viewers, "CHANNEL_DELETE", channel.payload())
    _show_parents(hub, seen, appear=False)
    hub.gateway.dispatch("CHANNEL_DELETE", channel.payload(), intents=GUILDS)


def tell_changed(hub: Hub, channel: Channel, before: frozenset[int], parents: Seen = EMPTY) -> None:
    """CHANNEL_UPDATE for those who still see it; the others see it (and its category) come or go."""
    if channel.guild is not None:
        channel.guild.forget_viewers(channel)
    after = hub.viewers(channel)
    payload = channel.payload()
    _show_parents(hub, parents, appear=True)
    hub.clients.tell(after - before, "CHANNEL_CREATE", payload)
    hub.clients.tell(before - after, "CHANNEL_DELETE", payload)
    hub.clients.tell(before & after, "CHANNEL_UPDATE", payload)
    _show_parents(hub, parents, appear=False)
    hub.gateway.dispatch("CHANNEL_UPDATE", payload, intents=GUILDS)


def _parents(hub: Hub, channel: Channel) -> Seen:
    parent = channel.guild.channels.get(channel.parent_id or 0) if channel.guild else None
    return {parent: hub.viewers(parent)} if parent is not None else {}


def _show_parents(hub: Hub, seen: Seen, *, appear: bool) -> None:
    for parent, before in seen.items():
        guild_of(parent).forget_viewers(parent)
        after = hub.viewers(parent)
        if appear:
            hub.clients.tell(after - before, "CHANNEL_CREATE", parent.payload())
        else:
            hub.clients.tell(before - after, "CHANNEL_DELETE", parent.payload())


def channel_name(name: str, kind: int) -> str:
    """Names of text channels are lower-cased, and spaces become hyphens (community)."""
    if kind == CATEGORY:
        return name
    shown = "-".join(name.lower().split())
    if not shown:
        raise invalid_field("name", "BASE_TYPE_REQUIRED", "This field is required")
    return shown


def find_parent(guild: Guild, parent_id: int | None) -> Channel | None:
    """The category to put a channel in: it exists and holds fewer than 50."""
    if parent_id is None:
        return None
    parent = guild.channels.get(parent_id)
    if not is_category(parent):
        raise invalid_field("parent_id", "CHANNEL_PARENT_INVALID_TYPE", "Not a category")
    if len(guild.children(parent_id)) >= MOST_IN_CATEGORY:
        raise invalid_field(
            "parent_id",
            "CHANNEL_PARENT_MAX_CHANNELS",
            "Maximum number of channels in category reached (50)",
        )
    return parent


def read_overwrites(
    hub: Hub, guild: Guild, bodies: Iterable[OverwriteBody] | None, parent: Channel | None
) -> dict[int, Overwrite]:
    """Only permissions that the bot has may be named, and MANAGE_ROLES by administrators alone (Create Guild
    Channel)."""
    allowed = grantable(guild, hub.bot.id, parent)
    if not guild.is_administrator(hub.bot.id):
        allowed &= ~MANAGE_ROLES
    read: dict[int, Overwrite] = {}
    for body in bodies or ():
        overwrite = Overwrite(id=body.id, type=body.type, allow=body.allow or 0, deny=body.deny or 0)
        if (overwrite.allow | overwrite.deny) & ~allowed:
            raise Refusal(50013)
        read[overwrite.id] = overwrite
    return read


def guild_of(channel: Channel) -> Guild:
    if channel.guild is None:
        raise Refusal(50003)
    return channel.guild
