"""What /help shows: what the bot can do, what each button does, and which models there are."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from modules.discord.delivery.result_message import result_actions
from modules.discord.requests.limits import Limits
from modules.discord.requests.requester import Requester
from modules.discord.ui.components import MAKES_ROOM
from modules.discord.ui.formatting import fitting, in_language
from modules.discord.ui.layout import container, layout, separator, small, text
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import ModelOffer

MODELS_SHOWN = 20
MODELS_LENGTH = 2000
"""Characters of all lines about models."""


def help_page(
    messages: Translations,
    person: Requester,
    offers: Sequence[ModelOffer],
    limits: Limits,
    *,
    varies: bool,
    gallery: bool,
) -> discord.ui.LayoutView:
    """The text for this person. ``varies``: variations can be made; ``gallery``: pictures can be shared."""
    locale = person.locale
    commands = [
        messages.text(locale, f"help-{part}")
        for part in ("imagine", "edit", "queue", "history", "settings", "menus")
    ]
    actions = result_actions(offers, varies=varies, gallery=gallery, nsfw=False)
    buttons = [
        f"- **{messages.text(locale, f'button-{action}')}**: {messages.text(locale, f'help-button-{action}')}"
        for action in (*(action for action in actions if action not in MAKES_ROOM), "cancel")
    ]
    if any(action in MAKES_ROOM for action in actions):
        buttons.append(f"- {messages.text(locale, 'help-make-room')}")
    language = messages.language(locale)
    models = [
        messages.text(
            locale, "help-model", label=offer.label, description=in_language(offer.description, language)
        )
        for offer in [offer for offer in offers if person.age_restricted or not offer.nsfw][:MODELS_SHOWN]
    ]
    return layout(
        container(
            text("\n".join([f"### {messages.text(locale, 'help-title')}", *commands])),
            small(messages.text(locale, "help-limit", limit=limits.of(person.role_ids).jobs)),
            separator(),
            text("\n".join([f"**{messages.text(locale, 'help-buttons')}**", *buttons])),
            small(messages.text(locale, "help-buttons-last")),
            separator(),
            text(f"**{messages.text(locale, 'help-models')}**\n{fitting(models, MODELS_LENGTH)}"),
        )
    )
