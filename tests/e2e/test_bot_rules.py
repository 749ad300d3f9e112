"""Rules of the server and of Discord: age restriction, permissions, filters, file sizes, the lease."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from modules.demo.discord_server import default_world
from modules.demo.users import text_of
from modules.discord.requests.limits import Limits
from modules.utils.database.rows import UserPreferences
from tests.discord_stand import (
    OFFERS,
    SMALL,
    PaintingEngine,
    answered_by_status,
    bot_on,
    discord_server,
    has_picture,
    make_engine,
    more,
    result_for,
    session_of,
    status_with,
    whole_room,
)
from tests.embedded_discord import Rest
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
        assert "Bold works only in age-restricted channels." in text_of(await asked.reply())
        restricted = stand.server.channel("age-restricted").id
        assert not any(
            c["value"] == "bold" for c in await ana.autocomplete("imagine", stand.general, "model")
        )
        assert any(c["value"] == "bold" for c in await ana.autocomplete("imagine", restricted, "model"))
        for place, offered in ((stand.general, False), (restricted, True)):
            menus = await (await ana.command("settings", place)).reply()
            select = ana.find_component(menus, "fullet:setting:model")
            assert select is not None
            assert ("bold" in [option["value"] for option in select["options"]]) is offered
            told = text_of(await (await ana.command("help", place)).reply())
            assert ("**Bold**" in told) is offered
        await ana.command("imagine", restricted, model="bold", prompt="a statue")
        assert (await result_for(ana, "a statue"))["channel_id"] == channel
        assert ana.channels[channel]["nsfw"]


def bold_engine(seconds: float = 0.05) -> PaintingEngine:
    """A GPU that can run the restricted model too."""
    engine = make_engine(seconds)
    engine.limits = {**engine.limits, "bold": 4}
    return engine


async def test_a_restricted_picture_never_comes_by_direct_message(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=bold_engine(0.6), offers=(*OFFERS, BOLD)) as stand:
        ana = await stand.person()
        restricted = stand.server.channel("age-restricted").id
        permissions = stand.server.hub.bot_spec.permissions
        await stand.database.preferences.put(ana.id, UserPreferences(direct_message=True))
        await ana.command("imagine", restricted, model="bold", prompt="a bust")
        first = await result_for(ana, "a bust")
        channel = await session_of(ana)
        assert first["channel_id"] == channel
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))

        await (await ana.command("imagine", restricted, model="bold", prompt="a torso")).reply()
        stand.queue.offers.replace(OFFERS, retired=[BOLD])  # the model goes meanwhile
        stand.server.set_bot_permissions(1 << 10)  # it sees channels, and that is all
        stand.server.delete_channel(int(channel))
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        stand.server.set_bot_permissions(permissions)
        await ana.command("queue", stand.general)
        kept = await result_for(ana, "a torso")
        assert kept["channel_id"] == await session_of(ana) != channel
        assert ana.channels[kept["channel_id"]]["nsfw"]


async def test_what_comes_of_a_restricted_picture_goes_where_that_one_may(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        options = {"gallery_channel_id": server.channel("gallery").id, "offers": (*OFFERS, BOLD)}
        restricted = server.channel("age-restricted").id
        async with bot_on(server, tmp_path, engine=bold_engine(), **options) as stand:
            ana = await stand.person()
            await stand.database.preferences.put(ana.id, UserPreferences(direct_message=True))
            await ana.command("imagine", restricted, model="bold", prompt="a bust", seed=1)
            bust = await result_for(ana, "a bust")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            await answered_by_status(await more(ana, bust, "upscale"))
            larger = await result_for(ana, "128×128")
            modal = await (await ana.click(bust, "Edit")).modal()
            await ana.submit_modal(modal, prompt="in bronze")
            bronze = await result_for(ana, "in bronze")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            told = await (await ana.command("edit", stand.general, prompt="in gold")).reply()
            assert text_of(told) == "That picture can be used only in age-restricted channels."
            await (await ana.command("edit", restricted, prompt="in gold")).reply()
            gold = await result_for(ana, "in gold")
        async with bot_on(server, tmp_path, engine=bold_engine(), **options) as stand:
            ana = await stand.person()
            await ana.history(bust["channel_id"])
            await answered_by_status(await ana.click(gold, "Again"))
            await stand.until(lambda: stand.engine.submitted)
            again = await result_for(ana, f"seed `{stand.engine.submitted[0].jobs[0].request.seed}`")
            modal = await (await ana.context("Edit picture", bust["channel_id"], gold)).modal()
            await ana.submit_modal(modal, prompt="in wax")
            wax = await result_for(ana, "in wax")
            modal = await (await more(ana, gold, "prompt")).modal()
            await answered_by_status(await ana.submit_modal(modal, prompt="in iron"))
            iron = await result_for(ana, "in iron")
            for made in (larger, bronze, gold, again, wax, iron):
                assert made["channel_id"] == bust["channel_id"], text_of(made)
                assert ana.find_component(made, "Share") is None
                assert ana.find_component(made, "Again") is not None


async def test_a_channel_that_lost_its_restriction_gets_it_back_before_the_picture(
    tmp_path: Path,
) -> None:
    async with whole_room(tmp_path, engine=bold_engine(0.6), offers=(*OFFERS, BOLD)) as stand:
        ana = await stand.person()
        ana.keep_events = True
        await ana.command("imagine", stand.server.channel("age-restricted").id, model="bold", prompt="a nude")
        channel = await session_of(ana)
        async with Rest(stand.server) as rest:  # as if by an administrator's hand
            assert (await rest("PATCH", f"/channels/{channel}", {"nsfw": False})).status == 200
        result = await result_for(ana, "a nude")
        assert result["channel_id"] == channel
        before = [data for _, data in ana.events[: ana.events.index(("MESSAGE_CREATE", result))]]
        states = [data["nsfw"] for data in before if data.get("id") == channel and "nsfw" in data]
        assert states[-2:] == [False, True]


async def test_what_was_shared_freely_is_not_once_its_model_is_restricted(tmp_path: Path) -> None:
    async with discord_server() as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a fig", seed=1)
            result = await result_for(ana, "a fig")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        now = tuple(replace(known, nsfw=known.name == "flux") for known in OFFERS)
        async with bot_on(server, tmp_path, gallery_channel_id=gallery, offers=now) as stand:
            ana = await stand.person()
            await ana.history(result["channel_id"])
            told = await (await ana.click(result, "Share")).reply()
            assert text_of(told) == "Flux works only in age-restricted channels."
            assert server.messages(gallery) == []
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.history(result["channel_id"])
            told = await (await ana.click(result, "Share")).reply()
            assert text_of(told) == "Sharing is not set up here."


async def test_blocks_and_the_pictures_of_a_day_outlive_the_process(tmp_path: Path) -> None:
    async with discord_server() as server:
        limits = Limits(jobs=2, pictures_a_day=1)
        async with bot_on(server, tmp_path, limits=limits) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            admin = await stand.person("admin")
            await ana.command("imagine", stand.general, model="flux", prompt="a tree")
            await result_for(ana, "a tree")
            await (await admin.command("admin block", stand.general, user=str(ben.id))).reply()
        async with bot_on(server, tmp_path, limits=limits) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            told = await (await ana.command("imagine", stand.general, model="flux", prompt="a bush")).reply()
            assert "You have used your one picture for today; the count resets" in text_of(told)
            told = await (await ben.command("imagine", stand.general, model="flux", prompt="a bush")).reply()
            assert "You cannot ask for pictures here: an administrator has blocked you." in text_of(told)


async def test_a_list_of_words_that_cannot_be_read_lets_nothing_through(tmp_path: Path) -> None:
    async with whole_room(tmp_path, banned_words=tmp_path / "none.txt") as stand:
        ana = await stand.person()
        told = await (await ana.command("imagine", stand.general, model="flux", prompt="a tree")).reply()
        assert "The list of banned words cannot be read" in text_of(told)


async def test_a_missing_permission_is_named(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        stand.server.set_bot_permissions(stand.server.hub.bot_spec.permissions & ~(1 << 4))
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a tree")
        assert "what is missing: Manage Channels" in text_of(await asked.reply())
        assert stand.queue.active_jobs(ana.id) == ()


async def test_of_several_missing_permissions_each_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole_room(tmp_path) as stand:
        ana, admin = await stand.person(), await stand.person("admin")
        everything = stand.server.hub.bot_spec.permissions
        stand.server.set_bot_permissions(everything & ~(1 << 15))
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a tree")
        assert text_of(await asked.reply()).endswith("what is missing: Attach Files.")
        await admin.say(stand.general, stand.typed("!status"))
        await admin.wait_for_message(lambda m: "### Status" in text_of(m))  # it has no file
        stand.server.set_bot_permissions(everything & ~(1 << 15 | 1 << 16))
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a tree")
        told = await asked.reply()
        assert text_of(told).endswith("what is missing: Attach Files, Read Message History.")
        assert "Traceback" not in caplog.text


async def test_what_the_servers_filter_refuses_is_sent_without_the_prompt(tmp_path: Path) -> None:
    world = default_world(3)
    world = replace(world, guilds=(replace(world.guilds[0], automod_words=("heron",)),))
    async with whole_room(tmp_path, world, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a heron", seed=8)
        result = await result_for(ana, "seed `8`")
        assert "heron" not in text_of(result)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))


async def test_banned_words_and_cooldown_are_told(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("gremlin\n", encoding="utf-8")
    async with whole_room(tmp_path, banned_words=words, cooldown_seconds=60) as stand:
        ana = await stand.person()
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a g r е m l i n")
        assert "Your prompt contains a word that is not allowed here." in text_of(await asked.reply())
        await (await ana.command("imagine", stand.general, model="flux", prompt="a tree")).reply()
        soon = await ana.command("imagine", stand.general, model="flux", prompt="a tree")
        assert "Please wait" in text_of(await soon.reply())


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
            assert "Please wait" in text_of(await soon.reply())


async def test_a_process_that_lost_its_lease_says_nothing_more(tmp_path: Path) -> None:
    speaks = [True]
    async with whole_room(tmp_path, engine=make_engine(0.5), may_speak=lambda: speaks[0]) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a wolf")
        await status_with(ana, "Making **#")
        speaks[0] = False
        before = stand.server.counters["rest"]
        while not stand.engine.log:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        assert stand.server.counters["rest"] == before
        assert not any(has_picture(message) for message in ana.messages(await session_of(ana)))
