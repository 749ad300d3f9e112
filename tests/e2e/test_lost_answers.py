"""Discord carries out what the bot asks for, and its answer is lost; or it sends an interaction twice."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from modules.demo.users import text_of
from tests.discord_stand import answered_by_status, make_engine, result_for, session_of, whole_room


@pytest.mark.parametrize("cut", [False, True])
async def test_an_acknowledgement_whose_answer_is_lost_counts(
    tmp_path: Path, cut: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        stand.server.faults.lose_answers(1, of="/callback", cut=cut)
        told = await (await ana.command("imagine", stand.general, model="flux", prompt="a lake")).reply()
        assert "is queued" in text_of(told)
        result = await result_for(ana, "a lake")
        stand.server.faults.lose_answers(1, of="/callback", cut=cut)
        await answered_by_status(await ana.click(result, "Again"))
        menus = await (await ana.command("settings", stand.general)).reply()
        stand.server.faults.lose_answers(1, of="/callback", cut=cut)
        await ana.click(menus, "fullet:setting:previews:off")
        await ana.until(lambda: "Saved" in text_of(ana.message(menus["id"]) or menus))
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        assert len(stand.engine.submitted) == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("what", ["the category", "the channel"])
async def test_a_channel_whose_answer_is_lost_is_found(tmp_path: Path, what: str, cut: bool) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        if what == "the channel":
            await (await ben.command("imagine", stand.general, model="flux", prompt="a hill")).reply()
        stand.server.faults.lose_answers(1, of="/channels", cut=cut)
        told = await (await ana.command("imagine", stand.general, model="flux", prompt="a lake")).reply()
        assert "is queued" in text_of(told)
        await result_for(ana, "a lake")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        names = [channel.name for channel in stand.server.guild.channels.values()]
        assert names.count("art-member-1") == 1
        assert names.count("FuLLet") == 1


@pytest.mark.parametrize("cut", [False, True])
async def test_a_lost_answer_while_a_channel_is_replaced_sends_nobody_a_direct_message(
    tmp_path: Path, cut: bool
) -> None:
    async with whole_room(tmp_path, engine=make_engine(0.6), rate_limits=False) as stand:
        ana = await stand.person()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a lake")).reply()
        channel = int(await session_of(ana))
        stand.server.faults.lose_answers(1, of="/channels", cut=cut)
        stand.server.delete_channel(channel)
        result = await result_for(ana, "a lake")
        assert int(result["channel_id"]) in stand.server.guild.channels
        assert "Your old channel could not be used" in text_of(result)


async def test_an_interaction_that_comes_twice_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana, gateway = await stand.person(), stand.server.gateway
        once = gateway.dispatch

        def twice(event: str, data: Any, **options: Any) -> None:
            for _ in range(1 + (event == "INTERACTION_CREATE")):
                once(event, data, **options)

        monkeypatch.setattr(gateway, "dispatch", twice)
        told = await (await ana.command("imagine", stand.general, model="flux", prompt="a lake")).reply()
        assert "is queued" in text_of(told)
        result = await result_for(ana, "a lake")
        await (await ana.click(result, "Edit")).modal()
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        assert len(stand.engine.submitted) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
