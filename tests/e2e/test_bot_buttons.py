"""The buttons under a picture: they never die, and they know whose they are."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.demo.users import File, InvocationFailed, Payload
from modules.utils.database.stores.key_values import SHARED
from tests.discord_stand import (
    WIDE,
    bot_on,
    colour_of,
    discord_server,
    painted,
    pixel,
    result_for,
    whole_room,
)


async def test_every_button_does_what_it_says(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await ana.command("imagine", stand.general, model="flux", prompt="a tower", seed=5)
            first = await result_for(ana, "seed `5`")

            await (await ana.click(first, "Vary")).reply()
            varied = await ana.wait_for_message(lambda m: "variation `" in m["content"])
            request = stand.engine.submitted[-1].jobs[0].request
            assert request.seed == 5
            assert request.variation is not None
            assert "seed `5`" in varied["content"]

            await (await ana.click(first, "Again")).reply()
            await stand.until(lambda: len(stand.engine.submitted) == 3)
            again = stand.engine.submitted[-1].jobs[0].request
            assert (again.prompt, again.variation) == ("a tower", None)
            assert again.seed != 5
            await result_for(ana, f"seed `{again.seed}`")

            modal = await (await ana.click(first, "Edit")).modal()
            await ana.submit_modal(modal, prompt="with a flag")
            await result_for(ana, "with a flag")
            assert stand.engine.submitted[-1].jobs[0].request.kind == "edit"

            await (await ana.click(first, "Upscale")).reply()
            await stand.until(lambda: len(stand.engine.submitted) == 5)
            larger = await result_for(ana, "Flux, upscaled ×2 · 128×128 · seed `5`")
            picture = Image.open(io.BytesIO(await ana.download(larger["attachments"][0]["url"])))
            assert picture.size == (128, 128)

            shared = await (await ana.click(first, "Share")).reply()
            assert f"<#{gallery}>" in shared["content"]
            copy = await ben.wait_for_message(lambda m: "a tower" in m["content"], channel=gallery)
            assert "By Member 1" in copy["content"]
            assert copy["mentions"] == []
            assert copy["attachments"][0]["description"] == "a tower"
            modal = await (await ben.click(copy, "Prompt…")).modal()
            submitted = await ben.submit_modal(modal, prompt="a tower by the sea")
            await submitted.reply()
            assert await result_for(ben, "a tower by the sea")

            stand.server.faults.forbid(int(gallery))
            refused = await (await ana.click(larger, "Share")).reply()
            assert "The picture could not be posted in the gallery" in refused["content"]

            await (await ana.click(first, "Delete")).reply()
            assert ana.message(first["id"]) is None


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
            told = [(await click.reply())["content"] for click in clicks]
            assert all("Shared in" in one or "already in the gallery" in one for one in told)
            assert shown() == 1
            words.write_text("ogre", encoding="utf-8")
            told_ogre = await (await ana.click(ogre, "Share")).reply()
            assert "a word that is not allowed here" in told_ogre["content"]
        server.advance(3600)
        async with bot_on(server, tmp_path, **options) as stand:
            ana = await stand.person()
            await ana.history(tower["channel_id"])
            again = await (await ana.click(tower, "Share")).reply()
            link = f"/channels/{server.guild.id}/{gallery}/{server.messages(gallery)[0].id}"
            assert again["content"].endswith(link)
            words.write_text("nothing", encoding="utf-8")
            await stand.database.members.block(ana.id)
            blocked = await (await ana.click(ogre, "Share")).reply()
            assert "an administrator has blocked you" in blocked["content"]
            await stand.database.members.unblock(ana.id)
            assert shown() == 1
            await (await ana.click(ogre, "Share")).reply()
            assert shown() == 2
            await stand.database.history.forget(ana.id)
            await stand.database.janitor.prune()
            assert await stand.database.key_values.get(SHARED + told_job(tower)) is None


def told_job(message: Payload) -> str:
    """The id of the job whose result this is."""
    return message["attachments"][0]["filename"].partition("-")[2].partition(".")[0]


async def test_the_buttons_of_an_upscaled_picture_act_on_what_made_it(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command(
                "imagine", stand.general, model="z-image", prompt="a tower", negative="fog", seed=5
            )
            first = await result_for(ana, "seed `5`")
            await (await ana.click(first, "Vary")).reply()
            varied = await result_for(ana, "variation `")
            variation = stand.engine.submitted[-1].jobs[0].request.variation
            assert variation is not None
            told = f"seed `5` · variation `{variation.seed}`"
            await (await ana.click(varied, "Upscale")).reply()
            larger = await result_for(ana, f"Z-Image, upscaled ×2 · 128×128 · {told}")
            await (await ana.click(larger, "Upscale")).reply()
            largest = await result_for(ana, f"Z-Image, upscaled ×2, upscaled ×2 · 256×256 · {told}")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        async with bot_on(server, tmp_path) as stand:  # it is remembered
            ana = await stand.person()
            await ana.history(largest["channel_id"])
            form = await (await ana.click(largest, "Prompt…")).modal()
            fields = {
                part["component"]["custom_id"]: part["component"].get("value") for part in form["components"]
            }
            assert fields == {
                "prompt": "a tower",
                "negative": "fog",
                "seed": "5",
                "size": "64×64",
                "model": "Z-Image",
            }
            await (await ana.submit_modal(form, prompt="a bridge")).reply()
            reworded = await result_for(ana, "a bridge")
            assert f"Z-Image · 64×64 · {told}" in reworded["content"]
            data = await ana.download(reworded["attachments"][0]["url"])
            assert pixel(data) == colour_of("a bridge", 5)

            await (await ana.click(largest, "Again")).reply()
            await stand.until(lambda: len(stand.engine.submitted) == 2)
            again = stand.engine.submitted[-1].jobs[0].request
            assert (again.model, again.prompt, again.negative, again.variation, again.sources) == (
                "z-image", "a tower", "fog", None, (),
            )  # fmt: skip
            await result_for(ana, f"Z-Image · 64×64 · seed `{again.seed}`")
            await (await ana.click(largest, "Vary")).reply()
            await stand.until(lambda: len(stand.engine.submitted) == 3)
            vary = stand.engine.submitted[-1].jobs[0].request
            assert (vary.model, vary.seed, vary.negative) == ("z-image", 5, "fog")
            assert vary.variation not in (None, variation)

            form = await (await ana.click(largest, "Edit")).modal()
            await (await ana.submit_modal(form, prompt="at night")).reply()
            edited = await result_for(ana, "at night")
            assert "Z-Image, upscaled ×2, upscaled ×2, edited with Flux_Edit · " in edited["content"]
            page = await (await ana.command("history", stand.general)).reply()
            assert "Z-Image, upscaled ×2, upscaled ×2 · " in page["content"]
            admin = await stand.person("admin")
            asked = await admin.command("admin find", stand.general, message=largest["id"])
            found = await asked.reply()
            assert "Z-Image, upscaled ×2, upscaled ×2, 256×256, seed `5`" in found["content"]


async def test_the_size_that_is_told_is_that_of_the_file_that_was_delivered(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            stand.engine.paints = WIDE
            ana, admin = await stand.person(), await stand.person("admin")
            await ana.command("imagine", stand.general, model="flux", prompt="a tower", seed=5)
            result = await result_for(ana, "Flux · 128×64 · seed `5`")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            data = await ana.download(result["attachments"][0]["url"])
            file = Image.open(io.BytesIO(data))
            assert "Size: 128x64" in str(file.info["parameters"])
            page = await (await ana.command("history", stand.general)).reply()
            assert " · Flux · 128×64 · [open](" in page["content"]
            found = await admin.command("admin find", stand.general, message=result["id"])
            assert "Flux, 128×64, seed `5`" in (await found.reply())["content"]
            await (await ana.click(result, "Share")).reply()
            copy = await admin.wait_for_message(lambda m: "a tower" in m["content"], channel=gallery)
            assert "Flux · 128×64 · seed `5`" in copy["content"]
            form = await (await ana.click(result, "Prompt…")).modal()  # what was asked for is asked for again
            assert "64×64" in str(form["components"])


async def test_an_upscaled_edit_goes_back_to_the_edit_and_what_that_started_from(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        photo = File(filename="me.png", data=painted("me", 0, WIDE))
        await ana.command("edit", stand.general, prompt="as a statue", image=photo, seed=3)
        first = await result_for(ana, "seed `3`")
        (source,) = stand.engine.submitted[-1].jobs[0].request.sources
        await (await ana.click(first, "Upscale")).reply()
        larger = await result_for(ana, "Flux_Edit, upscaled ×2")
        await (await ana.click(larger, "Again")).reply()
        await stand.until(lambda: len(stand.engine.submitted) == 3)
        again = stand.engine.submitted[-1].jobs[0].request
        assert (again.kind, again.prompt, again.sources) == ("edit", "as a statue", (source,))


async def test_an_upscaled_picture_of_before_promises_nothing_that_it_cannot_keep(tmp_path: Path) -> None:
    """Its row does not say what it was made of."""
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a tower", seed=5)
            await (await ana.click(await result_for(ana, "seed `5`"), "Upscale")).reply()
            larger = await result_for(ana, "upscaled ×2")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        with closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
            database.execute("UPDATE jobs SET request = json_remove(request, '$.origin')")
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.history(larger["channel_id"])
            form = await (await ana.click(larger, "Prompt…")).modal()
            assert [part["component"]["custom_id"] for part in form["components"]] == ["prompt"]
            await (await ana.submit_modal(form, prompt="a bridge")).reply()
            assert await result_for(ana, "a bridge")
            assert stand.engine.submitted[-1].jobs[0].request.kind == "imagine"
            await (await ana.click(larger, "Again")).reply()
            await stand.until(lambda: len(stand.engine.submitted) == 2)
            again = stand.engine.submitted[-1].jobs[0].request
            assert (again.kind, again.seed) == ("upscale", 5)
            gone = await (await ana.click(larger, "Vary")).reply()
            assert gone["content"] == "The bot no longer remembers that picture."


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
            await (await ana.click(first, "Again")).reply()
            await (await ana.click(first, "Vary")).reply()
            await result_for(ana, "variation `")
            form = await (await ana.click(first, "Prompt…")).modal()
            assert [part["component"]["custom_id"] for part in form["components"]] == [
                "prompt",
                "seed",
                "model",
            ]
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            await (await ana.submit_modal(form, prompt="as a fountain")).reply()
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
        modal = await (await ana.click(first, "Prompt…")).modal()
        filled = {
            part["component"]["custom_id"]: part["component"].get("value") for part in modal["components"]
        }
        assert filled == {
            "prompt": "a bridge",
            "negative": "fog",
            "seed": "9",
            "size": "64×64",
            "model": "Z-Image",
        }
        changed = await ana.submit_modal(
            modal, prompt="a wooden bridge", seed="10", model="flux", negative=""
        )
        await changed.reply()
        result = await result_for(ana, "a wooden bridge")
        data = await ana.download(result["attachments"][0]["url"])
        assert pixel(data) == colour_of("a wooden bridge", 10)
        modal = await (await ana.click(first, "Prompt…")).modal()
        wrong = await ana.submit_modal(modal, seed="many")
        assert "“many” is not a number" in (await wrong.reply())["content"]


async def test_a_prompt_that_is_too_long_for_a_form_is_cut_with_a_word_and_never_taken(
    tmp_path: Path,
) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="x" * 6000, seed=9)
        first = await result_for(ana, "seed `9`")
        modal = await (await ana.click(first, "Prompt…")).modal()
        field = modal["components"][0]
        assert field["description"] == "Only the first 4,000 of 6,000 characters fit here."
        assert field["component"]["value"] == "x" * 4000
        with pytest.raises(InvocationFailed):  # Discord itself keeps it back
            await (await ana.submit_modal(modal, prompt="x" * 10_000)).reply()
        (opened,) = stand.server.interactions.open_modals.values()
        opened.payload["components"][0]["component"]["max_length"] = 10_000  # a client that does not
        told = await (await ana.submit_modal(modal, prompt="x" * 10_000)).reply()
        assert told["content"] == "Your prompt has 10,000 characters; the limit is 6,000."
        assert len(stand.engine.submitted) == 1


async def test_buttons_outlive_the_process_and_refuse_strangers(tmp_path: Path) -> None:
    async with discord_server() as server:
        options = {"gallery_channel_id": server.channel("gallery").id}
        async with bot_on(server, tmp_path, **options) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a gate", seed=1)
            old = await result_for(ana, "a gate")
            open_form = await (await ana.click(old, "Prompt…")).modal()
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        server.advance(3 * 86_400)
        async with bot_on(server, tmp_path, **options) as stand:
            ana, admin = await stand.person("member-1"), await stand.person("admin")
            await ana.history(old["channel_id"])
            pressed = await ana.click(old, "Again")
            assert "#2" in (await pressed.reply())["content"]
            await admin.history(old["channel_id"])  # administrators see every channel
            for button in ("Again", "Vary", "Edit", "Prompt…", "Upscale", "Share", "Delete"):
                stranger = await (await admin.click(old, button)).reply()
                assert stranger["content"] == "That picture belongs to someone else.", button
            assert ana.message(old["id"]) is not None
            assert stand.queue.active_jobs(admin.id) == ()
            assert open_form["custom_id"].endswith(old["attachments"][0]["filename"].split("-")[1][:32])


async def test_a_form_that_was_open_during_a_restart_is_answered(tmp_path: Path) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            await ana.command("imagine", stand.general, model="flux", prompt="a well", seed=1)
            modal = await (await ana.click(await result_for(ana, "a well"), "Prompt…")).modal()
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            stand.people.remove(ana)
        async with bot_on(server, tmp_path) as stand:
            submitted = await ana.submit_modal(modal, prompt="a deep well")
            assert "queued" in (await submitted.reply())["content"]
            assert await result_for(ana, "a deep well")
            await ana.aclose()
