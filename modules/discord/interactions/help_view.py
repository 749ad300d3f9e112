"""What /help says: what the bot can do, in short, and which models there are."""

from __future__ import annotations

from collections.abc import Sequence

from modules.discord.interactions.autocomplete import described
from modules.discord.interactions.replies import TEXT_LIMIT
from modules.discord.requests.limits import Limits
from modules.discord.requests.requester import Requester
from modules.discord.ui.formatting import fitting
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import ModelOffer

MODELS_SHOWN = 20


def help_text(messages: Translations, person: Requester, offers: Sequence[ModelOffer], limits: Limits) -> str:
    """The answer to this person."""
    locale = person.locale
    parts = ("help-imagine", "help-edit", "help-queue", "help-settings", "help-buttons")
    lines = [messages.text(locale, part) for part in parts]
    lines.append(messages.text(locale, "help-limit", limit=limits.of(person.role_ids).jobs))
    lines += ["", messages.text(locale, "help-models")]
    language = messages.language(locale)
    shown = [offer for offer in offers if person.age_restricted or not offer.nsfw]
    lines += [
        messages.text(locale, "help-model", label=offer.label, description=described(offer, language))
        for offer in shown[:MODELS_SHOWN]
    ]
    return fitting(lines, TEXT_LIMIT)
