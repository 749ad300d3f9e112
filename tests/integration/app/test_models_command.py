"""``python bot.py models``: what there is, what it needs, where it runs; adding and removing."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile
from tests.bot_process import said_by

ROOT = Path(__file__).parents[3]


@dataclass
class Place:
    """A checkout with models of its own."""

    root: Path

    @property
    def flujos(self) -> Path:
        return self.root / "flujos"

    def files(self) -> set[str]:
        return {file.name for file in self.flujos.iterdir() if file.is_file()}

    async def models(self, *arguments: str, urls: str = "") -> tuple[int, str]:
        """Exit code, and what was said."""
        (self.root / ".env").write_text(f"COMFY_URLS={urls}\nDISCORD_TOKEN=s3cr3t-token-of-mine\n")
        code, output, errors = await said_by("models", *arguments, folder=self.root, root=self.root)
        assert "Traceback" not in output + errors
        return code, output + errors


@pytest.fixture
def place(tmp_path: Path) -> Place:
    shutil.copy(ROOT / "bot.py", tmp_path)
    (tmp_path / "modules").symlink_to(ROOT / "modules")
    shutil.copytree(ROOT / "flujos", tmp_path / "flujos")
    return Place(tmp_path)


async def test_what_is_offered_and_what_the_library_has_with_needs_and_servers(place: Place) -> None:
    lacking = ServerProfile(missing_models=frozenset({"sd_xl_base_1.0.safetensors"}))
    async with ComfyServer() as one, ComfyServer(profile=lacking) as two:
        code, said = await place.models(urls=f"{one.url},{two.url},http://127.0.0.1:9")
    assert code == 0
    offered, library = said.split("In the library\n")
    both = f"runs on 127.0.0.1:{one.port}, 127.0.0.1:{two.port}"
    about = "z-image: Z-Image Turbo (imagine)\n      Natural light, people and portraits in eight steps"
    assert f"{about}\n      ~8.1 GB to download; ~6 GB VRAM; {both}\n" in offered
    assert "z-image-base: Z-Image (imagine)" in library
    assert f"~6.5 GB to download; ~8 GB VRAM; runs on 127.0.0.1:{one.port}\n" in library
    assert "anima: Anima (imagine)" in library
    assert "✗ 127.0.0.1:9 " in said
    assert "~ marks an estimate" in said


async def test_one_of_the_library_is_added_with_the_lines_for_what_is_missing(place: Place) -> None:
    before = place.files()
    lacking = ServerProfile(missing_models=frozenset({"anima-base-v1.0.safetensors"}))
    async with ComfyServer() as one, ComfyServer(profile=lacking) as two:
        code, said = await place.models("add", "anima", urls=f"{one.url},{two.url}")
    assert code == 0, said
    assert place.files() == before | {"anima.json", "anima.toml"}
    assert "flujos/anima.json is the model anima: Anima\n" in said
    assert f"✓ 127.0.0.1:{one.port} can run it" in said
    assert f"✗ 127.0.0.1:{two.port} cannot run it yet" in said
    (line,) = [line.strip() for line in said.splitlines() if "curl" in line]
    assert line.startswith(
        "curl -fgL --create-dirs -o ComfyUI/models/diffusion_models/anima-base-v1.0.safetensors "
    )
    again = await place.models("add", "anima")
    assert again == (1, "Nothing was added: there is already a model anima, in flujos/anima.json\n")


async def test_without_a_server_every_file_has_its_line(place: Place) -> None:
    code, said = await place.models("add", "krea2-turbo")
    assert code == 0
    assert said.count("curl ") == 3


async def test_a_file_is_read_first_and_one_that_is_no_model_is_refused(place: Place, tmp_path: Path) -> None:
    before, given = place.files(), tmp_path / "given"
    given.mkdir()
    shutil.copy(ROOT / "flujos" / "z-image.json", given / "My Dream.json")
    code, said = await place.models("add", str(given / "My Dream.json"))
    assert code == 0
    assert "flujos/My Dream.json is the model my-dream: My Dream" in said
    assert place.files() == before | {"My Dream.json"}
    (given / "wrong.json").write_text(json.dumps({"1": {"class_type": "SaveImage", "inputs": {}}}))
    shutil.copy(ROOT / "flujos" / "z-image.json", given / ".hidden.json")
    shutil.copy(ROOT / "flujos" / "z-image.json", given / "z-image.bak")
    for file, words in (
        ("wrong.json", "wrong.json: "),
        ("none.json", "none.json: it is not a file"),
        (".hidden.json", ".hidden.json: the name must end in .json, .png, .webp"),
        ("z-image.bak", "z-image.bak: the name must end in .json, .png, .webp"),
    ):
        code, said = await place.models("add", str(given / file))
        assert code == 1
        assert said.startswith(f"Nothing was added: {words}")
        assert len(said.splitlines()) == 1
    assert place.files() == before | {"My Dream.json"}


async def test_a_model_is_removed_and_not_lost(place: Place) -> None:
    code, said = await place.models("remove", "z-image")
    assert code == 0
    endings = (".json", ".toml")
    assert said.splitlines() == [f"flujos/z-image{e} is now flujos/removed/z-image{e}" for e in endings]
    assert not {"z-image.json", "z-image.toml"} & place.files()
    assert (place.flujos / "removed" / "z-image.json").exists()
    assert await place.models("remove", "z-image") == (1, "There is no model z-image in flujos/\n")
    first = (place.flujos / "removed" / "z-image.json").read_bytes()
    (place.flujos / "z-image.json").write_text("another one of that name")
    code, said = await place.models("remove", "z-image")
    assert said == "flujos/z-image.json is now flujos/removed/z-image-2.json\n"
    assert (place.flujos / "removed" / "z-image.json").read_bytes() == first
    code, said = await place.models("remove")
    assert code == 2
    assert "add and remove need a model" in said
