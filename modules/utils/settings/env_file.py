"""Sees edits of ``.env`` while the bot runs, and takes what can be taken without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from pathlib import Path

from modules.queue_manager.errors import BadSettings
from modules.queue_manager.ports import Clock
from modules.utils.settings import settings
from modules.utils.settings.settings import Settings

logger = logging.getLogger(__name__)

LIVE = "comfy_urls"
"""The setting that is taken while running; the others wait for the next start."""


EVERY_SECONDS = 2.0
"""Between two looks at the file."""


class EnvironmentFile:
    """The file ``.env`` under a running bot.

    ``now`` may be older than the file: that is read at the first look. ``on_change`` is awaited with the new
    settings when `LIVE` has changed, and at each `reload`. A faulty file (an editor may have saved half of
    it) changes nothing and is told once.
    """

    def __init__(
        self,
        *,
        path: Path,
        environ: Mapping[str, str],
        now: Settings,
        on_change: Callable[[Settings], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._path = path
        self._environ = environ
        self._now = now
        self._on_change = on_change
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._turn = asyncio.Lock()

    async def watch(self) -> None:
        """Look at the file for ever."""
        while True:
            await self._clock.sleep(EVERY_SECONDS)
            mark = await asyncio.to_thread(_mark, self._path)
            if mark != self._seen:
                self._seen = mark
                for line in await self._read(asked=False):
                    logger.warning("%s", line)

    async def reload(self) -> tuple[str, ...]:
        """Read the file and take the addresses, changed or not; sentences that say what else was taken and
        what was not."""
        return await self._read(asked=True)

    async def _read(self, *, asked: bool) -> tuple[str, ...]:
        async with self._turn:
            try:
                written = await asyncio.to_thread(settings.read_file, self._path)
                new = settings.read(self._environ, written)
            except BadSettings as error:
                return (f"Nothing changed, as .env has faults: {' | '.join(str(error).splitlines())}",)
            before, self._now = self._now, new
            changed = [
                field.name
                for field in fields(Settings)
                if getattr(new, field.name) != getattr(before, field.name)
            ]
            if asked or LIVE in changed:
                await self._on_change(new)
            return (*self._told(changed), *self._hidden(written))

    def _told(self, changed: list[str]) -> tuple[str, ...]:
        when = {LIVE: "is in force"}
        return tuple(
            f"{name.upper()} has changed and {when.get(name, 'will be in force at the next start')}"
            for name in changed
        )

    def _hidden(self, written: Mapping[str, str]) -> tuple[str, ...]:
        """What an edit cannot reach, because a real environment variable says otherwise."""
        text = written.get("COMFY_URLS") or written.get(settings.ALIAS) or ""
        name = settings.shadow("COMFY_URLS", self._environ)
        if not name or not text or text.strip() == self._environ[name].strip():
            return ()
        return (
            f"COMFY_URLS in .env is hidden by the environment variable {name}; unset that to use the file",
        )


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is saved, whether in place or by renaming another over it."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
