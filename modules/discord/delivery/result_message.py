"""How a finished picture is presented to its owner: its file, its words, its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from typing import Any, Literal

import discord

from modules.discord.transport.message_client import FileUpload, OutgoingMessage
from modules.discord.ui.components import MAKES_ROOM, MORE, Action, job_buttons, menu, more_menu
from modules.discord.ui.formatting import plain, quoted, seconds
from modules.discord.ui.layout import accent_of, attached, container, gallery, layout, row, small, text
from modules.discord.ui.loras_and_styles import lora_line, style_line
from modules.discord.ui.message_parts import ShownFile
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NoOutput
from modules.queue_manager.jobs import GenerationRequest, Job, JobId, ModelOffer, Picture, Size
from modules.queue_manager.offers import named
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.rows import JobRecord, UserPreferences
from modules.utils.images.cleaner import OutputFormat, PictureCleaner
from modules.utils.images.media_types import EXTENSIONS
from modules.utils.images.metadata import OwnMetadata

log = getLogger(__name__)

FIRST: tuple[Action, ...] = ("again", "vary", "edit", "share")
"""What has a button under a picture; the rest is in a menu."""

REMARK = 1 << 20
"""Component ids of a message's remark, and, with the job's number added, of a remark about one picture. They
make remarks findable in a message that is edited; Discord itself assigns small ids."""

Where = Literal["channel", "new-channel", "direct-message"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultPicture:
    """A picture as its message shows it. ``file`` is to be sent; it is None if the message has it already, or
    if there is no file (then ``name`` is None, too). ``remark`` says what happened to the picture."""

    job: Job
    report: RunReport | None
    size: Size
    name: str | None
    file: FileUpload | None = None
    remark: str | None = None


@dataclass(kw_only=True, eq=False)
class ResultMessages:
    """Makes the message that carries pictures. ``varies``: whether variations can be made now;
    ``with_metadata``: a file holds its owner's own prompt, seed and model; ``gallery``: pictures can be
    shared."""

    cleaner: PictureCleaner
    messages: Translations
    offers: Sequence[ModelOffer]
    varies: Callable[[], bool]
    output_format: OutputFormat = "png"
    with_metadata: bool = True
    gallery: bool = False

    async def of(
        self,
        finished: Finished,
        *,
        where: Where,
        limit: int,
        wanted: UserPreferences,
        with_prompt: bool = True,
    ) -> OutgoingMessage:
        """The message with one picture; ``limit``: bytes that a file may have there."""
        picture = await self.picture(finished, limit=limit)
        remark = self.remark(finished.job, where, wanted)
        return self.message(
            [picture],
            picture.job.id,
            notify=wanted.notify,
            remark=remark,
            with_prompt=with_prompt,
        )

    async def picture(self, finished: Finished, *, limit: int) -> ResultPicture:
        """The picture as it is sent."""
        job, locale = finished.job, finished.job.request.locale
        try:
            picture = await self.cleaner.present(
                finished.picture,
                metadata=_own_metadata(job, self.offers) if self.with_metadata else None,
                output_format=self.output_format,
                max_bytes=limit,
            )
        except NoOutput as error:
            log.warning("%s", error)
            told = _about(job, self.messages.error(locale, error))
            return ResultPicture(
                job=job, report=finished.report, size=finished.picture.size, name=None, remark=told
            )
        changed = picture.size != finished.picture.size or picture.media_type != f"image/{self.output_format}"
        file = _file(job, picture)
        return ResultPicture(
            job=job,
            report=finished.report,
            size=picture.size,
            name=file.name,
            file=file,
            remark=_about(job, self.messages.text(locale, "result-reencoded")) if changed else None,
        )

    def remark(self, job: Job, where: Where, wanted: UserPreferences) -> str | None:
        """Why the picture is there and not in its owner's channel."""
        if where == "new-channel":
            return self.messages.text(job.request.locale, "result-moved")
        if where == "direct-message" and not wanted.direct_message:
            return self.messages.text(job.request.locale, "result-direct")
        return None

    def message(
        self,
        pictures: Sequence[ResultPicture],
        chosen: JobId,
        *,
        notify: bool,
        kept: tuple[ShownFile, ...] = (),
        remark: str | None = None,
        more: str = MORE[0],
        with_prompt: bool = True,
    ) -> OutgoingMessage:
        """The message with these pictures, one or those of a set so far; its controls are about the job
        ``chosen``. ``kept``: the files of an edited message that stay; ``remark``: what there is to say of
        all of them; ``more``: the name of the menu, see `MORE`."""
        picture = next(one for one in pictures if one.job.id == chosen)
        job, request = picture.job, picture.job.request
        locale, prompt = request.locale, request.prompt if with_prompt else ""
        files = [replace(one.file, alt=one.file.alt if with_prompt else "") for one in pictures if one.file]
        alt = plain(prompt, 1000)
        shown = [(attached(one.name), alt) for one in pictures if one.name is not None]
        nsfw = is_nsfw(self.offers, request)
        actions = result_actions(self.offers, varies=self.varies(), gallery=self.gallery, nsfw=nsfw)
        facts = made_of(self.messages, locale, self.offers, request, picture.size)
        if len(pictures) > 1:
            facts.insert(0, f"#{job.number}")
        facts += self._made_in(picture.report, locale)
        quote = self.messages.text(locale, "prompt-line", prompt=quoted(prompt))
        told = [(REMARK + one.job.number, one.remark) for one in pictures] + [(REMARK, remark)]
        frame = container(
            gallery(shown) if shown else None,
            text(quote) if prompt.strip() else None,
            small(" · ".join(facts)),
            *[small(said, mark=mark) for mark, said in told if said is not None],
            self._choice(pictures, job) if len(pictures) > 1 else None,
            job_buttons(self.messages, locale, job.id, [action for action in actions if action in FIRST]),
            more_menu(self.messages, locale, job.id, [one for one in actions if one not in FIRST], more),
            accent=accent_of(request.model),
        )
        headline = self._headline(pictures, request)
        return OutgoingMessage(
            files=tuple(files) if files or kept else None,
            kept=kept,
            view=layout(text(f"{headline} <@{request.user_id}>" if notify else headline), frame),
            mention=request.user_id if notify else None,
        )

    def _headline(self, pictures: Sequence[ResultPicture], request: GenerationRequest) -> str:
        numbers = [one.job.number for one in pictures]
        if request.set is None:
            return self.messages.text(request.locale, "status-delivered", number=str(numbers[0]))
        return self.messages.text(
            request.locale,
            "status-set",
            numbers=", ".join(f"#{number}" for number in numbers),
            ready=len(numbers),
            count=request.set.count,
        )

    def _choice(self, pictures: Sequence[ResultPicture], chosen: Job) -> discord.ui.ActionRow[Any]:
        locale = chosen.request.locale
        options = [
            discord.SelectOption(
                label=self.messages.text(
                    locale, "which-option", number=str(one.job.number), seed=str(one.job.request.maker.seed)
                ),
                value=one.job.id,
                default=one.job.id == chosen.id,
            )
            for one in pictures
        ]
        return row(menu("which", chosen.id, self.messages.text(locale, "which"), options))

    def _made_in(self, report: RunReport | None, locale: str) -> list[str]:
        """How long the run took, and with how many others the picture shared it."""
        if report is None:
            return []
        facts = [self.messages.text(locale, "result-seconds", seconds=seconds(report.gpu_seconds))]
        if report.batch_size > 1:
            facts.append(self.messages.text(locale, "result-together", others=report.batch_size - 1))
        return facts

    def details(self, record: JobRecord, locale: str) -> str:
        """What else there is to know about a picture, for its owner."""
        request, messages, made = record.request, self.messages, record.request.maker
        facts = made_of(messages, locale, self.offers, request, record.size or request.size)
        lines = [messages.text(locale, "result-number", number=str(record.number)), *facts]
        if made.variation is not None:
            lines.append(messages.text(locale, "result-variation", seed=str(made.variation.seed)))
        if record.report is not None:
            lines += self._times(record.report, record.queued_at, locale)
        if made.full_prompt != made.prompt:
            lines.append(messages.text(locale, "details-prompt", prompt=quoted(made.full_prompt)))
        if made.full_negative.strip():
            lines.append(messages.text(locale, "details-negative", negative=quoted(made.full_negative)))
        lines.append(messages.text(locale, "details-metadata", there=int(self.with_metadata)))
        return "\n".join(lines)

    def _times(self, report: RunReport, queued_at: float, locale: str) -> list[str]:
        waited = seconds(max(0.0, report.started_at - queued_at))
        used, count = report.gpu_seconds, report.batch_size
        return [
            self.messages.text(locale, "result-waited", seconds=waited),
            self.messages.text(locale, "result-gpu-alone", seconds=seconds(used))
            if count == 1
            else self.messages.text(
                locale, "result-gpu", seconds=seconds(used), count=count, each=seconds(used / count)
            ),
        ]


def label_of(offers: Sequence[ModelOffer], name: str) -> str:
    """What people call a model; its name if it is not offered any more."""
    offer = named(offers, name)
    return name if offer is None else offer.label


def is_nsfw(offers: Sequence[ModelOffer], request: GenerationRequest) -> bool:
    """Whether the picture may only go to age-restricted places: because of its model, or of the model that
    made its source."""
    offer = named(offers, request.model)
    return request.age_restricted or (offer is not None and offer.nsfw)


def made_of(
    messages: Translations,
    locale: str | None,
    offers: Sequence[ModelOffer],
    request: GenerationRequest,
    size: Size,
) -> list[str]:
    """A picture's models, its ``size`` and its seed, then its style and its LoRA, and how it started."""
    made = request.maker
    model, seed = made_by(messages, locale, offers, request), str(made.seed)
    facts = [messages.text(locale, "result-line", model=model, size=str(size), seed=seed)]
    if made.style is not None:
        facts.append(style_line(messages, locale, made.style))
    if made.lora is not None:
        facts.append(lora_line(messages, locale, made.lora))
    if made.strength is not None:
        facts.append(messages.text(locale, "result-start", strength=made.strength))
    if made.mask is not None:
        facts.append(messages.text(locale, "result-part"))
    return facts


def made_by(
    messages: Translations, locale: str | None, offers: Sequence[ModelOffer], request: GenerationRequest
) -> str:
    """The models that a picture went through, the first one first."""
    first, *later = request.models
    made = plain(label_of(offers, first), 60)
    for name in later:
        offer = named(offers, name)
        if offer is not None and offer.kind == "upscale":
            made = messages.text(locale, "made-upscaled", made=made, factor=f"{offer.upscale:g}")
        else:
            made = messages.text(locale, "made-edited", made=made, model=plain(label_of(offers, name), 60))
    return made


def _own_metadata(job: Job, offers: Sequence[ModelOffer]) -> OwnMetadata:
    made, models = job.request.maker, job.request.models
    offer = named(offers, made.model)
    return OwnMetadata(
        prompt=made.full_prompt,
        negative=made.full_negative,
        seed=made.seed,
        model=label_of(offers, made.model),
        models=tuple(label_of(offers, name) for name in models) if len(models) > 1 else (),
        steps=offer.steps if offer is not None else None,
        variation=made.variation,
        strength=made.strength,
        part=made.mask is not None,
        style=dict(made.style.label).get("en", made.style.name) if made.style is not None else None,
        lora=f"{made.lora.label} {made.lora.strength:g}" if made.lora is not None else None,
    )


def _about(job: Job, remark: str) -> str:
    """A remark about one picture; in a set, it says about which one."""
    return remark if job.request.set is None else f"#{job.number}: {remark}"


def _file(job: Job, picture: Picture) -> FileUpload:
    ending = EXTENSIONS.get(picture.media_type, "png")
    return FileUpload(
        name=f"{job.number}-{job.id}.{ending}",  # the id, by which a posted picture is found after a crash
        data=picture.data,
        alt=plain(job.request.prompt, 1000),
        size=picture.size,
    )


def result_actions(
    offers: Sequence[ModelOffer], *, varies: bool, gallery: bool, nsfw: bool
) -> tuple[Action, ...]:
    """What can be done with a picture, except what no model or no server can do."""
    kinds = {offer.kind for offer in offers}
    actions: list[Action] = ["again"]
    if varies:
        actions.append("vary")
    if "edit" in kinds:
        actions.append("edit")
    actions.append("prompt")
    if any(offer.starts for offer in offers):
        actions.append("start")
    if any(offer.masks != "none" for offer in offers):
        actions += MAKES_ROOM
    if "upscale" in kinds:
        actions.append("upscale")
    if gallery and not nsfw:
        actions.append("share")
    return (*actions, "delete", "details")
