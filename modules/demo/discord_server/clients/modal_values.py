"""A submitted modal: the user's values in the shape of the modal that stood open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.demo.discord_server.bodies.components import (
    ACTION_ROW,
    CHECKBOX,
    LABEL,
    RADIO_GROUP,
    TEXT_INPUT,
    walk,
)
from modules.demo.discord_server.clients.option_values import InvalidInvocation, selected
from modules.demo.discord_server.state.guilds import Channel
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.people import Payload


def values_by_id(given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        component["custom_id"]: component.get("value", component.get("values"))
        for component in walk(given)
        if "custom_id" in component
    }


def filled_row(
    hub: Hub, channel: Channel, row: Payload, values: Mapping[str, Any], resolved: Payload
) -> Payload:
    """A modal's row, label or text with what the user put in: each component's Interaction Response Structure
    (Component Reference)."""
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
    if component["type"] == CHECKBOX:
        shown["value"] = bool(values.get(custom_id, component.get("default", False)))
        return shown
    if component["type"] != TEXT_INPUT:
        given = values.get(custom_id, _defaults(component))
        chosen = [str(value) for value in ([given] if isinstance(given, str) else given or [])]
        chosen = selected(hub, channel, component, chosen, resolved)
        if component["type"] == RADIO_GROUP:
            shown["value"] = next(iter(chosen), None)
        else:
            shown["values"] = chosen
        return shown
    text = str(values.get(custom_id, component.get("value")) or "")
    required = component.get("required", True)
    low = component.get("min_length", 1 if required else 0)
    if (text or required) and not low <= len(text) <= component.get("max_length", 4000):
        raise InvalidInvocation(f"{component.get('label') or custom_id} is too short or too long")
    shown["value"] = text
    return shown


def _defaults(component: Payload) -> list[str]:
    """What is chosen in a select or group that nobody touched."""
    options = [option["value"] for option in component.get("options") or () if option.get("default")]
    return options or [str(default["id"]) for default in component.get("default_values") or ()]
