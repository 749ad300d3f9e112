"""The forms about a picture: what they offer, and that nothing typed in them is lost."""

from __future__ import annotations

from pathlib import Path

from modules.demo.users import File, Payload, SimulatedUser, text_of
from modules.queue_manager.jobs import Size
from tests.discord_stand import (
    OFFERS,
    SMALL,
    WIDE,
    Stand,
    answered_by_status,
    bot_on,
    discord_server,
    filled,
    make_engine,
    more,
    painted,
    pixel,
    result_for,
    whole_room,
)
from tests.fakes import offer

BROAD = Size(width=192, height=96)


def choices(form: Payload, name: str) -> dict[str, str]:
    """What a menu of a form offers: the label of each value."""
    fields = [part["component"] for part in form["components"]]
    (field,) = [field for field in fields if field["custom_id"] == name]
    return {option["value"]: option["label"] for option in field["options"]}


async def made(stand: Stand, person: SimulatedUser, words: str, **options: object) -> Payload:
    """The result of a request, when nothing is left to do."""
    await person.command("imagine", stand.general, prompt=words, **options)
    result = await result_for(person, words)
    await stand.until(lambda: not stand.queue.active_jobs(person.id))
    return result


async def reopened(person: SimulatedUser, refusal: Payload, label: str = "Open the form again") -> Payload:
    return await (await person.click(refusal, label)).modal()


async def test_the_likely_models_come_first_and_25_at_most(tmp_path: Path) -> None:
    many = tuple(offer(f"model-{n}", sizes=(SMALL,), default_size=SMALL) for n in range(30))
    engine = make_engine()
    engine.limits = {known.name: 4 for known in (*OFFERS, *many)}
    async with whole_room(tmp_path, offers=(*OFFERS, *many), engine=engine, rate_limits=False) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        for n in range(2):
            await made(stand, ben, f"a dune {n}", model="model-28")
        await made(stand, ana, "a mesa", model="model-27")
        await made(stand, ana, "a butte", model="model-27")
        await made(stand, ana, "a cliff", model="model-29")
        result = await made(stand, ana, "a ridge", model="model-26")
        form = await (await more(ana, result, "prompt")).modal()
        offered = choices(form, "model")
        assert list(offered)[:6] == ["model-26", "model-27", "model-29", "model-28", "flux", "z-image"]
        assert offered["model-26"] == "Model-26"
        assert len(offered) == 25
        assert filled(form)["model"] == "model-26"


async def test_shapes_are_chosen_and_hold_for_another_model(tmp_path: Path) -> None:
    broad = offer("broad", sizes=(SMALL, BROAD), default_size=SMALL)
    engine = make_engine()
    engine.limits = {known.name: 4 for known in (*OFFERS, broad)}
    async with whole_room(tmp_path, offers=(*OFFERS, broad), engine=engine, rate_limits=False) as stand:
        ana = await stand.person()
        result = await made(stand, ana, "a pier", model="flux", aspect="wide", seed=3)
        form = await (await more(ana, result, "prompt")).modal()
        assert choices(form, "size") == {
            "128x64": "Wide · 128×64", "square": "Square · 64×64", "tall": "Tall · 48×96",
        }  # fmt: skip
        await answered_by_status(await ana.submit_modal(form, model="broad"))
        await result_for(ana, "Broad · 192×96 · seed `3`")
        form = await (await more(ana, result, "prompt")).modal()
        await answered_by_status(await ana.submit_modal(form, size="tall"))
        await result_for(ana, "Flux · 48×96 · seed `3`")


async def test_a_refused_form_gives_back_what_was_typed_and_opens_again(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        result = await made(stand, ana, "a quay", model="flux", aspect="wide", seed=3)
        form = await (await more(ana, result, "prompt")).modal()
        words = "a quay\nwith ```code``` and *stars*"
        typed = {"prompt": words, "negative": "fog", "seed": "", "size": "128x64", "model": "z-image"}
        refusal = await (await ana.submit_modal(form, typed)).reply()
        said = text_of(refusal)
        assert "This model cannot make this shape or size: 128×64. Choose from: 64×64" in said
        assert "with `\u200b``code`\u200b`` and *stars*\n```" in said
        again = await reopened(ana, refusal)
        assert filled(again) == {**typed, "seed": None}
        await answered_by_status(await ana.submit_modal(again, size="square", seed="4"))
        await result_for(ana, "Z-Image · 64×64 · seed `4`")
        request = stand.engine.submitted[-1].jobs[0].request
        assert (request.prompt, request.negative) == (words, "fog")


async def test_even_a_long_text_is_given_back_whole_after_a_restart(tmp_path: Path) -> None:
    words, negative = "long words " * 350, "no " * 900
    async with discord_server(rate_limits=False) as server:
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person(locale="es-ES")
            result = await made(stand, ana, "un faro", model="z-image")
            form = await (await more(ana, result, "prompt")).modal()
            refusal = await (
                await ana.submit_modal(form, prompt=words, negative=negative, seed="muchas")
            ).reply()
            assert len(text_of(refusal)) < 4000
            assert "«muchas» no es un número" in text_of(refusal)
        async with bot_on(server, tmp_path) as stand:
            ana = await stand.person()
            again = await reopened(ana, refusal, "Abrir otra vez el formulario")
            assert filled(again) == {
                "prompt": words, "negative": negative, "seed": "muchas", "size": "64x64", "model": "z-image",
            }  # fmt: skip


async def test_pictures_are_added_in_the_form_that_edits_one(tmp_path: Path) -> None:
    hat = File(filename="hat.png", data=painted("hat", 0, WIDE))
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        photo = File(filename="photo.png", data=painted("x", 0, SMALL))
        await ana.say(stand.general, "look", photo)
        said = await ana.wait_for_message(lambda m: text_of(m) == "look")
        form = await (await ana.context("Edit picture", stand.general, said)).modal()
        files = [(await ana.upload(hat))["id"]]
        stand.queue.close("closed")
        refusal = await (await ana.submit_modal(form, prompt="with that hat", pictures=files)).reply()
        stand.queue.open()
        await ana.submit_modal(await reopened(ana, refusal), pictures=files)
        result = await result_for(ana, "with that hat")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        first, second = stand.engine.submitted[-1].jobs[0].request.sources
        assert pixel(await stand.database.jobs.source(first.key)) == pixel(photo.data)
        assert pixel(await stand.database.jobs.source(second.key)) == pixel(hat.data)
        form = await (await ana.click(result, "Edit")).modal()
        stand.queue.close("closed")
        refusal = await (await ana.submit_modal(form, prompt="twice", pictures=files)).reply()
        assert "Your files are not kept: attach them again." in text_of(refusal)
        stand.queue.open()
        again = await reopened(ana, refusal)
        assert filled(again) == {"prompt": "twice"}
        files = [(await ana.upload(hat))["id"]]
        await ana.submit_modal(again, pictures=files)
        await result_for(ana, "twice")
        assert len(stand.engine.submitted[-1].jobs[0].request.sources) == 2
