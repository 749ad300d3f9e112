"""How a finished picture is presented to its owner: its file, its words, its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any, Literal

import discord

from modules.discord.transport.message_client import FileUpload, OutgoingMessage
from modules.discord.ui.components import Action, job_buttons, more_menu
from modules.discord.ui.formatting import plain, quoted, seconds
from modules.discord.ui.layout import accent_of, attached, container, gallery, layout, small, text
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NoOutput
from modules.queue_manager.jobs import GenerationRequest, Job, ModelOffer, Picture, Size
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.rows import JobRecord, UserPreferences
from modules.utils.images.cleaner import OutputFormat, PictureCleaner
from modules.utils.images.media_types import EXTENSIONS
from modules.utils.images.metadata import OwnMetadata

log = getLogger(__name__)

FIRST: tuple[Action, ...] = ("again", "vary", "edit", "share")
"""What has a button under a picture; the rest is in a menu."""

Where = Literal["channel", "new-channel", "direct-message"]


@dataclass(kw_only=True, eq=False)
class ResultMessages:
    """Makes the message that carries a picture. ``with_metadata``: the file holds its owner's own prompt,
    seed and model; ``gallery``: pictures can be shared."""

    cleaner: PictureCleaner
    messages: Translations
    offers: Sequence[ModelOffer]
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
        """The message; ``limit``: bytes that a file may have there."""
        job, locale = finished.job, finished.job.request.locale
        remarks = []
        if where == "new-channel":
            remarks.append(self.messages.text(locale, "result-moved"))
        elif where == "direct-message" and not wanted.direct_message:
            remarks.append(self.messages.text(locale, "result-direct"))
        picture: Picture | None = None
        try:
            picture = await self.cleaner.present(
                finished.picture,
                metadata=_own_metadata(job, self.offers) if self.with_metadata else None,
                output_format=self.output_format,
                max_bytes=limit,
            )
        except NoOutput as error:
            log.warning("job %s: %s", job.id, error, extra={"job": job.id})
            remarks.append(self.messages.error(locale, error))
        else:
            if picture.size != finished.picture.size or picture.media_type != f"image/{self.output_format}":
                remarks.append(self.messages.text(locale, "result-reencoded"))
        files = (_file(job, picture, with_prompt=with_prompt),) if picture is not None else ()
        facts = made_of(self.messages, locale, self.offers, job.request, (picture or finished.picture).size)
        facts += self._made_in(finished.report, locale)
        said = self.messages.text(locale, "status-delivered", number=str(job.number))
        return OutgoingMessage(
            files=files or None,
            view=layout(
                text(f"{said} <@{job.request.user_id}>" if wanted.notify else said),
                self._frame(job, files, facts, remarks, with_prompt=with_prompt),
            ),
            mention=job.request.user_id if wanted.notify else None,
        )

    def _frame(
        self,
        job: Job,
        files: Sequence[FileUpload],
        facts: Sequence[str],
        remarks: Sequence[str],
        *,
        with_prompt: bool,
    ) -> discord.ui.Container[Any]:
        request = job.request
        prompt = request.prompt if with_prompt else ""
        shown = [(attached(file.name), file.alt) for file in files]
        said = self.messages.text(request.locale, "prompt-line", prompt=quoted(prompt))
        actions = result_actions(self.offers, gallery=self.gallery, nsfw=is_nsfw(self.offers, request))
        first = [action for action in actions if action in FIRST]
        others = [action for action in actions if action not in FIRST]
        return container(
            gallery(shown) if shown else None,
            text(said) if prompt.strip() else None,
            small(" · ".join(facts)),
            *[small(remark) for remark in remarks],
            job_buttons(self.messages, request.locale, job.id, first),
            more_menu(self.messages, request.locale, job.id, others),
            accent=accent_of(request.model),
        )

    def _made_in(self, report: RunReport, locale: str) -> list[str]:
        """How long the run took, and with how many others the picture shared it."""
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
        if made.negative.strip():
            lines.append(messages.text(locale, "details-negative", negative=quoted(made.negative)))
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


def _named(offers: Sequence[ModelOffer], name: str) -> ModelOffer | None:
    return next((offer for offer in offers if offer.name == name), None)


def label_of(offers: Sequence[ModelOffer], name: str) -> str:
    """What people call a model; its name if it is not offered any more."""
    offer = _named(offers, name)
    return name if offer is None else offer.label


def is_nsfw(offers: Sequence[ModelOffer], request: GenerationRequest) -> bool:
    """Whether the picture may only go to age-restricted places: because of its model, or of the model that
    made its source."""
    offer = _named(offers, request.model)
    return request.age_restricted or (offer is not None and offer.nsfw)


def made_of(
    messages: Translations,
    locale: str | None,
    offers: Sequence[ModelOffer],
    request: GenerationRequest,
    size: Size,
) -> list[str]:
    """A picture's models, its ``size`` and its seed."""
    model, seed = made_by(messages, locale, offers, request), str(request.maker.seed)
    return [messages.text(locale, "result-line", model=model, size=str(size), seed=seed)]


def made_by(
    messages: Translations, locale: str | None, offers: Sequence[ModelOffer], request: GenerationRequest
) -> str:
    """The models that a picture went through, the first one first."""
    first, *later = request.models
    made = plain(label_of(offers, first), 60)
    for name in later:
        offer = _named(offers, name)
        if offer is not None and offer.kind == "upscale":
            made = messages.text(locale, "made-upscaled", made=made, factor=f"{offer.upscale:g}")
        else:
            made = messages.text(locale, "made-edited", made=made, model=plain(label_of(offers, name), 60))
    return made


def _own_metadata(job: Job, offers: Sequence[ModelOffer]) -> OwnMetadata:
    made, models = job.request.maker, job.request.models
    offer = _named(offers, made.model)
    return OwnMetadata(
        prompt=job.request.prompt,
        negative=made.negative,
        seed=made.seed,
        model=label_of(offers, made.model),
        models=tuple(label_of(offers, name) for name in models) if len(models) > 1 else (),
        steps=offer.steps if offer is not None else None,
        variation=made.variation,
    )


def _file(job: Job, picture: Picture, *, with_prompt: bool) -> FileUpload:
    ending = EXTENSIONS.get(picture.media_type, "png")
    return FileUpload(
        name=f"{job.number}-{job.id}.{ending}",  # the id, by which a posted picture is found after a crash
        data=picture.data,
        alt=plain(job.request.prompt, 1000) if with_prompt else "",
        size=picture.size,
    )


def result_actions(offers: Sequence[ModelOffer], *, gallery: bool, nsfw: bool) -> tuple[Action, ...]:
    """What can be done with a picture; nothing that no model offers."""
    kinds = {offer.kind for offer in offers}
    actions: list[Action] = ["again", "vary"]
    if "edit" in kinds:
        actions.append("edit")
    actions.append("prompt")
    if "upscale" in kinds:
        actions.append("upscale")
    if gallery and not nsfw:
        actions.append("share")
    return (*actions, "delete", "details")
