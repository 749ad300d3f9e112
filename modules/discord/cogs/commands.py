"""What everybody may type: /imagine, /edit, /queue, /cancel, /help, and the menus on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.delivery.result_message import is_nsfw
from modules.discord.interactions.autocomplete import MOST, Choices, Offered, prompt_choices
from modules.discord.interactions.cancel_menu import CancelMenu
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.help_view import help_page
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
from modules.queue_manager.jobs import Job, ModelOffer
from modules.utils.database.stores.history import History
from modules.utils.images.cleaner import CleanPicture


@dataclass(kw_only=True, eq=False)
class Commands(commands.Cog):
    """A command is deferred, read, and given to the part that answers it."""

    bot: commands.Bot
    requests: ImageRequests
    jobs: JobLookup
    pictures: SourcePictures
    history: History
    requesters: Requesters
    deferrals: Deferrals
    queue_view: QueueView
    cancel_menu: CancelMenu
    message_menus: MessageMenus
    choices: Choices
    limits: Limits
    messages: Translations
    offers: Sequence[ModelOffer]

    async def cog_load(self) -> None:
        """Menus on messages cannot be declared in a class."""
        edit, again = self.message_menus.edit_picture, self.message_menus.make_again
        self.bot.tree.add_command(app_commands.ContextMenu(name="Edit picture", callback=edit))
        self.bot.tree.add_command(app_commands.ContextMenu(name="Make again", callback=again))
        start = self.message_menus.use_as_start
        self.bot.tree.add_command(app_commands.ContextMenu(name="Use as start", callback=start))

    @app_commands.command()
    async def imagine(  # noqa: PLR0917 - the options of the command
        self,
        interaction: discord.Interaction,
        model: str,
        prompt: str,
        aspect: str | None = None,
        style: str | None = None,
        lora: str | None = None,
        lora_strength: float | None = None,
        seed: app_commands.Range[int, 0, 9007199254740991] | None = None,
        negative: str = "",
        count: app_commands.Range[int, 1, 10] = 1,
        image: discord.Attachment | None = None,
        strength: float | None = None,
    ) -> None:
        """Make a picture from words."""
        await self.deferrals.defer(interaction)
        start, mask = await self.pictures.painted_in(image.url) if image is not None else (None, None)
        image_request = ImageRequest(
            kind="imagine",
            prompt=prompt,
            model=model,
            shape=aspect,
            seed=seed,
            negative=negative,
            count=count,
            sources=(start,) if start is not None else (),
            strength=strength,
            mask=mask,
            style=style,
            lora=lora,
            lora_strength=lora_strength,
        )
        await self.requests.submit(interaction, image_request)

    @app_commands.command()
    async def edit(  # noqa: PLR0917 - the options of the command
        self,
        interaction: discord.Interaction,
        prompt: str,
        image: discord.Attachment | None = None,
        image2: discord.Attachment | None = None,
        mask: discord.Attachment | None = None,
        model: str | None = None,
        style: str | None = None,
        lora: str | None = None,
        lora_strength: float | None = None,
        seed: app_commands.Range[int, 0, 9007199254740991] | None = None,
    ) -> None:
        """Change a picture by words."""
        await self.deferrals.defer(interaction)
        last = await self.jobs.last_result(interaction.user.id) if image is None else None
        first, part = await self._first(image, last, mask)
        second = await self.pictures.upload(image2.url) if image2 is not None else None
        image_request = ImageRequest(
            kind="edit",
            prompt=prompt,
            model=model,
            seed=seed,
            sources=tuple(one for one in (first, second) if one is not None),
            mask=part,
            age_restricted=last is not None and is_nsfw(self.offers, last.request),
            origin=last.request.as_origin("edit") if last is not None else None,
            style=style,
            lora=lora,
            lora_strength=lora_strength,
        )
        await self.requests.submit(interaction, image_request)

    async def _first(
        self, image: discord.Attachment | None, last: Job | None, mask: discord.Attachment | None
    ) -> tuple[CleanPicture | None, CleanPicture | None]:
        """The upload, or else the last picture, and the mask of what is to be painted in it."""
        if image is not None:
            if mask is None:
                return await self.pictures.painted_in(image.url)
            return await self.pictures.marked(image.url, mask.url)
        if last is None:
            return None, None
        if mask is None:
            return await self.pictures.of_job(last.id), None
        return await self.pictures.marked_of_job(last.id, mask.url)

    @app_commands.command()
    async def queue(self, interaction: discord.Interaction) -> None:
        """How many wait, and where you stand."""
        await self.queue_view.show(interaction)

    @app_commands.command()
    async def cancel(self, interaction: discord.Interaction) -> None:
        """Take back pictures you asked for."""
        await self.cancel_menu.show(interaction)

    @app_commands.command()
    async def help(self, interaction: discord.Interaction) -> None:
        """What this bot can do."""
        person = await self.deferrals.begin(interaction)
        gallery = self.jobs.gallery_channel_id is not None
        varies = self.jobs.queue.varies()
        page = help_page(self.messages, person, self.offers, self.limits, varies=varies, gallery=gallery)
        await answer(interaction, view=page)

    # ── what is offered while they type ─────────────────────────────────────────────────────────

    @imagine.autocomplete("model")
    async def _models(self, interaction: discord.Interaction, typed: str) -> Offered:
        return self.choices.models("imagine", typed, await self.requesters.of(interaction))

    @edit.autocomplete("model")
    async def _edit_models(self, interaction: discord.Interaction, typed: str) -> Offered:
        return self.choices.models("edit", typed, await self.requesters.of(interaction))

    @imagine.autocomplete("aspect")
    async def _shapes(self, interaction: discord.Interaction, typed: str) -> Offered:
        model = str(interaction.namespace.model or "")
        return self.choices.shapes(model, typed, await self.requesters.of(interaction))

    @imagine.autocomplete("lora")
    async def _loras(self, interaction: discord.Interaction, typed: str) -> Offered:
        person, model = await self.requesters.of(interaction), str(interaction.namespace.model or "")
        return self.choices.loras("imagine", model, typed, person)

    @edit.autocomplete("lora")
    async def _edit_loras(self, interaction: discord.Interaction, typed: str) -> Offered:
        person, model = await self.requesters.of(interaction), str(interaction.namespace.model or "")
        return self.choices.loras("edit", model, typed, person)

    @imagine.autocomplete("lora_strength")
    @edit.autocomplete("lora_strength")
    async def _strengths(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[float]]:
        lora = str(interaction.namespace.lora or "")
        typed = str(typed).replace("nan", "")  # discord.py's value of an empty number
        return self.choices.strengths(lora, typed, await self.requesters.of(interaction))

    @imagine.autocomplete("style")
    @edit.autocomplete("style")
    async def _styles(self, interaction: discord.Interaction, typed: str) -> Offered:
        return self.choices.styles(typed, await self.requesters.of(interaction))

    @imagine.autocomplete("prompt")
    async def _prompts(self, interaction: discord.Interaction, typed: str) -> Offered:
        return prompt_choices(await self.history.recent_prompts(interaction.user.id, typed, MOST))
