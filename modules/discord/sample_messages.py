"""One of each kind of message that the bot sends, for ``check --discord``: made by the same functions."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import uuid4

import discord
from PIL import Image

from modules.discord.delivery.result_message import ResultMessages, result_actions
from modules.discord.delivery.status_text import StatusText, actions, render
from modules.discord.transport.message_client import FileUpload, OutgoingMessage
from modules.discord.ui.components import job_button, job_row
from modules.discord.ui.formatting import moment, quoted
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import EngineUnavailable
from modules.queue_manager.jobs import BatchKey, GenerationRequest, Job, JobId, Picture, Size
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.rows import UserPreferences
from modules.utils.images.cleaner import PictureCleaner

LOCALE = "en-US"
SIZE = Size(width=256, height=256)


Search = Literal["result", "status"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleMessage:
    """A message of the kind ``name``, and the ``edits`` that follow each other. ``search``: as what it is
    searched for after a crash, if it is."""

    name: str
    job: Job
    outgoing: OutgoingMessage
    edits: tuple[OutgoingMessage, ...]
    search: Search | None = None


async def sample_messages(
    *, guild_id: int, channel_id: int, bot_id: int, limit: int
) -> tuple[SampleMessage, ...]:
    """Messages about jobs of the bot itself, the only one that they may ping. ``limit``: bytes of a file."""
    messages, now = Translations.load(), time.time()

    def job(number: int) -> Job:
        request = GenerationRequest(
            user_id=bot_id,
            guild_id=guild_id,
            channel_id=channel_id,
            locale=LOCALE,
            kind="imagine",
            model="check",
            prompt="@everyone a *check* of <messages>, see https://example.com",
            size=SIZE,
            seed=number,
        )
        key = BatchKey(model="check", kind="imagine", size=SIZE)
        return Job(id=JobId(uuid4().hex), number=number, request=request, key=key, queued_at=now)

    def status(shown: StatusText, files: tuple[FileUpload, ...] | None = None) -> OutgoingMessage:
        return OutgoingMessage(
            text=render(messages, shown, now=now),
            files=files,
            view=job_row(messages, LOCALE, shown.job.id, actions(shown)),
            mention=bot_id if shown.stage == "failed" else None,
        )

    def edited(outgoing: OutgoingMessage) -> OutgoingMessage:
        return replace(outgoing, text=f"{outgoing.text}\n-# edited", files=None)

    first, made, failing, shared, shown = (job(number) for number in range(1, 6))
    waiting = StatusText(job=first)
    running = StatusText(job=first, stage="started", started_at=now, step=2, steps=8)
    failure = status(StatusText(job=failing, stage="failed", error=EngineUnavailable("only a check")))
    result = await _result(made, messages, limit)
    lines = (
        messages.text(LOCALE, "shared-by", name="check"),
        messages.text(LOCALE, "prompt-line", prompt=quoted(shared.request.prompt)),
    )
    sharing = OutgoingMessage(
        text="\n".join(lines),
        files=(_drawn(f"4-{shared.id}"),),
        view=job_row(messages, LOCALE, shared.id, ("prompt",)),
    )
    owner = f"@everyone <@{bot_id}>"  # more than it says, to see that nobody is pinged
    warning = OutgoingMessage(
        text=messages.text(LOCALE, "session-closing", owner=owner, when=moment(now + 300))
    )
    gallery = _gallery(messages, shown, "two pictures")
    other_text = _gallery(messages, shown, "two pictures, edited")
    return (
        SampleMessage(
            name="a status message",
            job=first,
            outgoing=status(waiting),
            edits=(
                status(running, (_drawn("preview"),)),
                status(replace(running, step=4)),
                status(waiting, ()),
            ),
            search="status",
        ),
        SampleMessage(name="a result", job=made, outgoing=result, edits=(edited(result),), search="result"),
        SampleMessage(
            name="a failure notice", job=failing, outgoing=failure, edits=(edited(failure),), search="status"
        ),
        SampleMessage(name="a shared picture", job=shared, outgoing=sharing, edits=(edited(sharing),)),
        SampleMessage(name="a warning", job=job(6), outgoing=warning, edits=(edited(warning),)),
        SampleMessage(
            name="a gallery (Components V2)",
            job=shown,
            outgoing=gallery,
            edits=(replace(other_text, files=None),),
            search="result",
        ),
    )


def _drawn(name: str) -> FileUpload:
    """A small picture, another for each name."""
    out = io.BytesIO()
    Image.linear_gradient("L").rotate(len(name) * 90).save(out, "PNG")
    return FileUpload(name=f"{name}.png", data=out.getvalue(), alt=f"the picture {name}", size=SIZE)


async def _result(job: Job, messages: Translations, limit: int) -> OutgoingMessage:
    report = RunReport(engine="check", batch_size=2, started_at=job.queued_at, ended_at=job.queued_at + 1)
    picture = Picture(data=_drawn("result").data, media_type="image/png", size=SIZE)
    cleaner = PictureCleaner()
    try:
        return await ResultMessages(cleaner=cleaner, messages=messages, offers=()).of(
            Finished(job=job, picture=picture, report=report),
            where="channel",
            limit=limit,
            wanted=UserPreferences(notify=True),
        )
    finally:
        await cleaner.aclose()


def _gallery(messages: Translations, job: Job, text: str) -> OutgoingMessage:
    """Two pictures in a gallery above a result's buttons."""
    files = tuple(_drawn(f"{part}-{job.id}") for part in ("left", "right"))
    gallery: discord.ui.MediaGallery[Any] = discord.ui.MediaGallery(
        *[discord.MediaGalleryItem(f"attachment://{file.name}", description=file.alt) for file in files]
    )
    row: discord.ui.ActionRow[Any] = discord.ui.ActionRow()
    for action in result_actions((), gallery=False, nsfw=False):
        row.add_item(job_button(messages, LOCALE, job.id, action))
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.Container(discord.ui.TextDisplay(text), gallery)).add_item(row)
    return OutgoingMessage(text="", files=files, view=view)
