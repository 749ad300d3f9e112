"""Pictures that start from others: their strength, a part of them by a mask, zooming out and panning."""

from __future__ import annotations

import hashlib
import io
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from modules.demo.users import File, Payload, SimulatedUser, files_of, text_of
from modules.discord.requests.limits import Limits
from modules.queue_manager.jobs import GenerationRequest, MaskUse, Size
from modules.utils.database.rows import UserPreferences
from modules.utils.images.masks import SEAM
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
    result_for,
    set_for,
    whole_room,
)
from tests.e2e.live_models import Live, live

ABLE = tuple(
    replace(known, starts=known.kind == "imagine", masks="may" if known.kind != "upscale" else "none")
    for known in OFFERS
)


def drawing(size: Size, hole: tuple[int, int, int, int] | None = None) -> Image.Image:
    """Something with different pixels everywhere, transparent in a box."""
    ramps = [
        Image.linear_gradient("L").rotate(turn).resize((size.width, size.height)) for turn in (0, 90, 180)
    ]
    picture = Image.merge("RGB", ramps)
    if hole is not None:
        alpha = Image.new("L", picture.size, 255)
        alpha.paste(0, hole)
        picture.putalpha(alpha)
    return picture


def png(image: Image.Image, name: str = "mine.png") -> File:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return File(filename=name, data=buffer.getvalue())


def black_and_white(size: Size, box: tuple[int, int, int, int]) -> File:
    mask = Image.new("L", (size.width, size.height))
    mask.paste(255, box)
    return png(mask, "mask.png")


async def asked(stand: Stand, person: SimulatedUser) -> GenerationRequest:
    """The request that ran last, once nothing of the person's runs."""
    await stand.until(lambda: not stand.queue.active_jobs(person.id))
    return stand.engine.submitted[-1].jobs[0].request


async def shown(person: SimulatedUser, message: Payload) -> Image.Image:
    return Image.open(io.BytesIO(await person.download(files_of(message)[0]["url"])))


async def test_a_start_picture_and_its_strength_stay_with_all_that_is_made_from_it(tmp_path: Path) -> None:
    async with whole_room(tmp_path, offers=ABLE) as stand:
        ana = await stand.person()
        start = png(drawing(Size(width=300, height=160)))
        options = {"model": "flux", "prompt": "a boat", "image": start, "strength": 0.62, "seed": 3}
        await ana.command("imagine", stand.general, **options)
        result = await result_for(ana, "a boat")
        assert "started from a picture, strength 0.6" in text_of(result)
        picture = await shown(ana, result)
        assert "Denoising strength: 0.6" in picture.info["parameters"]
        first = await asked(stand, ana)
        assert (first.strength, first.size, first.sources[0].size) == (0.6, WIDE, WIDE)

        await answered_by_status(await ana.click(result, "Again"))
        await answered_by_status(await ana.click(result, "Vary"))
        await stand.until(lambda: len(stand.engine.submitted) == 3)
        again = [batch.jobs[0].request for batch in stand.engine.submitted[1:]]
        assert [(each.strength, each.sources) for each in again] == [(0.6, first.sources)] * 2
        await asked(stand, ana)

        form = await (await more(ana, result, "prompt")).modal()
        assert filled(form)["strength"] == "0.60"
        await answered_by_status(await ana.submit_modal(form, strength="0.30", prompt="a raft"))
        assert "strength 0.3" in text_of(await result_for(ana, "a raft"))
        assert (await asked(stand, ana)).sources == first.sources


async def test_a_picture_is_used_as_a_start_from_its_menu_and_from_anybodys_message(tmp_path: Path) -> None:
    async with whole_room(tmp_path, offers=ABLE) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2", locale="es-ES")
        await ana.command("imagine", stand.general, model="flux", prompt="a boat", aspect="wide")
        result = await result_for(ana, "a boat")
        await asked(stand, ana)
        form = await (await more(ana, result, "start")).modal()
        assert filled(form) == {"prompt": "a boat", "strength": "0.60", "model": "flux"}
        await answered_by_status(await ana.submit_modal(form, prompt="at night", strength="0.45"))
        await result_for(ana, "at night")
        request = await asked(stand, ana)
        assert (request.kind, request.strength, request.size) == ("imagine", 0.45, WIDE)

        await stand.database.preferences.put(ben.id, UserPreferences(start_strength=0.8))
        await ana.say(stand.general, "look", png(drawing(SMALL)))
        said = await ben.wait_for_message(lambda m: text_of(m) == "look")
        form = await (await ben.context("Use as start", stand.general, said)).modal()
        assert filled(form) == {"prompt": None, "strength": "0.80", "model": "flux"}
        await (await ben.submit_modal(form, prompt="una barca")).reply()
        assert "a partir de una imagen, fuerza 0,8" in text_of(await result_for(ben, "una barca"))


async def test_the_strength_that_a_person_prefers_is_used_where_they_say_none(tmp_path: Path) -> None:
    async with whole_room(tmp_path, offers=ABLE) as stand:
        ana = await stand.person()
        page = await (await ana.command("settings", stand.general)).reply()
        assert "**Strength when starting from a picture** · Default (0.6)" in text_of(page)
        chosen = await ana.click(page, "fullet:setting:strength", values=["0.25"])
        await chosen.acknowledged()
        await ana.command("imagine", stand.general, model="flux", prompt="a boat", image=png(drawing(SMALL)))
        await result_for(ana, "a boat")
        assert (await asked(stand, ana)).strength == 0.25


async def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    offers = (
        *ABLE,
        replace(OFFERS[0], name="plain", label="Plain"),
        replace(ABLE[2], name="fill", label="Fill", masks="must"),
    )
    image, small = png(drawing(SMALL)), png(drawing(Size(width=32, height=32)))
    everything = png(drawing(SMALL, (0, 0, 64, 64)))
    wrong = {
        "The strength must be from 0.05 to 1, not 7.": ("imagine", {"image": image, "strength": 7}),
        "The strength needs a picture to start from: attach one as `image`.": ("imagine", {"strength": 0.5}),
        "Plain cannot start from a picture. These can: Flux, Z-Image.": (
            "imagine", {"model": "plain", "image": image},
        ),
        "The mask must have the same width and height as the picture.": (
            "edit", {"image": image, "mask": small},
        ),
        "The mask marks nothing: make the part that should change white or transparent.": (
            "edit", {"image": image, "mask": black_and_white(SMALL, (0, 0, 0, 0))},
        ),
        "The mask marks the whole picture, so nothing of it would be left. Mark only a part.": (
            "edit", {"image": everything},
        ),
        "Fill changes only a marked part of a picture. Add a mask, or use a PNG with a transparent part.": (
            "edit", {"image": image, "model": "fill"},
        ),
        "The part that should change is cut off when the picture is resized and cropped to the size of the "
        "result. Crop the picture yourself, or choose another aspect in /imagine.": (
            "imagine", {"image": png(drawing(WIDE, (0, 0, 20, 64))), "aspect": "tall"},
        ),
        "The strength must be from 0.05 to 1, not 1.03.": ("imagine", {"image": image, "strength": 1.03}),
        "That file is not a picture the bot can read. Use PNG, JPEG, WebP or GIF.": (
            "edit", {"image": image, "mask": File(filename="m.png", data=b"words")},
        ),
    }  # fmt: skip
    engine = make_engine()
    engine.limits = {known.name: 1 for known in offers}
    async with whole_room(tmp_path, offers=offers, engine=engine) as stand:
        ana = await stand.person()
        for sentence, (command, options) in wrong.items():
            given = {"prompt": "x", **({"model": "flux"} if command == "imagine" else {}), **options}
            told = await (await ana.command(command, stand.general, **given)).reply(60)
            assert re.sub(r"<(/\w+):\d+>", r"\1", text_of(told)) == sentence
        assert stand.engine.submitted == []


async def test_where_no_model_can_nothing_is_offered_and_it_is_told(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a boat")
        result = await result_for(ana, "a boat")
        assert not {"start", "zoom15", "panleft"} & set(_choices(result))
        told = await (
            await ana.command("edit", stand.general, prompt="x", image=png(drawing(SMALL, (8, 8, 40, 40))))
        ).reply()
        assert text_of(told) == "No model here can change just part of a picture."
        told = await (await ana.context("Use as start", result["channel_id"], result)).reply()
        assert text_of(told) == "No model here can start from a picture."


async def test_the_form_for_a_start_picture_takes_one_whose_marked_part_an_edit_model_paints(
    tmp_path: Path,
) -> None:
    painter = replace(OFFERS[2], masks="must")
    assert painter.kind == "edit"
    async with whole_room(tmp_path, offers=(replace(OFFERS[0], starts=True), painter)) as stand:
        ana = await stand.person()
        await ana.say(stand.general, "look", png(drawing(SMALL, (8, 8, 40, 40))))
        said = await ana.wait_for_message(lambda m: text_of(m) == "look")
        form = await (await ana.context("Use as start", stand.general, said)).modal()
        assert filled(form) == {"prompt": None, "strength": "0.60"}
        assert "queued" in text_of(await (await ana.submit_modal(form, prompt="a door")).reply())
        await result_for(ana, "a door")
        request = await asked(stand, ana)
        assert (request.kind, request.strength) == ("edit", None)


def _choices(message: Payload) -> list[str]:
    (menu,) = [
        part for row in message["components"][1]["components"] for part in row.get("components", ())
        if str(part.get("custom_id")).startswith("fullet:more:")
    ]  # fmt: skip
    return [option["value"] for option in menu["options"]]


def outside(before: Image.Image, after: Image.Image, hole: tuple[int, int, int, int]) -> int:
    """The largest difference of any value outside the hole and its seam."""
    seam = round(max(before.size) / SEAM)
    left, top, right, bottom = hole
    difference = ImageChops.difference(before.convert("RGB"), after.convert("RGB"))
    difference.paste(0, (left - seam, top - seam, right + seam, bottom + seam))
    return max(high for _, high in difference.getextrema())


@pytest.mark.parametrize("way", ["transparent", "mask", "last"])
async def test_a_part_of_a_picture_is_painted_and_the_rest_stays_to_the_bit(tmp_path: Path, way: str) -> None:
    size, hole = Size(width=1024, height=1024), (200, 300, 700, 800)
    async with live(tmp_path) as here:
        stand = here.stand
        ana = await stand.person()
        before = drawing(size)
        options = {
            "transparent": {"image": png(drawing(size, hole))},
            "mask": {"image": png(before), "mask": black_and_white(size, hole)},
            "last": {"mask": black_and_white(size, hole)},
        }[way]
        if way == "last":
            await ana.command("imagine", stand.general, model="flux", prompt="a boat")
            before = await shown(ana, await result_for(ana, "a boat"))
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await ana.command("edit", stand.general, prompt="a door", **options)
        result = await result_for(ana, "a door")
        assert "only part of it changed" in text_of(result)
        after = await shown(ana, result)
        assert after.size == before.size
        assert outside(before, after, hole) == 0
        inside = [image.convert("RGB").crop((220, 320, 680, 780)).tobytes() for image in (before, after)]
        assert inside[0] != inside[1]
        assert "Masked: True" in after.info["parameters"]

        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        await answered_by_status(await ana.click(result, "Again"))
        again = await ana.wait_for_message(
            lambda m: (
                m["id"] != result["id"] and bool(files_of(m)) and "only part of it changed" in text_of(m)
            )
        )
        assert outside(before, await shown(ana, again), hole) == 0


async def test_what_a_mask_leaves_stays_through_all_that_is_asked_for_next(tmp_path: Path) -> None:
    size, hole = Size(width=1024, height=1024), (200, 300, 700, 800)
    async with live(tmp_path) as here:
        stand, before = here.stand, drawing(size)
        ana = await stand.person()

        async def picture(number: int) -> tuple[Payload, Image.Image]:
            found = await ana.wait_for_message(
                lambda m: bool(files_of(m)) and f"**#{number}** is ready." in text_of(m)
            )
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))
            return found, (await shown(ana, found)).convert("RGB")

        options = {"image": png(drawing(size, hole)), "seed": 3}
        await ana.command("edit", stand.general, prompt="a door", style="noir", **options)
        first, door = await picture(1)
        await answered_by_status(await ana.click(first, "Vary"))
        _, varied = await picture(2)
        assert outside(before, varied, hole) == 0
        assert varied.tobytes() != door.tobytes()

        seam = round(1024 / SEAM)
        await answered_by_status(await more(ana, first, "panup"))
        _, panned = await picture(3)
        kept = [panned.crop((0, 512 + seam, 1024, 1024)), door.crop((0, seam, 1024, 512))]
        assert kept[0].crop((0, 0, 1024, 496)).tobytes() == door.crop((0, seam, 1024, 512)).tobytes()

        await answered_by_status(await more(ana, first, "upscale"))
        large, upscaled = await picture(4)
        assert upscaled.width > 1024
        await answered_by_status(await more(ana, large, "zoom15"))
        zoomed, smaller = await picture(5)
        assert "only part of it changed" in text_of(zoomed)
        assert smaller.size == door.size


async def test_several_pictures_of_one_mask_all_keep_what_it_leaves(tmp_path: Path) -> None:
    size, hole = Size(width=1024, height=1024), (200, 300, 700, 800)
    async with live(tmp_path, limits=Limits(jobs=4)) as here:
        ana = await here.stand.person()
        options = {"model": "flux", "image": png(drawing(size, hole)), "strength": 0.8, "count": 4}
        await ana.command("imagine", here.stand.general, prompt="a door", **options)
        result = await set_for(ana, "a door", 4, 60.0)
        files = [Image.open(io.BytesIO(await ana.download(each["url"]))) for each in files_of(result)]
        assert [outside(drawing(size), each, hole) for each in files] == [0] * 4
        assert len({each.convert("RGB").tobytes() for each in files}) == 4


async def test_a_picture_whose_start_was_forgotten_is_not_made_again_from_words_alone(tmp_path: Path) -> None:
    async with whole_room(tmp_path, offers=ABLE) as stand:
        ana = await stand.person()
        options = {"image": png(drawing(SMALL, (8, 8, 40, 40)))}
        await ana.command("edit", stand.general, prompt="a door", **options)
        result = await result_for(ana, "a door")
        mask = (await asked(stand, ana)).mask
        assert mask is not None
        with closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
            database.execute("DELETE FROM sources WHERE key = ?", (mask.key,))
        for button in ("Again", "Vary"):
            told = await (await ana.click(result, button)).reply()
            assert "no longer" in text_of(told) or "gone" in text_of(told), text_of(told)
        assert len(stand.engine.submitted) == 1


async def test_a_part_that_waited_through_a_restart_is_painted_with_its_mask_apart_from_the_others(
    tmp_path: Path,
) -> None:
    async with discord_server() as server:
        async with bot_on(server, tmp_path, offers=ABLE, limits=Limits(jobs=3)) as stand:
            ana = await stand.person()
            stand.queue.pause()
            for hole in ((8, 8, 40, 40), (20, 20, 60, 60), None):
                image = png(drawing(SMALL, hole))
                await ana.command("imagine", stand.general, model="flux", prompt="a door", image=image)
            await stand.until(lambda: len(stand.queue.active_jobs(ana.id)) == 3)
            before = stand.queue.active_jobs(ana.id)
        async with bot_on(server, tmp_path, offers=ABLE, limits=Limits(jobs=3)) as stand:
            ana = await stand.person()
            await stand.until(lambda: sum(len(batch.jobs) for batch in stand.engine.submitted) == 3)
            batches = stand.engine.submitted
            ran = sorted((job for batch in batches for job in batch.jobs), key=lambda job: job.number)
            assert [(job.request, job.key) for job in ran] == [(job.request, job.key) for job in before]
            assert sorted(len(batch.jobs) for batch in batches) == [1, 2]
            masks = [job.request.mask for job in ran]
            assert len({mask.key for mask in masks if mask is not None}) == 2
            for source in {source for job in ran for source in job.request.inputs}:
                data = await stand.database.jobs.source(source.key)
                assert hashlib.sha256(data).hexdigest() == source.key
            await stand.until(lambda: not stand.queue.active_jobs(ana.id))


async def test_a_second_picture_is_not_lost_to_a_model_that_takes_one(tmp_path: Path) -> None:
    offers = (*ABLE[:2], replace(ABLE[2], source_count=(1, 2)), ABLE[3])
    fill = replace(offers[2], name="fill", label="Fill", masks="best", source_count=(1, 1))
    engine = make_engine()
    engine.limits = {known.name: 1 for known in (*offers, fill)}
    async with whole_room(tmp_path, offers=(*offers, fill), engine=engine) as stand:
        ana = await stand.person()
        options = {"image": png(drawing(SMALL, (8, 8, 40, 40))), "image2": png(drawing(WIDE))}
        await ana.command("edit", stand.general, prompt="a door", **options)
        await result_for(ana, "a door")
        request = await asked(stand, ana)
        assert (request.model, [each.size for each in request.sources]) == ("flux_edit", [SMALL, WIDE])
        assert request.mask is not None


async def test_a_model_that_was_made_for_parts_paints_them_if_nobody_chooses(tmp_path: Path) -> None:
    fill = replace(ABLE[2], name="fill", label="Fill", masks="best")
    engine = make_engine()
    engine.limits = {known.name: 1 for known in (*ABLE, fill)}
    async with whole_room(tmp_path, offers=(*ABLE, fill), engine=engine) as stand:
        ana = await stand.person()
        part = {"image": png(drawing(SMALL, (8, 8, 40, 40)))}
        for number, (model, name) in enumerate(((None, "fill"), ("flux_edit", "flux_edit"))):
            options = part if model is None else {**part, "model": model}
            await ana.command("edit", stand.general, prompt=f"door {number}", **options)
            await result_for(ana, f"door {number}")
            assert (await asked(stand, ana)).model == name
        await ana.command("imagine", stand.general, model="flux", prompt="a boat")
        result = await result_for(ana, "a boat")
        await asked(stand, ana)
        await answered_by_status(await more(ana, result, "zoom15"))
        await stand.until(lambda: len(stand.engine.submitted) == 4)
        request = await asked(stand, ana)
        assert (request.model, request.kind, request.prompt) == ("fill", "edit", "a boat")
        assert request.mask is not None


@pytest.mark.parametrize("masks", ["best", "must"])
async def test_a_model_that_was_made_for_parts_gets_no_whole_picture_if_nobody_chooses_it(
    tmp_path: Path, masks: MaskUse
) -> None:
    offers = (replace(ABLE[2], name="fill", label="Fill", masks=masks), *ABLE)
    engine = make_engine()
    engine.limits = {known.name: 1 for known in offers}
    async with whole_room(tmp_path, offers=offers, engine=engine) as stand:
        ana = await stand.person()
        await ana.command("edit", stand.general, prompt="at night", image=png(drawing(SMALL)))
        result = await result_for(ana, "at night")
        assert (await asked(stand, ana)).model == "flux_edit"
        form = await (await ana.context("Edit picture", result["channel_id"], result)).modal()
        assert filled(form)["model"] == "flux_edit"


async def test_the_menu_of_a_message_paints_the_transparent_part_too(tmp_path: Path) -> None:
    async with whole_room(tmp_path, offers=ABLE) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        await ana.say(stand.general, "look", png(drawing(SMALL, (8, 8, 40, 40))))
        said = await ben.wait_for_message(lambda m: text_of(m) == "look")
        form = await (await ben.context("Edit picture", stand.general, said)).modal()
        await (await ben.submit_modal(form, prompt="a door")).reply()
        assert "only part of it changed" in text_of(await result_for(ben, "a door"))
        request = await asked(stand, ben)
        assert request.mask is not None
        assert request.mask.size == request.size == SMALL


async def _ready(here: Live, ana: SimulatedUser) -> tuple[Payload, Image.Image]:
    await ana.command("imagine", here.stand.general, model="z-image", prompt="a boat", aspect="landscape")
    result = await result_for(ana, "a boat")
    await here.stand.until(lambda: not here.stand.queue.active_jobs(ana.id))
    return result, (await shown(ana, result)).convert("RGB")


async def _next(here: Live, ana: SimulatedUser, result: Payload, what: str, number: int) -> Image.Image:
    await answered_by_status(await more(ana, result, what))
    made = await ana.wait_for_message(
        lambda m: bool(files_of(m)) and f"**#{number}** is ready." in text_of(m)
    )
    assert "only part of it changed" in text_of(made)
    assert "Z-Image Turbo ·" in text_of(made)
    await here.stand.until(lambda: not here.stand.queue.active_jobs(ana.id))
    return (await shown(ana, made)).convert("RGB")


async def test_a_picture_is_zoomed_out_and_panned_in_its_size(tmp_path: Path) -> None:
    async with live(tmp_path) as here:
        ana = await here.stand.person()
        result, before = await _ready(here, ana)
        width, height = before.size
        seam = round(max(before.size) / SEAM)
        zoomed = await _next(here, ana, result, "zoom2", 2)
        small = before.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
        at = (width // 4, height // 4)
        kept = zoomed.crop((*at, at[0] + small.width, at[1] + small.height))
        inner = (seam, seam, small.width - seam, small.height - seam)
        assert zoomed.size == before.size
        assert kept.crop(inner).tobytes() == small.crop(inner).tobytes()

        for number, (what, box, to) in enumerate(
            (
                ("panleft", (0, 0, width // 2, height), (width // 2, 0)),
                ("pandown", (0, height // 2, width, height), (0, 0)),
            ),
            3,
        ):
            panned = await _next(here, ana, result, what, number)
            old = before.crop(box)
            new = panned.crop((*to, to[0] + old.width, to[1] + old.height))
            inner = (seam * (what == "panleft"), 0, old.width, old.height - seam * (what == "pandown"))
            assert panned.size == before.size
            assert new.crop(inner).tobytes() == old.crop(inner).tobytes()
            assert panned.tobytes() != before.tobytes()


async def test_forget_erases_start_pictures_and_masks(tmp_path: Path) -> None:
    async with whole_room(tmp_path, offers=ABLE) as stand:
        ana = await stand.person()
        image = png(drawing(SMALL, (8, 8, 40, 40)))
        await ana.command("edit", stand.general, prompt="a door", image=image)
        await result_for(ana, "a door")
        request = await asked(stand, ana)
        assert request.mask is not None
        with closing(sqlite3.connect(tmp_path / "bot.db")) as database:
            assert database.execute("SELECT count(*) FROM sources").fetchone() == (2,)
            await stand.database.history.forget(ana.id)
            assert database.execute("SELECT count(*) FROM sources").fetchone() == (0,)
