"""``bot.py demo``: the real bot, between sides of which at least one is simulated."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from modules.app.serve import serve
from modules.demo.stage import read_options, stage
from modules.utils.monitoring import log
from modules.utils.monitoring.health_server import HealthServer
from modules.utils.settings import settings

__all__ = ["demonstrate", "read_options"]


async def demonstrate(options: Namespace, root: Path) -> int:
    """Serve on the stage that ``options`` ask for, until its script has ended. Raises `StartupError`."""
    # without a real side, the operator's own settings are nobody's business, whatever state they are in
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
        )
    raise AssertionError("no part swallows an error")
