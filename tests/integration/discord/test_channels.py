"""Private channels: one for each person's id, handed to nobody else, closed when unused."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import discord
import pytest

from modules.demo.discord_server import ChannelSpec, GuildSpec, UserSpec, WorldSpec, default_world
from modules.demo.discord_server.state.permissions import BOT_MODERATOR
from modules.demo.discord_server.state.world import DEFAULT_CHANNELS, BotSpec
from modules.demo.users import SimulatedUser
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import StoreUnavailable
from modules.utils.database.rows import SessionRecord
from modules.utils.database.stores.sessions import SessionStore
from tests.discord_stand import Stand, bot_on, discord_server, make_engine, result_for, session_of, whole_room

CATEGORY, TEXT = 4, 0


def sessions(stand: Stand) -> list[str]:
    """The names of the private channels that stand in the guild."""
    return sorted(c.name for c in stand.server.guild.channels.values() if c.name.startswith("art-"))


async def open_for(stand: Stand, user_id: int, name: str = "Ana") -> int:
    """The person's channel."""
    guild_id = stand.server.guild.id
    channel = await stand.product.channels.open(guild_id, user_id, name=name, locale="en-US")
    return channel.id


async def test_many_first_uses_at_once_make_a_channel_each_and_one_category(tmp_path: Path) -> None:
    async with whole_room(tmp_path, default_world(56)) as stand:
        ids = [user.id for user in stand.server.hub.people if user.name.startswith("member")]
        twice = [*ids[:50], *ids[:50]]
        found = await asyncio.gather(*(open_for(stand, user_id) for user_id in twice))
        assert len(set(found)) == 50
        assert found[:50] == found[50:]
        channels = stand.server.guild.channels.values()
        assert len([c for c in channels if c.kind == CATEGORY and c.name.startswith("FuLLet")]) == 1
        await open_for(stand, ids[50])
        ours = [c for c in channels if c.kind == CATEGORY and c.name.startswith("FuLLet")]
        assert [c.name for c in ours] == ["FuLLet", "FuLLet 2"]
        assert stand.product.traffic.refused == 0


async def test_a_category_that_is_full_of_what_the_bot_does_not_see_is_left_alone(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana, ben = stand.server.user("member-1"), stand.server.user("member-2")
        await open_for(stand, ana.id, "Ana")
        channels = stand.server.guild.channels
        first = next(c for c in channels.values() if c.name == "FuLLet")
        for number in range(49):
            channels[number] = replace(stand.server.channel("general"), id=number, parent_id=first.id)
        ben_s = channels[await open_for(stand, ben.id, "Ben")]
        assert ben_s.parent_id is not None
        assert channels[ben_s.parent_id].name == "FuLLet 2"


async def test_a_channel_is_found_again_without_the_database(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            member = server.user("member-1").id
            before = await open_for(stand, member)
        (tmp_path / "empty").mkdir()
        async with bot_on(server, tmp_path / "empty") as stand:
            assert await open_for(stand, member) == before


async def test_who_takes_anothers_old_name_gets_a_channel_of_their_own(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = stand.server.user("member-1"), stand.server.user("member-2")
        hers = await open_for(stand, ana.id, "Ana")
        await stand.database.sessions.remove(stand.server.guild.id, ana.id)
        assert await open_for(stand, ben.id, "Ana") != hers
        assert await open_for(stand, ana.id, "Somebody else") == hers


async def test_a_channel_that_others_can_see_is_not_handed_out(tmp_path: Path) -> None:
    async with whole_room(tmp_path, default_world(3, bot=BotSpec(permissions=BOT_MODERATOR))) as stand:
        ana, ben = stand.server.user("member-1"), stand.server.user("member-2")
        first = await open_for(stand, ana.id)
        guild = stand.bot.get_guild(stand.server.guild.id)
        assert guild is not None
        channel, member = guild.get_channel(first), await guild.fetch_member(ben.id)
        assert isinstance(channel, discord.TextChannel)
        seen = {**channel.overwrites, member: discord.PermissionOverwrite(view_channel=True)}
        await channel.edit(overwrites=seen)
        while not any(target.id == ben.id for target in channel.overwrites):
            await asyncio.sleep(0.01)
        assert await open_for(stand, ana.id) != first


async def test_unused_channels_are_warned_and_closed_but_not_while_a_job_lives(tmp_path: Path) -> None:
    async with whole_room(tmp_path, session_idle_minutes=1) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        guild_id, now = stand.server.guild.id, time.time()
        unused, busy = await open_for(stand, ana.id, "unused"), await open_for(stand, ben.id, "busy")
        stand.queue.pause()
        await ben.command("imagine", stand.general, model="flux", prompt="waits")
        await stand.until(lambda: stand.queue.active_jobs(ben.id))
        for user, channel in ((ana, unused), (ben, busy)):
            await stand.database.sessions.put(
                SessionRecord(guild_id=guild_id, user_id=user.id, channel_id=channel, last_used_at=now - 3600)
            )
        await stand.product.channels.sweep(guild_id)
        warned = await ana.wait_for_message(lambda m: "will be deleted" in m["content"])
        assert warned["channel_id"] == str(unused)
        assert sessions(stand) == ["art-busy", "art-unused"]
        record = await stand.database.sessions.get(guild_id, ana.id)
        assert record is not None
        await stand.database.sessions.put(
            SessionRecord(
                guild_id=guild_id, user_id=ana.id, channel_id=unused, last_used_at=now - 3600, warned=True
            )
        )
        await stand.product.channels.sweep(guild_id)
        assert sessions(stand) == ["art-busy"]


async def test_what_was_used_while_others_were_closed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round can take minutes; what it saw at its beginning may not be so any more."""
    async with whole_room(tmp_path) as stand:
        ana, ben = stand.server.user("member-1"), stand.server.user("member-2")
        guild_id, store = stand.server.guild.id, stand.database.sessions
        seen = []
        for user, warned in ((ana, True), (ben, False)):
            channel = await open_for(stand, user.id, user.name)
            seen.append(
                SessionRecord(
                    guild_id=guild_id, user_id=user.id, channel_id=channel, last_used_at=1.0, warned=warned
                )
            )

        async def at_first(_: int) -> list[SessionRecord]:
            return seen

        monkeypatch.setattr(store, "of_guild", at_first)
        await stand.product.channels.sweep(guild_id)
        assert sessions(stand) == ["art-member-1", "art-member-2"]
        for user in (ana, ben):
            record = await store.get(guild_id, user.id)
            assert record is not None
            assert not record.warned


async def test_writing_in_ones_channel_keeps_it_open(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        channel, guild_id = await open_for(stand, ana.id), stand.server.guild.id
        old = SessionRecord(
            guild_id=guild_id, user_id=ana.id, channel_id=channel, last_used_at=1.0, warned=True
        )
        await stand.database.sessions.put(old)
        await ana.say(channel, "still here")
        for _ in range(500):
            record = await stand.database.sessions.get(guild_id, ana.id)
            assert record is not None
            if not record.warned:
                break
            await asyncio.sleep(0.01)
        assert record.last_used_at > 1_000_000


async def test_who_is_banned_loses_jobs_and_channel(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await open_for(stand, ana.id, "Ana")
        stand.queue.pause()
        await ana.command("imagine", stand.general, model="flux", prompt="waits")
        await stand.until(lambda: stand.queue.active_jobs(ana.id))
        stand.server.member_leaves(stand.server.user("member-1"), banned=True)
        for _ in range(500):
            if not stand.queue.active_jobs(ana.id) and not sessions(stand):
                break
            await asyncio.sleep(0.01)
        assert stand.queue.active_jobs(ana.id) == ()
        assert sessions(stand) == []


async def test_the_place_of_who_is_banned_in_a_running_batch_goes_and_nobody_elses_picture(
    tmp_path: Path,
) -> None:
    async with whole_room(tmp_path, engine=make_engine(1.0)) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        stand.queue.pause()
        for person, prompt in ((ana, "never to be seen"), (ben, "a lighthouse")):
            await person.command("imagine", stand.general, model="flux", prompt=prompt)
            await stand.until(lambda person=person: stand.queue.active_jobs(person.id))
        stand.queue.resume()
        await stand.until(lambda: stand.engine.submitted)
        hers = next(job for job in stand.engine.submitted[0].jobs if job.request.user_id == ana.id)
        assert len(stand.engine.submitted[0].jobs) == 2
        stand.server.member_leaves(stand.server.user("member-1"), banned=True)
        await result_for(ben, "a lighthouse")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id) and len(sessions(stand)) == 1)
        assert len(stand.engine.submitted) == 1
        record = await stand.database.history.job(hers.id)
        assert record is not None
        assert record.state == "cancelled"
        assert await stand.database.history.undelivered(ana.id) == []
        channels = stand.server.hub.channels.values()
        posted = [message for channel in channels for message in channel.messages.values()]
        assert not any("never to be seen" in message.content for message in posted)


async def test_who_leaves_is_noticed_without_the_members_intent(tmp_path: Path) -> None:
    async with whole_room(tmp_path, default_world(12), sweep_every=0.1) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        stand.queue.pause()
        for person in (ana, ben):
            await person.command("imagine", stand.general, model="flux", prompt="waits")
            await stand.until(lambda person=person: stand.queue.active_jobs(person.id))
        idle = [stand.server.user(f"member-{number}") for number in range(3, 11)]
        for user in idle:
            await open_for(stand, user.id, user.name)
        for user in (stand.server.user("member-1"), *idle):
            stand.server.member_leaves(user)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id) and len(sessions(stand)) == 1)
        assert stand.queue.active_jobs(ben.id)


async def test_a_time_that_ran_out_while_the_bot_was_away_has_run_out(tmp_path: Path) -> None:
    async with discord_server() as server:
        ana = server.user("member-1")
        async with bot_on(server, tmp_path) as stand:
            channel = await open_for(stand, ana.id)
            old = SessionRecord(
                guild_id=server.guild.id, user_id=ana.id, channel_id=channel, last_used_at=1.0
            )
            await stand.database.sessions.put(old)
        watcher = await SimulatedUser.connect(server.url, ana.id)
        async with bot_on(server, tmp_path, session_idle_minutes=0.02, sweep_every=0.1) as stand:
            stand.people.append(watcher)
            await watcher.wait_for_message(lambda m: "will be deleted" in m["content"])
            await stand.until(lambda: sessions(stand) == [])


async def test_in_a_full_guild_where_everybody_is_busy_the_next_one_is_told(tmp_path: Path) -> None:
    fillers = tuple(ChannelSpec(name=f"room-{n}") for n in range(493))
    users = tuple(UserSpec(name=f"member-{n}", administrator=n == 0) for n in range(3))
    world = WorldSpec(users=users, guilds=(GuildSpec(channels=(*DEFAULT_CHANNELS, *fillers)),))
    async with whole_room(tmp_path, world) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        stand.queue.pause()
        await ana.command("imagine", stand.general, model="flux", prompt="waits")
        await stand.until(lambda: stand.queue.active_jobs(ana.id))
        assert len(stand.server.guild.channels) == 500
        asked = await ben.command("imagine", stand.general, model="flux", prompt="too late")
        assert "no room for another channel" in (await asked.reply())["content"]
        assert len(sessions(stand)) == 1
        assert stand.queue.status().waiting == 1


async def test_a_connection_that_breaks_while_a_channel_is_closed_ends_nothing(tmp_path: Path) -> None:
    async with whole_room(tmp_path, sweep_every=0.1) as stand:
        ana, ben = stand.server.user("member-1"), stand.server.user("member-2")
        guild_id = stand.server.guild.id
        for user in (ana, ben):
            channel = await open_for(stand, user.id, user.name)
            if user is ana:
                stand.server.faults.hang_up(60)
            unused = SessionRecord(
                guild_id=guild_id, user_id=user.id, channel_id=channel, last_used_at=1.0, warned=True
            )
            await stand.database.sessions.put(unused)
            async with timeout(60):
                while (record := await stand.database.sessions.get(guild_id, user.id)) is not None:
                    if record != unused:  # the bot's first look at what there is came in between
                        await stand.database.sessions.put(unused)
                    await asyncio.sleep(0.01)
            stand.server.faults.hang_up(0)
        await stand.until(lambda: sessions(stand) == ["art-member-1"])
        assert not stand.work.done()


async def test_a_store_that_is_away_at_first_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, of_guild = iter([StoreUnavailable("away"), StoreUnavailable("away")]), SessionStore.of_guild

    async def sometimes(store: SessionStore, guild_id: int) -> list[SessionRecord]:
        for error in answers:
            raise error
        return await of_guild(store, guild_id)

    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            member = server.user("member-1").id
            channel = await open_for(stand, member)
        monkeypatch.setattr(SessionStore, "of_guild", sometimes)
        (tmp_path / "empty").mkdir()
        async with bot_on(server, tmp_path / "empty", sweep_every=0.1) as stand, timeout(60):
            while (record := await stand.database.sessions.get(server.guild.id, member)) is None:
                await asyncio.sleep(0.01)
            assert record.channel_id == channel
            assert not stand.work.done()


async def test_a_full_guild_gives_up_its_longest_unused_session(tmp_path: Path) -> None:
    users = tuple(UserSpec(name=f"member-{n}", administrator=n == 0) for n in range(4))
    fillers = tuple(ChannelSpec(name=f"room-{n}") for n in range(490))
    world = WorldSpec(users=users, guilds=(GuildSpec(channels=(*DEFAULT_CHANNELS, *fillers)),))
    async with whole_room(tmp_path, world) as stand:
        ids = [stand.server.user(f"member-{n}").id for n in range(4)]
        # Five channels of the default, 490 more, one category of ours: four places are left.
        guild_id = stand.server.guild.id
        guild = stand.bot.get_guild(guild_id)
        assert guild is not None
        opened = [
            await stand.product.channels.open(guild_id, user_id, name=f"p{number}", locale="en-US")
            for number, user_id in enumerate(ids)
        ]
        now = time.time()
        for number, (user_id, channel) in enumerate(zip(ids, opened, strict=True)):
            last = SessionRecord(
                guild_id=guild_id,
                user_id=user_id,
                channel_id=channel.id,
                last_used_at=now - 100 + number,
            )
            await stand.database.sessions.put(last)
        assert len(guild.channels) == 500
        newcomer = stand.server.add_user(UserSpec(name="newcomer"))
        await open_for(stand, newcomer.id, "newcomer")
        assert sessions(stand) == ["art-newcomer", "art-p1", "art-p2", "art-p3"]


async def test_a_channel_deleted_by_hand_is_replaced_at_the_next_use(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        first = await open_for(stand, ana.id)
        stand.server.delete_channel(first)
        await ana.until(lambda: str(first) not in ana.channels)
        await ana.command("imagine", stand.general, model="flux", prompt="a lamp")
        assert (await result_for(ana, "a lamp"))["channel_id"] == await session_of(ana)


async def test_a_late_event_of_discords_is_nothing_to_a_bot_that_has_closed(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        await stand.bot.close()
        stand.bot.dispatch("ready")
