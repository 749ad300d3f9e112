"""Buttons and menus, and what the ``custom_id`` of each says.

A ``custom_id`` names what to do and for which job, person or page. Nothing about it is kept in memory, so
it works after a restart, for as long as its message exists.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import discord

from modules.discord.ui.layout import row
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import JobId
from modules.utils.images.cleaner import Extension

Action = Literal[
    "again", "vary", "edit", "prompt", "start", "upscale", "share", "delete", "details", "erase", "cancel",
    "cancelall", "zoom15", "zoom2", "panleft", "panup", "panright", "pandown",
]  # fmt: skip

MAKES_ROOM: Mapping[Action, Extension] = {
    "zoom15": 1.5, "zoom2": 2.0, "panleft": "left", "panup": "up", "panright": "right", "pandown": "down",
}  # fmt: skip
"""The actions that make room around a picture or beside it."""

TEMPLATE = re.compile(r"fullet:(?P<what>[a-z]+)(?::(?P<about>[0-9a-z:-]+))?")

_STYLES: dict[str, discord.ButtonStyle] = {
    "again": discord.ButtonStyle.primary,
    "delete": discord.ButtonStyle.danger,
    "erase": discord.ButtonStyle.danger,
    "cancel": discord.ButtonStyle.danger,
    "cancelall": discord.ButtonStyle.danger,
}


MORE = ("more", "others")
"""The names that the menu of further actions takes in turn. Discord's client remembers what was chosen in a
menu and does not let a person choose it again until the menu has another name."""


class Component(discord.ui.DynamicItem[discord.ui.Item[Any]], template=TEMPLATE):
    """Any button or menu of this bot. Only its ``custom_id`` is needed to answer it."""

    @classmethod
    async def from_custom_id(
        cls, _: discord.Interaction, item: discord.ui.Item[Any], __: re.Match[str], /
    ) -> Component:
        return cls(item)

    async def callback(self, interaction: discord.Interaction) -> None:
        """Dispatch the client's event ``component``."""
        match = TEMPLATE.fullmatch(self.custom_id)
        if match is not None:
            interaction.client.dispatch("component", interaction, match["what"], match["about"] or "")


def custom_id(what: str, about: object = "") -> str:
    """The ``custom_id`` that comes back with the event ``component``."""
    return f"fullet:{what}:{about}" if about != "" else f"fullet:{what}"


def jobs_named(custom_ids: Iterable[str]) -> Iterator[JobId]:
    """The jobs that buttons of this bot are about."""
    for match in map(TEMPLATE.fullmatch, custom_ids):
        if match is not None and match["about"]:
            yield JobId(match["about"])


def button(
    label: str,
    what: str,
    about: object = "",
    *,
    style: discord.ButtonStyle = discord.ButtonStyle.secondary,
    disabled: bool = False,
) -> Component:
    """A button of this bot."""
    return Component(
        discord.ui.Button(label=label[:80], style=style, custom_id=custom_id(what, about), disabled=disabled)
    )


def menu(
    what: str,
    about: object,
    placeholder: str,
    options: Sequence[discord.SelectOption],
    *,
    least: int = 1,
    most: int = 1,
) -> Component:
    """A menu of this bot; of more than 25 options the first are shown."""
    shown = list(options[:25])
    return Component(
        discord.ui.Select(
            custom_id=custom_id(what, about),
            placeholder=placeholder[:150],
            options=shown,
            min_values=least,
            max_values=min(most, len(shown)),
        )
    )


def rows(items: Iterable[Component]) -> discord.ui.View:
    """A message's buttons and menus."""
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    return view


def job_button(
    messages: Translations, locale: str | None, job_id: JobId, action: Action, suffix: str = ""
) -> Component:
    """A button about a job; ``suffix`` distinguishes it from others of its kind in the same message."""
    label = messages.text(locale, f"button-{action}") + suffix
    return button(label, action, job_id, style=_STYLES.get(action, discord.ButtonStyle.secondary))


def job_buttons(
    messages: Translations, locale: str | None, job_id: JobId, actions: Iterable[Action]
) -> discord.ui.ActionRow[Any]:
    """Up to five buttons about a job, in this order, as a part of a layout."""
    return row(*[job_button(messages, locale, job_id, action) for action in actions])


def more_menu(
    messages: Translations,
    locale: str | None,
    job_id: JobId,
    actions: Iterable[Action],
    name: str = MORE[0],
) -> discord.ui.ActionRow[Any]:
    """The menu of what else can be done about a job; ``name``: see `MORE`."""
    options = [
        discord.SelectOption(label=messages.text(locale, f"button-{action}"), value=action)
        for action in actions
    ]
    return row(menu(name, job_id, messages.text(locale, "more"), options))


def status_mark(group: str) -> int:
    """The number of the container of the status message of a `Job.group`, by which it is found whatever else
    it carries. Such numbers have 31 bits, and Discord itself gives small ones (docs, Component Reference)."""
    return zlib.crc32(group.encode()) & 0x3FFFFFFF | 1 << 30
