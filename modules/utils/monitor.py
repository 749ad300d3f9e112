"""A small HTTP server for operators: the status page, /metrics for Prometheus, /healthz and /readyz for the
platform. It is read-only, and nothing on it carries a prompt."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from modules.queue_manager.errors import BadSettings

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "status_page"
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


_FILES = {"/": "index.html", "/status.css": "status.css", "/status.js": "status.js"}


def _showing(file: Path) -> Handler:
    async def show(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(file, headers=_PAGE_HEADERS)

    return show


@asynccontextmanager
async def monitor(
    *,
    host: str,
    port: int,
    metrics: Callable[[], bytes],
    unready: Callable[[], str | None],
    status: Callable[[], Mapping[str, object]] = dict,
) -> AsyncIterator[int]:
    """Serve on ``host``:``port`` (0: a free one, which is yielded).

    ``metrics`` gives Prometheus' text, ``unready`` why no picture could be made now, or None, ``status``
    what the page draws (see `Chronicle.snapshot`).
    Raises `BadSettings` when the port cannot be had.
    """

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def show_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def show_readiness(_: web.Request) -> web.Response:
        reason = unready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def show_status(_: web.Request) -> web.Response:
        return web.json_response(status(), headers=_PAGE_HEADERS)

    app = web.Application()
    app.add_routes(
        [
            *(web.get(path, _showing(PAGE / name)) for path, name in _FILES.items()),
            web.get("/status.json", show_status),
            web.get("/metrics", show_metrics),
            web.get("/healthz", show_health),
            web.get("/readyz", show_readiness),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise BadSettings(
                f"METRICS_PORT: {host}:{port} cannot be had ({reason}); choose another"
            ) from None
        bound = int(runner.addresses[0][1])
        logger.info("Metrics are served", extra={"address": f"{host}:{bound}"})
        yield bound
    finally:
        await runner.cleanup()
