"""What a request is answered with: one line with the way to where it is shown, nothing if that is here."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path

import pytest

from modules.demo.users import is_ephemeral, text_of
from modules.queue_manager.ports import Finished, Receipt
from tests.discord_stand import (
    answered_by_status,
    delete_result,
    has_picture,
    result_for,
    session_of,
    status_with,
    whole_room,
)


async def test_the_answer_is_one_line_with_the_way_there(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2", locale="es-ES")
        reply = await (await ana.command("imagine", stand.general, model="flux", prompt="a pier")).reply()
        assert text_of(reply) == f"Picture #1 is queued. Follow it in <#{await session_of(ana)}>."
        assert is_ephemeral(reply)
        assert reply["components"] == []
        asked = await ben.command("imagine", stand.general, model="flux", prompt="un muelle", count=2)
        told = text_of(await asked.reply())
        assert told == f"2 imágenes están en la cola: #2, #3. Síguelas en <#{await session_of(ben)}>."
        await result_for(ana, "a pier")
        assert text_of(ana.message(reply["id"]) or {}) == text_of(reply)  # it says nothing twice


async def test_asked_in_ones_own_channel_it_is_shown_there_and_nothing_is_said_twice(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a pier")).reply()
        await result_for(ana, "a pier")
        stand.queue.pause()
        channel = await session_of(ana)
        asked = await ana.command("imagine", channel, model="flux", prompt="a bay")
        await answered_by_status(asked)
        status = await status_with(ana, "a bay")
        about = [message for message in ana.messages(channel) if "#2" in text_of(message)]
        assert [message["id"] for message in about] == [status["id"]]
        cancelled = await ana.click(status, "Cancel")
        await answered_by_status(cancelled)
        await status_with(ana, "**#2** was cancelled.")
        about = [message for message in ana.messages(channel) if "#2" in text_of(message)]
        assert [message["id"] for message in about] == [status["id"]]


async def test_of_a_job_one_thing_is_shown_at_a_time(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a pier")
        await result_for(ana, "a pier")
        channel = await session_of(ana)
        await ana.until(lambda: len(ana.messages(channel)) == 1)
        assert has_picture(ana.messages(channel)[0])


async def test_what_is_long_on_its_way_is_said_to_be_and_cannot_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole_room(tmp_path) as stand:
        ana, deliver, arrive = await stand.person(), stand.product.delivery.deliver, asyncio.Event()

        async def late(finished: Finished) -> Receipt:
            await arrive.wait()
            return await deliver(finished)

        monkeypatch.setattr(stand.product.delivery, "deliver", late)
        await ana.command("imagine", stand.general, model="flux", prompt="a canoe")
        on_its_way = await status_with(ana, "is ready; sending it")
        assert ana.find_component(on_its_way, "Cancel") is None
        arrive.set()
        assert await result_for(ana, "a canoe")


async def test_what_arrives_when_the_bot_has_closed_changes_nothing_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole_room(tmp_path) as stand:
        ana, arrive = await stand.person(), asyncio.Event()

        async def late(_: Finished) -> Receipt:
            await arrive.wait()
            return Receipt(where="channel", channel_id=1, message_id=2)

        monkeypatch.setattr(stand.product.delivery, "deliver", late)
        await (await ana.command("imagine", stand.general, model="flux", prompt="a punt")).reply()
        await status_with(ana, "is ready; sending it")
        await stand.product.disconnect()
        arrive.set()
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await stand.queue.settle(5)
        await asyncio.sleep(0)
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_deleted_is_deleted_and_asked_first(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a quay")
        result = await result_for(ana, "a quay")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await delete_result(ana, result)
        assert ana.message(result["id"]) is None
        assert await stand.database.history.last_picture(ana.id) is None
