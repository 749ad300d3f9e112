"""The status page, driven in Chromium over made-up states that a run seldom shows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser

from modules.utils.monitoring.health_server import HealthServer, View
from modules.utils.monitoring.localized_page import PAGE, languages_of
from modules.utils.monitoring.metrics import ENGINE_STATES

HOSTILE = "<img src=x onerror=alert(1)>"


def told() -> dict[str, Any]:
    """What there is to draw: one GPU that is down, after a run that failed."""
    stretch = {"model": HOSTILE, "size": 2, "from": 900.0, "to": 950.0, "good": False}
    engine = {
        "name": HOSTILE, "state": "down", "since": 950.0, "model": None, "pictures": 3, "busy": 0.4,
        "trouble": f"8 runs failed in a row: {HOSTILE}", "batches": [stretch],
    }  # fmt: skip
    return {
        "now": 1000.0,
        "started_at": 0.0,
        "window": 1800.0,
        "queue": {"waiting": 4, "running": 0, "users": 2},
        "figures": {"made": 1234, "fairness": 0.5, "failed": 2, "requests": 10, "refused": 3},
        "engines": [engine, {**engine, "name": "two", "state": "idle", "trouble": None, "batches": []}],
        "depth": [[990.0, 4, 0]],
        "waits": [[900.0, 12.5]],
    }


@pytest.mark.asyncio(loop_scope="session")
async def test_each_state_is_said_in_words_and_nothing_from_outside_becomes_markup(browser: Browser) -> None:
    health_server, unready = HealthServer(), [""]
    view = View(unready=lambda: unready[0] or None, status=told)
    async with (
        health_server.serving(host="127.0.0.1", port=0) as port,
        await browser.new_page() as page,
    ):
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))

        async def said() -> str:
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.wait_for_selector("body[data-ready]")
            return await page.inner_text("#state")

        assert await said() == "Starting"
        with health_server.showing(view):
            assert await said() == "Accepting requests; 1 of 2 GPUs cannot be used"
            assert await page.locator(".trouble").all_inner_texts() == [f"8 runs failed in a row: {HOSTILE}"]
            assert await page.locator("[data-engine] .name").first.inner_text() == HOSTILE
            assert await page.locator(".batch.failed").count() == 1
            assert await page.locator("img").count() == 0
            for reason, words in (
                ("standby", "Standing by: another process uses this database"),
                ("not connected to Discord", "Not connected to Discord"),
                ("paused by an administrator", "Paused by an administrator"),
                ("no ComfyUI answers", "No GPU is available right now"),
                ("the queue is closed: shutting-down", "Stopping"),
                ("Discord cannot be reached (getaddrinfo failed)",) * 2,
                ("something new", "Something new"),
            ):
                unready[0] = reason
                assert await said() == words
        assert troubles == []


SPANISH_TILES = """
Imágenes|1234|creadas desde que se inició el bot
Esperando|4|en la cola
En proceso|0|en una GPU ahora mismo
Personas|2|con alguna imagen pendiente
Espera habitual|13 s|hasta que una GPU empieza; la mitad de las imágenes espera más
Fallidas|2|desde que se inició el bot, sin contar las canceladas
Equidad|0,50|1,00: todos recibieron la misma cantidad de imágenes en los últimos diez minutos
Peticiones|10|a Discord desde que se inició el bot; rechazadas por límite de frecuencia: 3
En marcha|17 min|desde el último inicio
""".strip()


@pytest.mark.asyncio(loop_scope="session")
async def test_it_speaks_the_browsers_language_until_another_one_is_chosen(browser: Browser) -> None:
    health_server = HealthServer()
    view = View(unready=lambda: "Discord cannot be reached (getaddrinfo failed)", status=told)
    async with (
        health_server.serving(host="127.0.0.1", port=0) as port,
        await browser.new_page(locale="es-MX") as page,
    ):
        with health_server.showing(view):
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.wait_for_selector("body[data-ready]")
            assert await page.evaluate("document.documentElement.lang") == "es"
            assert await page.inner_text("#state") == "No se puede conectar con Discord (getaddrinfo failed)"
            tiles = await page.locator("#figures > div").all_inner_texts()
            assert "\n".join(re.sub("\n+", "|", tile) for tile in tiles) == SPANISH_TILES
            lane = await page.locator("[data-engine] .about").first.inner_text()
            assert re.sub(r"\s", " ", lane) == "sin conexión · imágenes: 3 · ocupación: 40 %"
            bar = await page.locator(".batch.failed title").text_content()
            assert bar == f"{HOSTILE}, 2 a la vez, 50 s, fallida"
            await page.set_viewport_size({"width": 360, "height": 740})
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360
            await page.get_by_role("link", name="English").click()
            await page.wait_for_selector("body[data-ready]")
            assert await page.inner_text("#state") == "Discord cannot be reached (getaddrinfo failed)"
            assert await page.locator("nav [aria-current]").inner_text() == "English"
            await page.reload()
            await page.wait_for_selector("body[data-ready]")
            assert await page.title() == "FuLLet – status"


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("es-MX,es;q=0.9,en;q=0.8", ["es", "es", "en"]),
        ("fr;q=0.1, en-GB;q=0.7, *;q=0.5", ["en", "fr"]),
        ("", []),
        ("q=;;;===, es;q=9.9.9, \x00", []),
    ],
)
def test_the_languages_of_a_browser_are_read_in_its_order(header: str, wanted: list[str]) -> None:
    assert languages_of(header) == wanted


def test_each_word_that_the_page_asks_for_is_in_the_catalogue_and_no_other() -> None:
    catalogue = (PAGE / "en.ftl").read_text(encoding="utf-8")
    known = set(re.findall(r"^([\w-]+) =", catalogue, re.MULTILINE)) - {"language-name"}
    asked = set(re.findall(r'\b(?:t|figure)\("([\w-]+)"', (PAGE / "status.js").read_text(encoding="utf-8")))
    asked |= set(re.findall(r"{{([\w-]+)}}", (PAGE / "index.html").read_text(encoding="utf-8")))
    asked -= {"lang", "languages", "words"}
    assert asked <= known
    states = {f"state-{state}" for state in ENGINE_STATES} | {"batch-running", "batch-done", "batch-failed"}
    assert {key for key in known - asked if not key.startswith("unready-")} == states
