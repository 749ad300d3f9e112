"""How a finished picture is presented to its owner: its words, its file, its buttons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from logging import getLogger
from typing import Literal

from modules.discord.transport.message_client import FileUpload, OutgoingMessage
from modules.discord.ui.components import Action, job_row
from modules.discord.ui.formatting import plain, quoted, seconds
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NoOutput
from modules.queue_manager.jobs import GenerationRequest, Job, JobId, ModelOffer, Picture, Size
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.rows import UserPreferences
from modules.utils.images.cleaner import OutputFormat, OwnMetadata, PictureCleaner
from modules.utils.images.media_types import EXTENSIONS

log = getLogger(__name__)

Where = Literal["channel", "new-channel", "direct-message"]


class ResultMessages:
    """Makes the message that carries a picture. ``with_metadata``: the file tells its owner's own prompt,
    seed and model; ``gallery``: pictures can be shared."""

    def __init__(
        self,
        *,
        cleaner: PictureCleaner,
        messages: Translations,
        offers: Sequence[ModelOffer],
        output_format: OutputFormat = "png",
        with_metadata: bool = True,
        gallery: bool = False,
    ) -> None:
        self._cleaner, self._messages, self._offers = cleaner, messages, offers
        self._format, self._with_metadata, self._gallery = output_format, with_metadata, gallery

    async def of(
        self, finished: Finished, *, where: Where, limit: int, wanted: UserPreferences
    ) -> OutgoingMessage:
        """The message; ``limit``: bytes that a file may have there."""
        job, locale = finished.job, finished.job.request.locale
        remarks = self._remarks(where, wanted, locale)
        picture: Picture | None = None
        try:
            picture = await self._presented(finished, limit)
        except NoOutput as error:
            log.warning("job %s: %s", job.id, error, extra={"job": job.id})
            remarks.append(self._messages.error(locale, error))
        else:
            if picture.size != finished.picture.size or picture.media_type != f"image/{self._format}":
                remarks.append(self._messages.text(locale, "result-reencoded"))
        nsfw = is_nsfw(self._offers, job.request)
        return OutgoingMessage(
            text=result_text(
                self._messages,
                job,
                finished.report,
                offers=self._offers,
                size=(picture or finished.picture).size,
                mention=wanted.notify,
                remarks=remarks,
            ),
            files=(_file(job, picture),) if picture is not None else None,
            view=job_row(
                self._messages,
                locale,
                job.id,
                result_actions(self._offers, gallery=self._gallery, nsfw=nsfw),
            ),
            mention=job.request.user_id if wanted.notify else None,
        )

    async def _presented(self, finished: Finished, limit: int) -> Picture:
        metadata = own_metadata(finished.job, self._offers) if self._with_metadata else None
        return await self._cleaner.present(
            finished.picture, metadata=metadata, output_format=self._format, max_bytes=limit
        )

    def _remarks(self, where: Where, wanted: UserPreferences, locale: str) -> list[str]:
        if where == "new-channel":
            return [self._messages.text(locale, "result-moved")]
        if where == "direct-message" and not wanted.direct_message:
            return [self._messages.text(locale, "result-direct")]
        return []


def label_of(offers: Sequence[ModelOffer], name: str) -> str:
    """What people call a model; its name if its card is gone."""
    return next((offer.label for offer in offers if offer.name == name), name)


def is_nsfw(offers: Sequence[ModelOffer], request: GenerationRequest) -> bool:
    """Whether what comes of a request may only go where the place is age-restricted: by its model, or by the
    model of what it starts from."""
    return request.age_restricted or any(offer.nsfw for offer in offers if offer.name == request.model)


def result_text(
    messages: Translations,
    job: Job,
    report: RunReport,
    *,
    offers: Sequence[ModelOffer],
    size: Size,
    mention: bool,
    remarks: Sequence[str] = (),
) -> str:
    """The message above the picture: whose, the prompt, what made it, how long it took."""
    request, locale = job.request, job.request.locale
    number = messages.text(locale, "result-number", number=str(job.number))
    lines = [f"{number} <@{request.user_id}>" if mention else number]
    if request.prompt.strip():
        lines.append(messages.text(locale, "prompt-line", prompt=quoted(request.prompt)))
    facts = made_of(messages, locale, offers, request, size)
    waited = max(0.0, report.started_at - job.queued_at)
    facts.append(messages.text(locale, "result-waited", seconds=seconds(waited)))
    facts.append(_gpu_time(messages, report, locale))
    lines.append("-# " + " · ".join(facts))
    lines += [f"-# {remark}" for remark in remarks]
    return "\n".join(lines)


def made_of(
    messages: Translations,
    locale: str | None,
    offers: Sequence[ModelOffer],
    request: GenerationRequest,
    size: Size,
) -> list[str]:
    """What a picture was made of, by what and with which seeds; ``size`` is its own."""
    made = request.maker
    model = made_by(messages, locale, offers, request)
    facts = [messages.text(locale, "result-line", model=model, size=str(size), seed=str(made.seed))]
    if made.variation is not None:
        facts.append(messages.text(locale, "result-variation", seed=str(made.variation.seed)))
    return facts


def made_by(
    messages: Translations, locale: str | None, offers: Sequence[ModelOffer], request: GenerationRequest
) -> str:
    """The models that a picture went through, the oldest first."""
    first, *later = request.models
    told = plain(label_of(offers, first), 60)
    for name in later:
        offer = next((offer for offer in offers if offer.name == name), None)
        if offer is not None and offer.kind == "upscale":
            told = messages.text(locale, "made-upscaled", made=told, factor=f"{offer.upscale:g}")
        else:
            told = messages.text(locale, "made-edited", made=told, model=plain(label_of(offers, name), 60))
    return told


def _gpu_time(messages: Translations, report: RunReport, locale: str) -> str:
    if report.batch_size == 1:
        return messages.text(locale, "result-gpu-alone", seconds=seconds(report.gpu_seconds))
    return messages.text(
        locale,
        "result-gpu",
        seconds=seconds(report.gpu_seconds),
        count=report.batch_size,
        each=seconds(report.gpu_seconds / report.batch_size),
    )


def without_prompt(outgoing: OutgoingMessage) -> OutgoingMessage:
    """The same message without what its owner wrote, where the server's own filter refused that."""
    lines = [line for line in outgoing.text.splitlines() if not line.startswith("> ")]
    files = outgoing.files and tuple(replace(file, alt="") for file in outgoing.files)
    return replace(outgoing, text="\n".join(lines), files=files)


def own_metadata(job: Job, offers: Sequence[ModelOffer]) -> OwnMetadata:
    """What the file says about itself: nothing but what its owner asked for."""
    made, models = job.request.maker, job.request.models
    return OwnMetadata(
        prompt=job.request.prompt,
        negative=made.negative,
        seed=made.seed,
        model=label_of(offers, made.model),
        models=tuple(label_of(offers, name) for name in models) if len(models) > 1 else (),
        steps=next((offer.steps for offer in offers if offer.name == made.model), None),
        variation=made.variation,
    )


def file_name(job_number: int, job_id: JobId, media_type: str) -> str:
    """The picture's name. It holds the job's id, by which a posted result is found after a crash."""
    return f"{job_number}-{job_id}.{EXTENSIONS.get(media_type, 'png')}"


def _file(job: Job, picture: Picture) -> FileUpload:
    return FileUpload(
        name=file_name(job.number, job.id, picture.media_type),
        data=picture.data,
        alt=plain(job.request.prompt, 1000),
        size=picture.size,
    )


def result_actions(offers: Sequence[ModelOffer], *, gallery: bool, nsfw: bool) -> tuple[Action, ...]:
    """The buttons under a picture. What nobody can serve is not offered."""
    kinds = {offer.kind for offer in offers}
    actions: list[Action] = ["again", "vary"]
    if "edit" in kinds:
        actions.append("edit")
    actions.append("prompt")
    if "upscale" in kinds:
        actions.append("upscale")
    if gallery and not nsfw:
        actions.append("share")
    return (*actions, "delete")
