"""LoRAs: chosen by name, drawn by the GPU, kept by buttons; and the sentence for each that cannot be had."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from modules.demo.comfy_server import Timing, mark_of, read_mark
from modules.demo.discord_server import WorldSpec
from modules.demo.users import Payload, SimulatedUser, files_of, text_of
from tests.discord_stand import answered_by_status, filled, more, result_for, status_with
from tests.e2e.live_models import Live, live

GRAIN, GOTHIC = "photo/grain.safetensors", "gothic.safetensors"
LORAS = f"""
[grain]
label = "Film grain"
file = "{GRAIN}"
models = ["flux", "flux_edit"]
trigger_words = "grainy photo"
[gothic]
label = "Gothic"
file = "{GOTHIC}"
models = ["z-image"]
strengths = [0.5, 0.75]
default = 0.5
"""
ROOM: dict[str, Any] = {"files": {"loras.toml": LORAS}, "loras": ((GRAIN, GOTHIC),), "rate_limits": False}


async def loras_sent(here: Live) -> list[tuple[str, float, int]]:
    """Of each run so far that had a LoRA: its file, its strength and its pictures."""
    found = []
    for server in here.servers:
        async with aiohttp.ClientSession() as http, http.get(f"{server.url}/history") as answer:
            runs = (await answer.json()).values()
        for run in runs:
            nodes = list(run["prompt"][2].values())
            rows = sum(node["class_type"] == "CLIPTextEncode" for node in nodes)
            found += [
                (node["inputs"]["lora_name"], node["inputs"]["strength_model"], rows)
                for node in nodes
                if node["class_type"] == "LoraLoaderModelOnly"
            ]
    return found


async def picture(person: SimulatedUser, message: Payload) -> Image.Image:
    return Image.open(io.BytesIO(await person.download(files_of(message)[0]["url"])))


async def test_equal_loras_share_a_run_and_each_picture_is_its_own_and_says_how_it_was_made(
    tmp_path: Path,
) -> None:
    async with live(tmp_path, **ROOM) as here:
        ana, ben = await here.stand.person("member-1"), await here.stand.person("member-2")
        here.stand.queue.pause()
        for person, seed in ((ana, 1), (ben, 2)):
            await person.command(
                "imagine",
                here.stand.general,
                model="flux",
                prompt=f"a hill {seed}",
                seed=seed,
                lora="grain",
                lora_strength=0.75,
            )
        await ana.command("imagine", here.stand.general, model="flux", prompt="a hill 3", seed=3)
        await here.stand.until(lambda: here.stand.queue.status().waiting == 3)
        here.stand.queue.resume()
        told = [await result_for(person, f"seed `{seed}`") for person, seed in ((ana, 1), (ben, 2))]
        for person, message, seed in zip((ana, ben), told, (1, 2), strict=True):
            assert "Film grain 0.75 (adds “grainy photo”) · " in text_of(message)
            assert "> a hill" in text_of(message)
            image = await picture(person, message)
            assert read_mark(image.convert("RGB")) == mark_of(f"a hill {seed}, grainy photo", seed)
            assert "Lora: Film grain 0.75" in image.info["parameters"]
            assert image.info["parameters"].startswith(f"a hill {seed}, grainy photo\n")
        plain = await result_for(ana, "seed `3`")
        assert "Film grain" not in text_of(plain)
        assert await loras_sent(here) == [(GRAIN, 0.75, 2)]


async def test_the_gpu_draws_a_difference_for_the_lora_and_for_its_strength(tmp_path: Path) -> None:
    async with live(tmp_path, **ROOM) as here:
        ana = await here.stand.person()
        for server in here.servers:
            server.bench.drawing = "full"
        colours = set()
        chosen: dict[str, dict[str, Any]] = {
            "**#1**": {},
            "**#2**": {"lora": "grain", "lora_strength": 0.25},
            "**#3**": {"lora": "Film Grain"},
        }
        for number, options in chosen.items():
            await ana.command("imagine", here.stand.general, model="flux", prompt="a hill", seed=3, **options)
            image = (await picture(ana, await result_for(ana, number))).convert("RGB")
            colours.add(image.getpixel((image.width // 2, image.height * 3 // 4)))
        assert len(colours) == 3


async def test_what_cannot_be_had_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with live(tmp_path, **ROOM) as here:
        ana = await here.stand.person()
        refusals = {
            ("gran", None, "en-US"): "There is no LoRA called gran. Choose one from the list.",
            ("grain", 7.0, "en-US"): "Film grain takes a strength from 0.25 to 1.5, in steps of 0.25.",
            ("grain", 0.3, "es-ES"): "Film grain admite una fuerza de 0,25 a 1,5, en pasos de 0,25.",
            ("gothic", None, "en-US"): "Gothic does not work with FLUX.2 Klein. It works with: Z-Image",
            ("gothic", None, "es-ES"): "Gothic no es compatible con FLUX.2 Klein.",
            (None, 0.5, "en-US"): "Choose a LoRA too: its strength alone changes nothing.",
        }
        for (lora, strength, locale), words in refusals.items():
            await ana.set_locale(locale)
            given = {"lora": lora, "lora_strength": strength}
            options = {name: value for name, value in given.items() if value is not None}
            asked = await ana.command("imagine", here.stand.general, model="flux", prompt="a hill", **options)
            assert words in text_of(await asked.reply())
        assert not here.stand.queue.active_jobs(ana.id)


async def test_only_roles_that_may_use_a_lora_are_offered_it_and_may(
    tmp_path: Path, world: WorldSpec
) -> None:
    async with live(tmp_path, world, **ROOM) as here:
        roles = here.stand.server.guild.roles.values()
        role = next(role.id for role in roles if role.name == "Administrators")
        (here.flujos / "loras.toml").write_text(LORAS.replace("[gothic]", f"roles = [{role}]\n[gothic]"))
        offers = here.stand.queue.offers
        await here.stand.until(lambda: offers.loras[0].roles == (role,))
        ana, admin = await here.stand.person(), await here.stand.person("admin")
        for person, may in ((ana, False), (admin, True)):
            offered = await person.autocomplete("imagine", here.stand.general, "lora", model="flux")
            assert ("grain" in [choice["value"] for choice in offered]) is may
            asked = await person.command(
                "imagine", here.stand.general, model="flux", prompt="a hill", lora="grain"
            )
            refused = "None of your roles may use Film grain. Choose another LoRA."
            assert (refused in text_of(await asked.reply())) is not may


async def test_the_choices_are_those_that_fit_the_model_and_that_a_server_has(tmp_path: Path) -> None:
    async with live(tmp_path, **{**ROOM, "loras": ((GRAIN,),)}) as here:
        ana = await here.stand.person()

        async def offered(option: str, command: str = "imagine", **typed: Any) -> dict[Any, str]:
            choices = await ana.autocomplete(command, here.stand.general, option, **typed)
            return {choice["value"]: choice["name"] for choice in choices}

        grain = "Film grain · 0.25 to 1.5 · adds “grainy photo”"
        assert await offered("lora", model="flux") == {"grain": grain, "none": "No LoRA"}
        assert await offered("lora", model="z-image") == {"none": "There is no LoRA for this model right now"}
        assert await offered("lora", model="flux", lora="velvet") == {"none": "No LoRA"}, (
            "there is another one"
        )
        assert await offered("lora", "edit") == {"grain": grain, "none": "No LoRA"}
        strengths = await offered("lora_strength", model="flux", lora="grain")
        assert list(strengths) == [1.0, 0.25, 0.5, 0.75, 1.25, 1.5]
        asked = await ana.command("imagine", here.stand.general, model="z-image", prompt="x", lora="gothic")
        words = "No GPU that runs Z-Image Turbo has Gothic right now."
        assert words in text_of(await asked.reply())


async def test_jobs_go_where_the_file_is_and_wait_where_it_was(tmp_path: Path) -> None:
    room = {**ROOM, "loras": ((), (GRAIN,)), "timing": Timing(step=0.02)}
    async with live(tmp_path, **room) as here:
        ana = await here.stand.person()
        for seed in (1, 2, 3):
            await ana.command(
                "imagine", here.stand.general, model="flux", prompt="a hill", seed=seed, lora="grain"
            )
            await result_for(ana, f"seed `{seed}`")
        assert not here.servers[0].sampler_log
        assert len(here.servers[1].sampler_log) == 3
        here.stand.queue.pause()
        await ana.command("imagine", here.stand.general, model="flux", prompt="a lake", seed=4, lora="grain")
        await here.stand.until(lambda: here.stand.queue.status().waiting == 1)
        here.servers[1].faults.set(missing_models=frozenset({GRAIN}))
        here.stand.fleet.ask_again()
        await here.stand.until(lambda: not any(one.loras for one in here.stand.fleet.engines()))
        here.stand.queue.resume()
        await status_with(ana, "No GPU has FLUX.2 Klein + Film grain any more. If that does not change")
        here.servers[1].faults.clear()
        here.stand.fleet.ask_again()
        await result_for(ana, "seed `4`")


async def test_buttons_forms_and_settings_keep_the_lora(tmp_path: Path) -> None:
    async with live(tmp_path, **ROOM) as here:
        ana = await here.stand.person()
        page = await (await ana.command("settings", here.stand.general)).reply()
        await (await ana.click(page, "fullet:setting:lora", values=["grain"])).acknowledged()
        await here.stand.until(lambda: "Film grain" in text_of(ana.message(page["id"]) or {}))
        await ana.command("imagine", here.stand.general, model="flux", prompt="a hill", seed=3)
        result = await result_for(ana, "seed `3`")
        assert "Film grain 1 (adds" in text_of(result)
        await ana.command("imagine", here.stand.general, model="z-image", prompt="a hill", seed=4)
        assert "Film grain" not in text_of(await result_for(ana, "seed `4`")), "it does not fit that model"
        await ana.command("imagine", here.stand.general, model="flux", prompt="x", seed=5, lora="none")
        assert "Film grain" not in text_of(await result_for(ana, "seed `5`"))
        await ana.command("imagine", here.stand.general, model="flux", prompt="x", seed=6, lora_strength=0.5)
        result = await result_for(ana, "seed `6`")
        assert "Film grain 0.5 (adds" in text_of(result)
        for label in ("Again", "Vary"):
            await answered_by_status(await ana.click(result, label))
            await here.stand.until(lambda: not here.stand.queue.active_jobs(ana.id))
        form = await (await more(ana, result, "prompt")).modal()
        assert "Film grain 0.5 (adds “grainy photo”) is used only with these models: FLUX.2 Klein" in str(
            form
        )
        await answered_by_status(await ana.submit_modal(form, {**filled(form), "prompt": "a dale"}))
        await here.stand.until(lambda: not here.stand.queue.active_jobs(ana.id))
        form = await (await more(ana, result, "prompt")).modal()
        await answered_by_status(
            await ana.submit_modal(form, {**filled(form), "model": "z-image", "seed": "8"})
        )
        assert "Film grain" not in text_of(await result_for(ana, "seed `8`"))
        assert [sent[:2] for sent in await loras_sent(here)] == [(GRAIN, 1.0), *[(GRAIN, 0.5)] * 4]
        details = text_of(await (await more(ana, result, "details")).reply())
        assert "The model got: x, grainy photo" in details


async def test_an_edit_takes_one(tmp_path: Path) -> None:
    async with live(tmp_path, **ROOM) as here:
        ana = await here.stand.person()
        await ana.command("imagine", here.stand.general, model="flux", prompt="a hill", seed=3)
        result = await result_for(ana, "seed `3`")
        await ana.command("edit", here.stand.general, prompt="at night", seed=4, lora="grain")
        edited = await result_for(ana, "seed `4`")
        assert "Film grain 1" in text_of(edited)
        assert "Film grain" not in text_of(result)
        assert [sent[:2] for sent in await loras_sent(here)] == [(GRAIN, 1.0)]


async def test_without_loras_the_options_are_not_there_and_come_with_the_file(tmp_path: Path) -> None:
    async with live(tmp_path, **{**ROOM, "files": {}}) as here:
        (here.flujos / "styles.toml").unlink()
        ana = await here.stand.person()

        def options() -> set[str]:
            (command,) = [one for one in ana.commands if one["name"] == "imagine"]
            return {option["name"] for option in command["options"]}

        await ana.until(lambda: not {"lora", "lora_strength", "style"} & options())
        (here.flujos / "loras.toml").write_text(LORAS, encoding="utf-8")
        await ana.until(lambda: {"lora", "lora_strength"} <= options() and "style" not in options())
        await ana.command("imagine", here.stand.general, model="flux", prompt="a hill", seed=3, lora="grain")
        assert "Film grain 1" in text_of(await result_for(ana, "seed `3`"))
