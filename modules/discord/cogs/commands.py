"""What everybody may type: /imagine, /edit, /queue, /cancel, /help, and the menus on a picture."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.delivery.result_message import is_nsfw
from modules.discord.interactions.autocomplete import prompt_choices, shape_choices
from modules.discord.interactions.desk import Desk
from modules.discord.interactions.job_actions import JobActions
from modules.discord.interactions.queue_view import help_text, queue_text
from modules.discord.interactions.replies import answer
from modules.discord.rejections import NoPictureHere
from modules.discord.requests.submission import ImageRequest
from modules.discord.ui.components import menu, rows
from modules.discord.ui.formatting import plain
from modules.discord.ui.modals import again_form, edit_form
from modules.queue_manager.jobs import Kind

Choices = list[app_commands.Choice[str]]


class Commands(commands.Cog):
    """Thin: defer, read, hand over, answer."""

    def __init__(self, bot: commands.Bot, desk: Desk, actions: JobActions) -> None:
        self._bot, self._desk, self._actions = bot, desk, actions
        self._menus = [
            app_commands.ContextMenu(name="Edit picture", callback=self.edit_picture),
            app_commands.ContextMenu(name="Make again", callback=self.make_again),
        ]

    async def cog_load(self) -> None:
        """Menus on messages cannot be declared in a class."""
        for item in self._menus:
            self._bot.tree.add_command(item)

    async def cog_unload(self) -> None:
        """The reverse of loading."""
        for item in self._menus:
            self._bot.tree.remove_command(item.name, type=item.type)

    @app_commands.command()
    async def imagine(  # noqa: PLR0917 - the options of the command
        self,
        interaction: discord.Interaction,
        model: str,
        prompt: str,
        aspect: str | None = None,
        seed: app_commands.Range[int, 0, 9007199254740991] | None = None,
        negative: str = "",
        count: app_commands.Range[int, 1, 10] = 1,
    ) -> None:
        """Make a picture from words."""
        await self._desk.deferrals.defer(interaction)
        person = await self._desk.person(interaction)
        image_request = ImageRequest(
            kind="imagine",
            prompt=prompt,
            model=model,
            shape=aspect,
            seed=seed,
            negative=negative,
            count=count,
        )
        await self._actions.submit(interaction, person, image_request)

    @app_commands.command()
    async def edit(  # noqa: PLR0917 - the options of the command
        self,
        interaction: discord.Interaction,
        prompt: str,
        image: discord.Attachment | None = None,
        image2: discord.Attachment | None = None,
        model: str | None = None,
        seed: app_commands.Range[int, 0, 9007199254740991] | None = None,
    ) -> None:
        """Change a picture by words."""
        await self._desk.deferrals.defer(interaction)
        person = await self._desk.person(interaction)
        uploads = [await self._desk.upload(file.url) for file in (image, image2) if file is not None]
        last = await self._desk.last_result(person.user_id) if image is None else None
        if last is not None:
            uploads.insert(0, await self._desk.picture(last.id))
        image_request = ImageRequest(
            kind="edit",
            prompt=prompt,
            model=model,
            seed=seed,
            sources=tuple(uploads),
            age_restricted=last is not None and is_nsfw(self._desk.offers, last.request),
            origin=last.request.as_origin("edit") if last is not None else None,
        )
        await self._actions.submit(interaction, person, image_request)

    @app_commands.command()
    async def queue(self, interaction: discord.Interaction) -> None:
        """How many wait, and where you stand."""
        await self._desk.deferrals.defer(interaction)
        person = await self._desk.person(interaction)
        await answer(interaction, queue_text(self._desk, person))

    @app_commands.command()
    async def cancel(self, interaction: discord.Interaction) -> None:
        """Take back pictures you asked for."""
        await self._desk.deferrals.defer(interaction)
        person, messages = await self._desk.person(interaction), self._desk.messages
        jobs = self._desk.queue.active_jobs(person.user_id)
        if not jobs:
            await answer(interaction, messages.text(person.locale, "cancel-none"))
            return
        options = [
            discord.SelectOption(label=plain(f"#{job.number} {job.request.prompt}", 100), value=job.id)
            for job in jobs[:24]
        ]
        if len(jobs) > 1:
            options.append(
                discord.SelectOption(label=messages.text(person.locale, "cancel-all"), value="all")
            )
        choose = messages.text(person.locale, "cancel-choose")
        view = rows([menu("withdraw", person.user_id, choose, options, most=len(options))])
        await answer(interaction, choose, view=view)

    @app_commands.command()
    async def help(self, interaction: discord.Interaction) -> None:
        """What this bot can do."""
        await self._desk.deferrals.defer(interaction)
        person = await self._desk.person(interaction)
        await answer(interaction, help_text(self._desk, person))

    async def edit_picture(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Change the picture of a message."""
        _check_picture(message)
        person = await self._desk.person(interaction)
        about = f"{message.channel.id}-{message.id}"
        await interaction.response.send_modal(edit_form(self._desk.messages, person.locale, about))

    async def make_again(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Make a picture like that of a message."""
        _check_picture(message)
        person, messages = await self._desk.person(interaction), self._desk.messages
        job = await self._actions.job_of(message)
        if job is None or (job.request.maker.sources and job.request.user_id != person.user_id):
            about = f"{message.channel.id}-{message.id}"
            await interaction.response.send_modal(again_form(messages, person.locale, about))
            return
        await interaction.response.send_modal(self._actions.form_about(job, person, message))

    # ── what is offered while they type ─────────────────────────────────────────────────────────

    @imagine.autocomplete("model")
    async def _models(self, interaction: discord.Interaction, typed: str) -> Choices:
        return await self._model_choices(interaction, "imagine", typed)

    @edit.autocomplete("model")
    async def _edit_models(self, interaction: discord.Interaction, typed: str) -> Choices:
        return await self._model_choices(interaction, "edit", typed)

    async def _model_choices(self, interaction: discord.Interaction, kind: Kind, typed: str) -> Choices:
        person = await self._desk.person(interaction)
        return self._desk.model_choices(kind, typed, person)

    @imagine.autocomplete("aspect")
    async def _shapes(self, interaction: discord.Interaction, typed: str) -> Choices:
        person = await self._desk.person(interaction)
        model = str(interaction.namespace.model or "")
        return shape_choices(self._desk.offers, model, typed, person, self._desk.messages)

    @imagine.autocomplete("prompt")
    async def _prompts(self, interaction: discord.Interaction, typed: str) -> Choices:
        recent = await self._desk.database.history.recent_prompts(interaction.user.id, typed, 25)
        return prompt_choices(recent)


def _check_picture(message: discord.Message) -> None:
    if not any((file.content_type or "").startswith("image/") for file in message.attachments):
        raise NoPictureHere
