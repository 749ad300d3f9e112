"""Watches ``.env`` while the bot runs, and applies what needs no restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from modules.queue_manager.errors import BadSettings
from modules.queue_manager.ports import Clock
from modules.utils.settings import settings
from modules.utils.settings.settings import Settings

logger = logging.getLogger(__name__)

LIVE = ("comfy_urls", "max_batch_size")
"""The settings that are applied while the bot runs; the others wait for the next start."""

EVERY_SECONDS = 2.0
"""Between two checks of the file."""


@dataclass(kw_only=True, eq=False)
class EnvironmentFile:
    """``.env`` under a running bot. ``now`` may be older than the file: `watch` reads it once even if nobody
    edits it. ``on_change`` is awaited with the new settings when one of `LIVE` has changed, and at each
    `reload`. What an editor saves piece by piece is read once the file has stood still from one check to the
    next; a faulty file changes nothing and is logged once."""

    path: Path
    environ: Mapping[str, str]
    now: Settings
    on_change: Callable[[Settings], Awaitable[None]]
    clock: Clock
    _seen: tuple[int, int, int] | None = field(init=False, default=None)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def watch(self) -> None:
        before = None
        while True:
            await self.clock.sleep(EVERY_SECONDS)
            mark = await asyncio.to_thread(_mark, self.path)
            stands_still, before = mark == before, mark
            if stands_still and mark != self._seen:
                self._seen = mark
                for line in await self.reload(asked=False):
                    logger.warning("%s", line)

    async def reload(self, *, asked: bool = True) -> tuple[str, ...]:
        """Read the file and apply the addresses, if ``asked`` even when they have not changed. Returns
        sentences on what has changed."""
        async with self._turn:
            try:
                written = await asyncio.to_thread(settings.read_file, self.path)
                new = settings.read(self.environ, written)
            except BadSettings as error:
                return (f"Nothing changed, because .env has errors: {' | '.join(str(error).splitlines())}",)
            before, self.now = self.now, new
            names = [setting.name for setting in fields(Settings)]
            changed = [name for name in names if getattr(new, name) != getattr(before, name)]
            if asked or not set(LIVE).isdisjoint(changed):
                await self.on_change(new)
            live, later = "applies now", "will apply at the next start"
            told = (f"{name.upper()} has changed and {live if name in LIVE else later}" for name in changed)
            return (*told, *self._hidden(written))

    def _hidden(self, written: Mapping[str, str]) -> tuple[str, ...]:
        """What an edit cannot change, because an environment variable hides it."""
        _, in_file = settings.given("COMFY_URLS", {}, written)
        name, in_force = settings.given("COMFY_URLS", self.environ, {})
        if in_file and in_force and in_file != in_force:
            hidden = f"COMFY_URLS in .env is overridden by the environment variable {name}"
            return (f"{hidden}; unset that to use the file",)
        return ()


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What differs once the file is saved, in place or by renaming another file over it."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
