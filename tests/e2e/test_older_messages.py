"""Messages as they were before there were layouts, from recorded bodies: their buttons go on doing what they
say, and a bot that comes back finds them and brings them up to date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.bodies.messages import CreateMessage
from modules.demo.discord_server.state.files import Upload
from modules.demo.discord_server.state.messages import create_message
from modules.demo.users import Payload, SimulatedUser, files_of, text_of
from modules.queue_manager.jobs import Job
from tests.discord_stand import (
    Stand,
    answered_by_status,
    bot_on,
    delete_result,
    discord_server,
    has_picture,
    make_engine,
    painted,
    result_for,
    session_of,
    status_with,
)

BUTTONS = ("again", "vary", "edit", "prompt", "upscale", "share", "delete")


def _buttons(job: Job, *names: str) -> list[Payload]:
    """Rows as the bot sent them, five buttons each."""
    buttons = [
        {
            "type": 2,
            "style": 2,
            "label": name.title(),
            "custom_id": f"fullet:{name}:{job.id}",
            "disabled": False,
        }
        for name in names
    ]
    return [{"type": 1, "components": buttons[at : at + 5]} for at in range(0, len(buttons), 5)]


def posted(server: DiscordServer, channel: int, body: Payload, *files: Upload) -> Payload:
    """What stands in a channel after a body of before."""
    message = create_message(
        server.hub, server.hub.channels[channel], server.hub.bot, CreateMessage(**body), uploads=files
    )
    return message.payload(server.hub.files)


def old_result(server: DiscordServer, channel: int, job: Job) -> Payload:
    """A result as version 1 posted it."""
    name = f"{job.number}-{job.id}.png"
    said = (
        f"**#{job.number}** <@{job.request.user_id}>\n> {job.request.prompt}\n"
        f"-# Flux · 64×64 · seed `{job.request.seed}` · no wait · GPU 0.1 s"
    )
    picture = painted(job.request.prompt, job.request.seed, job.request.size)
    body: dict[str, Any] = {
        "content": said,
        "components": _buttons(job, *BUTTONS),
        "attachments": [{"id": 0, "filename": name, "description": job.request.prompt}],
    }
    return posted(server, channel, body, Upload(index=0, filename=name, data=picture))


async def made(stand: Stand, person: SimulatedUser, prompt: str) -> tuple[Job, int]:
    """A job whose result is there, and their channel."""
    await person.command("imagine", stand.general, model="flux", prompt=prompt, seed=7)
    await result_for(person, prompt)
    await stand.until(lambda: not stand.queue.active_jobs(person.id))
    return stand.engine.submitted[-1].jobs[0], int(await session_of(person))


async def test_the_buttons_of_an_older_result_do_what_they_say(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            job, channel = await made(stand, ana, "a tower")
            old = old_result(server, channel, job)
            await ana.until(lambda: ana.message(old["id"]))
            await answered_by_status(await ana.click(old, "Again"))
            await result_for(ana, "**#2**")
            await answered_by_status(await ana.click(old, "Vary"))
            await result_for(ana, "**#3**")
            assert stand.engine.submitted[-1].jobs[0].request.variation is not None
            await answered_by_status(await ana.click(old, "Upscale"))
            await result_for(ana, "upscaled ×2")
            form = await (await ana.click(old, "Edit")).modal()
            await answered_by_status(await ana.submit_modal(form, prompt="at night"))
            await result_for(ana, "at night")
            form = await (await ana.click(old, "Prompt")).modal()
            await answered_by_status(await ana.submit_modal(form, prompt="a bridge"))
            await result_for(ana, "a bridge")
            shared = await (await ana.click(old, "Share")).reply()
            assert f"<#{gallery}>" in text_of(shared)
            copy = await ben.wait_for_message(has_picture, channel=gallery)
            assert files_of(copy)[0]["description"] == "a tower"
            question = await (await ana.click(old, "Delete")).reply()
            assert text_of(question) == "Delete **#1** for good?"


async def test_an_older_status_is_cancelled_by_its_button_and_shown_in_the_new_way(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path, engine=make_engine(30)) as stand:
            ana = await stand.person()
            stand.queue.pause()
            await ana.command("imagine", stand.general, model="flux", prompt="a snail")
            new = await status_with(ana, "a snail")
            (job,) = stand.queue.active_jobs(ana.id)
            channel = int(new["channel_id"])
        for message in list(server.hub.channels[channel].messages.values()):
            server.delete_message(message)
        preview = Upload(index=0, filename="preview.png", data=painted("a snail", 1, job.request.size))
        body = {"content": "Making **#1**\n> a snail", "components": _buttons(job, "cancel")}
        old = posted(
            server, channel, {**body, "attachments": [{"id": 0, "filename": "preview.png"}]}, preview
        )
        # The former process did not learn that it was posted: it is found by its button.
        with closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
            database.execute("UPDATE status_messages SET message_id = 0")
        async with bot_on(server, tmp_path, engine=make_engine(30)) as stand:
            ana = await stand.person()
            await ana.history(channel)
            shown = await ana.until(lambda: _laid_out(ana, old))
            assert "a snail" in text_of(shown)
            assert shown["content"] == ""
            assert files_of(shown) == []
            await answered_by_status(await ana.click(shown, "Cancel"))
            await ana.until(lambda: "**#1** was cancelled." in text_of(ana.message(old["id"]) or old))
            assert [str(message.id) for message in server.messages(channel)] == [old["id"]]


def _laid_out(person: SimulatedUser, message: Payload) -> Payload | None:
    """The message once it is a layout."""
    seen = person.message(message["id"])
    return seen if seen is not None and seen["components"][0]["type"] == 17 else None


async def test_an_older_answer_with_a_cancel_still_tells_what_became_of_the_picture(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server, bot_on(server, tmp_path) as stand:
        ana = await stand.person()
        job, channel = await made(stand, ana, "a quay")
        await stand.until(lambda: len(server.messages(channel)) == 1)  # the status has gone
        (result,) = server.messages(channel)
        older = posted(
            server,
            channel,
            {"content": "Picture #1 is queued.", "components": _buttons(job, "cancel")},
        )
        await ana.until(lambda: ana.message(older["id"]))
        late = await (await ana.click(older, "Cancel")).reply()
        assert text_of(late).startswith("**#1** is ready: [open](https://discord.com/channels/")
        assert text_of(late).endswith(f"/{result.id})")
        await delete_result(ana, ana.message(result.id) or {})
        late = await (await ana.click(older, "Cancel")).reply()
        assert text_of(late) == "**#1** was made and later deleted."


async def test_an_older_result_is_found_after_a_crash(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server, bot_on(server, tmp_path) as stand:
        ana = await stand.person()
        job, channel = await made(stand, ana, "a mill")
        for message in list(server.hub.channels[channel].messages.values()):
            server.delete_message(message)
        old = old_result(server, channel, job)
        places = stand.product.delivery
        found = await places._delivered_before(job)
        assert found is not None
        assert str(found.message_id) == old["id"]


async def test_an_older_menu_of_settings_becomes_the_page(tmp_path: Path) -> None:
    async with discord_server() as server, bot_on(server, tmp_path) as stand:
        ana = await stand.person()
        options = [{"label": name, "value": name} for name in ("previews", "notify", "direct")]
        menu = {
            "type": 3,
            "custom_id": "fullet:setting:switches",
            "options": options,
            "min_values": 0,
            "max_values": 3,
        }
        body = {"content": "**Your settings**", "components": [{"type": 1, "components": [menu]}]}
        older = posted(server, stand.general, body)
        await ana.history(stand.general)
        await (await ana.click(older, "fullet:setting:switches", values=["direct"])).acknowledged()
        await ana.until(lambda: "Saved." in text_of(ana.message(older["id"]) or older))
        shown = ana.message(older["id"]) or older
        assert shown["content"] == ""
        assert "**Mention me when a picture is ready** · off" in text_of(shown)
        assert (await stand.database.preferences.get(ana.id)).direct_message
