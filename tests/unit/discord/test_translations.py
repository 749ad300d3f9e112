"""Every sentence is there in every language, with the same blanks, and can be said."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest
from fluent.syntax import FluentParser, ast
from fluent.syntax.visitor import Visitor

from modules.discord.delivery.status_text import countdown, standing
from modules.discord.interactions.settings_view import settings_view
from modules.discord.requests.requester import Requester
from modules.discord.transport.command_sync import localised
from modules.discord.ui.formatting import date, one_decimal, seconds
from modules.discord.ui.translations import LOCALES, Translations, command_key
from modules.queue_manager import errors
from modules.queue_manager.errors import BotError, GenerationError
from modules.queue_manager.offers import Offers
from modules.queue_manager.status import QueuePosition
from modules.utils.monitoring.localized_page import PAGE, _words

LANGUAGES = sorted(file.stem for file in LOCALES.glob("*.ftl"))
CATALOGUES = sorted([*LOCALES.glob("*.ftl"), *PAGE.glob("*.ftl")])
"""What the bot says, and what its status page says."""


class _Blanks(Visitor):
    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:
        self.names.add(node.id.name)

    def visit_FunctionReference(self, node: ast.FunctionReference) -> None:
        (name,) = node.arguments.positional
        assert isinstance(name, ast.StringLiteral)
        self.names.add(f"{node.id.name} {name.value}")


def _catalogue(file: Path) -> dict[str, set[str]]:
    """Each key (attributes too) with the names of its blanks."""
    found: dict[str, set[str]] = {}
    for entry in FluentParser().parse(file.read_text(encoding="utf-8")).body:
        assert not isinstance(entry, ast.Junk), f"{file}: cannot be read: {entry.content}"
        if not isinstance(entry, ast.Message):
            continue
        parts = [(entry.id.name, entry.value)]
        parts += [(f"{entry.id.name}.{part.id.name}", part.value) for part in entry.attributes]
        for key, pattern in parts:
            assert key not in found, f"{file}: {key} appears twice"
            blanks = _Blanks()
            blanks.visit(pattern)
            found[key] = blanks.names
    return found


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_language_says_all_that_english_says_with_the_same_blanks(file: Path) -> None:
    assert _catalogue(file) == _catalogue(file.with_stem("en"))


def test_a_text_of_the_status_page_that_refers_to_nothing_is_an_error() -> None:
    assert _words("hello = Hello, { $name }") == {"hello": "Hello, {name}"}
    with pytest.raises(ValueError, match="hello: Unknown message: absent"):
        _words("hello = Hello, { absent }")


@pytest.mark.parametrize("folder", [LOCALES, PAGE])
def test_spanish_and_english_are_there(folder: Path) -> None:
    assert {"en", "es"} <= {file.stem for file in folder.glob("*.ftl")}


def test_another_language_is_one_file_more(tmp_path: Path) -> None:
    for file in LOCALES.glob("*.ftl"):
        shutil.copy(file, tmp_path)
    words = (LOCALES / "en.ftl").read_text(encoding="utf-8")
    words = words.replace("= English\n", "= Français\n").replace(
        "command-help = help\n", "command-help = aide\n"
    )
    (tmp_path / "fr.ftl").write_text(
        words.replace("deleted = Deleted.", "deleted = Supprimée."), encoding="utf-8"
    )
    messages = Translations.load(tmp_path)
    assert messages.text("fr", "deleted") == "Supprimée."
    command = {"name": "help", "description": "x", "type": 1, "options": []}
    assert localised(command, messages)["name_localizations"]["fr"] == "aide"
    person = Requester(user_id=1, name="ana", guild_id=1, locale="fr")
    view = settings_view(messages, person, Offers())
    assert "Français" in str(view.to_components())


def test_a_slash_command_is_named_as_the_readers_client_shows_it() -> None:
    messages = Translations.load()
    assert "cancel them with /cancel." in messages.text("en", "forget-busy")
    messages.mention_commands({"cancel": "71", "help": "72"})
    assert "cancel them with </cancel:71>." in messages.text("en-GB", "forget-busy")
    assert "cancélalas con /cancelar." in messages.text("es-419", "forget-busy")
    messages.mention_commands({})
    assert "cancel them with /cancel." in messages.text("en", "forget-busy")


def test_a_subcommand_is_mentioned_by_its_commands_id(tmp_path: Path) -> None:
    (tmp_path / "en.ftl").write_text('said = See { COMMAND("admin status") }.', encoding="utf-8")
    (tmp_path / "es.ftl").write_text(
        'command-admin = admin\ncommand-admin-status = estado\nsaid = Mira { COMMAND("admin status") }.',
        encoding="utf-8",
    )
    messages = Translations.load(tmp_path)
    messages.mention_commands({"admin": "71"})
    assert messages.text("en", "said") == "See </admin status:71>."
    assert messages.text("es", "said") == "Mira /admin estado."


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_name_only_commands_that_exist_and_never_as_plain_text(language: str) -> None:
    file = LOCALES / f"{language}.ftl"
    named = {blank.partition(" ")[2] for blanks in _catalogue(file).values() for blank in blanks}
    messages = Translations.load()
    assert "cancel" in named
    assert all(messages.has(command_key(*name.split())) for name in named - {""})
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"^[^#\n]*[^\w/<]/\w", text, re.MULTILINE), "use COMMAND"


def test_every_error_has_a_sentence_of_its_own_in_each_language() -> None:
    messages = Translations.load()
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BotError)]
    told = [kind for kind in kinds if not issubclass(kind, errors.StartupError)]
    missing = [kind.__name__ for kind in told if not messages.has(kind.message_key)]
    assert not missing


@pytest.mark.parametrize("locale", ["es-ES", "es-419"])
def test_both_kinds_of_spanish_read_spanish(locale: str) -> None:
    assert Translations.load().text(locale, "deleted") == "Borrada."


def test_a_language_without_a_file_reads_english() -> None:
    assert Translations.load().text("fr", "deleted") == "Deleted."


def test_plural_forms_follow_the_number() -> None:
    messages = Translations.load()
    one = messages.text("en-GB", "queued", count=1, numbers="#4", channel="<#1>", direct=0)
    many = messages.text("en-GB", "queued", count=3, numbers="#4, #5, #6", channel="<#1>", direct=1)
    assert one == "Picture #4 is queued. Follow it in <#1>."
    assert many == (
        "3 pictures are queued: #4, #5, #6. Follow them in <#1>. You will get the result by direct message."
    )


def test_what_a_gpu_has_is_not_said_to_wait_and_what_waits_not_to_be_next() -> None:
    messages = Translations.load()
    taken = QueuePosition(state="taken", ahead=0, waiting=0, expected_at=None)
    first = QueuePosition(state="waiting", ahead=0, waiting=1, expected_at=None)
    said = [
        messages.text("en", "status-queued", number="7", ahead=standing(place), waiting=place.waiting)
        for place in (taken, first)
    ]
    assert said == [
        "**#7** starts soon: a GPU has already taken it.",
        "**#7** is first in line (1 waiting in total).",
    ]


@pytest.mark.parametrize(
    ("locale", "shown"),
    [("en-GB", ["9.5 s", "12 s", "1,234 s", "2.5 MB"]), ("es-419", ["9,5 s", "12 s", "1.234 s", "2,5 MB"])],
)
def test_numbers_are_written_as_the_language_does(locale: str, shown: list[str]) -> None:
    messages = Translations.load()
    said = [messages.text(locale, "result-waited", seconds=seconds(value)) for value in (9.46, 12.3, 1234.5)]
    said.append(messages.error(locale, errors.BadSourceImage("too-many-bytes", megabytes=2.5)))
    for words, number in zip(said, shown, strict=True):
        assert number in words


def test_what_a_check_found_is_told_in_either_language() -> None:
    messages = Translations.load()

    def told(locale: str, rows: int) -> str:
        fields = {"model": "Flux", "when": date(1_800_000_000.4), "gain": one_decimal(2.14), "rows": rows}
        return messages.text(locale, "admin-gpu-checked", **fields)

    assert told("en", 4) == "Flux (checked on <t:1800000000:d>, 2.1× as fast with 4 at once)"
    assert told("es", 4) == "Flux (comprobado el <t:1800000000:d>, velocidad ×2,1 con 4 a la vez)"
    assert (
        told("en", 0) == "Flux (checked on <t:1800000000:d>, pictures made together match those made alone)"
    )
    assert told("es", -1).endswith("las imágenes creadas juntas difieren de las creadas por separado)")


def test_an_error_is_told_with_its_fields() -> None:
    said = Translations.load().error("es-ES", errors.UserLimitReached(active=2, limit=2, asked=1))
    assert said == "Puedes tener 2 imágenes en la cola a la vez; ya tienes 2."


def test_a_shape_that_a_model_cannot_make_is_named_in_the_language_of_the_reader() -> None:
    said = Translations.load().error("es-ES", errors.BadSize(size="wide", allowed="64×64"))
    assert said == "Este modelo no puede crear este formato o tamaño: Panorámico. Elige uno de estos: 64×64."


def test_a_long_field_is_cut_before_it_is_shown() -> None:
    said = Translations.load().error("en-US", errors.UnknownModel(model="x" * 5000))
    assert said.startswith("There is no model called xxx")
    assert len(said) < 400


@pytest.mark.parametrize(
    "failure",
    [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GenerationError)],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_members_are_told_of_a_failure_without_the_servers_own_words(
    language: str, failure: type[GenerationError]
) -> None:
    said = Translations.load().error(language, failure("node 3 (KSampler): TensorError", node="3"))
    assert "KSampler" not in said


@pytest.mark.parametrize(
    ("key", "fields", "english", "spanish"),
    [
        ("status-expected", {}, "Expected {}.", "Estará lista {}."),
        (
            "queue-mine-running",
            {"number": "4"},
            "**#4** is being made, expected {}.",
            "**#4** se está creando; estará lista {}.",
        ),
        (
            "queue-mine-taken",
            {"number": "4"},
            "**#4** starts soon: a GPU has already taken it; expected {}.",
            "**#4** empezará pronto: ya la tomó una GPU; estará lista {}.",
        ),
        (
            "queue-mine-waiting",
            {"number": "4", "ahead": 0},
            "**#4**: first in line, expected {}.",
            "**#4**: la primera de la cola; estará lista {}.",
        ),
        (
            "admin-status-expected",
            {},
            "The last picture in line is expected {}.",
            "La última imagen de la cola estará lista {}.",
        ),
    ],
)
@pytest.mark.parametrize("left", [-60.0, 4.9, 20.0])
def test_an_expected_time_is_never_told_as_a_past_one(
    key: str, fields: dict[str, str | int], english: str, spanish: str, left: float
) -> None:
    messages, now = Translations.load(), 1_000_000.0
    when = countdown(now + left, now)
    soon = left < 5
    told = messages.text("en", key, when=when, **fields)
    assert told == english.format("any moment now" if soon else "<t:1000020:R>")
    told = messages.text("es", key, when=when, **fields)
    assert told == spanish.format("de un momento a otro" if soon else "aproximadamente <t:1000020:R>")


def test_a_time_that_rounds_to_nothing_is_not_shown_as_zero_seconds() -> None:
    messages = Translations.load()
    assert messages.text("en", "result-waited", seconds=seconds(0.04)) == "no wait"
    assert messages.text("en", "result-gpu-alone", seconds=seconds(0.04)) == "GPU under 0.1 s"
    assert messages.text("es", "result-gpu-alone", seconds=seconds(0.0)) == "GPU menos de 0,1 s"
