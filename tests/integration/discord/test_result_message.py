"""The message that carries a picture: what it says, what its file holds, how large it may be."""

from __future__ import annotations

import io
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import discord
import pytest
from PIL import Image

from modules.demo.users import components_of, text_of
from modules.discord.delivery.result_message import ResultMessages, result_actions
from modules.discord.transport.message_client import OutgoingMessage
from modules.discord.ui.translations import Translations
from modules.queue_manager.jobs import Job, JobId, Picture, Size, Variation, batch_key
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.rows import JobRecord, UserPreferences
from modules.utils.images.cleaner import PictureCleaner
from tests.fakes import offer, request

SIDE = Size(width=256, height=256)
FLUX = offer("flux", sizes=(SIDE,), default_size=SIDE)
JOB_ID = JobId("0123456789abcdef" * 2)


@pytest.fixture
async def cleaner() -> AsyncIterator[PictureCleaner]:
    """Ends its processes with the test."""
    made = PictureCleaner()
    yield made
    await made.aclose()


def noise(**more: str) -> Picture:
    """A picture that hardly gets smaller, with chunks in it that must not be posted."""
    image = Image.frombytes("RGB", (256, 256), random.Random(1).randbytes(3 * 256 * 256))
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in more.items():
        info.add_text(key, value)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info)
    return Picture(data=out.getvalue(), media_type="image/png", size=SIDE)


def shown(message: OutgoingMessage) -> dict[str, Any]:
    """The message's body."""
    assert isinstance(message.view, discord.ui.LayoutView)
    return {"components": message.view.to_components()}


def said(message: OutgoingMessage) -> str:
    """What the message says."""
    return text_of(shown(message))


def finished(picture: Picture, batch_size: int = 4) -> Finished:
    """A job of one person, done."""
    asked = request(7, "a red fox", variation=Variation(seed=99, strength=0.15), size=SIDE)
    job = Job(id=JOB_ID, number=12, request=asked, key=batch_key(asked, FLUX), queued_at=100.0)
    report = RunReport(engine="gpu-1", batch_size=batch_size, started_at=103.0, ended_at=111.0)
    return Finished(job=job, picture=picture, report=report)


def results_of(cleaner: PictureCleaner, **changes: Any) -> ResultMessages:
    """What makes the messages, where one model is offered and variations can be made."""
    parts: dict[str, Any] = {"offers": [FLUX], "varies": lambda: True, **changes}
    return ResultMessages(cleaner=cleaner, messages=Translations.load(), **parts)


async def test_the_message_tells_what_made_the_picture(cleaner: PictureCleaner) -> None:
    results = results_of(cleaner)
    message = await results.of(finished(noise()), where="channel", limit=10**7, wanted=UserPreferences())
    assert said(message) == (
        "**#12** is ready. <@7>\n> a red fox\n"
        "-# Flux · 256×256 · seed `1` · 8.0 s · made together with 3 others"
    )
    assert message.mention == 7
    assert message.files is not None
    assert message.files[0].name == f"12-{JOB_ID}.png"
    assert message.files[0].alt == "a red fox"
    body = shown(message)
    picture = next(part for part in components_of(body) if part["type"] == 12)["items"]
    assert [(item["media"]["url"], item["description"]) for item in picture] == [
        (f"attachment://12-{JOB_ID}.png", "a red fox")
    ]
    order = [part["type"] for part in body["components"][1]["components"]]
    assert order == [12, 10, 10, 1, 1]  # picture, prompt, facts, buttons, menu
    hidden = await results.of(
        finished(noise()), where="channel", limit=10**7, wanted=UserPreferences(), with_prompt=False
    )
    assert "a red fox" not in str(shown(hidden))


async def test_what_else_there_is_to_know_is_told_to_who_asks(cleaner: PictureCleaner) -> None:
    results = results_of(cleaner)
    done = finished(noise())
    record = JobRecord(
        job_id=JOB_ID,
        number=12,
        request=replace(done.job.request, negative="fog"),
        state="delivered",
        queued_at=100.0,
        report=done.report,
        size=SIDE,
    )
    assert results.details(record, "en-US").splitlines() == [
        "**#12**",
        "Flux · 256×256 · seed `1`",
        "variation `99`",
        "waited 3.0 s",
        "GPU 8.0 s for 4 pictures, 2.0 s each",
        "What should not be in the picture: fog",
        "The file contains your prompt, the seed and the model.",
    ]


def test_a_button_is_there_only_where_somebody_can_serve_it() -> None:
    whole = [FLUX, offer("flux_edit", kind="edit"), offer("upscale", kind="upscale")]
    shared = result_actions(whole, varies=True, gallery=True, nsfw=False)
    assert shared == ("again", "vary", "edit", "prompt", "upscale", "share", "delete", "details")
    assert result_actions([FLUX], varies=True, gallery=False, nsfw=False) == (
        "again", "vary", "prompt", "delete", "details",
    )  # fmt: skip
    assert "share" not in result_actions(whole, varies=True, gallery=True, nsfw=True)


@pytest.mark.parametrize("varies", [True, False])
async def test_vary_is_there_only_while_a_server_has_what_it_needs(
    cleaner: PictureCleaner, varies: bool
) -> None:
    results = results_of(cleaner, varies=lambda: varies)
    message = await results.of(finished(noise()), where="channel", limit=10**7, wanted=UserPreferences())
    labels = [part.get("label") for part in components_of(shown(message))]
    assert ("Vary" in labels) is varies


def chained() -> Finished:
    """A picture that was varied, edited and enlarged twice."""
    asked = request(7, "a red fox", variation=Variation(seed=99, strength=0.15), size=SIDE, seed=5)
    edit = request(
        7, "at night", model="flux_edit", kind="edit", seed=6, size=SIDE, origin=asked.as_origin("edit")
    )
    chain = edit
    for _ in range(2):
        chain = request(7, "at night", model="upscale", kind="upscale", origin=chain.as_origin("upscale"))
    done = finished(noise(), 1)
    return replace(done, job=replace(done.job, request=chain))


async def test_the_message_and_the_file_tell_all_that_a_picture_went_through(cleaner: PictureCleaner) -> None:
    offers = [FLUX, offer("flux_edit", kind="edit", steps=7), offer("upscale", kind="upscale", upscale=2.0)]
    results = results_of(cleaner, offers=offers)
    message = await results.of(chained(), where="channel", limit=10**7, wanted=UserPreferences())
    assert "Flux, edited with Flux_Edit, upscaled ×2, upscaled ×2 · 256×256 · seed `6` · " in said(message)
    assert message.files is not None
    noted = json.loads(Image.open(io.BytesIO(message.files[0].data)).info["fullet"])  # type: ignore[attr-defined]
    assert (noted["model"], noted["seed"], noted["steps"]) == ("Flux_Edit", 6, 7)
    assert noted["models"] == ["Flux", "Flux_Edit", "Upscale", "Upscale"]


async def test_the_size_that_is_told_is_the_files_own(cleaner: PictureCleaner) -> None:
    results = results_of(cleaner)
    asked = replace(finished(noise()).job.request, size=Size(width=1024, height=1024))
    done = replace(finished(noise()), job=replace(finished(noise()).job, request=asked))
    for limit in (10**7, 12_000):
        message = await results.of(done, where="channel", limit=limit, wanted=UserPreferences())
        assert message.files is not None
        file = Image.open(io.BytesIO(message.files[0].data))
        noted = json.loads(file.info["fullet"] if limit > 12_000 else file.getexif()[0x010E])
        assert f" · {file.width}×{file.height} · " in said(message)
        assert (noted["width"], noted["height"]) == file.size
        assert (file.width < 256) == (limit == 12_000)


async def test_who_wants_no_mention_gets_none(cleaner: PictureCleaner) -> None:
    results = results_of(cleaner)
    message = await results.of(
        finished(noise(), 1), where="channel", limit=10**7, wanted=UserPreferences(notify=False)
    )
    assert message.mention is None
    assert "<@" not in said(message)
    assert "8.0 s" in said(message)


@pytest.mark.parametrize("with_metadata", [True, False])
async def test_the_file_holds_its_owners_prompt_at_most(cleaner: PictureCleaner, with_metadata: bool) -> None:
    results = results_of(cleaner, with_metadata=with_metadata)
    picture = noise(prompt="somebody else's secret", workflow="{}")
    message = await results.of(finished(picture), where="channel", limit=10**7, wanted=UserPreferences())
    assert message.files is not None
    text = str(Image.open(io.BytesIO(message.files[0].data)).info)
    assert "secret" not in text
    assert ("a red fox" in text) is with_metadata


async def test_a_file_over_the_limit_is_made_smaller_with_a_word(cleaner: PictureCleaner) -> None:
    results = results_of(cleaner)
    message = await results.of(finished(noise()), where="channel", limit=30_000, wanted=UserPreferences())
    assert message.files is not None
    assert len(message.files[0].data) <= 30_000
    assert message.files[0].name.endswith(".webp")
    assert "Compressed to fit" in said(message)


async def test_bytes_that_are_no_picture_are_told_and_not_sent(cleaner: PictureCleaner) -> None:
    results = results_of(cleaner)
    bad = Picture(data=b"<html>", media_type="image/png", size=SIDE)
    message = await results.of(finished(bad), where="channel", limit=10**7, wanted=UserPreferences())
    assert message.files is None
    assert "sent no picture" in said(message)
