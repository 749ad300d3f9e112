"""Models are data: one more file in the folder is one more choice in /imagine, also while the bot runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import aiohttp

from modules.ai.inspection import inspect_models
from modules.demo.comfy_server import Timing
from modules.demo.discord_server import WorldSpec
from modules.demo.users import files_of, text_of
from tests.discord_stand import colour_of, make_engine, pixel, result_for, whole_room
from tests.e2e.live_models import live
from tests.workflow_graphs import FLUJOS


async def test_a_workflow_file_dropped_in_is_one_more_choice_that_makes_pictures(tmp_path: Path) -> None:
    flujos = shutil.copytree(FLUJOS, tmp_path / "flujos")
    shutil.copy(flujos / "z-image.json", flujos / "Dream of mine.json")
    before = set(inspect_models(FLUJOS)[0])
    after = tuple(template.offer() for template in inspect_models(flujos)[0].values())
    engine = make_engine()
    engine.limits = {offer.name: 4 for offer in after}
    async with whole_room(tmp_path, offers=after, engine=engine) as stand:
        ana = await stand.person()
        choices = {c["value"]: c["name"] for c in await ana.autocomplete("imagine", stand.general, "model")}
        imagined = {offer.name for offer in after if offer.kind == "imagine"}
        assert set(choices) == imagined == {"dream-of-mine", *(before & imagined)}
        assert "Dream of mine" in choices["dream-of-mine"]
        await ana.command("imagine", stand.general, model="dream-of-mine", prompt="a hill", seed=3)
        result = await result_for(ana, "seed `3`")
        assert "Dream of mine" in text_of(result)
        assert pixel(await ana.download(files_of(result)[0]["url"])) == colour_of("a hill", 3)


async def test_a_file_is_offered_within_two_seconds_makes_pictures_and_goes_again(tmp_path: Path) -> None:
    async with live(tmp_path) as here:
        ana = await here.stand.person()
        assert set(await here.offered(ana)) == {"flux", "z-image"}
        shutil.copy(FLUJOS / "z-image.json", here.flujos / "My Dream.json")
        assert await here.until_offered(ana, "flux", "z-image", "my-dream") < 2
        await here.stand.until(lambda: "my-dream" in here.stand.product.fleet.engines()[0].models)
        await ana.command("imagine", here.stand.general, model="my-dream", prompt="a hill", seed=3)
        assert "My Dream" in text_of(await result_for(ana, "seed `3`"))
        (here.flujos / "My Dream.json").unlink()
        assert await here.until_offered(ana, "flux", "z-image") < 2


async def test_what_waits_and_what_runs_is_made_with_the_graph_it_was_accepted_with(tmp_path: Path) -> None:
    async with live(tmp_path, timing=Timing(step=0.3)) as here:
        ana = await here.stand.person()
        await ana.command("imagine", here.stand.general, model="z-image", prompt="a hill", seed=3)
        await here.stand.until(lambda: here.stand.queue.status().running == 1)
        await ana.command("imagine", here.stand.general, model="z-image", prompt="a lake", seed=4)
        await here.stand.until(lambda: here.stand.queue.status().waiting == 1)
        file = here.flujos / "z-image.json"
        text = file.read_text(encoding="utf-8").replace('"res_multistep"', '"euler"')
        file.write_text(text, encoding="utf-8")
        await here.stand.until(lambda: "z-image" in here.stand.product.model_folder.offers.by_id)
        await here.stand.until(lambda: here.stand.queue.offers.named("z-image").version != "")
        for name in ("z-image", "flux"):
            for ending in (".json", ".toml"):
                (here.flujos / f"{name}{ending}").unlink()
        await here.stand.until(lambda: here.stand.queue.offers.named("z-image") is None)
        await result_for(ana, "seed `3`")
        await result_for(ana, "seed `4`")
        async with aiohttp.ClientSession() as http, http.get(f"{here.comfy.url}/history") as answer:
            runs = (await answer.json()).values()
        nodes = [node["inputs"] for run in runs for node in run["prompt"][2].values()]
        assert {n["sampler_name"] for n in nodes if "sampler_name" in n} == {"res_multistep"}
        await here.stand.until(lambda: not here.stand.queue.models_in_use())
        await here.stand.until(lambda: "z-image" not in here.stand.product.model_folder.templates)


async def test_administrators_are_told_which_files_are_missing_and_how_to_fetch_them(tmp_path: Path) -> None:
    async with live(tmp_path) as here:
        graph = (FLUJOS / "z-image.json").read_text(encoding="utf-8")
        for name, text in {
            "dream.json": graph.replace("z-image-turbo-Q5_K_M.gguf", "nightfall.gguf"),
            "dream.toml": "[[downloads]]\nname = 'nightfall.gguf'\nfolder = 'unet'\n"
            "url = 'https://example.org/nightfall.gguf'\n",
        }.items():
            (here.flujos / name).write_text(text, encoding="utf-8")
        await here.stand.until(lambda: bool(here.stand.product.fleet.engines()[0].missing_files))
        admin = await here.stand.person("admin")
        line = "curl -fgL --create-dirs -o ComfyUI/models/unet/nightfall.gguf 'https://example.org/nightfall.gguf'"
        for locale, words in (("en-US", "Missing model file: nightfall.gguf"), ("es-ES", "Falta un archivo")):
            await admin.set_locale(locale)
            told = text_of(await (await admin.command("admin gpus", here.stand.general)).reply())
            assert words in told
            assert f"```sh\n{line}\n```" in told


async def test_reload_tells_administrators_what_has_changed(tmp_path: Path, world: WorldSpec) -> None:
    async with live(tmp_path, world) as here:
        admin = await here.stand.person("admin")
        shutil.copy(FLUJOS / "z-image.json", here.flujos / "dream.json")
        (here.flujos / "wrong.json").write_text("{}", encoding="utf-8")
        told = await here.says(admin, "!reload", "Reloaded")
        assert "New model: dream" in told
        assert "This cannot be used: wrong.json: " in told
