"""One of each kind of message that the bot sends, for ``check --discord``: made by the same functions."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

from PIL import Image

from modules.discord.delivery.result_message import ResultMessages
from modules.discord.delivery.status_text import StatusText, render
from modules.discord.transport.message_client import FileUpload, OutgoingMessage
from modules.discord.ui.formatting import moment, plain
from modules.discord.ui.message_parts import ShownFile
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import EngineUnavailable
from modules.queue_manager.jobs import BatchKey, GenerationRequest, Job, JobId, Picture, PictureSet, Size
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.rows import UserPreferences
from modules.utils.images.cleaner import PictureCleaner

LOCALE = "en-US"
SIZE = Size(width=256, height=256)


Search = Literal["result", "status"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleMessage:
    """A message of the kind ``name``, and the ``edits`` that follow each other; of files that an edit keeps,
    only the names are known. ``search``: which search finds it after a crash; None: none looks for it."""

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

    def status(
        shown: StatusText, files: tuple[FileUpload, ...] | None = None, preview: str | None = None
    ) -> OutgoingMessage:
        pinged = shown.stage == "failed"
        return OutgoingMessage(
            files=files,
            view=render(messages, [shown], now=now, preview=preview, mention=pinged),
            mention=bot_id if pinged else None,
        )

    first, made, failing = (job(number) for number in range(1, 4))
    waiting = StatusText(job=first)
    running = StatusText(job=first, stage="started", started_at=now, step=2, steps=8)
    failed = StatusText(job=failing, stage="failed", error=EngineUnavailable("only a check"))
    preview = replace(_drawn("preview"), alt=plain(first.request.prompt, 1000))
    result = await _result(made, messages, limit)
    other = replace(made, request=replace(made.request, seed=made.request.seed + 1))
    owner = f"@everyone <@{bot_id}>"  # more than the real warning has, to check that nobody is pinged
    warning = OutgoingMessage(
        text=messages.text(LOCALE, "session-closing", owner=owner, when=moment(now + 300))
    )
    return (
        SampleMessage(
            name="a status message",
            job=first,
            outgoing=status(waiting),
            edits=(
                status(running, (preview,), preview.name),
                status(replace(running, step=4), None, preview.name),
                status(waiting, ()),
            ),
            search="status",
        ),
        SampleMessage(
            name="a result",
            job=made,
            outgoing=result,
            edits=(replace(await _result(other, messages, limit), files=None),),
            search="result",
        ),
        await _set(job(5), job(6), messages, limit),
        SampleMessage(
            name="a failure notice",
            job=failing,
            outgoing=status(failed),
            edits=(status(replace(failed, with_prompt=False)),),
            search="status",
        ),
        SampleMessage(
            name="a warning",
            job=job(4),
            outgoing=warning,
            edits=(replace(warning, text=f"{warning.text}\n-# edited"),),
        ),
    )


def _drawn(name: str) -> FileUpload:
    """A small picture, the same for all names of one length."""
    out = io.BytesIO()
    Image.linear_gradient("L").rotate(len(name) * 90).save(out, "PNG")
    return FileUpload(name=f"{name}.png", data=out.getvalue(), alt=f"the picture {name}", size=SIZE)


async def _result(job: Job, messages: Translations, limit: int) -> OutgoingMessage:
    async with _results(messages) as results:
        wanted = UserPreferences(notify=True)
        return await results.of(_finished(job), where="channel", limit=limit, wanted=wanted)


async def _set(first: Job, second: Job, messages: Translations, limit: int) -> SampleMessage:
    """A picture, to which an edit adds another one."""
    together = PictureSet(id=uuid4().hex, count=2)
    jobs = [replace(job, request=replace(job.request, set=together)) for job in (first, second)]
    async with _results(messages) as results:
        begun, added = [await results.picture(_finished(job), limit=limit) for job in jobs]
    assert begun.file is not None, "it was drawn here"
    assert begun.name is not None
    shown = [replace(begun, file=None), added]
    kept = (ShownFile(name=begun.name, url=""),)
    return SampleMessage(
        name="a result with several pictures",
        job=first,
        outgoing=results.message([begun], first.id, notify=False),
        edits=(results.message(shown, second.id, notify=False, kept=kept),),
        search="result",
    )


@asynccontextmanager
async def _results(messages: Translations) -> AsyncIterator[ResultMessages]:
    cleaner = PictureCleaner()
    try:
        yield ResultMessages(cleaner=cleaner, messages=messages, offers=(), varies=lambda: True)
    finally:
        await cleaner.aclose()


def _finished(job: Job) -> Finished:
    report = RunReport(engine="check", batch_size=2, started_at=job.queued_at, ended_at=job.queued_at + 1)
    picture = Picture(data=_drawn(f"{job.number}").data, media_type="image/png", size=SIZE)
    return Finished(job=job, picture=picture, report=report)
