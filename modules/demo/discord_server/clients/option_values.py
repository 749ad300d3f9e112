"""What a user may put into a command's options and into selects, and what Discord resolves of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.demo.discord_server.bodies.commands import (
    ATTACHMENT,
    BOOLEAN,
    CHANNEL_OPTION,
    INTEGER,
    MENTIONABLE,
    NUMBER,
    ROLE_OPTION,
    STRING,
    SUB_COMMAND_GROUP,
    USER_OPTION,
)
from modules.demo.discord_server.bodies.components import (
    CHANNEL_SELECT,
    CHECKBOX_GROUP,
    FILE_UPLOAD,
    RADIO_GROUP,
    ROLE_SELECT,
    STRING_SELECT,
    USER_SELECT,
)
from modules.demo.discord_server.state.guilds import Channel
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.people import Payload

LARGEST_NUMBER = (1 << 53) - 1
"""Application Commands, Application Command Option Type, INTEGER."""
LONGEST_STRING = 6000


class InvalidInvocation(Exception):
    """Discord's client would not have sent this; the text is for the user."""


def read_options(
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
            shown["options"] = read_options(hub, channel, option.get("options", []), nested, resolved)
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
        resolve_attachment(hub, int(value), resolved)
        return str(value)
    else:
        resolve_entity(hub, channel, kind, int(value), resolved)
        return str(value)
    choices = option.get("choices")
    if choices and value not in [choice["value"] for choice in choices]:
        raise InvalidInvocation(f"{name} is not one of the choices")
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


def typed_so_far(defined: Sequence[Payload], given: Sequence[Payload]) -> list[Payload]:
    by_name = {option["name"]: option for option in defined}
    result: list[Payload] = []
    for item in given:
        option = by_name.get(str(item.get("name")))
        if option is None:
            raise InvalidInvocation(f"There is no option {item.get('name')}")
        shown: Payload = {"name": option["name"], "type": option["type"]}
        if option["type"] <= SUB_COMMAND_GROUP:
            shown["options"] = typed_so_far(option.get("options", []), item.get("options") or [])
        else:
            shown["value"] = item.get("value", "")
            if item.get("focused"):
                if not option.get("autocomplete"):
                    raise InvalidInvocation(f"{option['name']} has no autocompletion")
                shown["focused"] = True
        result.append(shown)
    return result


def resolve_attachment(hub: Hub, attachment_id: int, resolved: Payload) -> None:
    attachment = hub.files.get(attachment_id)
    if attachment is None:
        raise InvalidInvocation("This file was not uploaded")
    resolved.setdefault("attachments", {})[str(attachment_id)] = hub.files.payload(attachment)


def resolve_entity(hub: Hub, channel: Channel, kind: int, entity_id: int, resolved: Payload) -> None:
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


def selected(
    hub: Hub, channel: Channel, component: Mapping[str, Any], values: list[str], resolved: Payload
) -> list[str]:
    kind = component["type"]
    most = len(component["options"]) if kind == CHECKBOX_GROUP else 1
    low, high = component.get("min_values", 1), component.get("max_values", most)
    if component.get("required") is False and not values:
        return values
    if not low <= len(values) <= high:
        raise InvalidInvocation(f"Choose {low} to {high}")
    if kind in (STRING_SELECT, RADIO_GROUP, CHECKBOX_GROUP):
        if not set(values) <= {option["value"] for option in component["options"]}:
            raise InvalidInvocation("This is not one of the choices")
        return values
    options = {USER_SELECT: USER_OPTION, ROLE_SELECT: ROLE_OPTION, CHANNEL_SELECT: CHANNEL_OPTION}
    for value in values:
        if kind == FILE_UPLOAD:
            resolve_attachment(hub, int(value), resolved)
        else:
            resolve_entity(hub, channel, options.get(kind, MENTIONABLE), int(value), resolved)
    return values
