"""Several pictures that were asked for at once: one status message, one result, each file there once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from modules.demo.users import Payload, SimulatedUser, components_of, files_of, text_of
from modules.discord.requests.limits import Limits
from tests.discord_stand import (
    answered_by_status,
    asked_to_delete,
    bot_on,
    colour_of,
    delete_result,
    discord_server,
    has_picture,
    make_engine,
    menu_of,
    more,
    pixel,
    result_for,
    session_of,
    set_for,
    status_with,
    whole_room,
)
from tests.e2e.test_bot_delivery import made

MANY = Limits(jobs=10)


def numbers_of(message: Payload) -> list[int]:
    """The numbers of the jobs whose pictures a message shows, in its order."""
    return [int(file["filename"].partition("-")[0]) for file in files_of(message)]


def chosen(message: Payload) -> str:
    """The job that the buttons are about."""
    (again,) = (c for c in components_of(message) if c.get("label") == "Again")
    return str(again["custom_id"]).removeprefix("fullet:again:")


def choice_of(message: Payload) -> Payload:
    """The menu of which picture the buttons are about."""
    (select,) = (c for c in components_of(message) if str(c.get("custom_id")).startswith("fullet:which:"))
    return select


async def test_a_set_is_one_status_and_one_result_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    engine = make_engine(0.4)
    engine.limits = dict.fromkeys(engine.limits, 1)
    async with whole_room(tmp_path, engine=engine, limits=MANY, rate_limits=False) as stand:
        ana = await stand.person()
        ana.keep_events = True
        await ana.command("imagine", stand.general, model="flux", prompt="a fleet", seed=1, count=3)
        channel = await session_of(ana)
        status = await status_with(ana, "**#1–#3** · 1 of 3 ready")
        assert "#1" not in text_of(status).replace("#1–#3", "")  # what is made now is another one
        result = await set_for(ana, "a fleet", 3)
        await ana.until(lambda: len(ana.messages(channel)) == 1)
        assert numbers_of(result) == [1, 2, 3]
        assert [file["description"] for file in files_of(result)] == ["a fleet"] * 3
        assert text_of(result).startswith("**#1, #2, #3** · 3 of 3 ready <@")
        for file, seed in zip(files_of(result), (1, 2, 3), strict=True):
            assert pixel(await ana.download(file["url"])) == colour_of("a fleet", seed)
        created = [
            data for kind, data in ana.events if kind == "MESSAGE_CREATE" and data["channel_id"] == channel
        ]
        assert sum(has_picture(message) for message in created) == 1  # one notification
        assert len(created) == 2


async def test_the_controls_are_about_the_picture_that_is_chosen(tmp_path: Path) -> None:
    async with whole_room(tmp_path, limits=MANY, rate_limits=False) as stand:
        ana, admin = await stand.person(), await stand.person("admin")
        await ana.command("imagine", stand.general, model="flux", prompt="a fleet", seed=1, count=3)
        result = await set_for(ana, "a fleet", 3)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        select = choice_of(result)
        third = select["options"][2]["value"]
        assert chosen(result) != third
        assert [option["label"] for option in select["options"]] == [
            "#1 · seed 1", "#2 · seed 2", "#3 · seed 3",
        ]  # fmt: skip
        await admin.history(result["channel_id"])
        stranger = await admin.click(result, select["custom_id"], values=[third])
        assert text_of(await stranger.reply()) == "That picture belongs to someone else."
        await answered_by_status(await ana.click(result, select["custom_id"], values=[third]))
        shown = await ana.until(lambda: _about(ana, result, third))
        assert "#3 · Flux · 64×64 · seed `3`" in text_of(shown)
        assert numbers_of(shown) == [1, 2, 3]
        assert [option.get("default", False) for option in choice_of(shown)["options"]] == [
            False,
            False,
            True,
        ]
        form = await (await more(ana, shown, "prompt")).modal()
        assert form["custom_id"].endswith(third)
        await answered_by_status(await more(ana, shown, "upscale"))
        larger = await result_for(ana, "upscaled ×2")
        assert pixel(await ana.download(files_of(larger)[0]["url"])) is not None
        (batch,) = [batch for batch in stand.engine.submitted if batch.jobs[0].request.kind == "upscale"]
        assert batch.jobs[0].request.maker.seed == 3


def _about(person: SimulatedUser, message: Payload, job_id: str) -> Payload | None:
    """The message as it is now, once its buttons are about the job."""
    now = person.message(message["id"])
    return now if now is not None and chosen(now) == job_id else None


async def test_one_picture_of_a_set_is_deleted_and_the_others_stay(tmp_path: Path) -> None:
    async with whole_room(tmp_path, limits=MANY, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a fleet", seed=1, count=2)
        result = await set_for(ana, "a fleet", 2)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        gone = chosen(result)
        await delete_result(ana, result)
        left = await ana.until(lambda: _with_files(ana, result, 1))
        assert gone not in str(left["components"])
        await delete_result(ana, left)
        assert ana.message(result["id"]) is None


async def test_a_set_whose_message_somebody_deletes_meanwhile_is_deleted_all_the_same(tmp_path: Path) -> None:
    async with whole_room(tmp_path, limits=MANY, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a fleet", seed=1, count=2)
        result = await set_for(ana, "a fleet", 2)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        question, yes = await asked_to_delete(ana, result)
        (shown,) = [
            each for each in stand.server.messages(int(result["channel_id"])) if str(each.id) == result["id"]
        ]
        stand.server.delete_message(shown)
        await (await ana.click(question, yes)).acknowledged()
        await ana.wait_for_message(lambda m: text_of(m) == "Deleted.")


def _with_files(person: SimulatedUser, message: Payload, count: int) -> Payload | None:
    now = person.message(message["id"])
    return now if now is not None and len(files_of(now)) == count else None


async def test_one_button_cancels_all_that_is_left_of_a_set(tmp_path: Path) -> None:
    async with whole_room(tmp_path, limits=MANY, rate_limits=False) as stand:
        ana = await stand.person()
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a fleet", count=3)).reply()
        await (await ana.command("imagine", stand.general, model="flux", prompt="another")).reply()
        status = await status_with(ana, "0 of 3 ready")
        await answered_by_status(await ana.click(status, "Cancel all"))
        told = await status_with(ana, "**#3** was cancelled.")
        assert told["id"] == status["id"]
        assert "**#1** was cancelled." in text_of(told)
        assert [job.request.prompt for job in stand.queue.active_jobs(ana.id)] == ["another"]


async def test_what_failed_of_a_set_is_told_when_the_rest_is_there(tmp_path: Path) -> None:
    engine = make_engine(0.2)
    engine.limits = dict.fromkeys(engine.limits, 1)
    async with whole_room(tmp_path, engine=engine, limits=MANY, rate_limits=False) as stand:
        ana = await stand.person()
        stand.queue.pause()
        await ana.command("imagine", stand.general, model="flux", prompt="a fleet", count=3)
        await stand.until(lambda: len(stand.queue.active_jobs(ana.id)) == 3)
        await status_with(ana, "0 of 3 ready")
        stand.queue.resume()
        await set_for(ana, "a fleet", 1)
        engine.poison = "fleet"
        told = await status_with(ana, "could not be made. The GPU server")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await ana.until(lambda: ana.find_component(ana.message(told["id"]) or told, "Prompt…"))
        assert "```\na fleet\n```" in text_of(ana.message(told["id"]) or told)


async def test_lost_answers_leave_each_picture_of_a_set_once(tmp_path: Path) -> None:
    engine = make_engine(0.4)
    engine.limits = dict.fromkeys(engine.limits, 1)
    async with whole_room(tmp_path, engine=engine, limits=MANY, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a fleet", seed=1, count=4)
        channel = int(await session_of(ana))
        await set_for(ana, "a fleet", 1)
        stand.server.faults.lose_answers(3)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        shown = [
            file.filename.partition("-")[0]
            for message in stand.server.messages(channel)
            for file in message.attachments
        ]
        assert sorted(shown) == ["1", "2", "3", "4"]


async def test_a_set_is_taken_up_again_by_the_next_process(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        engine = make_engine(0.3)
        engine.limits = dict.fromkeys(engine.limits, 1)
        async with bot_on(server, tmp_path, engine=engine, limits=MANY) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a fleet", seed=1, count=3)
            await status_with(ana, "1 of 3 ready")
            stand.queue.pause()
            first = await set_for(ana, "a fleet", 1)
            channel = int(first["channel_id"])
        async with bot_on(server, tmp_path, limits=MANY) as stand:
            ana = await stand.person()
            await ana.history(channel)
            result = await set_for(ana, "a fleet", 3, timeout=20)
            assert result["id"] == first["id"]
            assert numbers_of(result) == [1, 2, 3]
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            await stand.until(lambda: len(server.messages(channel)) == 1)
            for _ in range(500):
                if not await stand.database.status_messages.all():
                    break
                await asyncio.sleep(0.01)
            assert await stand.database.status_messages.all() == []
            # Each picture is found by its file's name, so none is posted a second time.
            jobs = [job for batch in stand.engine.submitted for job in batch.jobs]
            for job in jobs:
                receipt = await stand.product.delivery.deliver(made(replace(job, maybe_posted=True)))
                assert str(receipt.message_id) == result["id"]
            assert len(server.messages(channel)[0].attachments) == 3


@pytest.mark.parametrize("count", [1, 3])
async def test_the_same_can_be_chosen_twice_in_the_menu_at_the_price_of_an_edit(
    tmp_path: Path, count: int
) -> None:
    """Discord's clients keep what was chosen as long as the message has the same menu."""
    async with whole_room(tmp_path, limits=MANY, rate_limits=False) as stand:
        ana, server = await stand.person(), stand.server
        await ana.command("imagine", stand.general, model="flux", prompt="a fleet", seed=1, count=count)
        result = await set_for(ana, "a fleet", count)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await ana.until(lambda: len(ana.messages(result["channel_id"])) == 1)
        for what in ("details", "prompt", "details"):
            before, menu = server.counters["rest"], menu_of(result)
            asked = await more(ana, result, what)
            if what == "prompt":
                await asked.modal()
            else:
                assert "Flux" in text_of(await asked.reply())
            now = ana.message(result["id"])
            assert now is not None
            assert menu_of(now) != menu
            read = 1 if count > 1 else 0  # others may have been added to a set since
            assert server.counters["rest"] - before == 2 + read
            assert (text_of(now), numbers_of(now)) == (text_of(result), numbers_of(result))
            result = now
        await answered_by_status(await more(ana, result, "upscale"))
