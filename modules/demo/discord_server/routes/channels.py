"""Channels, overwrites and typing (Discord docs, Channel Resource)."""

from __future__ import annotations

from modules.demo.discord_server.bodies.channels import EditChannel, PutOverwrite
from modules.demo.discord_server.buckets import CHANNEL_NAME, MESSAGES
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.rest import Call, Reply, Route
from modules.demo.discord_server.state.channels import (
    delete_channel,
    delete_overwrite,
    edit_channel,
    put_overwrite,
)
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.permissions import (
    MANAGE_CHANNELS,
    MANAGE_ROLES,
    MEMBER,
    ROLE,
    SEND_MESSAGES,
    Overwrite,
)


def _channel(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    hub.require(channel)
    return Reply(data=channel.payload(viewer=hub.bot.id))


def _edit(hub: Hub, call: Call) -> Reply:
    """Names and topics change at most twice in ten minutes (community); overwrites need MANAGE_ROLES."""
    channel = hub.channel(call.id("channel_id"))
    body = call.body(EditChannel)
    given = body.model_fields_set
    overwrites = "permission_overwrites" in given
    hub.require(channel, MANAGE_CHANNELS | (MANAGE_ROLES if overwrites else 0))
    if channel.id in hub.faults.write_limited_channels:
        raise Refusal(20028, retry_after=1.0)
    if given & {"name", "topic"}:
        wait = hub.limits.take("channel name", str(channel.id), CHANNEL_NAME)
        if wait is not None:
            raise Refusal(20028, retry_after=wait)
    edit_channel(hub, channel, body)
    return Reply(data=channel.payload())


def _delete(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    shown = channel.payload(viewer=hub.bot.id)
    if not channel.is_dm:
        hub.require(channel, MANAGE_CHANNELS)
        delete_channel(hub, channel)
    return Reply(data=shown)


def _put_overwrite(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    body = call.body(PutOverwrite)
    target = call.id("overwrite_id")
    hub.require(channel, MANAGE_ROLES)
    if channel.guild is not None:
        if body.type == ROLE and target not in channel.guild.roles:
            raise Refusal(10011)
        if body.type == MEMBER and target not in {**hub.users, hub.bot.id: hub.bot}:
            raise Refusal(10013)
    overwrite = Overwrite(id=target, type=body.type, allow=body.allow or 0, deny=body.deny or 0)
    put_overwrite(hub, channel, overwrite)
    return Reply()


def _delete_overwrite(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    hub.require(channel, MANAGE_ROLES)
    delete_overwrite(hub, channel, call.id("overwrite_id"))
    return Reply()


def _typing(hub: Hub, call: Call) -> Reply:
    channel = hub.channel(call.id("channel_id"))
    hub.require(channel, SEND_MESSAGES)
    told = {"channel_id": str(channel.id), "user_id": str(hub.bot.id)}
    hub.clients.tell(hub.viewers(channel), "TYPING", told)
    return Reply()


_ONE = "/channels/{channel_id}"
_OVERWRITE = f"{_ONE}/permissions/{{overwrite_id}}"

ROUTES = [
    Route(method="GET", template=_ONE, handler=_channel),
    Route(method="PATCH", template=_ONE, handler=_edit),
    Route(method="DELETE", template=_ONE, handler=_delete),
    Route(method="PUT", template=_OVERWRITE, handler=_put_overwrite),
    Route(method="DELETE", template=_OVERWRITE, handler=_delete_overwrite),
    Route(method="POST", template=f"{_ONE}/typing", handler=_typing, limit=MESSAGES),
]
