"""The menus on a message with a picture: edit it, or make one like it, no matter who posted it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modules.demo.discord_server import DiscordServer, WorldSpec
from modules.demo.users import File, Payload, SimulatedUser, files_of, text_of
from modules.utils.database.rows import UserPreferences
from tests.discord_stand import (
    OFFERS,
    SMALL,
    WIDE,
    answered_by_status,
    bot_on,
    colour_of,
    discord_server,
    filled,
    more,
    painted,
    pixel,
    result_for,
    session_of,
    whole_room,
)


async def form_of(person: SimulatedUser, menu: str, message: Payload) -> Payload:
    """The form that the menu on a message opens."""
    return await (await person.context(menu, message["channel_id"], message)).modal()


async def test_a_result_is_made_again_from_all_it_was_made_from(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        asked = {"model": "z-image", "prompt": "a barn", "negative": "rain", "seed": 5}
        await ana.command("imagine", stand.general, **asked)
        result = await result_for(ana, "seed `5`")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        form = await form_of(ana, "Make again", result)
        assert filled(form) == {
            "prompt": "a barn",
            "negative": "rain",
            "seed": "5",
            "size": "64x64",
            "model": "z-image",
        }
        await answered_by_status(await ana.submit_modal(form, seed="6"))
        again = await result_for(ana, "seed `6`")
        data = await ana.download(files_of(again)[0]["url"])
        assert pixel(data) == colour_of("a barn", 6)
        assert again["channel_id"] not in ben.channels


async def test_somebody_elses_picture_is_made_again_from_new_words(tmp_path: Path, world: WorldSpec) -> None:
    async with whole_room(tmp_path, world) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2", locale="es-ES")
        await ana.say(stand.general, "look", File(filename="photo.png", data=painted("x", 0, SMALL)))
        said = await ben.wait_for_message(lambda m: text_of(m) == "look")
        await stand.database.preferences.put(ben.id, UserPreferences(model="z-image"))
        form = await form_of(ben, "Make again", said)
        assert form["title"] == "Crear otra vez"
        assert filled(form) == {"prompt": None}
        assert "en la cola" in text_of(await (await ben.submit_modal(form, prompt="un granero")).reply())
        result = await result_for(ben, "un granero")
        assert result["channel_id"] == await session_of(ben)
        assert "Z-Image" in text_of(result)
        assert ana.message(result["id"]) is None


async def test_a_shared_picture_is_edited_by_who_sees_it(tmp_path: Path) -> None:
    async with discord_server() as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await ana.command("imagine", stand.general, model="flux", prompt="a mast", aspect="wide")
            await (await ana.click(await result_for(ana, "a mast"), "Share")).reply()
            copy = await ben.wait_for_message(lambda m: "a mast" in text_of(m), channel=gallery)
            await (await ben.submit_modal(await form_of(ben, "Edit picture", copy), prompt="at dusk")).reply()
            await result_for(ben, "at dusk")
            request = stand.engine.submitted[-1].jobs[0].request
            assert (request.user_id, request.sources[0].size) == (ben.id, WIDE)


async def test_a_shared_picture_is_made_again_by_who_sees_it_from_all_it_was_made_from(
    tmp_path: Path,
) -> None:
    async with discord_server() as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await ana.command("imagine", stand.general, model="flux", prompt="a keel", seed=3)
            await (await ana.click(await result_for(ana, "a keel"), "Share")).reply()
            copy = await ben.wait_for_message(lambda m: "a keel" in text_of(m), channel=gallery)
            form = await form_of(ben, "Make again", copy)
            assert filled(form) == {
                "prompt": "a keel",
                "negative": None,
                "seed": "3",
                "size": "64x64",
                "model": "flux",
            }
            await (await ben.submit_modal(form, seed="4")).reply()
            result = await result_for(ben, "seed `4`")
            assert result["channel_id"] == await session_of(ben)
            assert pixel(await ben.download(files_of(result)[0]["url"])) == colour_of("a keel", 4)
            assert ana.message(result["id"]) is None
            await stand.database.history.forget(ana.id)
            assert filled(await form_of(ben, "Make again", copy)) == {"prompt": None}
            told = await (await ben.click(copy, "Prompt…")).reply()
            assert text_of(told) == "The bot has no record of that picture."


async def test_what_a_shared_edit_started_from_stays_its_owners(tmp_path: Path) -> None:
    secret = File(filename="me.png", data=painted("me", 0, WIDE))
    async with discord_server() as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await ana.command("edit", stand.general, prompt="as a statue", image=secret)
            mine = await result_for(ana, "as a statue")
            await (await ana.click(mine, "Share")).reply()
            copy = await ben.wait_for_message(lambda m: "as a statue" in text_of(m), channel=gallery)
            assert filled(await form_of(ben, "Make again", copy)) == {"prompt": None}
            form = await (await ben.click(copy, "Prompt…")).modal()
            assert (form["title"], filled(form)) == ("Edit picture", {"prompt": None})
            stand.queue.pause()
            await (await ben.submit_modal(form, prompt="in bronze")).reply()
            (job,) = stand.queue.active_jobs(ben.id)
            shared = await ben.download(files_of(copy)[0]["url"])
            assert pixel(await stand.database.jobs.source(job.request.sources[0].key)) == pixel(shared)
            assert pixel(shared) != pixel(secret.data)
            stand.queue.resume()
            await result_for(ben, "in bronze")
            form = await form_of(ben, "Edit picture", copy)
            theirs = f"fullet:form:prompt:{stand.engine.submitted[0].jobs[0].id}"
            told = await submit_as_another(server, ben, form, theirs)
            assert told.startswith("That picture is no longer available. Please upload it again.")


async def test_a_shared_enlargement_goes_back_to_what_made_it(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        gallery = server.channel("gallery").id
        async with bot_on(server, tmp_path, gallery_channel_id=gallery) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await ana.command("imagine", stand.general, model="flux", prompt="a crest", seed=5)
            await answered_by_status(await more(ana, await result_for(ana, "a crest"), "upscale"))
            await (await ana.click(await result_for(ana, "128×128"), "Share")).reply()
            copy = await ben.wait_for_message(
                lambda m: "upscaled ×2 · 128×128" in text_of(m), channel=gallery
            )
            made = {"prompt": "a crest", "negative": None, "seed": "5", "size": "64x64", "model": "flux"}
            assert filled(await form_of(ben, "Make again", copy)) == made
            form = await (await ben.click(copy, "Prompt…")).modal()
            assert filled(form) == made
            await (await ben.submit_modal(form, prompt="a crown")).reply()
            assert (await result_for(ben, "a crown"))["channel_id"] == await session_of(ben)


async def test_where_nothing_edits_any_more_a_shared_edit_is_made_anew(tmp_path: Path) -> None:
    async with discord_server(rate_limits=False) as server:
        options = {"gallery_channel_id": server.channel("gallery").id}
        async with bot_on(server, tmp_path, **options) as stand:
            ana = await stand.person("member-1")
            photo = File(filename="me.png", data=painted("me", 0, WIDE))
            await ana.command("edit", stand.general, prompt="as a statue", image=photo)
            await (await ana.click(await result_for(ana, "as a statue"), "Share")).reply()
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        offers = tuple(known for known in OFFERS if known.kind != "edit")
        async with bot_on(server, tmp_path, offers=offers, **options) as stand:
            ben = await stand.person("member-2")
            (copy,) = await ben.history(options["gallery_channel_id"])
            form = await (await ben.click(copy, "Prompt…")).modal()
            assert (form["title"], filled(form)) == ("Make again", {"prompt": None})
            await (await ben.submit_modal(form, prompt="a crown")).reply()
            assert (await result_for(ben, "a crown"))["channel_id"] == await session_of(ben)


async def test_a_picture_that_somebody_may_not_see_is_not_edited_by_a_form_that_names_it(
    tmp_path: Path,
) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        await ana.command("imagine", stand.general, model="flux", prompt="a diary")
        private = await result_for(ana, "a diary")
        await ana.say(stand.general, "look", File(filename="photo.png", data=painted("x", 0, SMALL)))
        said = await ben.wait_for_message(lambda m: text_of(m) == "look")
        form = await form_of(ben, "Edit picture", said)
        told = await submit_as_another(
            stand.server, ben, form, f"fullet:form:edit:{private['channel_id']}-{private['id']}"
        )
        assert told.startswith("There is no picture in that message.")
        assert stand.queue.active_jobs(ben.id) == ()


async def submit_as_another(
    server: DiscordServer, person: SimulatedUser, form: Payload, custom_id: str
) -> str:
    """What somebody is told whose client sends an open form under a name that it was not given."""
    forged, opened = {**form, "custom_id": custom_id}, server.interactions.open_modals
    opened[person.id, custom_id] = replace(opened[person.id, form["custom_id"]], payload=forged)
    return str(text_of(await (await person.submit_modal(forged, prompt="in wax")).reply()))


async def test_two_uploads_go_in_their_order_and_a_second_one_with_the_last_picture(
    tmp_path: Path,
) -> None:
    first = File(filename="a.png", data=painted("a", 0, SMALL))
    second = File(filename="b.png", data=painted("b", 0, WIDE))
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("edit", stand.general, prompt="both together", image=first, image2=second)
        await result_for(ana, "both together")
        sources = stand.engine.submitted[-1].jobs[0].request.sources
        assert [source.size for source in sources] == [SMALL, WIDE]
        await ana.command("imagine", stand.general, model="flux", prompt="a base", aspect="tall")
        await result_for(ana, "a base")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await ana.command("edit", stand.general, prompt="with that hat", image2=second)
        await result_for(ana, "with that hat")
        sources = stand.engine.submitted[-1].jobs[0].request.sources
        assert [str(source.size) for source in sources] == ["48×96", "128×64"]
