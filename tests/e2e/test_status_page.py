"""The status page, driven in Chromium over made-up states that a run seldom shows."""

from __future__ import annotations

from typing import Any

from modules.utils.monitoring.health_server import HealthServer, View
from tests.e2e.chromium import launched

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
        "figures": {"fairness": 0.5, "failed": 2, "requests": 10, "refused": 0},
        "engines": [engine, {**engine, "name": "two", "state": "idle", "trouble": None, "batches": []}],
        "depth": [[990.0, 4, 0]],
        "waits": [[900.0, 12.5]],
    }


async def test_each_state_is_said_in_words_and_nothing_from_outside_becomes_markup() -> None:
    health_server, unready = HealthServer(), [""]
    view = View(unready=lambda: unready[0] or None, status=told)
    async with health_server.serving(host="127.0.0.1", port=0) as port, launched() as browser:
        troubles: list[str] = []
        page = await browser.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))

        async def said() -> str:
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.wait_for_selector("body[data-ready]")
            return await page.inner_text("#state")

        assert await said() == "Starting"
        with health_server.showing(view):
            assert await said() == "Taking jobs; 1 of 2 GPUs cannot be used"
            assert await page.locator(".trouble").all_inner_texts() == [f"8 runs failed in a row: {HOSTILE}"]
            assert await page.locator("[data-engine] .name").first.inner_text() == HOSTILE
            assert await page.locator(".batch.failed").count() == 1
            assert await page.locator("img").count() == 0
            for reason, words in (
                ("standby", "Standing by: another process uses this database"),
                ("not connected to Discord", "Not connected to Discord"),
                ("paused by an administrator", "Paused by an administrator"),
                ("no ComfyUI answers", "No ComfyUI answers"),
            ):
                unready[0] = reason
                assert await said() == words
        assert troubles == []
