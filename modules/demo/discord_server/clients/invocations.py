"""What a user starts: commands, autocompletion, buttons, selects, modals; checked as in Discord's client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.demo.discord_server.bodies.commands import (
    CHAT_INPUT,
    MESSAGE,
    USER,
    USER_OPTION,
)
from modules.demo.discord_server.bodies.components import (
    BUTTON,
    walk,
)
from modules.demo.discord_server.clients.modal_values import filled_row, values_by_id
from modules.demo.discord_server.clients.option_values import (
    InvalidInvocation,
    read_options,
    resolve_entity,
    selected,
    typed_so_far,
)
from modules.demo.discord_server.interactions import (
    COMMAND,
    COMMAND_AUTOCOMPLETE,
    COMPONENT,
    MODAL_SUBMIT,
    Interactions,
)
from modules.demo.discord_server.state.guilds import Channel, Message
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.people import Payload, User
from modules.demo.discord_server.state.permissions import USE_APPLICATION_COMMANDS


def run_command(interactions: Interactions, user: User, channel: Channel, frame: Mapping[str, Any]) -> None:
    """A slash or context-menu command."""
    command = _command(interactions.hub, user, channel, frame)
    resolved: Payload = {}
    data: Payload = {"id": command["id"], "name": command["name"], "type": command["type"]}
    metadata: Payload = {"name": command["name"], "command_type": command["type"]}
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    if command["type"] == CHAT_INPUT:
        given = frame.get("options") or []
        data["options"] = read_options(interactions.hub, channel, command["options"], given, resolved)
    else:
        target = int(frame.get("target_id") or 0)
        data["target_id"] = str(target)
        metadata.update(_resolve_target(interactions.hub, channel, command["type"], target, resolved))
    if resolved:
        data["resolved"] = resolved
    nonce = str(frame.get("nonce", ""))
    interactions.start(COMMAND, user, channel, data=data, nonce=nonce, metadata=metadata)


def autocomplete(interactions: Interactions, user: User, channel: Channel, frame: Mapping[str, Any]) -> None:
    """Options as typed so far, one of them focused: they need be neither complete nor valid."""
    command = _command(interactions.hub, user, channel, {**frame, "type": CHAT_INPUT})
    data: Payload = {
        "id": command["id"],
        "name": command["name"],
        "type": command["type"],
        "options": typed_so_far(command["options"], frame.get("options") or []),
    }
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    nonce = str(frame.get("nonce", ""))
    interactions.start(COMMAND_AUTOCOMPLETE, user, channel, data=data, nonce=nonce, metadata={})


def use_component(interactions: Interactions, user: User, message: Message, frame: Mapping[str, Any]) -> None:
    """A click on a button or a choice in a select of a message that the user sees."""
    custom_id = frame.get("custom_id")
    component = next((c for c in walk(message.components) if c.get("custom_id") == custom_id), None)
    if component is None or component.get("disabled"):
        raise InvalidInvocation("This component is not there or is disabled")
    data: Payload = {
        "custom_id": custom_id,
        "component_type": component["type"],
        "id": component["id"],
    }
    if component["type"] != BUTTON:
        resolved: Payload = {}
        values = [str(value) for value in frame.get("values") or []]
        data["values"] = selected(interactions.hub, message.channel, component, values, resolved)
        if resolved:
            data["resolved"] = resolved
    interactions.start(
        COMPONENT,
        user,
        message.channel,
        data=data,
        nonce=str(frame.get("nonce", "")),
        metadata={"interacted_message_id": str(message.id)},
        source=message,
    )


def submit_modal(interactions: Interactions, user: User, frame: Mapping[str, Any]) -> None:
    """The modal that stands open under this custom id, with the user's values.

    `components` may be a list of `{custom_id, value | values}`, at any depth, or a mapping by custom id.
    """
    opened = interactions.open_modals.get((user.id, str(frame.get("custom_id"))))
    if opened is None:
        raise InvalidInvocation("This modal is not open")
    given = frame.get("components") or []
    values = dict(given) if isinstance(given, Mapping) else values_by_id(given)
    resolved: Payload = {}
    channel = opened.opener.channel
    rows = [
        filled_row(interactions.hub, channel, row, values, resolved) for row in opened.payload["components"]
    ]
    data: Payload = {"custom_id": opened.payload["custom_id"], "components": rows}
    if resolved:
        data["resolved"] = resolved
    del interactions.open_modals[(user.id, opened.payload["custom_id"])]
    interactions.start(
        MODAL_SUBMIT,
        user,
        channel,
        data=data,
        nonce=str(frame.get("nonce", "")),
        metadata={"triggering_interaction_metadata": opened.opener.metadata},
        source=opened.opener.source,
    )


def _command(hub: Hub, user: User, channel: Channel, frame: Mapping[str, Any]) -> Payload:
    if not hub.permissions(user.id, channel) & USE_APPLICATION_COMMANDS:
        raise InvalidInvocation("You may not use commands here")
    if channel.guild is not None and not channel.guild.has_bot:
        raise InvalidInvocation("The bot is not in this server")
    name, kind = str(frame.get("name")), int(frame.get("type") or CHAT_INPUT)
    command = hub.commands.find(user.id, channel, name, kind)
    if command is None:
        raise InvalidInvocation(f"There is no command {name} that you may use here")
    if command["nsfw"] and not channel.nsfw:
        raise InvalidInvocation("This command works in age-restricted channels only")
    return command


def _resolve_target(hub: Hub, channel: Channel, kind: int, target: int, resolved: Payload) -> Payload:
    """The message or user of a context menu; the message comes with its content in any case."""
    if kind == USER:
        resolve_entity(hub, channel, USER_OPTION, target, resolved)
        return {"target_user": resolved["users"][str(target)]}
    message = channel.messages.get(target) if kind == MESSAGE else None
    if message is None:
        raise InvalidInvocation("This message is not there")
    resolved["messages"] = {str(target): message.payload(hub.files)}
    return {"target_message_id": str(target)}
