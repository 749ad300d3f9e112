"""What the buttons under a picture do. Each names a job; whoever presses it is checked against its owner."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress

import discord

from modules.discord.delivery.outcome_text import remembered
from modules.discord.delivery.result_message import is_nsfw, label_of, made_of
from modules.discord.interactions.desk import Desk
from modules.discord.interactions.replies import answer
from modules.discord.rejections import NoPictureHere, PictureForgotten, SharingNotSetUp, SharingRefused
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import ImageRequest
from modules.discord.transport.message_client import FileUpload, MessageError, OutgoingMessage, Posted
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.components import job_row, jobs_named
from modules.discord.ui.formatting import plain, quoted
from modules.discord.ui.modals import again_form, edit_form, prompt_form, seed_of
from modules.queue_manager.errors import BadSourceImage, NotAllowedHere, NotYourJob, UnknownJob
from modules.queue_manager.jobs import MAX_SEED, GenerationRequest, Job, JobId, Size, Variation

VARIATION_STRENGTH = 0.15
"""How much of a second noise Vary mixes in: the composition stays, details change."""


class JobActions:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._by_name: Mapping[str, Callable[[discord.Interaction, Job], Awaitable[None]]] = {
            "again": self._again,
            "vary": self._vary,
            "upscale": self._upscale,
            "edit": self._edit,
            "prompt": self._prompt,
            "share": self._share,
            "delete": self._delete,
            "cancel": self._cancel,
        }

    def knows(self, what: str) -> bool:
        """Whether a button of this name is about a job."""
        return what in self._by_name

    async def press(self, interaction: discord.Interaction, what: str, job_id: JobId) -> None:
        """Do what the button says. Raises a `RequestRejected`."""
        if what not in ("edit", "prompt"):  # those answer with a form, which cannot be deferred
            await self._desk.deferrals.defer(interaction)
        job = await self._desk.job(job_id)
        self._check_owner(interaction, what, job)
        await self._by_name[what](interaction, job)

    def _check_owner(self, interaction: discord.Interaction, what: str, job: Job) -> None:
        if interaction.user.id == job.request.user_id:
            return
        shared = (
            interaction.channel_id is not None and interaction.channel_id == self._desk.gallery_channel_id
        )
        if what == "prompt" and shared:
            return
        if what == "cancel" and interaction.permissions.administrator:
            return
        raise NotYourJob

    async def job_of(self, message: discord.Message) -> Job | None:
        """The job of a result, or of its copy in the gallery, if this message is one and it is remembered."""
        desk = self._desk
        record, home = await desk.database.history.by_message(message.id), desk.home()
        job_id = record.job_id if record is not None else None
        if home is not None and message.author == home.me and message.channel.id == desk.gallery_channel_id:
            job_id = next(jobs_named(_custom_ids(message)), None)
        with suppress(PictureForgotten):
            return await desk.job(job_id) if job_id is not None else None
        return None

    async def submit(
        self, interaction: discord.Interaction, person: Requester, image_request: ImageRequest
    ) -> None:
        """Queue a wish and answer with the place. The interaction must be deferred."""
        with self._desk.queue.expecting():
            accepted = await self._desk.submissions.take(person, image_request)
        await self._desk.request_replies.give(interaction, person, accepted)

    # ── one method a button ─────────────────────────────────────────────────────────────────────

    async def _again(self, interaction: discord.Interaction, job: Job) -> None:
        made = job.request.maker
        # An enlargement of which the origin is not known is the same with any seed.
        seed = made.seed if made.kind == "upscale" else None
        await self._repeat(interaction, made, seed=seed, variation=None)

    async def _vary(self, interaction: discord.Interaction, job: Job) -> None:
        made = job.request.maker
        if made.kind == "upscale":
            raise PictureForgotten
        variation = Variation(seed=secrets.randbelow(MAX_SEED + 1), strength=VARIATION_STRENGTH)
        await self._repeat(interaction, made, seed=made.seed, variation=variation)

    async def _repeat(
        self,
        interaction: discord.Interaction,
        request: GenerationRequest,
        *,
        seed: int | None,
        variation: Variation | None,
    ) -> None:
        image_request = ImageRequest(
            kind=request.kind,
            prompt=request.prompt,
            model=request.model,
            size=request.size,
            seed=seed,
            negative=request.negative,
            variation=variation,
            sources=await self._desk.sources(request),
            age_restricted=request.age_restricted,
            origin=request.origin,
        )
        await self.submit(interaction, await self._desk.person(interaction), image_request)

    async def _upscale(self, interaction: discord.Interaction, job: Job) -> None:
        picture = await self._desk.picture(job.id, interaction.message)
        image_request = ImageRequest(
            kind="upscale",
            prompt=job.request.prompt,
            seed=job.request.seed,
            sources=(picture,),
            age_restricted=is_nsfw(self._desk.offers, job.request),
            origin=job.request.as_origin("upscale"),
        )
        await self.submit(interaction, await self._desk.person(interaction), image_request)

    async def _edit(self, interaction: discord.Interaction, job: Job) -> None:
        person = await self._desk.person(interaction)
        await interaction.response.send_modal(edit_form(self._desk.messages, person.locale, job.id))

    async def _prompt(self, interaction: discord.Interaction, job: Job) -> None:
        person, message, made = await self._desk.person(interaction), interaction.message, job.request.maker
        if made.sources and made.user_id != person.user_id and message is not None:
            # What an edit started from stays its owner's; what it became is there for everybody.
            form = edit_form if any(offer.kind == "edit" for offer in self._desk.offers) else again_form
            about = f"{message.channel.id}-{message.id}"
            await interaction.response.send_modal(form(self._desk.messages, person.locale, about))
            return
        await interaction.response.send_modal(self.form_about(job, person, message))

    def form_about(self, job: Job, person: Requester, message: discord.Message | None) -> discord.ui.Modal:
        """Everything that the picture was made from; of an enlargement of which the origin is not known,
        nothing but new words can be asked for."""
        messages, made = self._desk.messages, job.request.maker
        if made.kind == "upscale" and message is not None:
            return again_form(messages, person.locale, f"{message.channel.id}-{message.id}")
        offer = next((offer for offer in self._desk.offers if offer.name == made.model), None)
        return prompt_form(messages, person.locale, job, offer)

    async def _share(self, interaction: discord.Interaction, job: Job) -> None:
        desk, gallery = self._desk, self._desk.gallery_channel_id
        if gallery is None:
            raise SharingNotSetUp
        restricted = is_nsfw(desk.offers, job.request)
        if restricted and not desk.channels.is_age_restricted(job.request.guild_id, gallery):
            raise NotAllowedHere(model=label_of(desk.offers, job.request.model))
        message = interaction.message
        if message is None or not message.attachments:
            raise NoPictureHere
        file = message.attachments[0]
        data = await desk.reader.read(file.url)
        size = Size(width=file.width, height=file.height) if file.width and file.height else job.request.size
        guild_locale = str(interaction.guild_locale) if interaction.guild_locale else None
        text = "\n".join(
            [
                desk.messages.text(guild_locale, "shared-by", name=quoted(interaction.user.display_name, 80)),
                desk.messages.text(guild_locale, "prompt-line", prompt=quoted(job.request.prompt)),
                "-# " + " · ".join(made_of(desk.messages, guild_locale, desk.offers, job.request, size)),
            ]
        )
        note = OutgoingMessage(
            text=text,
            files=(FileUpload(name=file.filename, data=data, alt=plain(job.request.prompt, 1000)),),
            view=job_row(desk.messages, guild_locale, job.id, ("prompt",)),
        )
        try:
            await desk.message_client.post(gallery, note, level=Priority.DELIVER)
        except MessageError as error:
            raise SharingRefused(str(error)) from error
        person = await desk.person(interaction)
        await answer(interaction, desk.messages.text(person.locale, "shared-done", channel=f"<#{gallery}>"))

    async def _delete(self, interaction: discord.Interaction, job: Job) -> None:
        message, desk = interaction.message, self._desk
        if message is not None:
            try:
                where = Posted(channel_id=message.channel.id, message_id=message.id)
                await desk.message_client.delete(where, level=Priority.ACKNOWLEDGE)
            except MessageError as error:
                raise NoPictureHere(str(error)) from error
        await desk.database.history.delete_picture(job.id)
        person = await desk.person(interaction)
        await answer(interaction, desk.messages.text(person.locale, "deleted"))

    async def _cancel(self, interaction: discord.Interaction, job: Job) -> None:
        desk, person = self._desk, await self._desk.person(interaction)
        try:
            await desk.queue.cancel(job.id, by=person.user_id)
        except UnknownJob:  # too late: it has ended, or is on its way
            record = await desk.database.history.job(job.id)
            await answer(interaction, remembered(desk.messages, person.locale, job, record, desk.guild_of))
        else:
            numbers = f"#{job.number}"
            text = desk.messages.text(person.locale, "cancelled-mine", count=1, numbers=numbers)
            await answer(interaction, text)

    # ── forms that buttons opened ───────────────────────────────────────────────────────────────

    async def edited(
        self, interaction: discord.Interaction, job_id: JobId, values: Mapping[str, str]
    ) -> None:
        """The form of Edit came back."""
        await self._desk.deferrals.defer(interaction)
        job = await self._desk.job(job_id)
        self._check_owner(interaction, "edit", job)
        picture = await self._desk.picture(job.id, interaction.message)
        image_request = ImageRequest(
            kind="edit",
            prompt=values.get("prompt", ""),
            sources=(picture,),
            age_restricted=is_nsfw(self._desk.offers, job.request),
            origin=job.request.as_origin("edit"),
        )
        await self.submit(interaction, await self._desk.person(interaction), image_request)

    async def reworded(
        self, interaction: discord.Interaction, job_id: JobId, values: Mapping[str, str]
    ) -> None:
        """The form of Prompt… came back: for the owner, or for whoever saw the picture in the gallery."""
        await self._desk.deferrals.defer(interaction)
        job = await self._desk.job(job_id)
        request = job.request.maker
        if request.kind == "upscale":  # a form of before, which offered words that change nothing
            raise PictureForgotten
        if request.sources and interaction.user.id != request.user_id:
            raise BadSourceImage("gone")  # what an edit started from stays its owner's
        seed = seed_of(values.get("seed"))
        image_request = ImageRequest(
            kind=request.kind,
            prompt=values.get("prompt", ""),
            negative=values.get("negative", ""),
            model=values.get("model") or request.model,
            shape=values.get("size") or None,
            seed=seed,
            variation=request.variation if seed == request.seed else None,
            sources=await self._desk.sources(request),
            age_restricted=request.age_restricted,
            origin=request.origin,
        )
        await self.submit(interaction, await self._desk.person(interaction), image_request)


def _custom_ids(message: discord.Message) -> Iterator[str]:
    """What the buttons of a message say."""
    for row in message.components:
        for item in getattr(row, "children", ()):
            yield getattr(item, "custom_id", None) or ""
