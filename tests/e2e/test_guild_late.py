"""Discord sends a guild's channels and roles seconds after READY: nothing may be done with less."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from modules.demo.discord_server import DiscordServer, default_world
from modules.demo.users import Payload, text_of
from modules.discord.requests.limits import Limits
from modules.utils.settings.values import RoleLimit
from tests.discord_stand import Stand, bot_on, discord_server, result_for, session_of

CATEGORY = 4


def categories(server: DiscordServer) -> list[str]:
    return [c.name for c in server.guild.channels.values() if c.kind == CATEGORY and "FuLLet" in c.name]


async def connected_anew(stand: Stand) -> None:
    """The bot has lost its session and identified itself again; its guild is not there yet."""
    before = stand.server.gateway.counters["identify"]
    await stand.server.gateway.drop(resumable=False)
    await stand.until(lambda: stand.server.gateway.counters["identify"] > before)
    home = stand.bot.home
    await stand.until(lambda: (guild := home()) is not None and guild.unavailable)


async def ask(stand: Stand, prompt: str) -> Payload:
    ana = stand.people[0]
    asked = await ana.command("imagine", stand.general, model="flux", prompt=prompt)
    return await asked.reply()


@pytest.mark.long
async def test_a_guild_that_comes_late_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start, and after the gateway has made the bot identify itself again."""
    async with discord_server(rate_limits=False) as server:
        server.gateway.guild_delay = 1.0
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            assert "queued" in text_of(await ask(stand, "a first"))
            await result_for(ana, "a first")
            channel = await session_of(ana)
            await connected_anew(stand)
            assert "queued" in text_of(await ask(stand, "a second"))
            assert (await result_for(ana, "a second"))["channel_id"] == channel
            await connected_anew(stand)
            await stand.product.channels.sweep(server.guild.id)
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            assert "queued" in text_of(await ask(stand, "a third"))
            assert (await result_for(ana, "a third"))["channel_id"] == channel
            assert await stand.database.sessions.get(server.guild.id, ana.id) is not None
        assert categories(server) == ["FuLLet"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_roles_count_while_the_guild_is_late(tmp_path: Path) -> None:
    world = default_world(3)
    world = replace(world, guilds=(replace(world.guilds[0], roles=("patron",)),))
    async with discord_server(world, rate_limits=False) as server:
        role = next(role for role in server.guild.roles.values() if role.name == "patron")
        limits = Limits(jobs=1, roles=((role.id, RoleLimit(jobs=3)),))
        server.set_roles(server.user("member-1"), "patron")
        async with bot_on(server, tmp_path, limits=limits) as stand:
            ana = await stand.person()
            server.gateway.guild_delay = 1.0
            await connected_anew(stand)
            asked = await ana.command("imagine", stand.general, model="flux", prompt="three", count=3)
            assert "queued" in text_of(await asked.reply())


async def test_an_outage_of_the_guild_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.discord.bot.GUILD_PATIENCE", 0.2)
    async with discord_server(rate_limits=False) as server, bot_on(server, tmp_path) as stand:
        await stand.person()
        server.gateway.guild_delay = 600.0
        await connected_anew(stand)
        assert "This server is unavailable right now because of a Discord outage" in text_of(
            await ask(stand, "a tree")
        )
        assert categories(server) == []
