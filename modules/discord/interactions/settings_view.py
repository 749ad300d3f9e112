"""The page of /settings: a line with the current value of each setting, its control beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import discord

from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.replies import answer
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import USUAL_STRENGTH, find_offer
from modules.discord.ui.aspect_ratios import SHAPES
from modules.discord.ui.components import button, menu
from modules.discord.ui.formatting import plain
from modules.discord.ui.layout import Part, container, layout, row, section, separator, small, text
from modules.discord.ui.loras_and_styles import style_line
from modules.discord.ui.modals import STRENGTHS
from modules.discord.ui.translations import Translations
from modules.queue_manager.offers import Offers
from modules.utils.database.rows import UserPreferences
from modules.utils.database.stores.preferences import Preferences

AUTO = "auto"
"""No choice: the first model, the model's own shape, no style, no LoRA, the language of their Discord."""

SWITCHES = {"previews": "previews", "notify": "notify", "direct": "direct_message"}
"""Settings that are on or off, and the preference that each of them is."""


@dataclass(kw_only=True, eq=False)
class SettingsView:
    """Shows a person's settings, and keeps what they choose."""

    preferences: Preferences
    deferrals: Deferrals
    messages: Translations
    offers: Offers

    async def show(self, interaction: discord.Interaction, model: str | None) -> None:
        """The page; ``model`` is one that they want from now on. Raises `UnknownModel`."""
        person = await self.deferrals.begin(interaction)
        if model is None:
            await answer(interaction, view=settings_view(self.messages, person, self.offers))
            return
        offer = find_offer(self.offers, "imagine", model)
        await self._save(interaction, person, replace(person.preferences, model=offer.name))

    async def chosen(self, interaction: discord.Interaction, setting: str, values: Sequence[str]) -> None:
        """Something was chosen or switched."""
        person = await self.deferrals.begin(interaction, update=True)
        preferences = changed(person.preferences, setting, values)
        person = replace(person, locale=preferences.locale or str(interaction.locale))
        await self._save(interaction, person, preferences)

    async def _save(
        self, interaction: discord.Interaction, person: Requester, preferences: UserPreferences
    ) -> None:
        await self.preferences.put(person.user_id, preferences)
        now = replace(person, preferences=preferences)
        await answer(interaction, view=settings_view(self.messages, now, self.offers, saved=True))


def settings_view(
    messages: Translations, person: Requester, offers: Offers, *, saved: bool = False
) -> discord.ui.LayoutView:
    """All settings; ``saved``: one was changed just before."""
    chosen, locale = person.preferences, person.locale
    models = [
        (offer.name, offer.label)
        for offer in offers
        if offer.kind == "imagine" and (person.age_restricted or not offer.nsfw or offer.name == chosen.model)
    ]
    models.sort(key=lambda choice: choice[0] != chosen.model)  # a menu shows the first 25
    choices = {
        "model": (chosen.model, [(AUTO, messages.text(locale, "settings-model-auto")), *models]),
        "aspect": (
            chosen.aspect,
            [
                (AUTO, messages.text(locale, "aspect-default")),
                *((shape, messages.text(locale, f"aspect-{shape}")) for shape in SHAPES),
            ],
        ),
        "style": (
            chosen.style,
            [
                (AUTO, messages.text(locale, "choice-no-style")),
                *((style.name, style_line(messages, locale, style)) for style in offers.styles),
            ],
        ),
        "lora": (
            chosen.lora,
            [
                (AUTO, messages.text(locale, "choice-no-lora")),
                *((lora.name, lora.label) for lora in offers.loras if lora.allows(person.role_ids)),
            ],
        ),
        "strength": (
            None if chosen.strength is None else f"{chosen.strength:.2f}",
            [
                (AUTO, messages.text(locale, "settings-strength-auto", strength=USUAL_STRENGTH)),
                *((one, one) for one in STRENGTHS if any(offer.starts for offer in offers)),
            ],
        ),
        "locale": (
            chosen.locale,
            [
                (AUTO, messages.text(locale, "settings-locale-auto")),
                *((name, messages.text(name, "language-name")) for name in messages.languages),
            ],
        ),
    }
    parts: list[Part] = []
    for name, (value, known) in choices.items():
        if len(known) == 1:
            continue  # there is nothing to choose
        parts += _menu(messages, locale, name, value or AUTO, known)
    switches = [
        _switch(messages, locale, name, on=getattr(chosen, preference))
        for name, preference in SWITCHES.items()
    ]
    return layout(
        container(
            text(f"### {messages.text(locale, 'settings-title')}"),
            small(messages.text(locale, "settings-saved")) if saved else None,
            *parts,
            separator(),
            *switches,
        )
    )


def _line(messages: Translations, locale: str, setting: str, value: str) -> str:
    return f"**{messages.text(locale, f'settings-{setting}')}** · {value}"


def _menu(
    messages: Translations, locale: str, setting: str, now: str, choices: Sequence[tuple[str, str]]
) -> tuple[Part, Part]:
    labels = dict(choices)
    options = [
        discord.SelectOption(label=plain(label, 100), value=value, default=value == now)
        for value, label in choices
    ]
    choose = menu("setting", setting, messages.text(locale, f"settings-{setting}"), options)
    return text(_line(messages, locale, setting, plain(labels.get(now, now), 100))), row(choose)


def _switch(messages: Translations, locale: str, setting: str, *, on: bool) -> Part:
    value = messages.text(locale, "settings-on" if on else "settings-off")
    turn = "off" if on else "on"
    control = button(messages.text(locale, f"button-turn-{turn}"), "setting", f"{setting}:{turn}")
    return section(_line(messages, locale, setting, value), control)


def changed(preferences: UserPreferences, setting: str, values: Sequence[str]) -> UserPreferences:
    """The preferences after a choice; ``setting`` is a menu's name, or a switch and where it was turned
    (``notify:off``). An unknown one changes nothing."""
    change: dict[str, Any] = {}
    name, _, turned = setting.partition(":")
    if setting == "switches":  # a menu that older messages have
        change = {preference: name in values for name, preference in SWITCHES.items()}
    elif name in SWITCHES and turned in ("on", "off"):
        change = {SWITCHES[name]: turned == "on"}
    elif setting in ("model", "aspect", "style", "lora", "locale"):
        change = {setting: None if not values or values[0] == AUTO else values[0]}
    elif setting == "strength":
        change = {setting: float(values[0]) if values and values[0] in STRENGTHS else None}
    return replace(preferences, **change)
