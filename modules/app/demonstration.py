"""``bot.py demo``: the real bot, with a simulated Discord, simulated GPUs, or both."""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path

from modules.app.serve import serve
from modules.demo.loras import with_loras
from modules.demo.stage import stage
from modules.utils.monitoring import log
from modules.utils.monitoring.health_server import HealthServer
from modules.utils.settings import settings


async def demonstrate(options: Namespace, root: Path) -> int:
    """Serve with the simulated parts that ``options`` ask for, until the script (``--script``) is over or the
    process is told to end. Raises `StartupError`."""
    # if both sides are simulated, the operator's own settings are not read, so their faults do not matter
    real = options.real_discord or options.comfy_urls
    own = {**settings.read_file(root / ".env"), **os.environ} if real else {}
    async with stage(options, own) as set_up, AsyncExitStack() as stack:
        given, health_server = set_up.settings, HealthServer()
        models = root / "flujos"
        if not options.comfy_urls:
            models = await asyncio.to_thread(with_loras, models, set_up.folder / "flujos")
        log.configure(level=given.log_level, secrets=given.secrets())
        if port := given.metrics_port:
            await stack.enter_async_context(health_server.serving(host=given.metrics_host, port=port))
        return await serve(
            given,
            health_server,
            env_file=set_up.folder / ".env",
            models=models,
            meanwhile=set_up.meanwhile,
            listener=set_up.listener,
        )
    raise AssertionError("no part swallows an error")
