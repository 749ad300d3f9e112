"""Registering commands, globally and for a guild (Discord docs, Application Commands, Endpoints)."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from modules.demo.discord_server.bodies.commands import CommandBody
from modules.demo.discord_server.refusals import Refusal, invalid_body
from modules.demo.discord_server.rest import Call, Reply, Route
from modules.demo.discord_server.state.commands import Scope
from modules.demo.discord_server.state.hub import Hub

_BODIES = TypeAdapter(list[CommandBody])


def _scope(hub: Hub, call: Call) -> Scope:
    """The guild of the path, which the bot must be in; None for global commands."""
    if call.id("application_id") != hub.bot.id:
        raise Refusal(50001)
    return hub.guild(call.id("guild_id")).id if "guild_id" in call.params else None


def _list(hub: Hub, call: Call) -> Reply:
    return Reply(data=hub.commands.registered(_scope(hub, call)))


def _replace(hub: Hub, call: Call) -> Reply:
    scope = _scope(hub, call)
    try:
        bodies = _BODIES.validate_python(call.data)
    except ValidationError as error:
        raise invalid_body(error, call.data) from error
    return Reply(data=hub.commands.replace(scope, bodies))


def _put(hub: Hub, call: Call) -> Reply:
    command, is_new = hub.commands.put(_scope(hub, call), call.body(CommandBody))
    return Reply(data=command, status=201 if is_new else 200)


def _get(hub: Hub, call: Call) -> Reply:
    return Reply(data=hub.commands.get(_scope(hub, call), call.id("command_id")))


def _edit(hub: Hub, call: Call) -> Reply:
    scope = _scope(hub, call)
    known = hub.commands.get(scope, call.id("command_id"))
    if not isinstance(call.data, Mapping):
        raise Refusal(50109)
    kept = {key: value for key, value in known.items() if key in CommandBody.model_fields and key != "id"}
    kept["description"] = kept["description"] or None
    merged = CommandBody.model_validate({**kept, **call.data, "name": known["name"]})
    return Reply(data=hub.commands.put(scope, merged)[0])


def _delete(hub: Hub, call: Call) -> Reply:
    hub.commands.delete(_scope(hub, call), call.id("command_id"))
    return Reply()


_GLOBAL = "/applications/{application_id}/commands"
_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"

ROUTES = [
    Route(method=method, template=base + rest, handler=handler)
    for base in (_GLOBAL, _GUILD)
    for method, rest, handler in (
        ("GET", "", _list),
        ("PUT", "", _replace),
        ("POST", "", _put),
        ("GET", "/{command_id}", _get),
        ("PATCH", "/{command_id}", _edit),
        ("DELETE", "/{command_id}", _delete),
    )
]
