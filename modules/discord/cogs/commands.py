"""What everybody may type: /imagine, /edit, /queue, /cancel, /help, and the menus on a picture."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.delivery.result_message import is_nsfw
from modules.discord.interactions.autocomplete import ModelChoices, prompt_choices, shape_choices
from modules.discord.interactions.cancel_menu import CancelMenu
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.help_view import help_text
from modules.discord.interactions.image_requests import ImageRequests
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.message_menus import MessageMenus
from modules.discord.interactions.queue_view import QueueView
from modules.discord.interactions.replies import answer
from modules.discord.requests.limits import Limits
from modules.discord.requests.requester import Requesters
from modules.discord.requests.source_pictures import SourcePictures
from modules.discord.requests.submission import ImageRequest
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import ModelOffer
from modules.utils.database.stores.history import History

Choices = list[app_commands.Choice[str]]


class Commands(commands.Cog):
    """A command is deferred, read, and given to the part that answers it."""

    def __init__(
        self,
        bot: commands.Bot,
        *,
        requests: ImageRequests,
        jobs: JobLookup,
        pictures: SourcePictures,
        history: History,
        requesters: Requesters,
        deferrals: Deferrals,
        queue_view: QueueView,
        cancel_menu: CancelMenu,
        message_menus: MessageMenus,
        model_choices: ModelChoices,
        limits: Limits,
        messages: Translations,
        offers: tuple[ModelOffer, ...],
    ) -> None:
        self._bot, self._requests, self._jobs, self._pictures = bot, requests, jobs, pictures
        self._history, self._requesters, self._deferrals = history, requesters, deferrals
        self._queue_view, self._cancel_menu, self._message_menus = queue_view, cancel_menu, message_menus
        self._model_choices, self._limits = model_choices, limits
        self._messages, self._offers = messages, offers
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
        await self._deferrals.defer(interaction)
        person = await self._requesters.of(interaction)
        image_request = ImageRequest(
            kind="imagine",
            prompt=prompt,
            model=model,
            shape=aspect,
            seed=seed,
            negative=negative,
            count=count,
        )
        await self._requests.submit(interaction, person, image_request)

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
        await self._deferrals.defer(interaction)
        person = await self._requesters.of(interaction)
        uploads = [await self._pictures.upload(file.url) for file in (image, image2) if file is not None]
        last = await self._jobs.last_result(person.user_id) if image is None else None
        if last is not None:
            uploads.insert(0, await self._pictures.of_job(last.id))
        image_request = ImageRequest(
            kind="edit",
            prompt=prompt,
            model=model,
            seed=seed,
            sources=tuple(uploads),
            age_restricted=last is not None and is_nsfw(self._offers, last.request),
            origin=last.request.as_origin("edit") if last is not None else None,
        )
        await self._requests.submit(interaction, person, image_request)

    @app_commands.command()
    async def queue(self, interaction: discord.Interaction) -> None:
        """How many wait, and where you stand."""
        await self._deferrals.defer(interaction)
        await answer(interaction, self._queue_view.text(await self._requesters.of(interaction)))

    @app_commands.command()
    async def cancel(self, interaction: discord.Interaction) -> None:
        """Take back pictures you asked for."""
        await self._cancel_menu.show(interaction)

    @app_commands.command()
    async def help(self, interaction: discord.Interaction) -> None:
        """What this bot can do."""
        await self._deferrals.defer(interaction)
        person = await self._requesters.of(interaction)
        await answer(interaction, help_text(self._messages, person, self._offers, self._limits))

    async def edit_picture(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Change the picture of a message."""
        await self._message_menus.edit_picture(interaction, message)

    async def make_again(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Make a picture like that of a message."""
        await self._message_menus.make_again(interaction, message)

    # ── what is offered while they type ─────────────────────────────────────────────────────────

    @imagine.autocomplete("model")
    async def _models(self, interaction: discord.Interaction, typed: str) -> Choices:
        return self._model_choices.matching("imagine", typed, await self._requesters.of(interaction))

    @edit.autocomplete("model")
    async def _edit_models(self, interaction: discord.Interaction, typed: str) -> Choices:
        return self._model_choices.matching("edit", typed, await self._requesters.of(interaction))

    @imagine.autocomplete("aspect")
    async def _shapes(self, interaction: discord.Interaction, typed: str) -> Choices:
        person = await self._requesters.of(interaction)
        model = str(interaction.namespace.model or "")
        return shape_choices(self._offers, model, typed, person, self._messages)

    @imagine.autocomplete("prompt")
    async def _prompts(self, interaction: discord.Interaction, typed: str) -> Choices:
        recent = await self._history.recent_prompts(interaction.user.id, typed, 25)
        return prompt_choices(recent)
