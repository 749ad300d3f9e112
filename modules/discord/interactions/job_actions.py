"""What the buttons and the menu under a picture do. Each names a job; only its owner may use it, with few
exceptions."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from logging import getLogger
from typing import Any

import discord

from modules.discord.delivery.outcome_text import remembered
from modules.discord.delivery.result_message import ResultMessages, is_nsfw
from modules.discord.delivery.result_sets import ResultSets
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.gallery import Gallery
from modules.discord.interactions.image_requests import ImageRequests
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.prompt_forms import PromptForms, about_message
from modules.discord.interactions.replies import answer, answer_nothing
from modules.discord.rejections import MessageUnchanged, NoPictureHere, PictureForgotten
from modules.discord.requests.requester import Requesters
from modules.discord.requests.source_pictures import SourcePictures
from modules.discord.requests.submission import ImageRequest, part_painters
from modules.discord.transport.message_client import MessageClient, MessageError, Posted
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.components import MAKES_ROOM, MORE, job_button, rows
from modules.discord.ui.loras_and_styles import NONE, find_entry
from modules.discord.ui.modals import Typed, seed_of, size_for, strength_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import (
    BadSourceImage,
    NotYourJob,
    RequestRejected,
    StoreError,
    UnknownJob,
)
from modules.queue_manager.jobs import MAX_SEED, GenerationRequest, Job, JobId, Kind, Variation
from modules.queue_manager.manager import QueueManager
from modules.utils.database.stores.history import History
from modules.utils.images.cleaner import Extension

log = getLogger(__name__)

VARIATION_STRENGTH = 0.15
"""How much of a second noise Vary mixes in: the composition stays, details change."""


@dataclass(kw_only=True, eq=False)
class JobActions:
    """One method for each button, and one for each form that a button opened."""

    queue: QueueManager
    history: History
    jobs: JobLookup
    pictures: SourcePictures
    forms: PromptForms
    requesters: Requesters
    deferrals: Deferrals
    requests: ImageRequests
    gallery: Gallery
    result_messages: ResultMessages
    result_sets: ResultSets
    message_client: MessageClient
    messages: Translations

    def __post_init__(self) -> None:
        self._by_name: Mapping[str, Callable[[discord.Interaction, Job], Awaitable[None]]] = {
            "again": self._again,
            "vary": self._vary,
            "upscale": self._upscale,
            "edit": self._edit,
            "prompt": self._prompt,
            "start": self._start,
            **{what: partial(self._extend, how) for what, how in MAKES_ROOM.items()},
            "share": self._share,
            "delete": self._delete,
            "erase": self._erase,
            "details": self._details,
            "cancel": self._cancel,
            "cancelall": self._cancel_set,
        }

    def knows(self, what: str) -> bool:
        """Whether a button or choice of this name is about a job."""
        return what in self._by_name

    async def press(self, interaction: discord.Interaction, what: str, job_id: JobId) -> None:
        """Do what the button or the choice says. Raises a `RequestRejected`."""
        if what not in ("edit", "prompt", "start"):  # those answer with a form, which cannot be deferred
            await self.deferrals.defer(interaction, update=what == "erase")
        job = await self.jobs.job(job_id)
        self._check_owner(interaction, what, job)
        await self._by_name[what](interaction, job)

    async def choose_action(
        self, interaction: discord.Interaction, menu: str, what: str, job_id: JobId
    ) -> None:
        """Do what was chosen in the ``menu`` of further actions, and put another one in its place: see
        `MORE`. Raises a `RequestRejected`."""
        try:
            await self.press(interaction, what, job_id)
        finally:
            await self._renew(interaction, MORE[1 - MORE.index(menu)], job_id)

    async def _renew(self, interaction: discord.Interaction, menu: str, job_id: JobId) -> None:
        message, owner = interaction.message, interaction.user.id
        try:
            job = await self.jobs.job(job_id)
            if message is None or job.request.user_id != owner:
                return
            person = await self.requesters.of(interaction)
            where, notify = _place_of(message), person.preferences.notify
            await self.result_sets.choose(where, job, notify=notify, more=menu, seen=message)
        except (MessageError, RequestRejected, StoreError) as error:
            log.info("the menu stays as it is: %s", error, extra={"job_id": job_id})

    async def choose(self, interaction: discord.Interaction, job_id: JobId) -> None:
        """From now on, the controls of a message with several pictures apply to this one."""
        await self.deferrals.defer(interaction)
        job, message = await self.jobs.job(job_id), interaction.message
        self._check_owner(interaction, "which", job)
        if message is None:
            raise NoPictureHere
        person = await self.requesters.of(interaction)
        where = _place_of(message)
        try:
            await self.result_sets.choose(where, job, notify=person.preferences.notify)
        except MessageError as error:
            raise MessageUnchanged(str(error)) from error
        await answer_nothing(interaction)

    def _check_owner(self, interaction: discord.Interaction, what: str, job: Job) -> None:
        shared = interaction.channel_id is not None and interaction.channel_id == self.gallery.channel_id
        others_may = (what == "prompt" and shared) or (
            what in ("cancel", "cancelall") and interaction.permissions.administrator
        )
        if interaction.user.id != job.request.user_id and not others_may:
            raise NotYourJob

    # ── one method a button ─────────────────────────────────────────────────────────────────────

    async def _again(self, interaction: discord.Interaction, job: Job) -> None:
        made = job.request.maker
        # An enlargement whose original is not known is the same with any seed.
        await self._repeat(interaction, made, seed=made.seed if made.kind == "upscale" else None)

    async def _vary(self, interaction: discord.Interaction, job: Job) -> None:
        if job.request.maker.kind == "upscale":
            raise PictureForgotten
        variation = Variation(seed=secrets.randbelow(MAX_SEED + 1), strength=VARIATION_STRENGTH)
        await self._repeat(interaction, job.request.maker, variation=variation)

    async def _repeat(
        self, interaction: discord.Interaction, request: GenerationRequest, **changes: Any
    ) -> None:
        """Ask for the same again; ``changes`` are fields of `ImageRequest`."""
        same = ImageRequest(
            kind=request.kind,
            prompt=request.prompt,
            model=request.model,
            size=request.size,
            seed=request.seed,
            negative=request.negative,
            sources=await self.pictures.sources(request),
            strength=request.strength,
            mask=await self.pictures.mask(request),
            age_restricted=request.age_restricted,
            origin=request.origin,
            style=request.style.name if request.style is not None else NONE,
            lora=request.lora.name if request.lora is not None else NONE,
            lora_strength=request.lora.strength if request.lora is not None else None,
        )
        await self.requests.submit(interaction, replace(same, **changes))

    async def _upscale(self, interaction: discord.Interaction, job: Job) -> None:
        await self._rework(interaction, job, "upscale", prompt=job.request.prompt, seed=job.request.seed)

    async def _rework(
        self,
        interaction: discord.Interaction,
        job: Job,
        kind: Kind,
        *,
        prompt: str,
        seed: int | None = None,
        model: str | None = None,
        uploads: Sequence[str] = (),
        strength: float | None = None,
    ) -> None:
        """Ask for something made of the job's picture, and of ``uploads`` (addresses)."""
        sources = [await self.pictures.of_job(job.id, interaction.message)]
        sources += [await self.pictures.upload(url) for url in uploads]
        image_request = ImageRequest(
            kind=kind,
            prompt=prompt,
            model=model,
            seed=seed,
            sources=tuple(sources),
            strength=strength,
            age_restricted=is_nsfw(self.queue.offers, job.request),
            origin=job.request.as_origin(kind),
        )
        await self.requests.submit(interaction, image_request)

    async def _edit(self, interaction: discord.Interaction, job: Job) -> None:
        person = await self.requesters.of(interaction)
        await interaction.response.send_modal(await self.forms.short(person, "edit", job.id))

    async def _start(self, interaction: discord.Interaction, job: Job) -> None:
        person, typed = await self.requesters.of(interaction), {"prompt": job.request.maker.prompt}
        await interaction.response.send_modal(await self.forms.short(person, "start", job.id, typed))

    async def _extend(self, how: Extension, interaction: discord.Interaction, job: Job) -> None:
        """Paint what lies around or beside the picture, with an inpainting model or else with its own."""
        made, person = job.request.maker, await self.requesters.of(interaction)
        if made.kind == "upscale":
            raise PictureForgotten
        model = part_painters(self.queue.offers, person, made.model, made.kind)[0]
        picture, mask = await self.pictures.extended(job.id, interaction.message, how)
        same = model.name == made.model
        image_request = ImageRequest(
            kind=model.kind,
            prompt=made.prompt,
            model=model.name,
            negative=made.negative if model.negative != "none" else "",
            sources=(picture,),
            mask=mask,
            age_restricted=is_nsfw(self.queue.offers, job.request),
            origin=job.request.origin if same and job.request is made else job.request.as_origin(model.kind),
            style=made.style.name if made.style is not None else NONE,
            lora=made.lora.name if made.lora is not None and same else NONE,
            lora_strength=made.lora.strength if made.lora is not None and same else None,
        )
        await self.requests.submit(interaction, image_request)

    async def _prompt(self, interaction: discord.Interaction, job: Job) -> None:
        person, message, made = await self.requesters.of(interaction), interaction.message, job.request.maker
        if made.sources and made.user_id != person.user_id and message is not None:
            # Nobody else may see what an edit started from; what it became is there for everybody.
            editable = any(offer.kind == "edit" for offer in self.queue.offers)
            kind, about = "edit" if editable else "again", about_message(message)
            await interaction.response.send_modal(await self.forms.short(person, kind, about))
            return
        await interaction.response.send_modal(await self.forms.about(job, person, message))

    async def _share(self, interaction: discord.Interaction, job: Job) -> None:
        gallery = await self.gallery.share(interaction, job)
        person = await self.requesters.of(interaction)
        text = self.messages.text(person.locale, "shared-done", channel=f"<#{gallery}>")
        await answer(interaction, text)

    async def _delete(self, interaction: discord.Interaction, job: Job) -> None:
        person = await self.requesters.of(interaction)
        question = self.messages.text(person.locale, "delete-ask", number=str(job.number))
        view = rows([job_button(self.messages, person.locale, job.id, "erase")])
        await answer(interaction, question, view=view)

    async def _erase(self, interaction: discord.Interaction, job: Job) -> None:
        """The question of Delete was answered with yes."""
        person, record = await self.requesters.of(interaction), await self.history.job(job.id)
        if record is not None and record.channel_id is not None and record.message_id is not None:
            try:
                where = Posted(channel_id=record.channel_id, message_id=record.message_id)
                if job.request.set is None:
                    await self.message_client.delete(where, level=Priority.ACKNOWLEDGE)
                else:
                    await self.result_sets.remove(where, job, notify=person.preferences.notify)
            except MessageError as error:
                if not isinstance(error.__cause__, discord.NotFound):  # somebody has deleted the message
                    raise MessageUnchanged(str(error)) from error
        await self.history.delete_picture(job.id)
        await answer(interaction, self.messages.text(person.locale, "deleted"))

    async def _details(self, interaction: discord.Interaction, job: Job) -> None:
        record = await self.history.job(job.id)
        if record is None:
            raise PictureForgotten
        person = await self.requesters.of(interaction)
        await answer(interaction, self.result_messages.details(record, person.locale))

    async def _cancel(self, interaction: discord.Interaction, job: Job) -> None:
        await self._cancel_each(interaction, job, [job])

    async def _cancel_set(self, interaction: discord.Interaction, job: Job) -> None:
        await self._cancel_each(interaction, job, self.queue.together_with(job))

    async def _cancel_each(self, interaction: discord.Interaction, about: Job, jobs: Sequence[Job]) -> None:
        person = await self.requesters.of(interaction)
        numbers = []
        for job in jobs:
            with suppress(UnknownJob):  # too late: it has ended, or is being delivered
                await self.queue.cancel(job.id, by=person.user_id)
                numbers.append(f"#{job.number}")
        if not numbers:
            record = await self.history.job(about.id)
            told = remembered(self.messages, person.locale, about, record, self.jobs.guild_of)
            await answer(interaction, told)
        elif interaction.message is not None and not interaction.message.flags.ephemeral:
            await answer_nothing(interaction)  # the status message says so
        else:
            text = self.messages.text(
                person.locale, "cancelled-mine", count=len(numbers), numbers=", ".join(numbers)
            )
            await answer(interaction, text)

    # ── forms that buttons opened ───────────────────────────────────────────────────────────────

    async def reopen(self, interaction: discord.Interaction, kind: str, job_id: JobId, typed: Typed) -> None:
        """Open a form about a job again, filled in with what was typed before."""
        job = await self.jobs.job(job_id)
        person = await self.requesters.of(interaction)
        form = (
            await self.forms.about(job, person, None, typed)
            if kind == "prompt"
            else await self.forms.short(person, kind, job.id, typed)
        )
        await interaction.response.send_modal(form)

    async def made_from_picture(
        self,
        interaction: discord.Interaction,
        form: str,
        job_id: JobId,
        values: Typed,
        uploads: Sequence[str],
    ) -> None:
        """The form of *Edit* (``edit``) or *Use as start* (``start``) was submitted."""
        await self.deferrals.defer(interaction)
        job = await self.jobs.job(job_id)
        self._check_owner(interaction, form, job)
        await self._rework(
            interaction,
            job,
            "edit" if form == "edit" else "imagine",
            prompt=values.get("prompt", ""),
            model=values.get("model"),
            uploads=uploads,
            strength=strength_of(values),
        )

    async def reworded(self, interaction: discord.Interaction, job_id: JobId, values: Typed) -> None:
        """The form of Prompt… came back, from the owner or from somebody who saw it in the gallery."""
        await self.deferrals.defer(interaction)
        job = await self.jobs.job(job_id)
        request = job.request.maker
        if request.kind == "upscale":  # a form of an older version, whose words change nothing
            raise PictureForgotten
        if request.sources and interaction.user.id != request.user_id:
            raise BadSourceImage("gone")  # nobody else may use what an edit started from
        seed = seed_of(values.get("seed", str(request.seed)))  # a full form has no field for it
        model = values.get("model") or request.model
        changes: dict[str, Any] = {"style": values["style"]} if "style" in values else {}
        if "strength" in values:
            changes["strength"] = strength_of(values)
        lora = find_entry(self.queue.offers.loras, request.lora.name) if request.lora is not None else None
        if lora is not None and model != request.model and model not in lora.models:
            changes |= {"lora": NONE, "lora_strength": None}  # the form said which models it fits
        shape = size_for(request, self.queue.offers.named(model), values.get("size", ""))
        await self._repeat(
            interaction,
            request,
            prompt=values.get("prompt", ""),
            negative=values.get("negative", ""),
            model=model,
            shape=shape or None,
            size=None,
            seed=seed,
            variation=request.variation if seed == request.seed else None,
            **changes,
        )


def _place_of(message: discord.Message) -> Posted:
    return Posted(channel_id=message.channel.id, message_id=message.id)
