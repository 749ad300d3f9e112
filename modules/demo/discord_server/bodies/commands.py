"""Bodies that register application commands (Discord docs, Application Commands)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from modules.demo.discord_server.bodies.base import Body, PermissionBits, Snowflake, text

CHAT_INPUT, USER, MESSAGE = 1, 2, 3
SUB_COMMAND, SUB_COMMAND_GROUP, STRING, INTEGER, BOOLEAN = 1, 2, 3, 4, 5
USER_OPTION, CHANNEL_OPTION, ROLE_OPTION, MENTIONABLE, NUMBER, ATTACHMENT = 6, 7, 8, 9, 10, 11
LONGEST_COMMAND = 8000

LOCALES = frozenset(
    (
        "id",
        "da",
        "de",
        "en-GB",
        "en-US",
        "es-ES",
        "es-419",
        "fr",
        "hr",
        "it",
        "lt",
        "hu",
        "nl",
        "no",
        "pl",
        "pt-BR",
        "ro",
        "fi",
        "sv-SE",
        "vi",
        "tr",
        "cs",
        "el",
        "bg",
        "ru",
        "uk",
        "hi",
        "th",
        "zh-CN",
        "ja",
        "zh-TW",
        "ko",
    )
)
"""Discord docs, Reference, Locales."""


def _slash_name(name: str) -> str:
    r"""`^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$`, lower-case where there is one (Naming)."""
    if not 1 <= len(name) <= 32 or name != name.lower():
        raise ValueError("Command name is invalid")
    for character in name:
        if character not in "-_'" and unicodedata.category(character)[0] not in "LNM":
            raise ValueError("Command name is invalid")
    return name


def _locales(localized: Mapping[str, str] | None) -> Mapping[str, str] | None:
    unknown = set(localized or ()) - LOCALES
    if unknown:
        raise ValueError(f"Unknown locales: {sorted(unknown)}")
    return localized


SlashName = Annotated[str, AfterValidator(_slash_name)]
Description = Annotated[str, text(100, 1)]
SlashNames = Annotated[Mapping[str, SlashName] | None, AfterValidator(_locales)]
Descriptions = Annotated[Mapping[str, Description] | None, AfterValidator(_locales)]


class Choice(Body):
    name: Annotated[str, text(100, 1)]
    name_localizations: Annotated[
        Mapping[str, Annotated[str, text(100, 1)]] | None, AfterValidator(_locales)
    ] = None
    value: Annotated[str, text(100)] | int | float


class Option(Body):
    type: Annotated[int, Field(ge=1, le=11)]
    name: SlashName
    name_localizations: SlashNames = None
    description: Description
    description_localizations: Descriptions = None
    required: bool | None = None
    choices: Annotated[tuple[Choice, ...], Field(max_length=25)] | None = None
    options: Annotated[tuple[Option, ...], Field(max_length=25)] | None = None
    channel_types: tuple[int, ...] | None = None
    min_value: float | None = None
    max_value: float | None = None
    min_length: Annotated[int, Field(ge=0, le=6000)] | None = None
    max_length: Annotated[int, Field(ge=1, le=6000)] | None = None
    autocomplete: bool | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Option:
        if self.autocomplete and self.choices:
            raise ValueError("autocomplete may not be set when choices are present")
        _check_options(self.options or ())
        return self


def _check_options(options: tuple[Option, ...]) -> None:
    """Required options come first and names are unique (Application Command Object)."""
    optional_seen = False
    names: set[str] = set()
    for option in options:
        if option.name in names:
            raise ValueError(f"Option name {option.name} is used twice")
        names.add(option.name)
        if option.type > SUB_COMMAND_GROUP:
            if option.required and optional_seen:
                raise ValueError("Required options must be placed before non-required options")
            optional_seen = optional_seen or not option.required


class CommandBody(Body):
    id: Snowflake | None = None
    type: Literal[1, 2, 3] | None = None
    name: Annotated[str, text(32, 1)]
    name_localizations: Annotated[
        Mapping[str, Annotated[str, text(32, 1)]] | None, AfterValidator(_locales)
    ] = None
    description: Annotated[str, text(100)] | None = None
    description_localizations: Descriptions = None
    options: Annotated[tuple[Option, ...], Field(max_length=25)] | None = None
    default_member_permissions: PermissionBits | None = None
    dm_permission: bool | None = None
    contexts: Annotated[tuple[Literal[0, 1, 2], ...], Field(min_length=1)] | None = None
    integration_types: Annotated[tuple[Literal[0, 1], ...], Field(min_length=1)] | None = None
    nsfw: bool | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> CommandBody:
        if (self.type or CHAT_INPUT) == CHAT_INPUT:
            _slash_name(self.name)
            for name in (self.name_localizations or {}).values():
                _slash_name(name)
            if not self.description:
                raise ValueError("A slash command needs a description")
        elif self.description or self.options:
            raise ValueError("A context-menu command has no description and no options")
        _check_options(self.options or ())
        if command_length(self.model_dump(exclude_none=True)) > LONGEST_COMMAND:
            raise ValueError("The command is longer than 8000 characters")
        return self


def command_length(command: Mapping[str, Any]) -> int:
    """Characters of all names, descriptions and values; of those with localisations the longest counts."""
    total = _longest(command, "name") + _longest(command, "description")
    total += sum(_longest(each, "name") + len(str(each["value"])) for each in command.get("choices") or ())
    return total + sum(command_length(option) for option in command.get("options") or ())


def _longest(named: Mapping[str, Any], key: str) -> int:
    texts = [named.get(key) or "", *(named.get(f"{key}_localizations") or {}).values()]
    return max(map(len, texts))
