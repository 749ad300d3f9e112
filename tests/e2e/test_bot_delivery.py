"""A finished picture reaches its owner once, whatever happens to channels, answers and processes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from modules.demo.discord_server import DiscordServer, UserSpec, WorldSpec, default_world
from modules.demo.discord_server.bodies.messages import CreateMessage
from modules.demo.discord_server.state.messages import create_message
from modules.demo.users import components_of, text_of
from modules.discord.transport.message_client import OutgoingMessage, Refused
from modules.discord.transport.rate_limiter import Priority
from modules.queue_manager import job_log
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import StoreUnavailable
from modules.queue_manager.jobs import Job, Picture
from modules.queue_manager.ports import Finished, RunReport
from modules.utils.database.stores.history import History
from tests.discord_stand import (
    SMALL,
    Stand,
    answered_by_status,
    bot_on,
    discord_server,
    make_engine,
    painted,
    result_for,
    session_of,
    status_with,
    whole_room,
)


def hermit_world() -> WorldSpec:
    """Somebody who takes no direct messages."""
    world = default_world(3)
    return replace(world, users=(*world.users, UserSpec(name="hermit", accepts_dms=False)))


async def ended(stand: Stand, user_id: int) -> None:
    """Wait until nothing of theirs is active."""
    for _ in range(1000):
        if not stand.queue.active_jobs(user_id):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a job lives on")


async def test_a_channel_deleted_while_the_picture_is_made_is_replaced(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=make_engine(0.6)) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        for person in (ana, ben):
            await person.command("imagine", stand.general, model="flux", prompt="a lake")
        first = await session_of(ana)
        stand.server.delete_channel(int(first))
        result = await result_for(ana, "a lake")
        assert result["channel_id"] != first
        assert "Your old channel could not be used" in text_of(result)
        assert (await result_for(ben, "a lake"))["channel_id"] == await session_of(ben)


async def test_without_any_channel_it_comes_by_direct_message(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=make_engine(0.6)) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a cave")
        first = await session_of(ana)
        await status_with(ana, "a cave")
        stand.server.set_bot_permissions(1 << 10)  # it sees channels, and that is all
        stand.server.delete_channel(int(first))
        result = await result_for(ana, "a cave")
        assert stand.server.guild.channels.get(int(result["channel_id"])) is None
        assert "Your channel could not be used" in text_of(result)


async def test_with_nowhere_to_go_it_is_kept_and_shown_at_the_next_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(job_log.add_fields)
    caplog.set_level("INFO", "modules")
    async with whole_room(tmp_path, hermit_world(), engine=make_engine(0.6)) as stand:
        ana = await stand.person("hermit")
        permissions = stand.server.hub.bot_spec.permissions
        await (await ana.command("imagine", stand.general, model="flux", prompt="a ship", seed=1)).reply()
        first = await session_of(ana)
        stand.server.set_bot_permissions(1 << 10)
        stand.server.delete_channel(int(first))
        await ended(stand, ana.id)
        record = await stand.database.history.last_picture(ana.id)
        assert record is not None
        assert record.state == "kept"
        logged = [line for line in caplog.records if line.name.startswith("modules.discord.delivery")]
        assert {(line.job, line.user) for line in logged} == {("#1", str(ana.id))}  # type: ignore[attr-defined]
        assert "the picture could not be delivered, and is kept" in {line.getMessage() for line in logged}
        stand.server.set_bot_permissions(permissions)
        await ana.command("imagine", stand.general, model="flux", prompt="a raft", seed=2)
        assert "a ship" in text_of(await result_for(ana, "seed `1`"))
        assert await result_for(ana, "seed `2`")
        async with timeout(10):
            while await stand.database.history.undelivered(ana.id):
                await asyncio.sleep(0.01)


async def test_what_is_kept_comes_by_itself_once_the_permissions_are_back(tmp_path: Path) -> None:
    async with whole_room(tmp_path, hermit_world(), engine=make_engine(0.6), rate_limits=False) as stand:
        ana = await stand.person("hermit")
        permissions = stand.server.hub.bot_spec.permissions
        for prompt in ("a ship", "a raft"):
            await (await ana.command("imagine", stand.general, model="flux", prompt=prompt)).reply()
        first = await session_of(ana)
        stand.server.set_bot_permissions(1 << 10)
        stand.server.delete_channel(int(first))
        await ended(stand, ana.id)
        stand.server.set_bot_permissions(permissions)
        for prompt in ("a ship", "a raft"):
            assert (await result_for(ana, prompt))["channel_id"] != first
        async with timeout(10):
            while await stand.database.history.undelivered(ana.id):  # noted right after it is posted
                await asyncio.sleep(0.01)


async def test_what_is_kept_goes_every_way_at_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the repair of a channel nothing tells, nor that somebody takes direct messages now."""
    async with whole_room(tmp_path, hermit_world(), engine=make_engine(0.3), rate_limits=False) as stand:
        ana = await stand.person("hermit")

        async def none(*_: object, **__: object) -> None:
            """No other channel can be had."""

        monkeypatch.setattr(stand.product.channels, "reopen", none)
        for prompt, repair in (
            ("a ship", stand.server.faults.allow),
            ("a raft", lambda _: setattr(stand.server.user("hermit"), "accepts_dms", True)),
        ):
            await (await ana.command("imagine", stand.general, model="flux", prompt=prompt)).reply()
            channel = int(await session_of(ana))
            stand.server.faults.forbid(channel)
            await ended(stand, ana.id)
            assert await stand.database.history.undelivered(ana.id)
            repair(channel)
            await ana.command("queue", stand.general)
            assert ((await result_for(ana, prompt))["channel_id"] == str(channel)) is (prompt == "a ship")


async def test_a_picture_that_discord_was_away_for_comes_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.discord.delivery.picture_delivery.PATIENCE", 0.5)
    monkeypatch.setattr("modules.discord.delivery.undelivered.FIRST_PAUSE", 0.2)
    async with whole_room(tmp_path, engine=make_engine(0.4), rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a whale")
        await status_with(ana, "Making **#")
        stand.server.faults.refuse(600)
        await ended(stand, ana.id)
        assert await stand.database.history.undelivered(ana.id)
        stand.server.faults.refuse(0)
        result = await result_for(ana, "a whale", timeout=30)
        channel = int(result["channel_id"])
        # nothing says any more that it is kept
        await stand.until(lambda: len(stand.server.messages(channel)) == 1)
        async with timeout(10):
            while await stand.database.history.undelivered(ana.id):
                await asyncio.sleep(0.01)
            while await stand.database.status_messages.all():
                await asyncio.sleep(0.01)


async def test_an_answer_stands_though_what_is_kept_cannot_be_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(History, "undelivered", away)
    caplog.set_level(logging.INFO, "modules.discord")
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        stand.queue.pause()
        reply = await (await ana.command("imagine", stand.general, model="flux", prompt="a ship")).reply()
        status = await status_with(ana, "a ship")
        await stand.until(lambda: "undelivered pictures of" in caplog.text)
        caplog.clear()
        await answered_by_status(await ana.click(status, "Cancel"))
        await stand.until(lambda: "undelivered pictures of" in caplog.text)
        await status_with(ana, "**#1** was cancelled.")
        assert "#1" in text_of(ana.message(reply["id"]) or reply)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_answer_that_got_lost_does_not_post_twice(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=make_engine(0.5)) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a comet")
        await status_with(ana, "Making **#")
        stand.server.faults.lose_answers(1)
        await result_for(ana, "a comet")
        await ended(stand, ana.id)
        channel = int(await session_of(ana))
        assert sum(bool(message.attachments) for message in stand.server.messages(channel)) == 1


async def test_what_its_owner_has_deleted_is_not_posted_again(tmp_path: Path) -> None:
    """Discord answers the repeat with “unknown message”: it was there, so it was delivered."""
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a secret", seed=4)
        result = await result_for(ana, "a secret")
        await ended(stand, ana.id)
        channel = stand.server.hub.channels[int(result["channel_id"])]
        stand.server.delete_message(channel.messages[int(result["id"])])
        receipt = await stand.product.delivery.deliver(made(stand.engine.submitted[0].jobs[0]))
        assert (receipt.where, receipt.channel_id, receipt.message_id) == ("channel", channel.id, None)
        assert not any(message.attachments for message in channel.messages.values())


async def test_a_message_that_comes_back_from_another_channel_is_none(tmp_path: Path) -> None:
    """Nonces are unique for a bot, not for a channel: then nothing was posted where it should be."""
    async with whole_room(tmp_path) as stand:
        await stand.person()
        message_client, gallery = stand.product.message_client, stand.server.channel("gallery").id
        first = await message_client.post(
            stand.general, OutgoingMessage(text="here"), level=Priority.REST, nonce="n"
        )
        assert (
            await message_client.post(
                stand.general, OutgoingMessage(text="here"), level=Priority.REST, nonce="n"
            )
            == first
        )
        with pytest.raises(Refused, match="another channel"):
            await message_client.post(gallery, OutgoingMessage(text="here"), level=Priority.REST, nonce="n")


def made(job: Job) -> Finished:
    """The job's picture, with nothing known of a former try to deliver it."""
    picture = Picture(
        data=painted(job.request.prompt, job.request.seed, SMALL), media_type="image/png", size=SMALL
    )
    return Finished(
        job=job, picture=picture, report=RunReport(engine="x", batch_size=1, started_at=0, ended_at=1)
    )


async def test_a_discord_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=make_engine(0.4)) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a whale")
        await status_with(ana, "Making **#")
        stand.server.faults.refuse(3)
        await result_for(ana, "a whale", timeout=30)
        await ended(stand, ana.id)


async def test_a_database_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a delivery asks it in between: no job may be left lying in the middle of it."""
    async with whole_room(tmp_path, engine=make_engine(0.3)) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a well")
        first = await session_of(ana)
        sessions, preferences = stand.database.sessions, stand.database.preferences
        asked = []

        async def away(*_: object) -> None:
            asked.append(1)
            raise StoreUnavailable("away")

        with monkeypatch.context() as outage:
            outage.setattr(preferences, "get", away)
            await stand.until(lambda: asked)
        with monkeypatch.context() as outage:
            outage.setattr(sessions, "get", away)
            stand.server.delete_channel(int(first))
            await stand.until(lambda: len(asked) > 1)
        result = await result_for(ana, "a well")
        assert result["channel_id"] != first
        await ended(stand, ana.id)


async def test_what_a_former_process_may_have_posted_is_looked_for(tmp_path: Path) -> None:
    async with discord_server() as server, bot_on(server, tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a mill", seed=4)
        result = await result_for(ana, "a mill")
        await ended(stand, ana.id)
        server.advance(3600)  # the nonce is long forgotten
        finished = made(replace(stand.engine.submitted[0].jobs[0], maybe_posted=True))
        receipt = await stand.product.delivery.deliver(finished)
        assert str(receipt.message_id) == result["id"]
        channel = server.hub.channels[int(result["channel_id"])]
        assert sum(bool(message.attachments) for message in channel.messages.values()) == 1


async def test_it_is_found_also_beneath_what_people_wrote_since(tmp_path: Path) -> None:
    """A process that died after it had posted a result and a status message, and before it could note so."""
    async with discord_server() as server:
        async with bot_on(server, tmp_path, engine=make_engine(60)) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a mill", seed=4)
            await status_with(ana, "a mill")
            (job,) = stand.queue.active_jobs(ana.id)
            channel = int(await session_of(ana))
            done = made(job)
            await stand.database.jobs.record(done)
            await stand.product.delivery.deliver(done)
            author, place = server.user("member-1"), server.hub.channels[channel]
            for number in range(250):
                create_message(server.hub, place, author, CreateMessage(content=f"and {number}"))
            await stand.database.status_messages.put([job.id], channel, 0)
        server.advance(3600)
        async with bot_on(server, tmp_path) as stand:
            await stand.until(lambda: stand.engine.submitted and not stand.queue.active_jobs(ana.id))
            await stand.until(lambda: not buttons(server, channel, "cancel"))
            assert len(buttons(server, channel, "more")) == 1
            async with timeout(60):
                while await stand.database.status_messages.all():
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("says", ["**#1** is made and on its way to you.", "**#1** was cancelled."])
async def test_a_status_message_without_a_button_whose_answer_was_lost_is_removed(
    tmp_path: Path, says: str
) -> None:
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a mill", seed=4)
            await result_for(ana, "a mill")
            await ended(stand, ana.id)
            channel = int(await session_of(ana))
            (job,) = stand.engine.submitted[0].jobs
            await stand.until(lambda: len(server.messages(channel)) == 1)
            await stand.product.message_client.post(
                channel, OutgoingMessage(text=says), level=Priority.STATUS
            )
            await stand.database.status_messages.put([job.id], channel, 0)
        async with bot_on(server, tmp_path) as stand:
            await stand.until(lambda: len(server.messages(channel)) == 1)
            assert len(buttons(server, channel, "more")) == 1


def buttons(server: DiscordServer, channel: int, what: str) -> list[str]:
    """The buttons of one kind that stand in a channel."""
    return [
        item["custom_id"]
        for message in server.messages(channel)
        for item in components_of({"components": message.components})
        if f":{what}:" in item.get("custom_id", "")
    ]


async def test_results_come_by_direct_message_for_who_wants_that(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        menus = await (await ana.command("settings", stand.general)).reply()
        for turned, says in (("direct:on", "direct message** · on"), ("notify:off", "is ready** · off")):
            await (await ana.click(menus, f"fullet:setting:{turned}")).acknowledged()
            await ana.until(lambda says=says: says in text_of(ana.message(menus["id"]) or menus))
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a letter")
        assert "by direct message" in text_of(await asked.reply())
        result = await result_for(ana, "a letter")
        assert stand.server.guild.channels.get(int(result["channel_id"])) is None
        assert result["mentions"] == []
        await ended(stand, ana.id)
        page = text_of(await (await ana.command("history", stand.general)).reply())
        assert f"/channels/@me/{result['channel_id']}/{result['id']})" in page
        again = await ana.click(result, "Again")
        assert "queued" in text_of(await again.reply())
