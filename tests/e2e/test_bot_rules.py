"""Rules of the server and of Discord: age restriction, permissions, filters, file sizes, the lease."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from modules.demo.discord_server import default_world
from tests.discord_stand import (
    OFFERS,
    SMALL,
    bot_on,
    discord_server,
    has_picture,
    make_engine,
    result_for,
    session_of,
    status_with,
    whole_room,
)
from tests.fakes import offer

BOLD = offer("bold", sizes=(SMALL,), default_size=SMALL, nsfw=True)


async def test_a_restricted_model_works_in_age_restricted_channels_only(tmp_path: Path) -> None:
    engine = make_engine()
    engine.limits = {**engine.limits, "bold": 4}
    async with whole_room(tmp_path, engine=engine, offers=(*OFFERS, BOLD)) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a tree")
        await result_for(ana, "a tree")
        channel = await session_of(ana)
        assert not ana.channels[channel]["nsfw"]
        asked = await ana.command("imagine", stand.general, model="bold", prompt="a statue")
        assert "Bold works only in age-restricted channels." in (await asked.reply())["content"]
        restricted = stand.server.channel("age-restricted").id
        assert not any(
            c["value"] == "bold" for c in await ana.autocomplete("imagine", stand.general, "model")
        )
        assert any(c["value"] == "bold" for c in await ana.autocomplete("imagine", restricted, "model"))
        await ana.command("imagine", restricted, model="bold", prompt="a statue")
        assert (await result_for(ana, "a statue"))["channel_id"] == channel
        assert ana.channels[channel]["nsfw"]


async def test_a_missing_permission_is_named(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        stand.server.set_bot_permissions(stand.server.hub.bot_spec.permissions & ~(1 << 4))
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a tree")
        assert "the permission: Manage Channels" in (await asked.reply())["content"]
        assert stand.queue.active_jobs(ana.id) == ()


async def test_what_the_servers_filter_refuses_is_sent_without_the_prompt(tmp_path: Path) -> None:
    world = default_world(3)
    world = replace(world, guilds=(replace(world.guilds[0], automod_words=("heron",)),))
    async with whole_room(tmp_path, world, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a heron", seed=8)
        result = await result_for(ana, "seed `8`")
        assert "heron" not in result["content"]
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))


async def test_banned_words_and_cooldown_are_told(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("gremlin\n", encoding="utf-8")
    async with whole_room(tmp_path, banned_words=words, cooldown_seconds=60) as stand:
        ana = await stand.person()
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a g r е m l i n")
        assert "a word that this community does not allow" in (await asked.reply())["content"]
        await (await ana.command("imagine", stand.general, model="flux", prompt="a tree")).reply()
        soon = await ana.command("imagine", stand.general, model="flux", prompt="a tree")
        assert "Please wait" in (await soon.reply())["content"]


async def test_a_cooldown_outlives_the_process(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path, cooldown_seconds=60) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a tree")
            await result_for(ana, "a tree")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        async with bot_on(server, tmp_path, cooldown_seconds=60) as stand:
            ana = await stand.person()
            soon = await ana.command("imagine", stand.general, model="flux", prompt="a tree")
            assert "Please wait" in (await soon.reply())["content"]


async def test_a_process_that_lost_its_lease_says_nothing_more(tmp_path: Path) -> None:
    speaks = [True]
    async with whole_room(tmp_path, engine=make_engine(0.5), may_speak=lambda: speaks[0]) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a wolf")
        await status_with(ana, "being made")
        speaks[0] = False
        before = stand.server.counters["rest"]
        while not stand.engine.log:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        assert stand.server.counters["rest"] == before
        assert not any(has_picture(message) for message in ana.messages(await session_of(ana)))
