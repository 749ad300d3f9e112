"""What a user starts: commands, autocompletion, buttons, selects, modals; checked as in Discord's client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.demo.discord_server.bodies.commands import (
    ATTACHMENT,
    BOOLEAN,
    CHANNEL_OPTION,
    CHAT_INPUT,
    INTEGER,
    MENTIONABLE,
    MESSAGE,
    NUMBER,
    ROLE_OPTION,
    STRING,
    SUB_COMMAND_GROUP,
    USER,
    USER_OPTION,
)
from modules.demo.discord_server.bodies.components import (
    ACTION_ROW,
    BUTTON,
    CHANNEL_SELECT,
    FILE_UPLOAD,
    LABEL,
    ROLE_SELECT,
    STRING_SELECT,
    TEXT_INPUT,
    USER_SELECT,
    walk,
)
from modules.demo.discord_server.hub import Hub
from modules.demo.discord_server.interactions import COMMAND, COMMAND_AUTOCOMPLETE, COMPONENT, MODAL_SUBMIT
from modules.demo.discord_server.people import Payload, User
from modules.demo.discord_server.permissions import USE_APPLICATION_COMMANDS
from modules.demo.discord_server.places import Channel
from modules.demo.discord_server.posts import Message

LARGEST_NUMBER = 1 << 53
LONGEST_STRING = 6000


class InvalidInvocation(Exception):
    """Discord's client would not have sent this; the text is for the user."""


def run_command(hub: Hub, user: User, channel: Channel, frame: Mapping[str, Any]) -> None:
    """A slash or context-menu command."""
    command = _command(hub, user, channel, frame)
    resolved: Payload = {}
    data: Payload = {"id": command["id"], "name": command["name"], "type": command["type"]}
    metadata: Payload = {"name": command["name"], "command_type": command["type"]}
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    if command["type"] == CHAT_INPUT:
        given = frame.get("options") or []
        data["options"] = _options(hub, channel, command["options"], given, resolved)
    else:
        target = int(frame.get("target_id") or 0)
        data["target_id"] = str(target)
        metadata.update(_resolve_target(hub, channel, command["type"], target, resolved))
    if resolved:
        data["resolved"] = resolved
    nonce = str(frame.get("nonce", ""))
    hub.interactions.start(COMMAND, user, channel, data=data, nonce=nonce, metadata=metadata)


def autocomplete(hub: Hub, user: User, channel: Channel, frame: Mapping[str, Any]) -> None:
    """Options as typed so far, one of them focused: they need be neither complete nor valid."""
    command = _command(hub, user, channel, {**frame, "type": CHAT_INPUT})
    data: Payload = {
        "id": command["id"],
        "name": command["name"],
        "type": command["type"],
        "options": _typed_so_far(command["options"], frame.get("options") or []),
    }
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    nonce = str(frame.get("nonce", ""))
    hub.interactions.start(COMMAND_AUTOCOMPLETE, user, channel, data=data, nonce=nonce, metadata={})


def use_component(hub: Hub, user: User, message: Message, frame: Mapping[str, Any]) -> None:
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
        data["values"] = _selected(hub, message.channel, component, values, resolved)
        if resolved:
            data["resolved"] = resolved
    hub.interactions.start(
        COMPONENT,
        user,
        message.channel,
        data=data,
        nonce=str(frame.get("nonce", "")),
        metadata={"interacted_message_id": str(message.id)},
        source=message,
    )


def submit_modal(hub: Hub, user: User, frame: Mapping[str, Any]) -> None:
    """The modal that stands open under this custom id, with the user's values.

    `components` may be a list of `{custom_id, value | values}`, at any depth, or a mapping by custom id.
    """
    opened = hub.interactions.open_modals.get((user.id, str(frame.get("custom_id"))))
    if opened is None:
        raise InvalidInvocation("This modal is not open")
    given = frame.get("components") or []
    values = dict(given) if isinstance(given, Mapping) else _values_by_id(given)
    resolved: Payload = {}
    channel = opened.opener.channel
    rows = [_filled_row(hub, channel, row, values, resolved) for row in opened.payload["components"]]
    data: Payload = {"custom_id": opened.payload["custom_id"], "components": rows}
    if resolved:
        data["resolved"] = resolved
    del hub.interactions.open_modals[(user.id, opened.payload["custom_id"])]
    hub.interactions.start(
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


def _options(
    hub: Hub, channel: Channel, defined: Sequence[Payload], given: Sequence[Payload], resolved: Payload
) -> list[Payload]:
    by_name = {option["name"]: option for option in defined}
    result: list[Payload] = []
    for item in given:
        option = by_name.get(str(item.get("name")))
        if option is None:
            raise InvalidInvocation(f"There is no option {item.get('name')}")
        shown: Payload = {"name": option["name"], "type": option["type"]}
        if option["type"] <= SUB_COMMAND_GROUP:
            nested = item.get("options") or []
            shown["options"] = _options(hub, channel, option.get("options", []), nested, resolved)
        else:
            shown["value"] = _value(hub, channel, option, item.get("value"), resolved)
        result.append(shown)
    missing = [
        o["name"] for o in defined if o.get("required") and o["name"] not in {i["name"] for i in result}
    ]
    if missing:
        raise InvalidInvocation(f"Required: {', '.join(missing)}")
    if defined and defined[0]["type"] <= SUB_COMMAND_GROUP and len(result) != 1:
        raise InvalidInvocation("Choose one subcommand")
    return result


def _value(hub: Hub, channel: Channel, option: Payload, value: Any, resolved: Payload) -> Any:
    """One option's value, of its type and within its bounds (Application Command Option Structure)."""
    kind, name = option["type"], option["name"]
    if kind == STRING:
        text = str(value)
        if not option.get("min_length", 0) <= len(text) <= option.get("max_length", LONGEST_STRING):
            raise InvalidInvocation(f"{name} is too short or too long")
        value = text
    elif kind in (INTEGER, NUMBER):
        value = _number(option, value)
    elif kind == BOOLEAN:
        value = bool(value)
    elif kind == ATTACHMENT:
        _resolve_attachment(hub, int(value), resolved)
        return str(value)
    else:
        _resolve_entity(hub, channel, kind, int(value), resolved)
        return str(value)
    choices = option.get("choices")
    if choices and value not in [choice["value"] for choice in choices]:
        raise InvalidInvocation(f"{name} is none of the choices")
    return value


def _number(option: Payload, value: Any) -> int | float:
    try:
        number: int | float = int(value) if option["type"] == INTEGER else float(value)
    except (TypeError, ValueError):
        raise InvalidInvocation(f"{option['name']} is not a number") from None
    low, high = option.get("min_value", -LARGEST_NUMBER), option.get("max_value", LARGEST_NUMBER)
    if not low <= number <= high or abs(number) > LARGEST_NUMBER:
        raise InvalidInvocation(f"{option['name']} must be between {low:.0f} and {high:.0f}")
    return number


def _typed_so_far(defined: Sequence[Payload], given: Sequence[Payload]) -> list[Payload]:
    by_name = {option["name"]: option for option in defined}
    result: list[Payload] = []
    for item in given:
        option = by_name.get(str(item.get("name")))
        if option is None:
            raise InvalidInvocation(f"There is no option {item.get('name')}")
        shown: Payload = {"name": option["name"], "type": option["type"]}
        if option["type"] <= SUB_COMMAND_GROUP:
            shown["options"] = _typed_so_far(option.get("options", []), item.get("options") or [])
        else:
            shown["value"] = item.get("value", "")
            if item.get("focused"):
                if not option.get("autocomplete"):
                    raise InvalidInvocation(f"{option['name']} has no autocompletion")
                shown["focused"] = True
        result.append(shown)
    return result


def _resolve_target(hub: Hub, channel: Channel, kind: int, target: int, resolved: Payload) -> Payload:
    """The message or user of a context menu; the message comes with its content in any case."""
    if kind == USER:
        _resolve_entity(hub, channel, USER_OPTION, target, resolved)
        return {"target_user": resolved["users"][str(target)]}
    message = channel.messages.get(target) if kind == MESSAGE else None
    if message is None:
        raise InvalidInvocation("This message is not there")
    resolved["messages"] = {str(target): message.payload(hub.files)}
    return {"target_message_id": str(target)}


def _resolve_attachment(hub: Hub, attachment_id: int, resolved: Payload) -> None:
    attachment = hub.files.get(attachment_id)
    if attachment is None:
        raise InvalidInvocation("This file was not uploaded")
    resolved.setdefault("attachments", {})[str(attachment_id)] = hub.files.payload(attachment)


def _resolve_entity(hub: Hub, channel: Channel, kind: int, entity_id: int, resolved: Payload) -> None:
    guild = channel.guild
    key = str(entity_id)
    person = hub.users.get(entity_id) or (hub.bot if entity_id == hub.bot.id else None)
    if kind in (USER_OPTION, MENTIONABLE) and person is not None:
        resolved.setdefault("users", {})[key] = person.payload()
        if guild is not None and entity_id in guild.members:
            member = guild.members[entity_id].payload(with_user=False)
            member["permissions"] = str(guild.permissions_in(channel, entity_id))
            resolved.setdefault("members", {})[key] = member
    elif kind == CHANNEL_OPTION and guild is not None and entity_id in guild.channels:
        shown = guild.channels[entity_id].payload()
        shown["permissions"] = str(guild.permissions(hub.bot.id))
        resolved.setdefault("channels", {})[key] = shown
    elif kind in (ROLE_OPTION, MENTIONABLE) and guild is not None and entity_id in guild.roles:
        resolved.setdefault("roles", {})[key] = guild.roles[entity_id].payload()
    else:
        raise InvalidInvocation(f"Unknown: {entity_id}")


def _selected(
    hub: Hub, channel: Channel, component: Mapping[str, Any], values: list[str], resolved: Payload
) -> list[str]:
    low, high = component.get("min_values", 1), component.get("max_values", 1)
    if component.get("required") is False and not values:
        return values
    if not low <= len(values) <= high:
        raise InvalidInvocation(f"Choose {low} to {high}")
    kind = component["type"]
    if kind == STRING_SELECT:
        if not set(values) <= {option["value"] for option in component["options"]}:
            raise InvalidInvocation("This is none of the choices")
        return values
    options = {USER_SELECT: USER_OPTION, ROLE_SELECT: ROLE_OPTION, CHANNEL_SELECT: CHANNEL_OPTION}
    for value in values:
        if kind == FILE_UPLOAD:
            _resolve_attachment(hub, int(value), resolved)
        else:
            _resolve_entity(hub, channel, options.get(kind, MENTIONABLE), int(value), resolved)
    return values


def _values_by_id(given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        component["custom_id"]: component.get("value", component.get("values"))
        for component in walk(given)
        if "custom_id" in component
    }


def _filled_row(
    hub: Hub, channel: Channel, row: Payload, values: Mapping[str, Any], resolved: Payload
) -> Payload:
    """A modal's row or label with what the user put in (Receiving and Responding, Modal Submit Data)."""
    shown: Payload = {"type": row["type"], "id": row["id"]}
    if row["type"] == ACTION_ROW:
        shown["components"] = [_filled(hub, channel, c, values, resolved) for c in row["components"]]
    elif row["type"] == LABEL:
        shown["component"] = _filled(hub, channel, row["component"], values, resolved)
    return shown


def _filled(
    hub: Hub, channel: Channel, component: Payload, values: Mapping[str, Any], resolved: Payload
) -> Payload:
    custom_id = component["custom_id"]
    shown: Payload = {"type": component["type"], "id": component["id"], "custom_id": custom_id}
    if component["type"] != TEXT_INPUT:
        chosen = [str(value) for value in values.get(custom_id) or []]
        shown["values"] = _selected(hub, channel, component, chosen, resolved)
        return shown
    text = str(values.get(custom_id, component.get("value")) or "")
    required = component.get("required", True)
    low = component.get("min_length", 1 if required else 0)
    if (text or required) and not low <= len(text) <= component.get("max_length", 4000):
        raise InvalidInvocation(f"{component.get('label') or custom_id} is too short or too long")
    shown["value"] = text
    return shown
