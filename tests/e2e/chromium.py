"""A headless Chromium for the tests that drive the page, and the page's own files on a bare server."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, async_playwright

PAGE = Path(__file__).parents[2] / "modules" / "demo" / "page"
DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=360, height=740)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    """Where Chromium is. Without one the test is skipped with a message; in CI it fails."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        word = "no `chromium` on this machine: the page was not driven"
        if os.environ.get("CI"):
            pytest.fail(word)
        pytest.skip(word)
    return found


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """One browser process, ended on leaving."""
    path = chromium_path()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def serving_files() -> AsyncIterator[str]:
    """The page's files alone, at /page/, and an empty document at /; yields the address."""

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    app.router.add_static("/page/", PAGE)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Client:
    """One person at the page: a browser context of their own, and what went wrong in it."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.troubles: list[str] = []
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        """A server need not know /client/info."""
        if message.type == "error" and not message.location["url"].endswith("/client/info"):
            self.troubles.append(message.text)


@asynccontextmanager
async def opened(
    browser: Browser,
    url: str,
    *,
    viewport: ViewportSize = DESKTOP,
    phone: bool = False,
    locale: str = "en-US",
) -> AsyncIterator[Client]:
    """The page, connected."""
    context = await browser.new_context(viewport=viewport, is_mobile=phone, has_touch=phone, locale=locale)
    context.set_default_timeout(10_000)
    client = Client(context, await context.new_page())
    try:
        await client.page.goto(url)
        await client.page.wait_for_selector("[data-ready]")
        yield client
    finally:
        await context.close()
