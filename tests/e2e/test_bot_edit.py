"""/edit with an upload, without one, and with a file that is not a picture at all."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.demo.discord_server import default_world
from modules.demo.discord_server.state.world import BotSpec
from modules.demo.users import File, SimulatedUser, files_of, text_of
from tests.discord_stand import (
    OFFERS,
    SMALL,
    Stand,
    bot_on,
    colour_of,
    discord_server,
    painted,
    pixel,
    result_for,
    session_of,
    whole_room,
)


def photo(name: str = "photo.png") -> File:
    """Something that a person uploads."""
    return File(filename=name, data=painted("an upload", 0, SMALL))


async def test_an_upload_is_edited(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("edit", stand.general, prompt="make it blue", image=photo(), seed=3)
        result = await result_for(ana, "make it blue")
        data = await ana.download(files_of(result)[0]["url"])
        assert pixel(data) == colour_of("make it blue", 3)
        request = stand.engine.submitted[-1].jobs[0].request
        assert [source.size for source in request.sources] == [SMALL]


async def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    whole = painted("x", 0, SMALL)
    bomb = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    broken = {
        "That file is not a picture": File(filename="a.png", data=b"only words"),
        "incomplete or damaged": File(filename="b.png", data=whole[: len(whole) // 2]),
        "the limit is 50 million pixels": File(filename="c.png", data=bomb.getvalue()),
    }
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        for sentence, file in broken.items():
            asked = await ana.command("edit", stand.general, prompt="blue", image=file)
            assert sentence in text_of(await asked.reply(60))
        asked = await ana.command("edit", stand.general, prompt="blue")
        assert "you have no earlier one" in text_of(await asked.reply())
        assert stand.queue.status().waiting == 0


async def test_more_pictures_than_the_model_takes_are_told(tmp_path: Path) -> None:
    offers = tuple(replace(known, source_count=(1, 1)) if known.kind == "edit" else known for known in OFFERS)
    async with whole_room(tmp_path, offers=offers) as stand:
        ana = await stand.person()
        asked = await ana.command("edit", stand.general, prompt="blue", image=photo(), image2=photo("b.png"))
        told = text_of(await asked.reply())
        assert told == "Flux_Edit needs this many pictures: 1."


async def who_has_made_a_boat(stand: Stand) -> SimulatedUser:
    ana = await stand.person()
    await ana.command("imagine", stand.general, model="flux", prompt="a boat", aspect="wide")
    await result_for(ana, "a boat")
    await stand.until(lambda: not stand.queue.active_jobs(ana.id))
    return ana


async def test_without_an_upload_the_last_picture_is_edited_also_after_a_restart(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await who_has_made_a_boat(stand)
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("edit", stand.general, prompt="at night")
            await result_for(ana, "at night")
            sources = stand.engine.submitted[-1].jobs[0].request.sources
            assert [str(source.size) for source in sources] == ["128×64"]


async def test_a_last_picture_that_is_not_stored_is_taken_from_its_message(tmp_path: Path) -> None:
    """A process that dies at once has stored the message's place, and not yet the picture's bytes."""
    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await who_has_made_a_boat(stand)
            record = await stand.database.history.last_picture(ana.id)
            assert record is not None
            stand.database.pictures.withdraw(job_id=record.job_id)
        with closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
            database.execute("DELETE FROM pictures")
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("edit", stand.general, prompt="at night")
            await result_for(ana, "at night")
            sources = stand.engine.submitted[-1].jobs[0].request.sources
            assert [str(source.size) for source in sources] == ["128×64"]


async def test_the_menu_on_a_message_edits_its_picture(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        await ana.say(stand.general, "look", photo())
        said = await ben.wait_for_message(lambda m: text_of(m) == "look")
        asked = await ben.context("Edit picture", stand.general, said)
        modal = await asked.modal()
        submitted = await ben.submit_modal(modal, prompt="in winter")
        assert "queued" in text_of(await submitted.reply())
        result = await result_for(ben, "in winter")
        assert result["channel_id"] == await session_of(ben)
        words = await ben.context("Edit picture", stand.general, await _plain(ben, stand.general))
        assert "no picture in that message" in text_of(await words.reply())


@pytest.mark.parametrize("reads_messages", [True, False])
async def test_the_first_picture_among_all_that_a_message_shows_is_edited(
    tmp_path: Path, reads_messages: bool
) -> None:
    """Behind a video, in an embed, in a message that was forwarded; without the Message Content Intent, too,
    for which only the interaction brings what others wrote."""
    world = default_world(3, bot=BotSpec(message_content_intent=reads_messages))
    video = File(filename="clip.mp4", data=b"not a picture")
    async with whole_room(tmp_path, world, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        gallery = stand.server.channel("gallery").id

        async def edits(said: dict[str, Any], prompt: str) -> None:
            modal = await (await ben.context("Edit picture", said["channel_id"], said)).modal()
            told = await (await ben.submit_modal(modal, prompt=prompt)).reply()
            assert "queued" in text_of(told)
            await result_for(ben, prompt)
            (source,) = stand.engine.submitted[-1].jobs[0].request.sources
            assert source.size == SMALL
            await stand.until(lambda: not stand.queue.active_jobs(ben.id))

        await ana.say(stand.general, "both", video, photo())
        both = await ben.wait_for_message(lambda m: text_of(m) == "both")
        await edits(both, "the second file")
        await ana.forward(both, gallery)
        forward = await ben.wait_for_message(lambda m: bool(m.get("message_snapshots")), channel=gallery)
        await edits(forward, "a forward")
        link = files_of(both)[1]["url"]
        for number, shown in enumerate(("image", "thumbnail")):
            await ana.say(stand.general, f"link {number}", embeds=[{"title": "x", shown: {"url": link}}])
            embed = await ben.wait_for_message(lambda m: text_of(m) == f"link {number}")  # noqa: B023
            await edits(embed, f"an embed {number}")
        await ana.say(stand.general, "film", video)
        film = await ben.wait_for_message(lambda m: text_of(m) == "film")
        told = await (await ben.context("Edit picture", stand.general, film)).reply()
        assert "no picture in that message" in text_of(told)


async def _plain(person: object, channel: int) -> dict[str, object]:
    await person.say(channel, "only words")  # type: ignore[attr-defined]
    return await person.wait_for_message(lambda m: text_of(m) == "only words")  # type: ignore[attr-defined,no-any-return]
