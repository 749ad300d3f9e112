"""What a person keeps here: /history, /settings, /forget."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.delivery.result_message import is_nsfw, result_actions
from modules.discord.interactions.desk import Desk
from modules.discord.interactions.history_view import history_page
from modules.discord.interactions.replies import answer
from modules.discord.interactions.settings_view import changed, settings_view
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import find_offer
from modules.discord.ui.components import button, job_row, rows
from modules.discord.ui.formatting import quoted
from modules.queue_manager.errors import NotYourJob, UnknownJob
from modules.queue_manager.jobs import JobId

PAGE = 10


class Account(commands.Cog):
    """Thin: defer, read, hand over, answer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @app_commands.command()
    async def history(self, interaction: discord.Interaction) -> None:
        """The pictures you have made."""
        await self._desk.deferrals.defer(interaction)
        await self._show_page(interaction, None)

    async def turn_page(self, interaction: discord.Interaction, before: int) -> None:
        """A page button was pressed; ``before`` 0 is the newest page."""
        await self._desk.deferrals.defer(interaction, update=True)
        await self._show_page(interaction, before or None)

    async def _show_page(self, interaction: discord.Interaction, before: int | None) -> None:
        person = await self._desk.person(interaction)
        records = await self._desk.database.history.of_user(person.user_id, before=before, limit=PAGE + 1)
        desk = self._desk
        page = history_page(
            desk.messages, person, desk.offers, records, guild_of=desk.guild_of, size=PAGE, before=before
        )
        await answer(interaction, page.text, view=rows(page.items) if page.items else None)

    async def pick(self, interaction: discord.Interaction, job_id: JobId) -> None:
        """A picture was chosen in the history: show what can be done with it."""
        await self._desk.deferrals.defer(interaction)
        person = await self._desk.person(interaction)
        job = await self._desk.job(job_id)
        if job.request.user_id != person.user_id:
            raise NotYourJob
        actions = [
            action
            for action in result_actions(
                self._desk.offers, gallery=False, nsfw=is_nsfw(self._desk.offers, job.request)
            )
            if action != "delete"
        ]
        text = self._desk.messages.text(
            person.locale, "history-act", number=str(job.number), prompt=quoted(job.request.prompt, 200)
        )
        await answer(interaction, text, view=job_row(self._desk.messages, person.locale, job.id, actions))

    @app_commands.command()
    async def settings(self, interaction: discord.Interaction, model: str | None = None) -> None:
        """Your model, shape, language and where results go."""
        await self._desk.deferrals.defer(interaction)
        person = await self._desk.person(interaction)
        if model is None:
            await self._show_settings(interaction, person, "settings-title")
            return
        offer = find_offer(self._desk.offers, "imagine", model)
        preferences = replace(person.preferences, model=offer.name)
        await self._desk.database.preferences.put(person.user_id, preferences)
        await self._show_settings(interaction, replace(person, preferences=preferences), "settings-saved")

    @settings.autocomplete("model")
    async def _models(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        person = await self._desk.person(interaction)
        return self._desk.model_choices("imagine", typed, person)

    async def choose(self, interaction: discord.Interaction, setting: str, values: list[str]) -> None:
        """Something was chosen in the menus of /settings."""
        await self._desk.deferrals.defer(interaction, update=True)
        person = await self._desk.person(interaction)
        preferences = changed(person.preferences, setting, values)
        await self._desk.database.preferences.put(person.user_id, preferences)
        locale = preferences.locale or str(interaction.locale)
        now = replace(person, preferences=preferences, locale=locale)
        await self._show_settings(interaction, now, "settings-saved")

    async def _show_settings(self, interaction: discord.Interaction, person: Requester, title: str) -> None:
        text = self._desk.messages.text(person.locale, title)
        view = settings_view(self._desk.messages, person, self._desk.offers)
        await answer(interaction, f"**{text}**", view=view)

    @app_commands.command()
    async def forget(self, interaction: discord.Interaction) -> None:
        """Erase your prompts, pictures and settings."""
        await self._desk.deferrals.defer(interaction)
        person, messages = await self._desk.person(interaction), self._desk.messages
        buttons = [
            button(
                messages.text(person.locale, "button-forget"),
                "forget",
                f"yes:{person.user_id}",
                style=discord.ButtonStyle.danger,
            ),
            button(messages.text(person.locale, "button-keep"), "forget", f"no:{person.user_id}"),
        ]
        await answer(interaction, messages.text(person.locale, "forget-ask"), view=rows(buttons))

    async def decide(self, interaction: discord.Interaction, about: str) -> None:
        """The question of /forget was answered."""
        await self._desk.deferrals.defer(interaction, update=True)
        decision, _, owner = about.partition(":")
        if owner != str(interaction.user.id):
            raise NotYourJob
        person, messages = await self._desk.person(interaction), self._desk.messages
        if decision != "yes":
            await answer(interaction, messages.text(person.locale, "forget-kept"))
        elif self._desk.queue.active_jobs(person.user_id):
            await answer(interaction, messages.text(person.locale, "forget-busy"))
        else:
            await self._desk.channels.close(person.guild_id, person.user_id)
            await self._desk.database.history.forget(person.user_id)
            self._desk.failures.forget(person.user_id)
            await answer(interaction, messages.text(str(interaction.locale), "forget-done"))

    async def withdraw(self, interaction: discord.Interaction, values: list[str]) -> None:
        """Jobs were chosen in the menu of /cancel."""
        await self._desk.deferrals.defer(interaction, update=True)
        person, queue = await self._desk.person(interaction), self._desk.queue
        mine = {job.id: job for job in queue.active_jobs(person.user_id)}
        chosen = list(mine) if "all" in values else [JobId(value) for value in values if JobId(value) in mine]
        numbers = []
        for job_id in chosen:
            with suppress(UnknownJob):  # it has ended by itself, or its picture is on its way
                numbers.append(f"#{(await queue.cancel(job_id, by=person.user_id)).number}")
        text = self._desk.messages.text(
            person.locale, "cancelled-mine", count=len(numbers), numbers=", ".join(numbers)
        )
        await answer(interaction, text)
