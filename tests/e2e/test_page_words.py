"""The page's own words in both languages, and its reading of commands: pure modules, run by Chromium."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.e2e.chromium import PAGE, serving_files

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with serving_files() as url:
        page = await browser.new_page()
        await page.goto(url)
        yield page
        await page.close()


async def read(page: Page, option: dict[str, Any], text: str) -> Any:
    return await page.evaluate(
        """async ([option, text]) => {
          const { read } = await import('/page/js/commands.js');
          const outcome = read({ name: 'it', ...option }, { text }, { users: [], channels: new Map() });
          return 'error' in outcome ? `! ${outcome.error}` : 'value' in outcome ? outcome.value : null;
        }""",
        [option, text],
    )


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ({"type": 3}, "a cat", "a cat"),
        ({"type": 3}, "  ", None),
        ({"type": 3, "max_length": 3}, "four", "! it takes at most 3 characters."),
        ({"type": 3, "min_length": 3}, "🙂🙂", "! it needs at least 3 characters."),
        ({"type": 3, "choices": [{"name": "Wide", "value": "w"}]}, "wide", "w"),
        (
            {"type": 3, "choices": [{"name": "Wide", "value": "w"}]},
            "narrow",
            "! Pick one of the choices for it.",
        ),
        ({"type": 4}, "9007199254740991", 9007199254740991),
        ({"type": 4}, "9007199254740993", "! it must be a whole number."),
        ({"type": 4}, "1.5", "! it must be a whole number."),
        ({"type": 4, "min_value": 0}, "-1", "! it must be at least 0."),
        ({"type": 4, "min_value": None, "max_value": 4}, "5", "! it must be at most 4."),
        ({"type": 10}, "1,5", 1.5),
        ({"type": 10}, "many", "! it must be a number."),
        ({"type": 5}, "false", False),
        ({"type": 6}, "nobody", "! Pick one of the choices for it."),
    ],
)
async def test_options_are_read_within_their_bounds(
    page: Page, option: dict[str, Any], text: str, expected: Any
) -> None:
    assert await read(page, option, text) == expected


async def test_both_languages_say_everything_with_the_same_values(page: Page) -> None:
    catalogues = await page.evaluate("import('/page/js/i18n.js').then((module) => module.CATALOGUES)")
    english, spanish = catalogues["en"], catalogues["es"]
    assert english.keys() == spanish.keys()
    for key, words in english.items():
        assert sorted(re.findall(r"\{\w+\}", words)) == sorted(re.findall(r"\{\w+\}", spanish[key])), key
        assert spanish[key].strip(), key


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        (2, "El bot que está detrás es el real. Las GPU (2) también son simuladas"),
        (0, "Las imágenes vienen de un ComfyUI real."),
        (None, "El bot que está detrás es el real."),
    ],
)
async def test_it_says_which_side_is_simulated(page: Page, gpus: int | None, words: str) -> None:
    said = await page.evaluate(
        """async (gpus) => {
          const { setLocale } = await import('/page/js/i18n.js');
          const { noteOn } = await import('/page/js/help.js');
          setLocale('es-ES');
          const said = noteOn(gpus);
          setLocale('en-US');
          return said;
        }""",
        gpus,
    )
    assert words in said
    assert ("GPU" in said) == bool(gpus)


async def test_a_browsers_language_becomes_the_nearest_of_ours(page: Page) -> None:
    found = await page.evaluate(
        """(languages) => import('/page/js/i18n.js').then((module) => languages.map(module.nearest))""",
        ["en-US", "en-GB", "es-ES", "es", "es-MX", "es-419", "eo", "fr-FR"],
    )
    assert found == ["en-US", "en-US", "es-ES", "es-ES", "es-419", "es-419", "en-US", "en-US"]


async def test_a_person_has_the_same_face_in_every_demonstration(page: Page) -> None:
    faces = await page.evaluate(
        """(people) => import('/page/js/avatars.js').then((module) =>
             people.map(([id, username]) => module.avatar({ id, username }).outerHTML))""",
        [["1", "member-1"], ["2", "member-1"], ["1", "member-3"]],
    )
    assert faces[0] == faces[1] != faces[2]


async def test_each_word_asked_for_is_in_the_catalogue(page: Page) -> None:
    known = await page.evaluate(
        "import('/page/js/i18n.js').then((module) => Object.keys(module.CATALOGUES.en))"
    )
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((PAGE / "js").glob("*.js")))
    asked = set(re.findall(r"\bt\('([\w.]+)'", source))
    assert asked <= set(known)
    everywhere = set(
        re.findall(
            r"'([a-z]+\.[a-z0-9]+)'", source.replace((PAGE / "js/i18n.js").read_text(encoding="utf-8"), "")
        )
    )
    assert set(known) - everywhere == set(), "words that nothing says"


async def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert set(re.findall(r'(?:src|href)="([^"]+)"', html)) == {
        "/page/icon.svg",
        *(f"/page/css/{path.name}" for path in (PAGE / "css").glob("*.css")),
        "/page/js/main.js",
    }
    for path in PAGE.rglob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(",
            path.read_text(encoding="utf-8"),
        ), path
