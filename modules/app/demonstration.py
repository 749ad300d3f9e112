"""``bot.py demo``: the real bot, with a simulated Discord, simulated GPUs, or both."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from modules.app.serve import serve
from modules.demo.stage import stage
from modules.utils.monitoring import log
from modules.utils.monitoring.health_server import HealthServer
from modules.utils.settings import settings


async def demonstrate(options: Namespace, root: Path) -> int:
    """Serve with the parts that ``options`` simulate, until the script ends. Raises `StartupError`."""
    # if both sides are simulated, the operator's own settings are not read, so their faults do not matter
    real = options.real_discord or options.comfy_urls
    own = {**settings.read_file(root / ".env"), **os.environ} if real else {}
    async with stage(options, own) as set_up:
        given = set_up.settings
        log.configure(level=given.log_level, secrets=given.secrets())
        return await serve(
            given,
            HealthServer(),
            env_file=set_up.folder / ".env",
            models=root / "flujos",
            meanwhile=set_up.meanwhile,
            listener=set_up.listener,
        )
    raise AssertionError("no part swallows an error")
