"""Registers the slash commands in every language, and only when they have changed: Discord allows 200
creations a day in a guild. Sentences can then mention the commands by the ids that Discord gave them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from logging import getLogger
from typing import Any

import discord
from discord import app_commands

from modules.discord.ui.translations import Translations, command_key
from modules.queue_manager.backports import timeout
from modules.utils.database.stores.key_values import KeyValues

log = getLogger(__name__)

TIME_LIMIT = 60.0

DISCORD_LOCALES: Mapping[str, tuple[str, ...]] = {"en": ("en-US", "en-GB"), "es": ("es-ES", "es-419")}
"""The locales of Discord's clients that a catalogue serves, where they are not its bare name."""

CHAT_INPUT = 1
"""The type of a slash command. Others (in a message's menu) cannot be mentioned."""


class CommandSync:
    def __init__(
        self,
        *,
        client: discord.Client,
        tree: app_commands.CommandTree[Any],
        messages: Translations,
        facts: KeyValues,
        unused: Callable[[], Collection[str]] = lambda: (),
    ) -> None:
        """``unused``: the options that are not to be registered now."""
        self._client, self._tree, self._messages, self._facts = client, tree, messages, facts
        self._unused = unused

    def payload(self) -> list[dict[str, Any]]:
        unused = self._unused()
        commands = [command.to_dict(self._tree) for command in self._tree.get_commands(type=None)]
        for command in commands:
            if "options" in command:
                command["options"] = [one for one in command["options"] if one["name"] not in unused]
        return [localised(command, self._messages) for command in commands]

    async def sync(self, guild_id: int) -> int:
        """Register the commands in the guild in place of what was there; returns how many."""
        payload = self.payload()
        registered = await self._put(guild_id, payload)
        ids = {one["name"]: one["id"] for one in registered if one["type"] == CHAT_INPUT}
        await self._remember(guild_id, payload, ids)
        log.info("slash commands registered", extra={"commands": len(payload)})
        return len(payload)

    async def sync_if_changed(self, guild_id: int) -> bool:
        known, _, ids = (await self._facts.get(_fact(guild_id)) or "").partition(" ")
        if ids and known == digest(self.payload()):
            self._messages.mention_commands(json.loads(ids))
            return False
        await self.sync(guild_id)
        return True

    async def clear(self, guild_id: int) -> None:
        """Remove this bot's commands, global ones as well, until they change or are synced."""
        await self._put(guild_id, [])
        await self._put(None, [])
        await self._remember(guild_id, self.payload(), {})

    async def _remember(self, guild_id: int, payload: list[dict[str, Any]], ids: Mapping[str, str]) -> None:
        """Keep the payload's digest and the ids (none after a clearing), one space between them."""
        await self._facts.put(_fact(guild_id), f"{digest(payload)} {json.dumps(ids)}")
        self._messages.mention_commands(ids)

    async def _put(self, guild_id: int | None, payload: list[dict[str, Any]]) -> Sequence[Mapping[str, Any]]:
        http, application_id = self._client.http, self._client.application_id
        assert application_id is not None, "it is known since the login"
        async with timeout(TIME_LIMIT):
            if guild_id is None:
                return await http.bulk_upsert_global_commands(application_id, payload)
            return await http.bulk_upsert_guild_commands(application_id, guild_id, payload)


def digest(payload: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _fact(guild_id: int) -> str:
    return f"command-tree:{guild_id}"


def localised(command: dict[str, Any], messages: Translations, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The command's payload with the names and descriptions of every language."""
    path = (*path, command["name"])
    key = command_key(*path)
    named = command | _names(messages, key, None, command["name"])
    if command.get("description"):
        named |= _descriptions(messages, key, "description")
    if command.get("options"):
        named["options"] = [_option(option, messages, path) for option in command["options"]]
    return named


def _option(option: dict[str, Any], messages: Translations, path: tuple[str, ...]) -> dict[str, Any]:
    if option["type"] in (1, 2):  # a subcommand, or a group of them
        return localised(option, messages, path)
    key, name = command_key(*path), option["name"]
    return option | _names(messages, key, name, name) | _descriptions(messages, key, f"{name}-description")


def _names(messages: Translations, key: str, attribute: str | None, name: str) -> dict[str, Any]:
    others = _by_locale(messages, key, attribute, unlike=name)
    return {"name_localizations": others} if others else {}


def _descriptions(messages: Translations, key: str, attribute: str) -> dict[str, Any]:
    english = messages.attribute("en", key, attribute)
    if english is None:
        raise KeyError(f"{key}.{attribute} is missing in the catalogue")
    others = _by_locale(messages, key, attribute, unlike=english)
    return {"description": english, "description_localizations": others}


def _by_locale(messages: Translations, key: str, attribute: str | None, *, unlike: str) -> dict[str, str]:
    """A message, or an attribute of it, by Discord's locale, where it differs from ``unlike``."""
    found: dict[str, str] = {}
    for language in messages.languages:
        text = messages.attribute(language, key, attribute) if attribute else messages.text(language, key)
        if text is not None and text != unlike:
            found |= dict.fromkeys(DISCORD_LOCALES.get(language, (language,)), text)
    return found
