"""A small read-only HTTP server for operators, without prompts: the status page, /metrics for Prometheus,
/healthz and /readyz for the platform. It serves from the process's start, so that a process that waits (for
the database, for another process to end, for Discord) is seen to be alive."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from modules.queue_manager.errors import BadSettings
from modules.utils.monitoring.localized_page import PAGE, languages_of, pages

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
SERVER = "FuLLet"
"""The value of the ``Server`` header."""
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FILES = ("status.css", "status.js")


@dataclass(frozen=True, kw_only=True)
class View:
    """What is served: ``unready`` gives why no picture can be made right now, or None, ``metrics``
    Prometheus' text, ``status`` what the page draws (see `StatusHistory.snapshot`)."""

    unready: Callable[[], str | None]
    metrics: Callable[[], bytes] = bytes
    status: Callable[[], Mapping[str, object]] = dict


class HealthServer:
    """Serves the view that was shown last and is still shown; ``starting`` if there is none."""

    def __init__(self) -> None:
        self._pages = pages()
        self._views = [View(unready=lambda: "starting")]

    @contextmanager
    def showing(self, view: View) -> Iterator[None]:
        self._views.append(view)
        try:
            yield
        finally:
            self._views.remove(view)

    @asynccontextmanager
    async def serving(self, *, host: str, port: int) -> AsyncIterator[int]:
        """Serve on ``host``:``port`` (0: a free one, which is yielded). While another process has the port
        (it may be the bot that this one will replace), it is tried again. Raises `BadSettings` when the port
        cannot be used for another reason."""
        app = web.Application()
        app.router.add_get("/", self._show_page)
        for name in _FILES:
            app.router.add_get(f"/{name}", _showing(PAGE / name))
        app.router.add_get("/status.json", self._show_status)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/healthz", self._show_health)
        app.router.add_get("/readyz", self._show_readiness)
        app.on_response_prepare.append(_say_who)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        listening = None
        try:
            if not await _listens(runner, host, port):
                log.warning(
                    "METRICS_PORT: %s:%d is in use; no status page and no metrics until it is free",
                    host,
                    port,
                )
                listening = asyncio.create_task(_listen_later(runner, host, port), name="health-server")
            yield int(runner.addresses[0][1]) if runner.addresses else port
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            await runner.cleanup()

    async def _show_page(self, request: web.Request) -> web.Response:
        """In the language that ``?lang=`` names, else in the first of the browser's that the page has."""
        asked = (request.query.get("lang"), *languages_of(request.headers.get("Accept-Language", "")), "en")
        language = next(language for language in asked if language in self._pages)
        headers = {**_PAGE_HEADERS, "Vary": "Accept-Language"}
        return web.Response(text=self._pages[language], content_type="text/html", headers=headers)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._views[-1].metrics(), headers=headers)

    async def _show_health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _show_readiness(self, _: web.Request) -> web.Response:
        reason = self._views[-1].unready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def _show_status(self, _: web.Request) -> web.Response:
        view = self._views[-1]
        return web.json_response({**view.status(), "unready": view.unready()}, headers=_PAGE_HEADERS)


async def _say_who(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


def _showing(file: Path) -> Handler:
    async def show(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(file, headers=_PAGE_HEADERS)

    return show


async def _listens(runner: web.AppRunner, host: str, port: int) -> bool:
    """Listen there; False while another process does. Raises `BadSettings`."""
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        await site.stop()
        if error.errno == errno.EADDRINUSE:
            return False
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise BadSettings(
            f"METRICS_PORT: {host}:{port} cannot be used ({reason}); choose another, or another METRICS_HOST"
        ) from None
    log.info(
        "The status page is at http://%s:%d/, the metrics at /metrics", _linked(host), runner.addresses[0][1]
    )
    return True


def _linked(host: str) -> str:
    """The host for a link: this machine, if the server listens on all addresses."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


async def _listen_later(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if await _listens(runner, host, port):
                return
    except BadSettings as error:  # the bot works by now, and works on without metrics
        log.warning("%s", error)
