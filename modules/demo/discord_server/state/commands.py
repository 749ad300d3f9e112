"""Registered application commands, global and per guild (Discord docs, Application Commands)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from modules.demo.discord_server.bodies.commands import CHAT_INPUT, CommandBody
from modules.demo.discord_server.client_sockets import Clients
from modules.demo.discord_server.refusals import Refusal, invalid_field
from modules.demo.discord_server.state.clock import ServerClock, Snowflakes
from modules.demo.discord_server.state.guilds import Channel, Guild
from modules.demo.discord_server.state.people import Payload, User
from modules.demo.discord_server.state.permissions import ADMINISTRATOR

CREATIONS_A_DAY = 200
MOST_COMMANDS = {1: 100, 2: 15, 3: 15}
DAY = 86_400.0
GUILD_CONTEXT, BOT_DM_CONTEXT = 0, 1

Scope = int | None
"""A guild's id, or None for global commands."""


class Owner(Protocol):
    """The application whose commands these are."""

    clock: ServerClock
    ids: Snowflakes
    counters: Counter[str]
    bot: User
    clients: Clients


class CommandBook:
    """What is registered, by scope; creations of the last day are counted for each scope."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._commands: dict[Scope, dict[int, Payload]] = {}
        self._created: dict[Scope, deque[float]] = {}

    def registered(self, scope: Scope) -> list[Payload]:
        return list(self._commands.get(scope, {}).values())

    def get(self, scope: Scope, command_id: int) -> Payload:
        command = self._commands.get(scope, {}).get(command_id)
        if command is None:
            raise Refusal(10063)
        return command

    def replace(self, scope: Scope, bodies: Sequence[CommandBody]) -> list[Payload]:
        """Overwrite all commands of a scope; those that keep name and type keep their id and cost nothing."""
        seen: set[tuple[int, str]] = set()
        for position, body in enumerate(bodies):
            key = (body.type or CHAT_INPUT, body.name)
            if key in seen:
                raise invalid_field(
                    f"{position}.name",
                    "APPLICATION_COMMANDS_DUPLICATE_NAME",
                    "Application command names must be unique",
                )
            seen.add(key)
        for kind, most in MOST_COMMANDS.items():
            if sum(1 for key in seen if key[0] == kind) > most:
                raise Refusal(50035, tree={"_errors": [{"code": "MAX", "message": f"At most {most}"}]})
        known = self._by_key(scope)
        self._count_creations(scope, sum(1 for key in seen if key not in known))
        made = [self._shape(scope, body, known.get((body.type or CHAT_INPUT, body.name))) for body in bodies]
        self._commands[scope] = {int(command["id"]): command for command in made}
        self._tell(scope)
        return made

    def put(self, scope: Scope, body: CommandBody) -> tuple[Payload, bool]:
        """Create one, or overwrite the one of the same name and type; tells whether it is new."""
        known = self._by_key(scope).get((body.type or CHAT_INPUT, body.name))
        if known is None:
            self._count_creations(scope, 1)
        command = self._shape(scope, body, known)
        self._commands.setdefault(scope, {})[int(command["id"])] = command
        self._tell(scope)
        return command, known is None

    def delete(self, scope: Scope, command_id: int) -> None:
        self.get(scope, command_id)
        del self._commands[scope][command_id]
        self._tell(scope)

    def visible(self, user_id: int, guild: Guild | None) -> list[Payload]:
        """The commands that a user is offered in a guild, or in a DM with the bot."""
        return [c for c in self._offered(guild) if self._may_use(c, user_id, guild)]

    def find(self, user_id: int, channel: Channel, name: str, kind: int) -> Payload | None:
        """The command that a user means; a guild's own wins over a global one of the same name."""
        guild = channel.guild
        for command in self._offered(guild):
            if (command["name"], command["type"]) == (name, kind) and self._may_use(command, user_id, guild):
                return command
        return None

    def _offered(self, guild: Guild | None) -> Iterator[Payload]:
        if guild is not None:
            yield from self.registered(guild.id)
        context = GUILD_CONTEXT if guild is not None else BOT_DM_CONTEXT
        for command in self.registered(None):
            contexts = command["contexts"]
            if context in contexts if contexts is not None else guild or command["dm_permission"]:
                yield command

    def _may_use(self, command: Payload, user_id: int, guild: Guild | None) -> bool:
        """default_member_permissions: all of them are needed, and "0" is for administrators only."""
        needed = command["default_member_permissions"]
        if guild is None or needed is None:
            return True
        granted = guild.permissions(user_id)
        if granted & ADMINISTRATOR:
            return True
        return int(needed) != 0 and not int(needed) & ~granted

    def _by_key(self, scope: Scope) -> dict[tuple[int, str], Payload]:
        return {(command["type"], command["name"]): command for command in self.registered(scope)}

    def _count_creations(self, scope: Scope, count: int) -> None:
        """200 creations per day and guild (Application Commands, Registering a Command)."""
        now = self._owner.clock.now()
        created = self._created.setdefault(scope, deque())
        while created and now - created[0] > DAY:
            created.popleft()
        if len(created) + count > CREATIONS_A_DAY:
            wait = created[0] + DAY - now if created else DAY
            raise Refusal(30034, retry_after=self._owner.clock.real_seconds(wait))
        created.extend([now] * count)
        self._owner.counters["command creations"] += count

    def _shape(self, scope: Scope, body: CommandBody, known: Payload | None) -> Payload:
        """The command object that the API gives back."""
        given = body.model_dump(exclude_unset=True, exclude={"id"})
        permissions = body.default_member_permissions
        command: Payload = {
            "id": known["id"] if known else str(self._owner.ids.make()),
            "application_id": str(self._owner.bot.id),
            "version": str(self._owner.ids.make()),
            "type": body.type or CHAT_INPUT,
            "name": body.name,
            "name_localizations": body.name_localizations,
            "description": body.description or "",
            "description_localizations": body.description_localizations,
            "options": _without_unset(given.get("options") or []),
            "default_member_permissions": None if permissions is None else str(permissions),
            "dm_permission": body.dm_permission is not False,
            "contexts": list(body.contexts) if body.contexts else None,
            "integration_types": list(body.integration_types or (0,)),
            "nsfw": bool(body.nsfw),
        }
        if scope is not None:
            command["guild_id"] = str(scope)
        return command

    def _tell(self, scope: Scope) -> None:
        self._owner.counters["command syncs"] += 1
        self._owner.clients.tell_commands(scope)


def _without_unset(options: Sequence[Any]) -> list[Payload]:
    cleaned: list[Payload] = []
    for option in options:
        kept = {key: value for key, value in option.items() if value is not None}
        if "options" in kept:
            kept["options"] = _without_unset(kept["options"])
        cleaned.append(kept)
    return cleaned
