"""The status message of a job: its place, its steps, its own preview, its end; true also after a crash."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from modules.demo.users import SimulatedUser, files_of, text_of
from modules.discord.delivery.status_poster import INTERVAL
from modules.discord.requests.limits import Limits
from modules.discord.transport.message_client import Posted
from modules.utils.database.rows import UserPreferences
from tests.discord_stand import (
    answered_by_status,
    bot_on,
    colour_of,
    discord_server,
    has_picture,
    make_engine,
    pixel,
    result_for,
    session_of,
    status_with,
    whole_room,
)


def history_of(person: SimulatedUser, words: str) -> list[str]:
    """All that messages with these words have said, in order."""
    said = (data for kind, data in person.events if kind in ("MESSAGE_CREATE", "MESSAGE_UPDATE"))
    return [text_of(data) for data in said if words in text_of(data) and not data["flags"] & 64]


async def test_place_steps_and_own_preview_are_shown_and_the_message_goes(tmp_path: Path) -> None:
    engine = make_engine(1.2)
    engine.previews = True
    async with whole_room(tmp_path, engine=engine, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        ana.keep_events = ben.keep_events = True
        stand.queue.pause()
        await ana.command("imagine", stand.general, model="flux", prompt="first")
        await status_with(ana, "The queue is paused right now. Pictures in the queue keep their place.")
        await ben.command("imagine", stand.general, model="z-image", prompt="second")
        assert "paused" in text_of(await status_with(ben, "second"))
        stand.queue.resume()
        message = await ana.wait_for_message(lambda m: any("preview" in a["filename"] for a in files_of(m)))
        shown = await ana.download(files_of(message)[0]["url"])
        assert pixel(shown) == colour_of("first", 0)
        assert files_of(message)[0]["description"] == "first"
        assert "Cancel" in str(message["components"])
        await result_for(ana, "first")
        await ana.until(lambda: ana.message(message["id"]) is None)
        said = " ".join(history_of(ana, "first"))
        assert re.search(r"step \d of \d", said)
        assert "▰" in said
        assert "<t:" in said
        assert "second" not in said
        await result_for(ben, "second")
        assert "one picture is ahead of it" in " ".join(history_of(ben, "second"))


async def test_a_place_is_edited_when_it_changes_and_only_then(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        ben.keep_events = True
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="ahead")).reply()
        status = await status_with(ana, "ahead")
        await ben.command("imagine", stand.general, model="flux", prompt="behind")
        await status_with(ben, "behind")
        await asyncio.sleep(0.6)  # long enough to look at the places six times
        before = history_of(ben, "behind")
        await answered_by_status(await ana.click(status, "Cancel"))
        await ben.until(lambda: len(history_of(ben, "behind")) > 1)
        await asyncio.sleep(0.6)
        (first,), (_, second) = before, history_of(ben, "behind")
        assert "one picture is ahead of it (2 waiting in total)." in first
        assert "first in line (1 waiting in total)." in second


async def test_of_many_steps_one_is_told_every_two_seconds(tmp_path: Path) -> None:
    engine = make_engine(4.7)
    engine.steps, engine.previews = 94, True
    async with whole_room(tmp_path, engine=engine, rate_limits=False, status_interval=INTERVAL) as stand:
        ana = await stand.person()
        ana.keep_events = True
        await ana.command("imagine", stand.general, model="flux", prompt="a sloth")
        await result_for(ana, "a sloth")
        states = [
            data
            for kind, data in ana.events
            if kind in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and data["channel_id"] == await session_of(ana)
        ]
        (posted,) = {data["id"] for data in states if not has_picture(data)}
        sent = [
            datetime.fromisoformat(data["edited_timestamp"] or data["timestamp"])
            for data in states
            if data["id"] == posted
        ]
        assert len(sent) >= 3  # posted, and edited while it was made
        # A request that was long on the way, on a busy machine, is nearer to the next one.
        assert all((later - earlier).total_seconds() > 1.0 for earlier, later in pairwise(sent))
        assert (sent[-1] - sent[0]).total_seconds() > 2.0 * (len(sent) - 1) - 1.0


async def test_a_channel_that_refused_once_is_asked_no_more(tmp_path: Path) -> None:
    engine = make_engine(1.5)
    engine.steps = 30
    async with whole_room(tmp_path, engine=engine, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        await ana.command("imagine", stand.general, model="flux", prompt="a moat")
        status = await status_with(ana, "Making **#")
        stand.server.faults.forbid(int(status["channel_id"]))
        result = await result_for(ana, "a moat")
        assert result["channel_id"] != status["channel_id"]
        assert ben.message(result["id"]) is None
        assert stand.product.traffic.answers[403] == 1


async def test_who_wants_no_previews_gets_none(tmp_path: Path) -> None:
    engine = make_engine(0.8)
    engine.previews = True
    async with whole_room(tmp_path, engine=engine, rate_limits=False) as stand:
        ana = await stand.person()
        ana.keep_events = True
        await stand.database.preferences.put(ana.id, UserPreferences(previews=False))
        await ana.command("imagine", stand.general, model="flux", prompt="a secret")
        await result_for(ana, "a secret")
        assert any(re.search(r"step \d of \d", text) for text in history_of(ana, "a secret"))
        shown = [data for kind, data in ana.events if kind in ("MESSAGE_CREATE", "MESSAGE_UPDATE")]
        files = [file["filename"] for message in shown for file in files_of(message)]
        assert not any(name.startswith("preview") for name in files)


async def test_once_times_are_known_they_are_told_with_choices_and_statuses_and_by_queue(
    tmp_path: Path,
) -> None:
    engine = make_engine(1.6)
    engine.limits = dict.fromkeys(engine.limits, 1)
    limits = Limits(jobs=10)
    async with whole_room(tmp_path, engine=engine, limits=limits, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="before")
        await result_for(ana, "before")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        offered = [choice["name"] for choice in await ana.autocomplete("imagine", stand.general, "model")]
        assert offered == ["Flux · ~2 s · good", "Z-Image · 8 steps · good"]
        await (await ana.command("imagine", stand.general, model="flux", prompt="after", count=6)).reply()
        await status_with(ana, "Expected any moment now.")
        mine = text_of(await (await ana.command("queue", stand.general)).reply()).splitlines()
        first, last = (next(line for line in mine if number in line) for number in ("**#2**", "**#7**"))
        assert first.endswith(", expected any moment now.")
        assert re.search(r", expected <t:\d+:R>\.$", last)
        assert mine.count("after") == 6
        stand.queue.pause()
        mine = text_of(await (await ana.command("queue", stand.general)).reply()).splitlines()
        last = next(line for line in mine if "**#7**" in line)
        assert "expected" not in last  # nobody can know


async def test_a_failure_is_told_in_words_with_a_way_on(tmp_path: Path) -> None:
    engine = make_engine(0.1)
    engine.poison = "cursed"
    async with whole_room(tmp_path, engine=engine) as stand:
        ana = await stand.person(locale="es-ES")
        await ana.command("imagine", stand.general, model="flux", prompt="a cursed ring")
        told = await status_with(ana, "El servidor de GPU tuvo un error mientras la creaba.")
        assert "No se pudo crear la **#1**." in text_of(told)
        assert "```\na cursed ring\n```" in text_of(told)  # to copy
        await ana.wait_for_message(
            lambda m: f"<@{ana.id}>" in text_of(m) and str(ana.id) in str(m["mentions"])
        )
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        engine.poison = ""
        await answered_by_status(await ana.click(told, "Otra vez"))
        assert await result_for(ana, "a cursed ring")


async def test_that_no_gpu_is_there_is_told_and_kept_true(tmp_path: Path) -> None:
    engine = make_engine()
    engine.die()
    async with whole_room(tmp_path, engine=engine, rate_limits=False) as stand:
        ana = await stand.person()
        await stand.until(lambda: [one.state for one in stand.fleet.engines()] == ["down"])
        await ana.command("imagine", stand.general, model="flux", prompt="an oasis")
        await status_with(ana, "No GPU is online right now. Pictures in the queue keep their place.")
        engine.live()
        await result_for(ana, "an oasis")


async def test_that_the_only_gpu_failed_and_is_waited_for_is_told(tmp_path: Path) -> None:
    engine = make_engine(0.5)
    async with whole_room(tmp_path, engine=engine, max_attempts=100) as stand:
        ana = await stand.person()
        ana.keep_events = True
        await ana.command("imagine", stand.general, model="flux", prompt="a raven")
        await status_with(ana, "Making **#")
        engine.die()
        failed = "no other one can make it right now. The picture waits until one can; your place is kept."
        await ana.until(lambda: any(failed in text for text in history_of(ana, "a raven")))
        assert not any("No GPU is online" in text for text in history_of(ana, "a raven"))
        engine.live()
        await result_for(ana, "a raven", timeout=40)


async def test_that_a_batch_is_made_again_because_of_one_of_it_is_told(tmp_path: Path) -> None:
    engine = make_engine(0.3)
    engine.poison = "cursed"
    async with whole_room(tmp_path, engine=engine, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        ben.keep_events = True
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a cursed ring")).reply()
        await (await ben.command("imagine", stand.general, model="flux", prompt="a raven")).reply()
        stand.queue.resume()
        failed = "in a smaller group or alone, to find the cause; your place is kept."
        await stand.until(engine.gpu.locked)
        async with engine.gpu:  # until the message says so, what is made next does not begin
            await ben.until(lambda: any(failed in text for text in history_of(ben, "a raven")))
        await result_for(ben, "a raven")
        assert [len(batch.jobs) for batch in engine.submitted] == [2, 1, 1]


async def test_a_restart_is_announced_and_the_message_is_taken_up_again(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path, engine=make_engine(30)) as stand:
            ana = await stand.person()
            stand.queue.pause()
            await ana.command("imagine", stand.general, model="flux", prompt="a clock")
            message = await status_with(ana, "a clock")
            await stand.product.status_messages.say_goodbye()
            parting = ana.message(message["id"])
            assert parting is not None
            await ana.until(lambda: "restarting; your place is kept" in text_of(ana.message(message["id"])))  # type: ignore[index]
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.history(await session_of(ana))
            await result_for(ana, "a clock", timeout=20)
            await ana.until(lambda: ana.message(message["id"]) is None)


async def test_a_message_left_at_half_by_a_crash_is_brought_up_to_date(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a kite")
            result = await result_for(ana, "a kite")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            await asyncio.sleep(0.3)
            job_id = stand.engine.submitted[0].jobs[0].id
            channel = stand.bot.get_partial_messageable(int(result["channel_id"]))
            left = await channel.send("#1 is being made: 45 %")
            await stand.database.status_messages.put([job_id], channel.id, left.id)
        async with bot_on(server, tmp_path) as stand:
            for _ in range(500):
                if left.id not in server.hub.channels[channel.id].messages:
                    break
                await asyncio.sleep(0.01)
            assert left.id not in server.hub.channels[channel.id].messages


async def test_a_message_older_than_an_hour_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        stand.queue.pause()
        nonces: list[str | None] = []
        post_now = stand.product.message_client.post_now

        async def noted(*given: Any, nonce: str | None = None) -> Posted:
            nonces.append(nonce)
            return await post_now(*given, nonce=nonce)

        monkeypatch.setattr(stand.product.message_client, "post_now", noted)
        await ana.command("imagine", stand.general, model="flux", prompt="a snail")
        old = await status_with(ana, "a snail")
        monkeypatch.setattr("modules.discord.delivery.status_poster.EDITABLE_FOR", -1.0)
        stand.queue.resume()
        new = await ana.wait_for_message(lambda m: "a snail" in text_of(m) and m["id"] != old["id"])
        assert new["id"] != old["id"]
        await ana.until(lambda: ana.message(old["id"]) is None)
        await result_for(ana, "a snail")
        assert len(set(nonces)) == len(nonces) >= 2  # a replaced message is no repeat of the first
