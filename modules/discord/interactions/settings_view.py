"""The menus of /settings, and what a choice in them changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import discord

from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import find_offer
from modules.discord.ui.aspect_ratios import SHAPES
from modules.discord.ui.components import menu, rows
from modules.discord.ui.formatting import plain
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import ModelOffer
from modules.utils.database.rows import UserPreferences
from modules.utils.database.stores.preferences import Preferences

AUTO = "auto"
"""No choice: the model's own shape, the language of their Discord."""


@dataclass(kw_only=True, eq=False)
class SettingsView:
    """Shows a person's settings, and keeps what they choose."""

    preferences: Preferences
    deferrals: Deferrals
    messages: Translations
    offers: Sequence[ModelOffer]

    async def show(self, interaction: discord.Interaction, model: str | None) -> None:
        """The menus; ``model`` is one that they want from now on. Raises `UnknownModel`."""
        person = await self.deferrals.begin(interaction)
        if model is None:
            await self._answer(interaction, person, "settings-title")
            return
        offer = find_offer(self.offers, "imagine", model)
        preferences = replace(person.preferences, model=offer.name)
        await self.preferences.put(person.user_id, preferences)
        await self._answer(interaction, replace(person, preferences=preferences), "settings-saved")

    async def chosen(self, interaction: discord.Interaction, setting: str, values: Sequence[str]) -> None:
        """Something was chosen in a menu."""
        person = await self.deferrals.begin(interaction, update=True)
        preferences = changed(person.preferences, setting, values)
        await self.preferences.put(person.user_id, preferences)
        locale = preferences.locale or str(interaction.locale)
        now = replace(person, preferences=preferences, locale=locale)
        await self._answer(interaction, now, "settings-saved")

    async def _answer(self, interaction: discord.Interaction, person: Requester, title: str) -> None:
        text = self.messages.text(person.locale, title)
        view = settings_view(self.messages, person, self.offers)
        await answer(interaction, f"**{text}**", view=view)


def settings_view(messages: Translations, person: Requester, offers: Sequence[ModelOffer]) -> discord.ui.View:
    """All menus, each showing the current choice. In the last one, what is chosen is switched on."""
    chosen, locale = person.preferences, person.locale
    by_default = (AUTO, messages.text(locale, "aspect-default"))
    models = [
        (offer.name, offer.label)
        for offer in offers
        if offer.kind == "imagine" and (person.age_restricted or not offer.nsfw or offer.name == chosen.model)
    ]
    models.sort(key=lambda choice: choice[0] != chosen.model)  # a menu shows the first 25
    aspects = [by_default, *((shape, messages.text(locale, f"aspect-{shape}")) for shape in SHAPES)]
    languages = [
        (AUTO, messages.text(locale, "settings-locale-auto")),
        *((name, messages.text(name, "language-name")) for name in messages.languages),
    ]
    on = {"previews": chosen.previews, "notify": chosen.notify, "direct": chosen.direct_message}
    switches = [(name, messages.text(locale, f"settings-{name}")) for name in on]
    menus: list[tuple[str, Sequence[tuple[str, str]], Collection[str | None], int, int]] = [
        ("model", models, {chosen.model}, 1, 1),
        ("aspect", aspects, {chosen.aspect or AUTO}, 1, 1),
        ("locale", languages, {chosen.locale or AUTO}, 1, 1),
        ("switches", switches, {name for name, is_on in on.items() if is_on}, 0, len(on)),
    ]
    return rows(
        menu(
            "setting",
            name,
            messages.text(locale, f"settings-{name}"),
            [
                discord.SelectOption(label=plain(label, 100), value=value, default=value in now)
                for value, label in choices
            ],
            least=least,
            most=most,
        )
        for name, choices, now, least, most in menus
        if choices
    )


def changed(preferences: UserPreferences, setting: str, values: Sequence[str]) -> UserPreferences:
    """The preferences after a choice; an unknown setting changes nothing."""
    if setting == "switches":
        return replace(
            preferences,
            previews="previews" in values,
            notify="notify" in values,
            direct_message="direct" in values,
        )
    if setting not in ("model", "aspect", "locale"):
        return preferences
    change: dict[str, Any] = {setting: None if not values or values[0] == AUTO else values[0]}
    return replace(preferences, **change)
