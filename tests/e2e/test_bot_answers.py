"""The answer that only its owner sees stays true to the end, and what is left of it is kind."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any

import pytest

from modules.demo.users import SimulatedUser
from modules.queue_manager.ports import Finished, Receipt
from tests.discord_stand import make_engine, result_for, session_of, status_with, whole_room


async def becomes(person: SimulatedUser, reply: dict[str, Any], words: str) -> dict[str, Any]:
    """The answer once it says so."""
    await person.until(lambda: words in (person.message(reply["id"]) or reply)["content"])
    return person.message(reply["id"]) or reply


async def test_it_tells_where_the_picture_is_and_offers_no_cancel_any_more(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=make_engine(0.5)) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a pier")
        reply = await asked.reply()
        assert ana.find_component(reply, "Cancel")
        result = await result_for(ana, "a pier")
        done = await becomes(ana, reply, "is ready")
        link = f"https://discord.com/channels/{stand.server.guild.id}/{result['channel_id']}/{result['id']}"
        assert done["content"] == f"**#1** is ready: [open]({link})"
        assert done["components"] == []
        assert ben.message(reply["id"]) is None


async def test_of_several_each_end_is_told_and_the_others_keep_their_cancel(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person(locale="es-ES")
        stand.queue.pause()
        asked = await ana.command("imagine", stand.general, model="flux", prompt="un muelle", count=2)
        reply = await asked.reply()
        await ana.click(reply, "Cancelar #1")
        halfway = await becomes(ana, reply, "**#1** se canceló.")
        assert "La imagen #2 está en la cola." in halfway["content"]
        assert ana.find_component(halfway, "Cancelar")
        stand.engine.poison = "muelle"
        stand.queue.resume()
        done = await becomes(ana, reply, "No se pudo crear")
        assert done["content"].splitlines()[0] == "**#1** se canceló."
        assert (
            "No se pudo crear la **#2**. El servidor de GPU tuvo un error mientras la creaba."
            in done["content"]
        )
        assert done["components"] == []


async def test_after_fifteen_minutes_it_stays_and_a_late_cancel_is_told_what_happened(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        stand.queue.pause()
        reply = await (await ana.command("imagine", stand.general, model="flux", prompt="a quay")).reply()
        stand.server.advance(16 * 60)
        stand.queue.resume()
        result = await result_for(ana, "a quay")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        assert "is queued" in (ana.message(reply["id"]) or {})["content"]
        late = await (await ana.click(reply, "Cancel")).reply()
        assert late["content"].startswith("**#1** is ready: [open](https://discord.com/channels/")
        assert late["content"].endswith(f"/{result['id']})")
        await (await ana.click(result, "Delete")).reply()
        late = await (await ana.click(reply, "Cancel")).reply()
        assert late["content"] == "**#1** was made and later deleted."
        assert ben.message(reply["id"]) is None


async def test_a_cancel_that_comes_while_the_picture_is_on_its_way_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole_room(tmp_path) as stand:
        ana, deliver, arrive = await stand.person(), stand.product.delivery.deliver, asyncio.Event()

        async def late(finished: Finished) -> Receipt:
            await arrive.wait()
            return await deliver(finished)

        monkeypatch.setattr(stand.product.delivery, "deliver", late)
        reply = await (await ana.command("imagine", stand.general, model="flux", prompt="a canoe")).reply()
        await status_with(ana, "is ready; sending it")
        told = await (await ana.click(reply, "Cancel")).reply()
        assert told["content"] == "**#1** is ready; sending it."
        arrive.set()
        assert await result_for(ana, "a canoe")


async def test_a_direct_message_is_linked_where_results_come_directly(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        menus = await (await ana.command("settings", stand.general)).reply()
        await (await ana.click(menus, "fullet:setting:switches", values=["direct"])).acknowledged()
        await becomes(ana, menus, "Saved")
        reply = await (await ana.command("imagine", stand.general, model="flux", prompt="a note")).reply()
        result = await result_for(ana, "a note")
        done = await becomes(ana, reply, "is ready")
        assert f"/channels/@me/{result['channel_id']}/{result['id']}" in done["content"]
        assert result["channel_id"] != await session_of(ana)


async def test_what_arrives_when_the_bot_has_closed_changes_no_answer_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole_room(tmp_path) as stand:
        ana, arrive = await stand.person(), asyncio.Event()

        async def late(_: Finished) -> Receipt:
            await arrive.wait()
            return Receipt(where="channel", channel_id=1, message_id=2)

        monkeypatch.setattr(stand.product.delivery, "deliver", late)
        reply = await (await ana.command("imagine", stand.general, model="flux", prompt="a punt")).reply()
        await status_with(ana, "is ready; sending it")
        await stand.product.disconnect()
        arrive.set()
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await stand.queue.settle(5)
        await asyncio.sleep(0)
        assert "is queued" in (ana.message(reply["id"]) or {})["content"]
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
