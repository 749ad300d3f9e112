"""The buttons under a picture: they never die, and they know whose they are."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.demo.users import (
    File,
    InvocationFailed,
    Payload,
    files_of,
    is_ephemeral,
    text_of,
)
from modules.discord.interactions.job_actions import JobActions
from modules.discord.transport.message_client import DiscordAway, MessageClient
from modules.queue_manager import job_log
from modules.utils.database.stores.key_values import SHARED
from tests.discord_stand import (
    WIDE,
    answered_by_status,
    asked_to_delete,
    bot_on,
    colour_of,
    delete_result,
    discord_server,
    filled,
    has_picture,
    more,
    painted,
    pixel,
    result_for,
    status_with,
    whole_room,
)


async def test_every_button_does_what_it_says(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await ana.command("imagine", stand.general, model="flux", prompt="a tower", seed=5)
            first = await result_for(ana, "seed `5`")

            await answered_by_status(await ana.click(first, "Vary"))
            varied = await ana.wait_for_message(lambda m: has_picture(m) and "**#2**" in text_of(m))
            request = stand.engine.submitted[-1].jobs[0].request
            assert request.seed == 5
            assert request.variation is not None
            assert "seed `5`" in text_of(varied)

            await answered_by_status(await ana.click(first, "Again"))
            await stand.until(lambda: len(stand.engine.submitted) == 3)
            again = stand.engine.submitted[-1].jobs[0].request
            assert (again.prompt, again.variation) == ("a tower", None)
            assert again.seed != 5
            await result_for(ana, f"seed `{again.seed}`")

            modal = await (await ana.click(first, "Edit")).modal()
            await ana.submit_modal(modal, prompt="with a flag")
            await result_for(ana, "with a flag")
            assert stand.engine.submitted[-1].jobs[0].request.kind == "edit"

            await answered_by_status(await more(ana, first, "upscale"))
            await stand.until(lambda: len(stand.engine.submitted) == 5)
            larger = await result_for(ana, "Flux, upscaled ×2 · 128×128 · seed `5`")
            picture = Image.open(io.BytesIO(await ana.download(files_of(larger)[0]["url"])))
            assert picture.size == (128, 128)

            shared = await (await ana.click(first, "Share")).reply()
            assert f"<#{gallery}>" in text_of(shared)
            copy = await ben.wait_for_message(lambda m: "a tower" in text_of(m), channel=gallery)
            assert "By Member 1" in text_of(copy)
            assert copy["mentions"] == []
            assert files_of(copy)[0]["description"] == "a tower"
            modal = await (await ben.click(copy, "Prompt…")).modal()
            submitted = await ben.submit_modal(modal, prompt="a tower by the sea")
            await submitted.reply()
            assert await result_for(ben, "a tower by the sea")

            stand.server.faults.forbid(int(gallery))
            refused = await (await ana.click(larger, "Share")).reply()
            assert "The picture could not be posted in the gallery" in text_of(refused)

            told = await (await more(ana, varied, "details")).reply()
            assert is_ephemeral(told)
            assert "variation `" in text_of(told)
            kept = await (await more(ana, first, "delete")).reply()
            assert text_of(kept) == "Delete **#1** for good?"
            assert ana.message(first["id"]) is not None
            await delete_result(ana, first)
            assert ana.message(first["id"]) is None


async def test_that_a_picture_could_not_be_deleted_is_said_and_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise DiscordAway("503")

    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a tower")
        result = await result_for(ana, "a tower")
        question, yes = await asked_to_delete(ana, result)
        with monkeypatch.context() as patch:
            patch.setattr(MessageClient, "delete", away)
            await (await ana.click(question, yes)).acknowledged()
            await ana.wait_for_message(lambda m: "could not change or delete that message" in text_of(m))
        assert ana.message(result["id"]) is not None
        await delete_result(ana, result)
        assert ana.message(result["id"]) is None


async def test_sharing_is_held_to_the_rules_that_hold_for_asking(tmp_path: Path) -> None:
    """A picture is shared once, also over a restart; nobody who is blocked shares one, nor one whose words
    are banned by now."""
    words = tmp_path / "words.txt"
    words.write_text("gremlin\n", encoding="utf-8")
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        options: dict[str, Any] = {"gallery_channel_id": gallery, "banned_words": words}

        def shown() -> int:
            return len(server.messages(gallery))

        async with bot_on(server, tmp_path, **options) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a tower")
            tower = await result_for(ana, "a tower")
            await ana.command("imagine", stand.general, model="flux", prompt="an ogre")
            ogre = await result_for(ana, "an ogre")
            clicks = [await ana.click(tower, "Share") for _ in range(3)]
            told = [text_of(await click.reply()) for click in clicks]
            assert all("Shared in" in one or "already in the gallery" in one for one in told)
            assert shown() == 1
            words.write_text("ogre", encoding="utf-8")
            told_ogre = await (await ana.click(ogre, "Share")).reply()
            assert "a word that is not allowed here" in text_of(told_ogre)
        server.advance(3600)
        async with bot_on(server, tmp_path, **options) as stand:
            ana = await stand.person()
            await ana.history(tower["channel_id"])
            again = await (await ana.click(tower, "Share")).reply()
            link = f"/channels/{server.guild.id}/{gallery}/{server.messages(gallery)[0].id}"
            assert text_of(again).endswith(link)
            words.write_text("nothing", encoding="utf-8")
            await stand.database.members.block(ana.id)
            blocked = await (await ana.click(ogre, "Share")).reply()
            assert "an administrator has blocked you" in text_of(blocked)
            await stand.database.members.unblock(ana.id)
            assert shown() == 1
            await (await ana.click(ogre, "Share")).reply()
            assert shown() == 2
            await stand.database.history.forget(ana.id)
            await stand.database.janitor.prune()
            assert await stand.database.key_values.get(SHARED + told_job(tower)) is None


def told_job(message: Payload) -> str:
    """The id of the job whose result this is."""
    return files_of(message)[0]["filename"].partition("-")[2].partition(".")[0]


async def test_the_buttons_of_an_upscaled_picture_act_on_what_made_it(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command(
                "imagine", stand.general, model="z-image", prompt="a tower", negative="fog", seed=5
            )
            first = await result_for(ana, "seed `5`")
            await answered_by_status(await ana.click(first, "Vary"))
            varied = await result_for(ana, "**#2**")
            variation = stand.engine.submitted[-1].jobs[0].request.variation
            assert variation is not None
            told = "seed `5`"
            await answered_by_status(await more(ana, varied, "upscale"))
            larger = await result_for(ana, f"Z-Image, upscaled ×2 · 128×128 · {told}")
            await answered_by_status(await more(ana, larger, "upscale"))
            largest = await result_for(ana, f"Z-Image, upscaled ×2, upscaled ×2 · 256×256 · {told}")
            details = await (await more(ana, largest, "details")).reply()
            assert f"variation `{variation.seed}`" in text_of(details)
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        async with bot_on(server, tmp_path) as stand:  # it is remembered
            ana = await stand.person()
            await ana.history(largest["channel_id"])
            form = await (await more(ana, largest, "prompt")).modal()
            assert filled(form) == {
                "prompt": "a tower",
                "negative": "fog",
                "seed": "5",
                "size": "64x64",
                "model": "z-image",
            }
            await answered_by_status(await ana.submit_modal(form, prompt="a bridge"))
            reworded = await result_for(ana, "a bridge")
            assert f"Z-Image · 64×64 · {told}" in text_of(reworded)
            data = await ana.download(files_of(reworded)[0]["url"])
            assert pixel(data) == colour_of("a bridge", 5)

            await answered_by_status(await ana.click(largest, "Again"))
            await stand.until(lambda: len(stand.engine.submitted) == 2)
            again = stand.engine.submitted[-1].jobs[0].request
            assert (again.model, again.prompt, again.negative, again.variation, again.sources) == (
                "z-image", "a tower", "fog", None, (),
            )  # fmt: skip
            await result_for(ana, f"Z-Image · 64×64 · seed `{again.seed}`")
            await answered_by_status(await ana.click(largest, "Vary"))
            await stand.until(lambda: len(stand.engine.submitted) == 3)
            vary = stand.engine.submitted[-1].jobs[0].request
            assert (vary.model, vary.seed, vary.negative) == ("z-image", 5, "fog")
            assert vary.variation not in (None, variation)

            form = await (await ana.click(largest, "Edit")).modal()
            await answered_by_status(await ana.submit_modal(form, prompt="at night"))
            edited = await result_for(ana, "at night")
            assert "Z-Image, upscaled ×2, upscaled ×2, edited with Flux_Edit · " in text_of(edited)
            page = await (await ana.command("history", stand.general)).reply()
            assert "Z-Image, upscaled ×2, upscaled ×2 · " in text_of(page)
            admin = await stand.person("admin")
            asked = await admin.command("admin find", stand.general, message=largest["id"])
            found = await asked.reply()
            assert "Z-Image, upscaled ×2, upscaled ×2, 256×256, seed `5`" in text_of(found)


async def test_the_size_that_is_told_is_that_of_the_file_that_was_delivered(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            stand.engine.paints = WIDE
            ana, admin = await stand.person(), await stand.person("admin")
            await ana.command("imagine", stand.general, model="flux", prompt="a tower", seed=5)
            result = await result_for(ana, "Flux · 128×64 · seed `5`")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            data = await ana.download(files_of(result)[0]["url"])
            file = Image.open(io.BytesIO(data))
            assert "Size: 128x64" in str(file.info["parameters"])
            page = await (await ana.command("history", stand.general)).reply()
            assert " · Flux · 128×64 · [open](" in text_of(page)
            found = await admin.command("admin find", stand.general, message=result["id"])
            assert "Flux, 128×64, seed `5`" in text_of(await found.reply())
            await (await ana.click(result, "Share")).reply()
            copy = await admin.wait_for_message(lambda m: "a tower" in text_of(m), channel=gallery)
            assert "Flux · 128×64 · seed `5`" in text_of(copy)
            form = await (await more(ana, result, "prompt")).modal()  # what was asked for is asked for again
            assert "64×64" in str(form["components"])


async def test_an_upscaled_edit_goes_back_to_the_edit_and_what_that_started_from(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        photo = File(filename="me.png", data=painted("me", 0, WIDE))
        await ana.command("edit", stand.general, prompt="as a statue", image=photo, seed=3)
        first = await result_for(ana, "seed `3`")
        (source,) = stand.engine.submitted[-1].jobs[0].request.sources
        await answered_by_status(await more(ana, first, "upscale"))
        larger = await result_for(ana, "Flux_Edit, upscaled ×2")
        await answered_by_status(await ana.click(larger, "Again"))
        await stand.until(lambda: len(stand.engine.submitted) == 3)
        again = stand.engine.submitted[-1].jobs[0].request
        assert (again.kind, again.prompt, again.sources) == ("edit", "as a statue", (source,))


async def test_an_upscaled_picture_of_before_promises_nothing_that_it_cannot_keep(tmp_path: Path) -> None:
    """Its row does not say what it was made of."""
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a tower", seed=5)
            await answered_by_status(await more(ana, await result_for(ana, "seed `5`"), "upscale"))
            larger = await result_for(ana, "upscaled ×2")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        with closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
            database.execute("UPDATE jobs SET request = json_remove(request, '$.origin')")
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.history(larger["channel_id"])
            form = await (await more(ana, larger, "prompt")).modal()
            assert [part["component"]["custom_id"] for part in form["components"]] == ["prompt"]
            await answered_by_status(await ana.submit_modal(form, prompt="a bridge"))
            assert await result_for(ana, "a bridge")
            assert stand.engine.submitted[-1].jobs[0].request.kind == "imagine"
            await answered_by_status(await ana.click(larger, "Again"))
            await stand.until(lambda: len(stand.engine.submitted) == 2)
            again = stand.engine.submitted[-1].jobs[0].request
            assert (again.kind, again.seed) == ("upscale", 5)
            gone = await (await ana.click(larger, "Vary")).reply()
            assert text_of(gone) == "The bot has no record of that picture."


async def test_an_edit_is_made_again_and_varied_from_what_it_started_from(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            photo = File(filename="me.png", data=painted("me", 0, WIDE))
            await ana.command("edit", stand.general, prompt="as a statue", image=photo, seed=3)
            first = await result_for(ana, "seed `3`")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            (source,) = stand.engine.submitted[-1].jobs[0].request.sources
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.history(first["channel_id"])
            await answered_by_status(await ana.click(first, "Again"))
            await answered_by_status(await ana.click(first, "Vary"))
            await result_for(ana, "**#3**")
            form = await (await more(ana, first, "prompt")).modal()
            assert [part["component"]["custom_id"] for part in form["components"]] == [
                "prompt",
                "seed",
                "model",
            ]
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            await answered_by_status(await ana.submit_modal(form, prompt="as a fountain"))
            await result_for(ana, "as a fountain")
            requests = [job.request for batch in stand.engine.submitted for job in batch.jobs]
            assert [request.sources for request in requests] == [(source,)] * 3
            assert [request.kind for request in requests] == ["edit"] * 3
            again, vary, reworded = sorted(
                requests, key=lambda one: (one.seed == 3, one.prompt == "as a fountain")
            )
            assert again.seed != 3
            assert (vary.prompt, vary.seed, vary.variation is not None) == ("as a statue", 3, True)
            assert (reworded.seed, reworded.variation) == (3, None)


async def test_the_prompt_form_holds_everything_and_takes_changes(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command(
            "imagine", stand.general, model="z-image", prompt="a bridge", negative="fog", seed=9
        )
        first = await result_for(ana, "seed `9`")
        modal = await (await more(ana, first, "prompt")).modal()
        assert filled(modal) == {
            "prompt": "a bridge",
            "negative": "fog",
            "seed": "9",
            "size": "64x64",
            "model": "z-image",
        }
        changed = await ana.submit_modal(
            modal, prompt="a wooden bridge", seed="10", model="flux", negative=""
        )
        await answered_by_status(changed)
        result = await result_for(ana, "a wooden bridge")
        data = await ana.download(files_of(result)[0]["url"])
        assert pixel(data) == colour_of("a wooden bridge", 10)
        modal = await (await more(ana, first, "prompt")).modal()
        wrong = await ana.submit_modal(modal, seed="many")
        assert "“many” is not a number" in text_of(await wrong.reply())


async def test_a_prompt_that_is_too_long_for_a_form_is_cut_with_a_word_and_never_taken(
    tmp_path: Path,
) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="x" * 6000, seed=9)
        first = await result_for(ana, "seed `9`")
        modal = await (await more(ana, first, "prompt")).modal()
        field = modal["components"][0]
        assert field["description"] == "Only the first 4,000 of 6,000 characters fit here."
        assert field["component"]["value"] == "x" * 4000
        with pytest.raises(InvocationFailed):  # Discord itself keeps it back
            await (await ana.submit_modal(modal, prompt="x" * 10_000)).reply()
        (opened,) = stand.server.interactions.open_modals.values()
        opened.payload["components"][0]["component"]["max_length"] = 10_000  # a client that does not
        told = await (await ana.submit_modal(modal, prompt="x" * 10_000)).reply()
        assert text_of(told).startswith("Your text is too long: ")
        assert len(stand.engine.submitted) == 1


async def test_a_button_that_fails_is_logged_with_the_picture_and_who_pressed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(JobActions, "_details", broken)
    caplog.handler.addFilter(job_log.add_fields)
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a wall", seed=1)
        pressed = await more(ana, await result_for(ana, "a wall"), "details")
        assert "went wrong" in text_of(await pressed.reply())
    (line,) = [line for line in caplog.records if line.getMessage() == "an interaction failed"]
    assert (line.job, line.user, line.by) == ("#1", str(ana.id), ana.id)  # type: ignore[attr-defined]
    assert "a wall" not in caplog.text


async def test_buttons_outlive_the_process_and_refuse_strangers(tmp_path: Path) -> None:
    async with discord_server() as server:
        options = {"gallery_channel_id": server.channel("gallery").id}
        async with bot_on(server, tmp_path, **options) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a gate", seed=1)
            old = await result_for(ana, "a gate")
            open_form = await (await more(ana, old, "prompt")).modal()
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        server.advance(3 * 86_400)
        async with bot_on(server, tmp_path, **options) as stand:
            ana, admin = await stand.person("member-1"), await stand.person("admin")
            await ana.history(old["channel_id"])
            await answered_by_status(await ana.click(old, "Again"))
            await status_with(ana, "**#2**")
            await admin.history(old["channel_id"])  # administrators see every channel
            presses = [
                *[await admin.click(old, button) for button in ("Again", "Vary", "Edit", "Share")],
                *[
                    await more(admin, old, what, strange=True)
                    for what in ("prompt", "upscale", "delete", "details")
                ],
            ]
            for pressed in presses:
                assert text_of(await pressed.reply()) == "That picture belongs to someone else."
            assert ana.message(old["id"]) is not None
            assert stand.queue.active_jobs(admin.id) == ()
            assert open_form["custom_id"].endswith(files_of(old)[0]["filename"].split("-")[1][:32])


async def test_a_form_that_was_open_during_a_restart_is_answered(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a well", seed=1)
            modal = await (await more(ana, await result_for(ana, "a well"), "prompt")).modal()
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            stand.people.remove(ana)
        async with bot_on(server, tmp_path) as stand:
            submitted = await ana.submit_modal(modal, prompt="a deep well")
            await answered_by_status(submitted)
            assert await result_for(ana, "a deep well")
            await ana.aclose()
