"""A failure reaches its owner: in their channel, a new one, by direct message, or at their next command."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from modules.demo.discord_server import UserSpec, default_world
from modules.demo.users import SimulatedUser, text_of
from modules.queue_manager.backports import timeout
from tests.discord_stand import (
    PaintingEngine,
    Stand,
    answered_by_status,
    bot_on,
    discord_server,
    make_engine,
    session_of,
    status_with,
    whole_room,
)

SEES_CHANNELS = 1 << 10


def broken(seconds: float = 0.6) -> PaintingEngine:
    """A GPU on which prompts with a curse in them fail."""
    engine = make_engine(seconds)
    engine.poison = "cursed"
    return engine


async def begun(stand: Stand, person: SimulatedUser) -> int:
    """Their channel, once the cursed picture is being made."""
    await person.command("imagine", stand.general, model="flux", prompt="a cursed door")
    await status_with(person, "Making **#")
    return int(await session_of(person))


async def test_it_is_told_in_a_new_channel_and_the_old_one_is_left_alone(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=broken(1.5), rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        gone = await begun(stand, ana)
        stand.server.delete_channel(gone)
        told = await status_with(ana, "could not be made")
        assert told["channel_id"] == await session_of(ana) != str(gone)
        assert [user["id"] for user in told["mentions"]] == [str(ana.id)]
        assert ben.message(told["id"]) is None
        assert stand.product.traffic.answers[404] <= 2  # one edit, and one try to post
        await answered_by_status(await ana.click(told, "Again"))


async def test_it_is_told_anew_if_only_its_message_was_deleted(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=broken(1.5), rate_limits=False) as stand:
        ana = await stand.person()
        channel = await begun(stand, ana)
        (status,) = stand.server.messages(channel)
        stand.server.delete_message(status)
        told = await status_with(ana, "could not be made")
        assert told["id"] != str(status.id)
        assert told["channel_id"] == str(channel)
        assert stand.product.traffic.answers[404] == 1


async def test_without_any_channel_it_is_told_by_direct_message(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=broken(), rate_limits=False) as stand:
        ana = await stand.person()
        gone = await begun(stand, ana)
        stand.server.set_bot_permissions(SEES_CHANNELS)
        stand.server.delete_channel(gone)
        told = await status_with(ana, "could not be made")
        assert int(told["channel_id"]) not in stand.server.guild.channels


async def test_with_nowhere_to_tell_it_waits_for_the_next_command_also_after_a_restart(
    tmp_path: Path,
) -> None:
    world = default_world(2)
    world = replace(world, users=(*world.users, UserSpec(name="hermit", accepts_dms=False)))
    async with discord_server(world, rate_limits=False) as server:
        permissions = server.hub.bot_spec.permissions
        async with bot_on(server, tmp_path, engine=broken()) as stand:
            ana = await stand.person("hermit")
            gone = await begun(stand, ana)
            server.set_bot_permissions(SEES_CHANNELS)
            server.delete_channel(gone)
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            await stand.until(lambda: ana.id in stand.product.failures.waiting())
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person("hermit")
            await stand.until(lambda: ana.id in stand.product.failures.waiting())
            server.set_bot_permissions(permissions)
            await ana.command("queue", stand.general)
            told = await status_with(ana, "could not be made")
            assert told["channel_id"] == await session_of(ana)
            assert "The GPU server had an error while making it." in text_of(told)
            async with timeout(60):
                while await stand.database.status_messages.all():
                    await asyncio.sleep(0.01)
