"""What a simulated person's client may ask for, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modules.demo.discord_server.bodies.base import read_body
from modules.demo.discord_server.bodies.messages import CreateMessage
from modules.demo.discord_server.client_sockets import Client
from modules.demo.discord_server.clients import invocations
from modules.demo.discord_server.clients.option_values import InvalidInvocation
from modules.demo.discord_server.interactions import Interactions
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.state.files import Upload
from modules.demo.discord_server.state.guilds import Channel, Message
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.messages import create_message, delete_messages, forward_of
from modules.demo.discord_server.state.permissions import MANAGE_MESSAGES, READ_MESSAGE_HISTORY, SEND_MESSAGES
from modules.demo.discord_server.state.world import DM, TEXT

MOST_HISTORY = 100

Frame = Mapping[str, Any]


def receive_frame(interactions: Interactions, client: Client, text: str) -> None:
    """Do what the frame asks; what Discord's client would not let a person do is told as an error."""
    frame: Frame = {}
    try:
        read = json.loads(text)
        frame = read if isinstance(read, dict) else {}
        op = frame["op"]
        if op in _INVOCATIONS:
            _INVOCATIONS[op](interactions, client, frame)
        else:
            _FRAMES[op](interactions.hub, client, frame)
    except (InvalidInvocation, Refusal) as error:
        _refuse(client, frame, str(error))
    except (KeyError, TypeError, ValueError) as error:
        _refuse(client, frame, f"Malformed: {error!r}")


def _refuse(client: Client, frame: Frame, why: str) -> None:
    if frame.get("op") in ("command", "component", "modal") and "nonce" in frame:
        told = {"nonce": frame["nonce"], "id": None, "state": "failed", "ephemeral": True, "error": why}
        client.put_event("INTERACTION", told)
    elif frame.get("op") == "autocomplete" and "nonce" in frame:
        client.put_event("AUTOCOMPLETE", {"nonce": frame["nonce"], "choices": [], "error": why})
    else:
        client.put_event("ERROR", {"message": why})


def _channel(hub: Hub, client: Client, frame: Frame) -> Channel:
    channel = hub.channels.get(int(frame["channel_id"]))
    if channel is None or client.user.id not in hub.viewers(channel):
        raise InvalidInvocation("There is no such channel")
    return channel


def _message(hub: Hub, client: Client, frame: Frame) -> Message:
    """A message that the user sees, ephemeral ones of their own included."""
    message_id = int(frame["message_id"])
    message = hub.ephemerals.get(message_id)
    if message is not None and message.ephemeral_to == client.user.id:
        return message
    message = _channel(hub, client, frame).messages.get(message_id)
    if message is None:
        raise InvalidInvocation("There is no such message")
    return message


def _command(interactions: Interactions, client: Client, frame: Frame) -> None:
    invocations.run_command(interactions, client.user, _channel(interactions.hub, client, frame), frame)


def _autocomplete(interactions: Interactions, client: Client, frame: Frame) -> None:
    invocations.autocomplete(interactions, client.user, _channel(interactions.hub, client, frame), frame)


def _component(interactions: Interactions, client: Client, frame: Frame) -> None:
    invocations.use_component(interactions, client.user, _message(interactions.hub, client, frame), frame)


def _modal(interactions: Interactions, client: Client, frame: Frame) -> None:
    invocations.submit_modal(interactions, client.user, frame)


def _writable(hub: Hub, client: Client, frame: Frame) -> Channel:
    channel = _channel(hub, client, frame)
    if channel.kind not in (TEXT, DM) or not hub.permissions(client.user.id, channel) & SEND_MESSAGES:
        raise InvalidInvocation("You may not write here")
    return channel


def _say(hub: Hub, client: Client, frame: Frame) -> None:
    """`embeds`: what a link unfurls to, or what another bot writes."""
    channel = _writable(hub, client, frame)
    body = read_body(
        CreateMessage, {"content": frame.get("content") or None, "embeds": frame.get("embeds") or []}
    )
    create_message(hub, channel, client.user, body, uploads=_files(hub, frame.get("attachments") or []))
    hub.counters["messages by users"] += 1


def _forward(hub: Hub, client: Client, frame: Frame) -> None:
    """Put a message that the person sees into the channel `to`."""
    source = _message(hub, client, frame)
    channel = _writable(hub, client, {"channel_id": frame["to"]})
    create_message(hub, channel, client.user, CreateMessage(), origin=forward_of(hub, source, channel))


def _files(hub: Hub, ids: Sequence[str]) -> list[Upload]:
    """Files were uploaded before; the message takes them over."""
    uploads: list[Upload] = []
    for index, file_id in enumerate(ids):
        attachment = hub.files.get(int(file_id))
        if attachment is None or attachment.data is None:
            raise InvalidInvocation("This file was not uploaded")
        uploads.append(Upload(index=index, filename=attachment.filename, data=attachment.data))
    return uploads


def _delete(hub: Hub, client: Client, frame: Frame) -> None:
    """Own messages, those that the person may manage, and ephemeral ones (which only leave their screen)."""
    message = _message(hub, client, frame)
    own = message.author is client.user or message.ephemeral_to == client.user.id
    if not own and not hub.permissions(client.user.id, message.channel) & MANAGE_MESSAGES:
        raise InvalidInvocation("You may not delete this message")
    delete_messages(hub, message.channel, [message])


def _history(hub: Hub, client: Client, frame: Frame) -> None:
    channel = _channel(hub, client, frame)
    limit = min(int(frame.get("limit") or 50), MOST_HISTORY)
    before = int(frame.get("before") or 1 << 63)
    readable = hub.permissions(client.user.id, channel) & READ_MESSAGE_HISTORY
    known = [m for m in channel.messages.values() if m.id < before] if readable else []
    told = {
        "channel_id": str(channel.id),
        "messages": [message.payload(hub.files) for message in known[-limit:]],
        "more": len(known) > limit,
    }
    client.put_event("HISTORY", told)


def _locale(_hub: Hub, client: Client, frame: Frame) -> None:
    client.user.locale = str(frame["locale"])


def _guild(hub: Hub, client: Client, frame: Frame) -> None:
    """Look at another guild: answered with its READY."""
    guild = hub.guilds.get(int(frame["guild_id"]))
    if guild is None or client.user.id not in guild.members:
        raise InvalidInvocation("You are not in this server")
    hub.clients.show(client, guild)


_INVOCATIONS: dict[str, Callable[[Interactions, Client, Frame], None]] = {
    "command": _command,
    "autocomplete": _autocomplete,
    "component": _component,
    "modal": _modal,
}
_FRAMES: dict[str, Callable[[Hub, Client, Frame], None]] = {
    "message": _say,
    "forward": _forward,
    "delete": _delete,
    "history": _history,
    "locale": _locale,
    "guild": _guild,
}
