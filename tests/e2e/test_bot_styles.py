"""Styles: words around a prompt, which itself stays as it was typed."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.demo.users import SimulatedUser, files_of, text_of
from modules.queue_manager.jobs import Style
from modules.queue_manager.manager import MAX_PROMPT
from tests.discord_stand import Stand, answered_by_status, filled, more, result_for, whole_room

NOIR = Style(
    name="noir",
    label=(("en", "Film noir"), ("es", "Cine negro")),
    prompt="a still of {prompt}, rain",
    negative="color",
)
INK = Style(name="ink", label=(("en", "Ink"),), prompt="ink drawing: {prompt}")


@contextlib.asynccontextmanager
async def styled_room(folder: Path, **options: Any) -> AsyncIterator[Stand]:
    """A room whose models are flux, without negative prompts, and z-image, with a negative prompt of each."""
    async with whole_room(folder, rate_limits=False, **options) as stand:
        stand.queue.offers.styles = (NOIR, INK)
        stand.product.folder_changed.set()
        yield stand


async def person_in(stand: Stand, name: str = "member-1", locale: str | None = None) -> Any:
    """A person who sees the option."""
    person = await stand.person(name, locale)
    await person.until(lambda: "style" in str(person.commands))
    return person


async def test_a_style_is_shown_and_stands_around_the_words_and_in_the_file(tmp_path: Path) -> None:
    async with styled_room(tmp_path) as stand:
        ana = await person_in(stand)
        await ana.command(
            "imagine", stand.general, model="z-image", prompt="a quay", seed=3, style="noir", negative="boats"
        )
        result = await result_for(ana, "seed `3` · Film noir")
        assert "> a quay\n" in text_of(result)
        (job,) = stand.engine.submitted[-1].jobs
        assert (job.request.prompt, job.request.full_prompt) == ("a quay", "a still of a quay, rain")
        assert job.request.full_negative == "boats, color"
        image = Image.open(io.BytesIO(await ana.download(files_of(result)[0]["url"])))
        assert image.info["parameters"].startswith("a still of a quay, rain\nNegative prompt: boats, color\n")
        assert "Style: Film noir" in image.info["parameters"]
        details = text_of(await (await more(ana, result, "details")).reply())
        assert "The model got: a still of a quay, rain" in details
        assert "What should not be in the picture: boats, color" in details
        await ana.command("imagine", stand.general, model="flux", prompt="a quay", seed=4, style="Film Noir")
        await result_for(ana, "seed `4` · Film noir")
        assert stand.engine.submitted[-1].jobs[0].request.full_negative == "", "it takes no negative prompt"


async def test_styles_and_words_do_not_split_a_run(tmp_path: Path) -> None:
    async with styled_room(tmp_path) as stand:
        people = [await person_in(stand, f"member-{n}") for n in (1, 2, 3)]
        stand.queue.pause()
        for person, style in zip(people, ("noir", "ink", "none"), strict=True):
            await person.command("imagine", stand.general, model="z-image", prompt="a quay", style=style)
        await stand.until(lambda: stand.queue.status().waiting == 3)
        stand.queue.resume()
        await stand.until(lambda: not stand.queue.active_jobs(people[0].id))
        (batch,) = stand.engine.submitted
        assert {job.request.full_prompt for job in batch.jobs} == {
            "a still of a quay, rain", "ink drawing: a quay", "a quay",
        }  # fmt: skip


@pytest.mark.parametrize(
    "typed", ["{prompt} and {prompt}", "100% {} {0} %s \\1 $1 {{", "__color__ <lora:x:1>"]
)
async def test_what_is_typed_has_no_other_syntax(tmp_path: Path, typed: str) -> None:
    async with styled_room(tmp_path) as stand:
        ana = await person_in(stand)
        await ana.command("imagine", stand.general, model="flux", prompt=typed, seed=3, style="noir")
        await result_for(ana, "seed `3`")
        (job,) = stand.engine.submitted[-1].jobs
        assert job.request.full_prompt == f"a still of {typed}, rain"
        assert job.request.prompt == typed


async def test_it_is_chosen_by_name_preferred_in_settings_and_kept_by_buttons(tmp_path: Path) -> None:
    async with styled_room(tmp_path) as stand:
        ana = await person_in(stand, locale="es-ES")
        choices = await ana.autocomplete("imagine", stand.general, "style")
        assert {choice["value"]: choice["name"] for choice in choices} == {
            "noir": "Cine negro", "ink": "Ink", "none": "Sin estilo",
        }  # fmt: skip
        page = await (await ana.command("settings", stand.general)).reply()
        assert "**Estilo para las imágenes nuevas** · Sin estilo" in text_of(page)
        await (await ana.click(page, "fullet:setting:style", values=["noir"])).acknowledged()
        await ana.until(lambda: "nuevas** · Cine negro" in text_of(ana.message(page["id"]) or {}))
        await ana.command("imagine", stand.general, model="flux", prompt="a quay", seed=3)
        result = await result_for(ana, "semilla `3` · Cine negro")
        await ana.command("imagine", stand.general, model="flux", prompt="a quay", seed=4, style="none")
        plain = await result_for(ana, "semilla `4`")
        assert "Cine negro" not in text_of(plain)
        await answered_by_status(await ana.click(plain, "Otra vez"))
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        assert stand.engine.submitted[-1].jobs[0].request.style is None, "it was without one"
        await answered_by_status(await ana.click(result, "Variar"))
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        assert stand.engine.submitted[-1].jobs[0].request.full_prompt == "a still of a quay, rain"


async def test_the_form_shows_what_was_typed_and_the_style_and_changes_both(tmp_path: Path) -> None:
    async with styled_room(tmp_path) as stand:
        ana = await person_in(stand)
        await ana.command("imagine", stand.general, model="flux", prompt="a quay", seed=3, style="noir")
        result = await result_for(ana, "seed `3`")
        form = await (await more(ana, result, "prompt")).modal()
        assert filled(form) == {
            "prompt": "a quay", "seed": "3", "size": "64x64", "model": "flux", "style": "noir",
        }  # fmt: skip
        await answered_by_status(await ana.submit_modal(form, prompt="a pier", style="ink", seed="4"))
        await result_for(ana, "seed `4` · Ink")
        assert stand.engine.submitted[-1].jobs[0].request.full_prompt == "ink drawing: a pier"


async def test_a_form_has_five_fields_and_what_it_does_not_show_stays(tmp_path: Path) -> None:
    async with styled_room(tmp_path) as stand:
        ana = await person_in(stand)
        await ana.command(
            "imagine", stand.general, model="z-image", prompt="a quay", seed=3, style="noir", negative="fog"
        )
        form = await (await more(ana, await result_for(ana, "seed `3`"), "prompt")).modal()
        assert list(filled(form)) == ["prompt", "negative", "size", "model", "style"]
        await answered_by_status(await ana.submit_modal(form, prompt="a pier", style="none"))
        await ana.until(lambda: "a pier" in str(ana.all_messages()))
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        request = stand.engine.submitted[-1].jobs[0].request
        assert (request.seed, request.negative, request.style) == (3, "fog", None)


async def test_a_refused_form_keeps_the_style(tmp_path: Path) -> None:
    async with styled_room(tmp_path) as stand:
        ana = await person_in(stand)
        await ana.command("imagine", stand.general, model="flux", prompt="a quay", seed=3, style="noir")
        form = await (await more(ana, await result_for(ana, "seed `3`"), "prompt")).modal()
        refusal = await (await ana.submit_modal(form, style="ink", seed="many")).reply()
        again = await (await ana.click(refusal, "Open the form again")).modal()
        assert filled(again)["style"] == "ink"


async def test_the_words_of_a_style_count_for_the_rules(tmp_path: Path) -> None:
    words = tmp_path / "banned.txt"
    words.write_text("rain\nquay rain\n", encoding="utf-8")
    async with styled_room(tmp_path, banned_words=words) as stand:
        ana = await person_in(stand)
        for style, refused in (("noir", True), ("ink", False)):
            asked = await ana.command("imagine", stand.general, model="flux", prompt="a quay", style=style)
            assert ("a word that is not allowed here" in text_of(await asked.reply())) is refused
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        long = "x" * (MAX_PROMPT - 5)
        asked = await ana.command("imagine", stand.general, model="flux", prompt=long, style="ink")
        assert f"{MAX_PROMPT}" in text_of(await asked.reply()).replace(",", "")
        asked = await ana.command("imagine", stand.general, model="flux", prompt="x", style="nior")
        assert "There is no style called nior." in text_of(await asked.reply())


async def searched(person: SimulatedUser, stand: Stand, word: str) -> str:
    """What /history shows for a word."""
    page = await (await person.command("history", stand.general)).reply()
    form = await (await person.click(page, "Search…")).modal()
    await (await person.submit_modal(form, word=word)).acknowledged()

    def shown() -> str | None:
        said = text_of(person.message(page["id"]) or {})
        return said if f"“{word}”" in said else None

    return await person.until(shown)


async def test_history_finds_what_was_typed(tmp_path: Path) -> None:
    async with styled_room(tmp_path) as stand:
        ana = await person_in(stand)
        await ana.command("imagine", stand.general, model="flux", prompt="a quay", seed=3, style="noir")
        await result_for(ana, "seed `3`")
        await stand.until(lambda: not stand.queue.active_jobs(ana.id))
        offered = await ana.autocomplete("imagine", stand.general, "prompt", prompt="qua")
        assert [choice["value"] for choice in offered] == ["a quay"]
        assert "> a quay" in await searched(ana, stand, "quay")
        assert "> a quay" not in await searched(ana, stand, "rain")
