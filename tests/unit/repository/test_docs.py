"""What the documentation says exists: links, files, settings, commands, card keys, the invite."""

from __future__ import annotations

import re
from pathlib import Path

import discord
import pytest

from modules import VERSION
from modules.ai.models.loading import read_models
from modules.ai.workflows import cards
from modules.app import cli
from modules.discord.cogs.account import Account
from modules.discord.cogs.admin import Admin
from modules.discord.cogs.commands import Commands
from modules.discord.sessions.channels import OWNER_MAY
from modules.discord.transport import attachments
from modules.discord.transport.permissions import NEEDED, invite_link
from modules.discord.ui.translations import Translations
from modules.utils.images.cleaner import PictureCleaner
from modules.utils.settings import settings

ROOT = Path(__file__).parents[3]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
READMES = [ROOT / "README.md", ROOT / "README.es.md"]
PROSE = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "flujos" / "README.md", *GUIDES]
LANGUAGES = ("en", "es")
MOST_BYTES = 200_000
MOST_BYTES_OF_A_FILM = 3_000_000


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def every(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.name)


def anchor(heading: str) -> str:
    """The fragment by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@every(PROSE)
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text(path)):
        file, _, fragment = target.partition("#")
        if "://" in file:
            continue
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        if fragment:
            assert fragment in {
                anchor(line.lstrip("#")) for line in text(found).splitlines() if line[:1] == "#"
            }


@every(READMES)
def test_the_invite_grants_exactly_what_the_bot_uses(path: Path) -> None:
    links = re.findall(r"https://discord\.com/oauth2/authorize\S*", text(path))
    assert links == [invite_link("APPLICATION_ID")]
    used = discord.Permissions(manage_channels=True, **OWNER_MAY)
    assert used == NEEDED


@every(PROSE)
def test_settings_that_are_named_exist(path: Path) -> None:
    named = set(re.findall(r"`([A-Z][A-Z]+(?:_[A-Z]+)+)[=`]", text(path)))
    other = {"POSTGRES_PASSWORD", "FULLET_UID", "COMFYUI_MODELS", "DISCORD_LOCALES"}
    other |= {"REAL_COMFY_URL", "REAL_COMFY_PATH", "PIP_INDEX_URL"}
    assert not named - set(settings.NAMES) - other


def test_each_setting_is_explained_with_the_value_that_holds_without_it() -> None:
    example = settings.read_file(ROOT / ".env.example")
    assert tuple(sorted(example)) == tuple(sorted(settings.NAMES))
    needed = {"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": "http://127.0.0.1:8188"}
    assert settings.read({}, {**example, **needed}) == settings.read({}, needed)


@every(PROSE)
def test_numbers_that_are_told_are_those_that_hold(path: Path) -> None:
    needed = {"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": "http://127.0.0.1:8188"}
    holds = settings.read({}, needed)
    for name, number in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)` \((\d+)\)", text(path)):
        assert float(number) == getattr(holds, name.lower()), name


def test_the_limits_of_uploads_are_told() -> None:
    megabytes = PictureCleaner().max_bytes / 1_000_000
    told = text(ROOT / "docs" / "security.md")
    assert f"at most {megabytes:g} MB in {attachments.TIME_LIMIT:g} s" in told


@every(READMES)
def test_a_readme_names_each_command(path: Path) -> None:
    said, messages = text(path), Translations.load()
    language = "es" if path.name.endswith(".es.md") else "en"
    everybody = [*Commands.__cog_app_commands__, *Account.__cog_app_commands__]
    assert len(everybody) > 5
    for command in everybody:
        assert f"/{messages.text(language, f'command-{command.name}')}" in said
    administrators = {command.name for command in Admin.__cog_commands__}
    assert administrators == {command.name for command in Admin.__cog_app_commands__}
    for name in administrators:
        assert re.search(rf"`{name}\b[^`]*`", said), name


@every(PROSE)
def test_commands_that_are_to_be_typed_exist(path: Path) -> None:
    said = text(path)
    assert set(re.findall(r"python3? bot\.py ([a-z][\w-]*)", said)) <= set(cli.COMMANDS)
    targets = set(re.findall(r"^([\w-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", said, re.MULTILINE)) <= targets
    administrators = {command.name for command in Admin.__cog_commands__}
    assert set(re.findall(r"`!([a-z]+)", said)) - {"name", "nombre"} <= administrators


def test_the_card_with_every_key_is_one_that_is_read_and_names_them_all() -> None:
    guide = text(ROOT / "docs" / "add-a-model.md")
    (card,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert cards.read_card(cards.read_fields(card)).label == "Dream"
    written = set(re.findall(r"^(?:# )?(\w+) =", card, re.MULTILINE))
    source = text(ROOT / "modules" / "ai" / "workflows" / "cards.py")
    asked = set(re.findall(r'\.(?:text|texts|choice|whole|number|flag|get)\(\s*"(\w+)"', source))
    assert {"label", "auto_max", "source_count"} <= asked
    keys = (asked | set(cards.ROLES)) - {"roles", "memory", "description", "downloads", "estimate"}
    assert keys <= written
    table = text(ROOT / "flujos" / "README.md")
    assert all(re.search(rf"`(?:memory\.|estimate\.|downloads\.)?{key}`", table) for key in keys)
    assert written - {"en", "es"} <= keys


def test_the_shipped_models_are_told_with_their_files() -> None:
    table = text(ROOT / "flujos" / "README.md")
    for graph in (ROOT / "flujos").glob("*.json"):
        assert f"| `{graph.stem}` |" in table
        for file in re.findall(r'"([\w.-]+\.(?:gguf|safetensors|pth))"', text(graph)):
            assert f"`{file}`" in table, file


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_picture_is_there_in_each_language_and_small(language: str) -> None:
    folder = ROOT / "docs" / "pictures"
    names = {path.name for path in (folder / language).glob("*.png")}
    assert names == {path.name for path in (folder / "en").glob("*.png")}
    assert {"queued.png", "running.png", "result.png", "form.png", "history.png", "status.png"} <= names
    assert all((folder / language / name).stat().st_size <= MOST_BYTES for name in names)
    assert (folder / language / "film.webp").stat().st_size <= MOST_BYTES_OF_A_FILM


@every(READMES)
def test_each_picture_of_a_readme_is_there_and_told_in_words(path: Path) -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text(path))
    shown += [
        (words, file) for file, words in re.findall(r'<img src="([^"]+)"[^>]* alt="([^"]*)"', text(path))
    ]
    assert len(shown) == text(path).count("docs/pictures/")
    assert all(words and (path.parent / file).is_file() for words, file in shown)


def test_the_ways_through_the_code_name_functions_that_are_there() -> None:
    told = text(ROOT / "docs" / "architecture.md")
    steps = re.findall(r"^\| \d+ \| `([\w/]+\.py)` \| `(\w+)\.(\w+)` \|", told, re.MULTILINE)
    assert len(steps) >= 20
    for file, owner, function in steps:
        source = text(ROOT / "modules" / file)
        assert re.search(rf"^class {owner}\b", source, re.MULTILINE), (file, owner)
        assert re.search(rf"^    (?:async )?def {function}\(", source, re.MULTILINE), (file, function)
    for file in re.findall(r"`(modules/[\w/]+\.py)`", told):
        assert (ROOT / file).is_file(), file


def test_the_table_of_gpus_says_what_the_cards_say() -> None:
    told = re.findall(
        r"^\| `([\w-]+)` \((.+)\) \| ~([\d.]+) \| ~([\d.]+) \|$",
        text(ROOT / "docs" / "add-a-gpu.md"),
        re.MULTILINE,
    )
    cards_of = {}
    for folder in (ROOT / "flujos", ROOT / "flujos" / "library"):
        models, faults = read_models(folder)
        assert not faults
        cards_of |= {name: model.template.card for name, model in models.items()}
    written = {name: card.estimate for name, card in cards_of.items() if card.estimate is not None}
    assert written.keys() == cards_of.keys()
    shown = [
        (name, cards_of[name].label, f"{e.download_gb:g}", f"{e.vram_gb:g}") for name, e in written.items()
    ]
    assert sorted(told) == sorted(shown)


def test_the_version_stands_in_one_place_and_the_changes_begin_with_it() -> None:
    project = text(ROOT / "pyproject.toml")
    assert 'version = { attr = "modules.VERSION" }' in project
    assert not re.search(r'^version = "', project, re.MULTILINE)
    assert re.findall(r"^## (\S+)", text(ROOT / "CHANGELOG.md"), re.MULTILINE)[0] == VERSION


def test_the_symptoms_that_are_told_are_words_of_the_product() -> None:
    """What stands in quotes or as code is what people see, with … for what differs each time."""
    files = [*(ROOT / "modules").rglob("*.py"), *(ROOT / "modules").rglob("*.ftl"), ROOT / "bot.py"]
    product = re.sub(r'"\s+f?"', "", "".join(text(path) for path in files))
    guide = text(ROOT / "docs" / "troubleshooting.md")
    symptoms = re.findall(r"^\| (?:`([^|`]+)`|\"([^|]+)\")", guide, re.MULTILINE)
    assert len(symptoms) >= 18
    product += "This application did not respond"  # Discord's own
    for symptom in ("".join(found) for found in symptoms):
        for words in filter(None, re.split(r" ?… ?", symptom)):
            assert words in product, words
