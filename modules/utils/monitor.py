"""A small HTTP server for operators: /metrics for Prometheus, /healthz and /readyz for the platform."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from modules.queue_manager.errors import BadSettings

logger = logging.getLogger(__name__)


@asynccontextmanager
async def monitor(
    *, host: str, port: int, metrics: Callable[[], bytes], unready: Callable[[], str | None]
) -> AsyncIterator[int]:
    """Serve on ``host``:``port`` (0: a free one, which is yielded).

    ``metrics`` gives Prometheus' text, ``unready`` why no picture could be made now, or None.
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

    app = web.Application()
    app.add_routes(
        [
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
