"""What a person keeps here: history, settings, being forgotten; and what is offered while they type."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from modules.demo.discord_server import default_world
from modules.demo.users import Invocation, Payload, SimulatedUser, components_of, text_of
from modules.discord.requests.limits import Limits
from modules.queue_manager.jobs import Job, JobId, Picture, batch_key
from modules.queue_manager.ports import Delivered, Finished, Receipt, RunReport
from modules.utils.database.rows import UserPreferences
from modules.utils.settings.values import RoleLimit
from tests.discord_stand import (
    OFFERS,
    SMALL,
    Stand,
    answered_by_status,
    bot_on,
    colour_of,
    discord_server,
    make_engine,
    painted,
    pixel,
    result_for,
    session_of,
    status_with,
    whole_room,
)
from tests.fakes import offer, request


async def remembered(
    stand: Stand, user_id: int, count: int, words: str = "part", model: str = "flux"
) -> list[JobId]:
    """Write ``count`` delivered jobs of a person into the journal, as if they had been made."""
    ids = []
    for number in await stand.database.jobs.next_numbers(count):
        asked = replace(
            request(user_id, f"{words} {number}", model=model, size=SMALL), guild_id=stand.server.guild.id
        )
        job = Job(
            id=JobId(uuid.uuid4().hex),
            number=number,
            request=asked,
            key=batch_key(asked, OFFERS[0]),
            queued_at=1_700_000_000.0 + number,
        )
        report = RunReport(engine="gpu-1", batch_size=1, started_at=1.0, ended_at=2.0)
        picture = Picture(data=painted("x", number, SMALL), media_type="image/png", size=SMALL)
        await stand.database.jobs.accept([job], {})
        await stand.database.jobs.record(Finished(job=job, picture=picture, report=report))
        receipt = Receipt(where="channel", channel_id=stand.general, message_id=number)
        await stand.database.jobs.record(Delivered(job=job, receipt=receipt))
        ids.append(job.id)
    return ids


async def history_of(stand: Stand, person: SimulatedUser) -> Payload:
    return await (await person.command("history", stand.general)).reply()


async def changed(person: SimulatedUser, page: Payload, click: Invocation) -> Payload:
    """The page once it is another one."""
    await click.acknowledged()
    await person.until(lambda: (person.message(page["id"]) or page)["components"] != page["components"])
    return person.message(page["id"]) or page


def numbers_on(page: Payload) -> list[int]:
    return [int(number) for number in re.findall(r"^\*\*#(\d+)\*\*", text_of(page), re.MULTILINE)]


async def test_history_turns_pages_and_acts_on_a_picture(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        assert "not made any pictures yet" in text_of(await history_of(stand, ana))
        ids = await remembered(stand, ana.id, 10)
        page = await history_of(stand, ana)
        assert numbers_on(page) == list(range(10, 2, -1))
        assert "part 10" in text_of(page)
        assert "· Flux ·" in text_of(page)
        older = await changed(ana, page, await ana.click(page, "Older"))
        assert numbers_on(older) == [2, 1]
        newest = await changed(ana, older, await ana.click(older, "Newer"))
        assert numbers_on(newest) == numbers_on(page)
        picked = await ana.click(newest, "Choose a picture to work with", values=[ids[2]])
        shown = await changed(ana, newest, picked)
        assert text_of(shown).splitlines()[:2] == ["**#3**", "> part 3"]
        await ana.click(shown, "Again")
        await result_for(ana, "part 3")
        # The page is there again as it was, so that the same picture can be chosen a second time.
        back = await changed(ana, shown, await ana.click(shown, "Back"))
        assert numbers_on(back) == [11, *range(10, 3, -1)]
        older = await changed(ana, back, await ana.click(back, "Older"))
        for _ in "ab":
            picked = await ana.click(older, "Choose a picture to work with", values=[ids[2]])
            shown = await changed(ana, older, picked)
            older = await changed(ana, shown, await ana.click(shown, "Back"))
            assert numbers_on(older) == [3, 2, 1]
        assert "not made any pictures yet" in text_of(await history_of(stand, ben))


async def test_history_shows_the_pictures_that_are_still_there(tmp_path: Path) -> None:
    """One request finds them all; their first addresses would have expired."""
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        for words in ("a heron", "a stork", "a crane"):
            await ana.command("imagine", stand.general, model="flux", prompt=words)
            await result_for(ana, words)
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        stork = await result_for(ana, "a stork")
        await stand.bot.http.delete_message(int(stork["channel_id"]), int(stork["id"]))
        before = dict(stand.server.counters)
        page = await history_of(stand, ana)
        read = {name: count - before.get(name, 0) for name, count in stand.server.counters.items()}
        assert sum(count for name, count in read.items() if "GET /channels" in name) == 1
        thumbnails = {c["description"]: c["media"]["url"] for c in components_of(page) if c["type"] == 11}
        assert list(thumbnails) == ["a crane", "a heron"]
        heron = next(
            b.jobs[0].request for b in stand.engine.submitted if b.jobs[0].request.prompt == "a heron"
        )
        data = await ana.download(thumbnails["a heron"])
        assert pixel(data) == colour_of("a heron", heron.seed)
        lines = text_of(page).splitlines()
        assert re.fullmatch(r"\*\*#2\*\* .* · deleted", lines[lines.index("> a stork") - 1])
        pick = ana.find_component(page, "Choose a picture to work with")
        assert pick is not None
        chosen = {option["label"]: option["value"] for option in pick["options"]}
        shown = await (await ana.click(page, pick["custom_id"], values=[chosen["#1 a heron"]])).reply()
        (large,) = [c for c in components_of(shown) if c["type"] == 12]
        assert large["items"][0]["description"] == "a heron"
        stand.server.delete_channel(int(await session_of(ana)))
        page = await history_of(stand, ana)
        assert numbers_on(page) == [3, 2, 1]
        assert not [c for c in components_of(page) if c["type"] == 11]


async def test_history_shows_each_picture_of_those_that_share_a_message(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="an owl", count=2, seed=7)
        await result_for(ana, "an owl")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        page = await history_of(stand, ana)
        urls = [c["media"]["url"] for c in components_of(page) if c["type"] == 11]
        colours = [pixel(await ana.download(url)) for url in urls]
        assert colours == [colour_of("an owl", 8), colour_of("an owl", 7)]


async def test_history_is_searched_by_model_and_by_word(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        await remembered(stand, ana.id, 9, "a grey lynx")
        await remembered(stand, ana.id, 1, "un ÑANDÚ")
        await remembered(stand, ana.id, 2, "a road", model="z-image")
        page = await history_of(stand, ana)
        filters = ana.find_component(page, "Show one model only")
        assert filters is not None
        assert [option["label"] for option in filters["options"]] == ["All models", "Flux", "Z-Image"]
        values = {option["label"]: option["value"] for option in filters["options"]}
        page = await changed(
            ana, page, await ana.click(page, filters["custom_id"], values=[values["Z-Image"]])
        )
        assert numbers_on(page) == [12, 11]
        form = await (await ana.click(page, "Search…")).modal()
        page = await changed(ana, page, await ana.submit_modal(form, word="lynx"))
        assert "None of your pictures match." in text_of(page)
        filters = ana.find_component(page, "Show one model only")
        assert filters is not None
        page = await changed(ana, page, await ana.click(page, filters["custom_id"], values=["all"]))
        assert numbers_on(page) == list(range(9, 1, -1))
        assert "With “lynx” in the prompt" in text_of(page)
        page = await changed(ana, page, await ana.click(page, "Older"))
        assert numbers_on(page) == [1]
        form = await (await ana.click(page, "Search…")).modal()
        assert [c["value"] for c in components_of(form) if "custom_id" in c] == ["lynx"]
        page = await changed(ana, page, await ana.submit_modal(form, word="ñandú"))
        assert numbers_on(page) == [10]


async def test_history_links_to_no_channel_that_is_closed(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a road")
        result = await result_for(ana, "a road")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        stand.server.delete_channel(int(result["channel_id"]))
        await stand.until(lambda: stand.bot.get_channel(int(result["channel_id"])) is None)
        page = text_of(await (await ana.command("history", stand.general)).reply())
        assert "its channel was deleted" in page
        assert "/channels/" not in page


async def test_a_history_of_long_prompts_leaves_none_out(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        await remembered(stand, ana.id, 21, "*long* " * 30)
        page = await history_of(stand, ana)
        seen = numbers_on(page)
        while ana.find_component(page, "Older") is not None:
            page = await changed(ana, page, await ana.click(page, "Older"))
            seen += numbers_on(page)
        assert seen == list(range(21, 0, -1))


async def test_settings_hold_for_what_follows(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()

        page = await (await ana.command("settings", stand.general)).reply()

        def shown() -> str:
            return text_of(ana.message(page["id"]) or page)

        async def choose(name: str, *values: str, says: str) -> None:
            chosen = list(values) or None
            now = ana.message(page["id"]) or page
            await (await ana.click(now, f"fullet:setting:{name}", values=chosen)).acknowledged()
            await ana.until(lambda: says in shown())

        lines = shown().splitlines()
        assert lines[:4] == [
            "### Your settings", "**Model** · No preference", "**Shape** · Default shape",
            "**Language** · Same as Discord",
        ]  # fmt: skip
        assert "**Mention me when a picture is ready** · on" in lines
        await choose("aspect", "wide", says="**Shape** · Wide")
        assert "Saved." in shown()
        await choose("model", "z-image", says="**Model** · Z-Image")
        await choose("notify:off", says="**Mention me when a picture is ready** · off")
        await choose("direct:on", says="by direct message** · on")
        await choose("direct:off", says="by direct message** · off")
        await choose("locale", "es", says="**Idioma** · Español")
        offered = await ana.autocomplete("imagine", stand.general, "model")
        assert offered[0]["value"] == "z-image"
        await ana.command("imagine", stand.general, model="flux", prompt="a road")
        result = await result_for(ana, "a road")
        assert "128×64" in text_of(result)
        assert "semilla" in text_of(result)
        assert result["mentions"] == []
        refused = await ana.command("imagine", stand.general, model="nothing", prompt="x")
        assert "No hay ningún modelo" in text_of(await refused.reply())


async def test_forget_erases_what_was_kept(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a secret")
        await result_for(ana, "a secret")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        channel = await session_of(ana)
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a mask")).reply()
        waits = await status_with(ana, "a mask")
        asked = await (await ana.command("forget", stand.general)).reply()
        await (await ana.click(asked, "Erase everything")).acknowledged()
        await ana.until(lambda: "still in the queue" in text_of(ana.message(asked["id"]) or asked))
        await answered_by_status(await ana.click(waits, "Cancel"))
        await stand.database.preferences.put(ana.id, UserPreferences(model="z-image"))
        asked = await (await ana.command("forget", stand.general)).reply()
        await (await ana.click(asked, "Keep everything")).acknowledged()
        await ana.until(lambda: text_of(ana.message(asked["id"]) or asked) == "Nothing was erased.")
        assert await ana.autocomplete("imagine", stand.general, "prompt")
        assert (await ana.autocomplete("imagine", stand.general, "model"))[0]["value"] == "z-image"
        asked = await (await ana.command("forget", stand.general)).reply()
        await (await ana.click(asked, "Erase everything")).acknowledged()
        await ana.until(lambda: "erased" in text_of(ana.message(asked["id"]) or asked).split("?")[0][:25])
        assert channel not in ana.channels
        assert await ana.autocomplete("imagine", stand.general, "prompt") == []
        assert (await ana.autocomplete("imagine", stand.general, "model"))[0]["value"] == "flux"
        told = text_of(await history_of(stand, ana))
        assert "not made any pictures yet" in told
        told = text_of(await (await ana.command("edit", stand.general, prompt="blue")).reply())
        assert "you have no earlier one" in told


async def test_nothing_is_accepted_while_everything_is_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord takes its time over the channel; a picture asked for meanwhile would have no row."""
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        await ana.command("imagine", stand.general, model="flux", prompt="a secret")
        await result_for(ana, "a secret")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        asked = await (await ana.command("forget", stand.general)).reply()
        closing, may_go = asyncio.Event(), asyncio.Event()
        close = stand.product.channels.close

        async def held_up(guild_id: int, user_id: int) -> bool:
            closing.set()
            await may_go.wait()
            return await close(guild_id, user_id)

        monkeypatch.setattr(stand.product.channels, "close", held_up)
        await ana.click(asked, "Erase everything")
        await closing.wait()
        told = await (await ana.command("imagine", stand.general, model="flux", prompt="a mask")).reply()
        assert "Your data is being erased right now." in text_of(told)
        told = await (await ben.command("imagine", stand.general, model="flux", prompt="a hat")).reply()
        assert "is queued" in text_of(told)
        may_go.set()
        await ana.until(lambda: "erased" in text_of(ana.message(asked["id"]) or asked).split("?")[0][:25])
        told = await (await ana.command("imagine", stand.general, model="flux", prompt="a mask")).reply()
        assert "is queued" in text_of(told)
        await result_for(ana, "a mask")


async def test_more_than_25_models_can_be_had_and_prompts_come_back(tmp_path: Path) -> None:
    many = tuple(
        offer(f"model-{n}", sizes=(SMALL,), default_size=SMALL, description=(("en", f"good at {n}"),))
        for n in range(60)
    )
    engine = make_engine()
    engine.limits = {known.name: 4 for known in (*OFFERS, *many)}
    async with whole_room(tmp_path, offers=(*OFFERS, *many), engine=engine) as stand:
        ana = await stand.person()
        everything = await ana.autocomplete("imagine", stand.general, "model")
        assert len(everything) == 25
        assert everything[0]["name"] == "Flux · 4 steps · good"
        found = await ana.autocomplete("imagine", stand.general, "model", model="good at 57")
        assert [choice["value"] for choice in found] == ["model-57"]
        await ana.command("imagine", stand.general, model="model-57", prompt="a lynx in snow")
        await result_for(ana, "a lynx in snow")
        prompts = await ana.autocomplete("imagine", stand.general, "prompt", prompt="LYNX")
        assert [choice["value"] for choice in prompts] == ["a lynx in snow"]
        found = await ana.autocomplete("settings", stand.general, "model", model="good at 58")
        assert [choice["value"] for choice in found] == ["model-58"]
        menus = await (await ana.command("settings", stand.general, model="model-58")).reply()
        assert "Saved." in text_of(menus)
        assert "**Model** · Model-58" in text_of(menus)
        select = ana.find_component(menus, "fullet:setting:model")
        assert select is not None
        assert [option["value"] for option in select["options"] if option.get("default")] == ["model-58"]
        everything = await ana.autocomplete("imagine", stand.general, "model")
        assert everything[0]["value"] == "model-58"
        told = await (await ana.command("settings", stand.general, model="none such")).reply()
        assert "There is no model called none such." in text_of(told)
        shapes = await ana.autocomplete("imagine", stand.general, "aspect", model="flux")
        assert [choice["value"] for choice in shapes] == ["square", "wide", "tall"]
        shapes = await ana.autocomplete("imagine", stand.general, "aspect", model="flux", aspect="128x6")
        assert [choice["name"] for choice in shapes] == ["Wide · 128×64"]
        shapes = await ana.autocomplete("imagine", stand.general, "aspect", model="model-58")
        assert [choice["name"] for choice in shapes] == ["Square · 64×64"]


async def test_queue_and_help_tell_ones_own(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2", locale="es-ES")
        stand.queue.pause()
        await ana.command("imagine", stand.general, model="flux", prompt="mine", count=2)
        await stand.until(lambda: len(stand.queue.active_jobs(ana.id)) == 2)
        page = await (await ana.command("queue", stand.general)).reply()
        mine = text_of(page)
        assert "2 waiting, 0 being made, for one person." in mine
        assert "**#2**" in mine
        theirs = text_of(await (await ben.command("queue", stand.general)).reply())
        assert "No tienes nada en la cola." in theirs
        assert "mine" not in theirs
        cancels = [c["custom_id"] for c in components_of(page) if c.get("label") == "Cancel"]
        assert len(cancels) == 2
        await (await ana.click(page, cancels[1])).acknowledged()
        await ana.until(lambda: "Cancelled: #2." in text_of(ana.message(page["id"]) or page))
        now = ana.message(page["id"]) or page
        assert "1 waiting, 0 being made, for one person." in text_of(now)
        assert ana.find_component(now, cancels[1]) is None
        stand.queue.resume()
        await result_for(ana, "mine")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await (await ana.click(now, cancels[0])).acknowledged()
        await ana.until(lambda: "nothing left to cancel" in text_of(ana.message(page["id"]) or page))
        await (await ana.click(ana.message(page["id"]) or page, "Refresh")).acknowledged()
        await ana.until(lambda: "nothing left" not in text_of(ana.message(page["id"]) or page))
        assert "You have nothing in the queue." in text_of(ana.message(page["id"]) or page)
        guide = text_of(await (await ben.command("help", stand.general)).reply())
        assert "/imaginar" in guide
        assert "- **Variar**: la misma imagen con pequeños cambios" in guide
        assert "Compartir" not in guide  # there is no gallery
        assert "bueno" in guide


async def test_of_many_in_the_queue_as_many_are_told_as_fit(tmp_path: Path) -> None:
    async with whole_room(tmp_path, limits=Limits(jobs=30), rate_limits=False) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="first")
        await result_for(ana, "first")
        stand.queue.pause()
        for _ in range(3):
            asked = await ana.command("imagine", stand.general, model="flux", prompt="*long* " * 30, count=10)
            await asked.reply()
        lines = text_of(await (await ana.command("queue", stand.general)).reply()).splitlines()
        assert lines[1].startswith("30 waiting")
        mine = [re.fullmatch(r"\*\*#(\d+)\*\*: (first in line|.* ahead of it)[.,].*", line) for line in lines]
        assert [int(found[1]) for found in mine if found] == list(range(2, 12))
        assert len({line for line in lines if line.endswith("…")}) == 1  # the last one is whole too
        assert re.match(
            r"-# 20 more of your pictures are waiting; .*cancel.* lists all of yours\.", lines[-1]
        )


async def test_the_queue_counts_apart_what_waits_what_is_made_and_what_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, may_go = make_engine(1.0), asyncio.Event()
    async with whole_room(tmp_path, engine=engine, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2", locale="es-ES")
        deliver = stand.product.delivery.deliver

        async def held_up(finished: Finished) -> Receipt:
            await may_go.wait()
            return await deliver(finished)

        monkeypatch.setattr(stand.product.delivery, "deliver", held_up)

        async def page(person: SimulatedUser) -> list[str]:
            return str(text_of(await (await person.command("queue", stand.general)).reply())).splitlines()

        async def counts(person: SimulatedUser) -> str:
            return (await page(person))[1]

        async with engine.gpu:  # somebody else's work is before the bot's at that server
            await (await ana.command("imagine", stand.general, model="flux", prompt="a fir")).reply()
            await (await ben.command("imagine", stand.general, model="z-image", prompt="un abeto")).reply()
            await stand.until(lambda: engine.submitted)
            assert await counts(ana) == "1 waiting, 1 about to start, 0 being made, for 2 people."
            assert (await page(ana))[2].startswith("**#1** starts soon: a GPU has already taken it")
            assert await counts(ben) == "1 en espera, 1 a punto de empezar, 0 en proceso, para 2 personas."
        await status_with(ana, "Making **#")
        assert await counts(ana) == "1 waiting, 1 being made, for 2 people."
        assert (await page(ana))[2].startswith("**#1** is being made")
        await status_with(ana, "is ready; sending it")
        await status_with(ben, "está lista, enviándola")
        assert await counts(ana) == "0 waiting, 0 being made, 2 being sent, for 2 people."
        assert (await page(ben))[2] == "**#2** está lista, enviándola."
        assert await counts(ben) == "0 en espera, 0 en proceso, 2 enviándose, para 2 personas."
        may_go.set()
        await result_for(ana, "a fir")
        await result_for(ben, "un abeto")


async def test_the_notice_that_a_channel_closes_is_in_its_owners_language(tmp_path: Path) -> None:
    async with whole_room(tmp_path, session_idle_minutes=0.02, sweep_every=0.1) as stand:
        ana = await stand.person(locale="es-ES")
        await ana.command("imagine", stand.general, model="flux", prompt="un pozo")
        await result_for(ana, "un pozo")
        notice = await ana.wait_for_message(lambda m: "/historial" in text_of(m))
        assert text_of(notice).startswith(f"<@{ana.id}> Este canal y sus imágenes se eliminarán <t:")


async def test_a_role_with_priority_is_served_before_who_asked_earlier(tmp_path: Path) -> None:
    world = default_world(3)
    world = replace(world, guilds=(replace(world.guilds[0], roles=("patron",)),))
    async with discord_server(world) as server:
        role = next(role.id for role in server.guild.roles.values() if role.name == "patron")
        server.set_roles(server.user("member-2"), "patron")
        limits = Limits(roles=((role, RoleLimit(jobs=2, tier=1)),))
        engine = make_engine()
        engine.limits = dict.fromkeys(engine.limits, 1)
        async with bot_on(server, tmp_path, limits=limits, engine=engine) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            stand.queue.pause()
            await (await ana.command("imagine", stand.general, model="flux", prompt="early")).reply()
            await (await ben.command("imagine", stand.general, model="flux", prompt="late")).reply()
            stand.queue.resume()
            await result_for(ana, "early")
            asked = [job.request.prompt for batch in stand.engine.submitted for job in batch.jobs]
            assert asked == ["late", "early"]


async def test_roles_raise_limits_and_what_fails_is_refunded(tmp_path: Path) -> None:
    engine = make_engine()
    engine.poison = "cursed"
    world = default_world(3)
    world = replace(world, guilds=(replace(world.guilds[0], roles=("patron",)),))
    rules = RoleLimit(jobs=4, pictures_a_day=4)
    async with discord_server(world, rate_limits=False) as server:
        role = next(role.id for role in server.guild.roles.values() if role.name == "patron")
        server.set_roles(server.user("member-2"), "patron")
        limits = Limits(jobs=2, pictures_a_day=2, roles=((role, rules),))
        async with bot_on(server, tmp_path, engine=engine, limits=limits) as stand:
            ana, ben = await stand.person("member-1"), await stand.person("member-2")
            await ana.command("imagine", stand.general, model="flux", prompt="cursed")
            await ana.wait_for_message(lambda m: "could not be made" in text_of(m))
            await ana.command("imagine", stand.general, model="flux", prompt="fine", count=2)
            await result_for(ana, "fine")
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            for count, limit in (
                (1, "You have used today's 2 pictures; the count resets"),
                (2, "You can make 2 pictures a day, and this request would go over that"),
            ):
                refused = await ana.command(
                    "imagine", stand.general, model="flux", prompt="one more", count=count
                )
                assert limit in text_of(await refused.reply())
            stand.queue.pause()
            allowed = await ben.command("imagine", stand.general, model="flux", prompt="many", count=4)
            assert "4 pictures are queued" in text_of(await allowed.reply())
            status = await status_with(ben, "0 of 4 ready")
            await answered_by_status(await ben.click(status, "Cancel all"))  # what is taken back is refunded
            again = await ben.command("imagine", stand.general, model="flux", prompt="many")
            assert "is queued" in text_of(await again.reply())
            admin = await stand.person("admin")  # only a role raises the limit
            refused = await admin.command("imagine", stand.general, model="flux", prompt="many", count=3)
            assert "You can have 2 pictures in the queue at once" in text_of(await refused.reply())
