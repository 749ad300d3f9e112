"""What administrators can do, what others cannot, and which guild is served at all."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modules.demo.discord_server import GuildSpec, WorldSpec
from modules.demo.discord_server.state.permissions import (
    ATTACH_FILES,
    BOT_DEFAULT,
    MEMBER,
    ROLE,
    SEND_MESSAGES,
    VIEW_CHANNEL,
    Overwrite,
)
from modules.demo.users import InvocationFailed, SimulatedUser, components_of, text_of
from modules.discord.inspection import asking_by, inspect_discord
from modules.utils.inspection import Finding, Section
from tests.discord_stand import (
    Stand,
    answered_by_status,
    bot_on,
    discord_server,
    make_engine,
    result_for,
    status_with,
    whole_room,
)
from tests.embedded_discord import Rest


async def says(stand: Stand, person: SimulatedUser, text: str, words: str) -> str:
    """What the bot answers to a message."""
    await person.say(stand.general, stand.typed(text))
    answer = await person.wait_for_message(
        lambda m: (
            m["author"]["id"] == str(stand.server.bot.id) and words in text_of(m) and not m["flags"] & 64
        )
    )
    return str(text_of(answer))


async def test_commands_are_registered_once_and_cleared_and_synced_on_demand(
    tmp_path: Path, world: WorldSpec
) -> None:
    async with discord_server(world) as server:
        put = "rest PUT /applications/{application_id}/guilds/{guild_id}/commands"
        async with bot_on(server, tmp_path) as stand:
            admin = await stand.person("admin")
            names = {command["name"] for command in admin.commands}
            assert {"imagine", "edit", "queue", "cancel", "history", "settings", "forget", "help"} <= names
            assert {"admin", "Edit picture", "Make again"} <= names
            imagine = next(command for command in admin.commands if command["name"] == "imagine")
            assert imagine["name_localizations"]["es-ES"] == "imaginar"
            assert (
                imagine["description_localizations"]["es-419"]
                == "Crea una imagen a partir de una descripción"
            )
        synced = server.counters[put]
        async with bot_on(server, tmp_path) as stand:
            admin = await stand.person("admin")
            assert server.counters[put] == synced
            await stand.database.key_values.put(f"command-tree:{server.guild.id}", "that of another version")
        async with bot_on(server, tmp_path) as stand:
            await stand.until(lambda: server.counters[put] == synced + 1)
            admin = await stand.person("admin")
            await says(stand, admin, "!clearall", "`!sync` brings them back")
            await admin.until(lambda: not admin.commands)
        async with bot_on(server, tmp_path) as stand:
            admin = await SimulatedUser.connect(server.url, server.user("admin").id)
            stand.people.append(admin)
            await says(stand, admin, f"<@{server.bot.id}> sync", "commands are now registered")
            await admin.until(lambda: len(admin.commands) > 10)


async def mentions_its_commands(stand: Stand) -> None:
    ana, ben = await stand.person("member-1"), await stand.person("member-2", locale="es-419")
    ids = {command["name"]: command["id"] for command in ana.commands}
    guide = ""
    while "</" not in guide:  # the bot answers before it has looked at its commands
        guide = text_of(await (await ana.command("help", stand.general)).reply())
    for name in ("imagine", "edit", "queue", "cancel", "history", "settings", "forget"):
        assert f"</{name}:{ids[name]}>" in guide
    theirs = text_of(await (await ben.command("help", stand.general)).reply())
    assert "**/imaginar** crea" in theirs  # Discord would show a mention as /imagine
    stand.queue.pause()
    await (await ana.command("imagine", stand.general, model="flux", prompt="a quay")).reply()
    asked = await (await ana.command("forget", stand.general)).reply()
    await (await ana.click(asked, "Erase everything")).acknowledged()
    refusal = f"cancel them with </cancel:{ids['cancel']}>."
    await ana.until(lambda: refusal in text_of(ana.message(asked["id"]) or asked))


async def test_commands_are_mentioned_by_their_ids_also_after_a_restart(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            await mentions_its_commands(stand)
        async with bot_on(server, tmp_path) as stand:
            await mentions_its_commands(stand)
        assert server.counters["rest PUT /applications/{application_id}/guilds/{guild_id}/commands"] == 1


async def test_clearing_the_commands_touches_no_job(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        admin, ana = await stand.person("admin"), await stand.person("member-1")
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a harbour")).reply()
        await says(stand, admin, f"<@{stand.server.bot.id}> clearall", "`!sync` brings them back")
        await ana.until(lambda: not ana.commands)
        assert len(stand.queue.active_jobs(ana.id)) == 1
        stand.queue.resume()
        assert await result_for(ana, "a harbour")


async def test_prefix_commands_answer_administrators_only(tmp_path: Path, world: WorldSpec) -> None:
    async with whole_room(tmp_path, world) as stand:
        admin, ana = await stand.person("admin"), await stand.person("member-1")
        assert str(stand.server.guild.id) in await says(stand, admin, "!getid", "This server's ID")
        await says(stand, ana, "!clearall", "Only administrators")
        assert admin.commands
        asked = await ana.command("admin pause", stand.general)
        with pytest.raises(InvocationFailed):  # Discord does not even show it to them
            await asked.reply()
        assert not stand.queue.status().paused


SUBCOMMANDS: dict[str, dict[str, str]] = {
    "sync": {},
    "clearall": {},
    "getid": {},
    "status": {},
    "gpus": {},
    "reload": {},
    "pause": {},
    "resume": {},
    "drain": {"gpu": "gpu-1"},
    "block": {"user": "admin"},
    "unblock": {"user": "admin"},
    "limits": {},
    "cancel": {"job": "1"},
    "find": {"message": "123456789012345678"},
}


def open_to_everybody(stand: Stand) -> dict[str, Any]:
    """As an administrator may have done in the server's settings. The command ``admin``."""
    registered = stand.server.hub.commands.registered(stand.server.guild.id)
    command = next(command for command in registered if command["name"] == "admin")
    command["default_member_permissions"] = None
    return command


async def test_where_discord_shows_them_to_everybody_the_bot_still_answers_administrators_only(
    tmp_path: Path,
) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana, admin = await stand.person("member-1"), await stand.person("admin")
        assert {option["name"] for option in open_to_everybody(stand)["options"]} == set(SUBCOMMANDS)
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a wall")).reply()
        before = (stand.queue.status(), stand.fleet.engines())
        for name, options in SUBCOMMANDS.items():
            given = {**options, **({"user": str(admin.id)} if "user" in options else {})}
            told = await (await ana.command(f"admin {name}", stand.general, **given)).reply()
            assert text_of(told) == "Only administrators can do this.", name
        assert await ana.autocomplete("admin drain", stand.general, "gpu") == []
        assert (stand.queue.status(), stand.fleet.engines()) == before
        assert not await stand.database.members.is_blocked(admin.id)
        offered = await admin.autocomplete("admin drain", stand.general, "gpu")
        assert [choice["value"] for choice in offered] == ["gpu-1"]


async def test_in_another_guild_nothing_is_done_not_even_for_its_administrator(tmp_path: Path) -> None:
    async with (
        discord_server() as server,
        Rest(server) as rest,
        bot_on(server, tmp_path, guild_id=123456789012345678) as stand,
    ):
        path = f"/applications/{server.bot.id}/guilds/{server.guild.id}/commands"
        assert (await rest("PUT", path, stand.product.registration.payload())).status == 200
        admin = await stand.person("admin")
        invoked = [
            await admin.command("admin pause", stand.general),
            await admin.command("admin clearall", stand.general),
            await admin.command("imagine", stand.general, model="flux", prompt="a wall"),
        ]
        with pytest.raises(asyncio.TimeoutError):
            await admin.autocomplete("imagine", stand.general, "model", timeout=0.3)
        await says(stand, admin, "!getid", "This server's ID")
        for one in invoked:
            assert "set up for another server" in (await one.reply())["content"]
        assert not stand.queue.status().paused
        assert not stand.queue.active_jobs(admin.id)


async def test_an_administrator_sees_and_steers_the_whole(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        admin, ana = await stand.person("admin"), await stand.person("member-1")

        async def answer(command: str, **options: object) -> dict[str, object]:
            return await (await admin.command(f"admin {command}", stand.general, **options)).reply()

        assert "Paused" in str(text_of(await answer("pause")))
        await ana.command("imagine", stand.general, model="flux", prompt="a garden")
        await stand.until(lambda: stand.queue.active_jobs(ana.id))
        status = text_of(await answer("status")).splitlines()
        assert status[:3] == ["### Status", "**Queue**", "1 waiting, 0 being made, for one person."]
        assert "**gpu-1** idle · 0 pictures" in status
        assert "▱▱▱▱▱▱▱▱▱▱ busy 0%" in status
        assert "Cancelled **#1**" in str(text_of(await answer("cancel", job="#1")))
        await status_with(ana, "**#1** was cancelled by an administrator.")
        assert "The queue is running again" in str(text_of(await answer("resume")))
        await ana.command("imagine", stand.general, model="flux", prompt="a garden")
        result = await result_for(ana, "a garden")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        found = str(text_of(await answer("find", message=result["id"])))
        assert f"by <@{ana.id}>" in found
        assert "a garden" in found
        assert "gpu-1" in str(text_of(await answer("gpus")))
        assert "2 at once" in str(text_of(await answer("limits")))
        assert "is blocked" in str(text_of(await answer("block", user=str(ana.id))))
        refused = await ana.command("imagine", stand.general, model="flux", prompt="more")
        assert "You cannot ask for pictures here" in text_of(await refused.reply())
        assert f"<@{ana.id}>" in str(text_of(await answer("limits")))
        await answer("unblock", user=str(ana.id))
        allowed = await ana.command("imagine", stand.general, model="flux", prompt="more")
        assert "queued" in text_of(await allowed.reply())
        assert "There is no GPU with that name. The GPUs are: gpu-1." in str(
            text_of(await answer("drain", gpu="gpu-9"))
        )
        assert "gpu-1 will finish" in str(text_of(await answer("drain", gpu="gpu-1")))


async def test_an_administrator_cancels_by_the_button_of_a_status_message(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        admin, ana = await stand.person("admin"), await stand.person("member-1", locale="es-ES")
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="una torre")).reply()
        status = await status_with(ana, "una torre")
        await admin.history(status["channel_id"])
        await answered_by_status(await admin.click(status, "Cancelar"))
        await status_with(ana, "Un administrador canceló **#1**.")
        assert stand.queue.active_jobs(ana.id) == ()


async def test_the_server_is_set_up_by_slash_commands_too(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        admin = await stand.person("admin", locale="es-419")
        for command, words in (
            ("getid", f"El ID de este servidor es `{stand.server.guild.id}`."),
            ("reload", "Recargado. GPU: "),
            ("sync", "comandos registrados en este servidor."),
            ("clearall", "Se quitaron los comandos de este bot"),
        ):
            assert admin.commands
            told = await (await admin.command(f"admin {command}", stand.general)).reply()
            assert words in text_of(told)
        await admin.until(lambda: not admin.commands)


async def test_status_tells_the_times_once_they_are_known(tmp_path: Path) -> None:
    engine = make_engine(0.6)
    engine.limits = dict.fromkeys(engine.limits, 1)
    async with whole_room(tmp_path, engine=engine, rate_limits=False) as stand:
        admin, ana = await stand.person("admin"), await stand.person("member-1", locale="es-ES")

        async def fields() -> tuple[str, str]:
            report = await (await admin.command("admin status", stand.general)).reply()
            _, queue, gpus, *_ = (c["content"] for c in components_of(report) if "content" in c)
            return queue.partition("\n")[2], gpus

        await stand.until(lambda: [one.state for one in stand.fleet.engines()] == ["idle"])
        assert await fields() == (
            "0 waiting, 0 being made.",
            "**gpu-1** idle · 0 pictures\n▱▱▱▱▱▱▱▱▱▱ busy 0%\n-# Models: Flux, Z-Image, Flux_Edit, Upscale",
        )
        await ana.command("imagine", stand.general, model="flux", prompt="un molino")
        await result_for(ana, "un molino")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        async with engine.gpu:  # somebody else's work is before the bot's at that server
            await (await ana.command("imagine", stand.general, model="flux", prompt="dos", count=2)).reply()
            await stand.until(lambda: len(engine.submitted) == 2)
            queue, gpus = await fields()
        assert queue == (
            "1 waiting, 1 about to start, 0 being made, for one person.\n"
            "The last picture in line is expected any moment now."
        )
        assert re.match(r"\*\*gpu-1\*\* busy · one picture, [01]\.\d s\n[▰▱]{10} busy \d+%", gpus)


async def test_an_administrator_finds_who_made_a_shared_picture(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            admin, ana = await stand.person("admin"), await stand.person("member-1")
            await ana.command("imagine", stand.general, model="flux", prompt="a dome", seed=4)
            await (await ana.click(await result_for(ana, "a dome"), "Share")).reply()
            copy = await admin.wait_for_message(lambda m: "a dome" in text_of(m), channel=gallery)
            link = f"https://discord.com/channels/{server.guild.id}/{gallery}/{copy['id']}"
            for message in (copy["id"], link):
                told = await (await admin.command("admin find", stand.general, message=message)).reply()
                assert text_of(told).startswith(f"**#1** by <@{ana.id}>, ")
                assert text_of(told).endswith("Flux, 64×64, seed `4`\n> a dome")
            await admin.say(gallery, "no picture of the bot's")
            said = await admin.wait_for_message(lambda m: "no picture" in text_of(m))
            told = await (await admin.command("admin find", stand.general, message=said["id"])).reply()
            assert "has no record of that picture" in text_of(told)


async def test_reading_the_settings_again_tells_the_gpus_and_what_is_wrong(
    tmp_path: Path, world: WorldSpec
) -> None:
    async def reload() -> tuple[str, ...]:
        return ("Nothing changed, because .env has errors: COMFY_URLS: missing",)

    async with whole_room(tmp_path, world, reload=reload) as stand:
        admin = await stand.person("admin")
        await stand.until(stand.fleet.engines)
        lines = (await says(stand, admin, "!reload", "Reloaded")).splitlines()
        assert lines[0] == "Reloaded. GPUs: GPU-1."
        assert "Nothing changed, because .env has errors" in lines[1]


async def test_all_of_it_can_be_typed_with_a_prefix_as_well(tmp_path: Path, world: WorldSpec) -> None:
    async with whole_room(tmp_path, world, rate_limits=False) as stand:
        admin, ana = await stand.person("admin"), await stand.person("member-1")
        await says(stand, admin, "!pause", "Paused")
        await (await ana.command("imagine", stand.general, model="flux", prompt="a shed", count=2)).reply()
        await says(stand, admin, "!cancel #1", f"Cancelled **#1**, requested by <@{ana.id}>.")
        await says(stand, admin, "!cancel 1", "not in the queue")
        await says(stand, admin, "!cancel", "not in the queue")
        await says(stand, admin, "!resume", "The queue is running again.")
        result = await result_for(ana, "a shed")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        found = await says(stand, admin, f"!find {result['id']}", "**#2** by")
        assert f"<@{ana.id}>" in found
        assert "> a shed" in found
        await admin.say(stand.general, stand.typed("!status"))
        await admin.wait_for_message(lambda m: "### Status" in text_of(m) and "**GPU-1** idle" in text_of(m))
        await says(stand, admin, "!gpus", "**GPU-1** idle")
        await says(stand, admin, "!limits", "Everyone: 2 at once")
        await says(stand, admin, f"!block <@{ana.id}>", f"<@{ana.id}> is blocked.")
        assert await stand.database.members.is_blocked(ana.id)
        await says(stand, admin, f"!unblock <@{ana.id}>", "can ask for pictures again")
        assert not await stand.database.members.is_blocked(ana.id)
        await says(stand, admin, "!reload", "Reloaded")
        await says(stand, admin, "!drain GPU-1", "GPU-1 will finish what it is doing")
        await stand.until(lambda: not stand.fleet.engines())


async def test_addresses_and_errors_are_told_only_where_administrators_read(
    tmp_path: Path, world: WorldSpec
) -> None:
    secrets = ("10.0.0.7:8188", "CUDA error", "/srv/models", "faulty card")
    async with discord_server(world, rate_limits=False) as server:
        staff, helped = server.channel("moderators"), server.channel("gallery")
        allow = VIEW_CHANNEL | SEND_MESSAGES
        for channel in (staff, helped):
            channel.overwrites |= {
                server.guild.id: Overwrite(id=server.guild.id, type=ROLE, deny=VIEW_CHANNEL),
                server.bot.id: Overwrite(id=server.bot.id, type=MEMBER, allow=allow),
            }
        helper = server.user("member-1").id
        helped.overwrites[helper] = Overwrite(id=helper, type=MEMBER, allow=allow)
        engine = make_engine()
        engine.name = "10.0.0.7:8188"

        async def inspect() -> list[Section]:
            return [Section(title="Models", findings=[Finding(level="fault", what="faulty card")])]

        async with bot_on(server, tmp_path, engine=engine, inspect=inspect) as stand:
            admin = await stand.person("admin")
            await stand.until(lambda: [one.state for one in stand.fleet.engines()] == ["idle"])
            (status,) = stand.fleet.engines()
            troubled = replace(
                status, last_error="CUDA error", missing_files={"a.safetensors": "curl -o /srv/models/a"}
            )
            stand.fleet.engines = lambda: (troubled,)  # type: ignore[method-assign]

            async def typed(channel: int, command: str) -> str:
                seen = {message["id"] for message in admin.messages(channel)}
                await admin.say(channel, stand.typed(command))
                return text_of(
                    await admin.wait_for_message(
                        lambda m: m["id"] not in seen and m["author"]["id"] == str(server.bot.id),
                        channel=channel,
                    )
                )

            for command in ("!status", "!gpus", "!reload", "!drain nothing"):
                told = await typed(stand.general, command)
                assert not [secret for secret in secrets if secret in told], command
                assert "GPU-1" in told
            assert "/admin gpus" in await typed(stand.general, "!gpus") or "</admin gpus:" in told
            for told in (
                await typed(staff.id, "!gpus"),
                text_of(await (await admin.command("admin gpus", stand.general)).reply()),
            ):
                assert [secret for secret in secrets if secret in told] == list(secrets[:3])
            assert "faulty card" in await typed(staff.id, "!status")
            told = await typed(helped.id, "!gpus")
            assert not [secret for secret in secrets if secret in told]


async def test_status_tells_in_short_what_the_check_finds(tmp_path: Path) -> None:
    async def inspect() -> list[Section]:
        ask = asking_by(room.bot.http)
        return [Section(title="Discord", findings=await inspect_discord(ask, guild_id=room.server.guild.id))]

    async with whole_room(tmp_path, inspect=inspect) as room:
        admin = await room.person("admin")
        room.server.set_bot_permissions(BOT_DEFAULT & ~ATTACH_FILES)
        answer = await (await admin.command("admin status", room.general)).reply()
        shown = text_of(answer).partition("**Check**\n")[2]
        assert "1 problem" in shown
        assert "✗ the bot lacks the permission Attach Files" in shown
        await admin.set_locale("es-ES")
        answer = await (await admin.command("admin status", room.general)).reply()
        counts, area, where = text_of(answer).partition("**Revisión**\n")[2].splitlines()
        assert counts.endswith("0 advertencias, 1 problema")
        assert area == "-# ✗ `Discord`: 0 advertencias, 1 problema"
        assert where == "-# `python3 bot.py check` dice cuáles."


async def test_other_guilds_are_left_at_start_and_on_join(tmp_path: Path) -> None:
    async with discord_server() as server:
        before = server.add_guild(GuildSpec(name="elsewhere"))
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await stand.until(lambda: not before.has_bot)
            later = server.add_guild(GuildSpec(name="later"))
            for _ in range(50):
                await ana.command("help", stand.general)
                await ana.history(stand.general)
                if not later.has_bot:
                    break
            assert not later.has_bot
            assert server.guild.has_bot


async def test_a_mistyped_id_leaves_nothing_takes_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with discord_server() as server:
        with caplog.at_level(logging.WARNING):
            async with bot_on(server, tmp_path, guild_id=123456789012345678) as stand:
                admin = await SimulatedUser.connect(server.url, server.user("admin").id)
                stand.people.append(admin)
                assert str(server.guild.id) in await says(stand, admin, "!getid", "This server's ID")
                assert server.guild.has_bot
                assert stand.queue.status().closed_because == "wrong-guild"
                assert admin.commands == []
        lines = [
            record.getMessage() for record in caplog.records if "ALLOWED_GUILD_ID" in record.getMessage()
        ]
        assert len(lines) == 1
        assert "not one of this bot's servers" in lines[0]


async def test_whoever_uses_a_command_in_another_server_is_told_so(tmp_path: Path) -> None:
    """The commands were registered there before."""
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a lake")
            result = await result_for(ana, "a lake")
        async with bot_on(server, tmp_path, guild_id=123456789012345678) as stand:
            ana = await stand.person()
            told = await (await ana.command("imagine", stand.general, model="flux", prompt="a sea")).reply()
            assert text_of(told) == "The bot is set up for another server."
            await ana.history(result["channel_id"])
            told = await (await ana.click(result, "Again")).reply()
            assert text_of(told) == "The bot is set up for another server."


async def test_a_typed_command_names_the_argument_that_it_lacks(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        admin = await stand.person("admin")
        for typed, words in (
            ("!block", "!block needs a person"),
            ("!drain", "!drain needs the name of a GPU"),
            ("!find", "!find needs a message"),
            ("!cancel", "!cancel needs the number of a picture"),
            ("!unblock nobody-of-that-name", "!unblock does not understand what you wrote after it"),
        ):
            assert words in await says(stand, admin, typed, words)


async def test_set_up_mode_answers_getid_only(tmp_path: Path, world: WorldSpec) -> None:
    async with discord_server(world) as server, bot_on(server, tmp_path, guild_id=None) as stand:
        admin = await SimulatedUser.connect(server.url, server.user("admin").id)
        stand.people.append(admin)
        await admin.say(stand.general, stand.typed("!sync"))
        assert str(server.guild.id) in await says(stand, admin, f"<@{server.bot.id}> getid", "server's ID")
        assert stand.queue.status().closed_because == "set-up"
        assert admin.commands == []
        assert server.guild.has_bot
        answers = [m for m in admin.messages(stand.general) if m["author"]["id"] == str(server.bot.id)]
        assert len(answers) == 1
