"""Gives birth to bots that are ready at once: a process that has read every module and forks on request.

Commands come in on standard input, one JSON object a line. One with ``arguments`` is answered by
``{"pid": n}``, ``{"wait": n}`` by ``{"code": c}`` (negative: the signal that ended it; null: it still runs).
What is born runs ``bot.py`` as its own process; only the reading of modules is saved.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.discord.ui.translations import Translations
from modules.utils.database.engine import Database
from tests.made_once import migrate_once, read_sentences_once

READ_AHEAD = (
    "aiosqlite",
    "alembic.command",
    "asyncpg",
    "discord",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.WebPImagePlugin",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "modules.ai.comfy_v2.engine",
    "modules.ai.engines",
    "modules.app.check",
    "modules.app.demonstration",
    "modules.app.models",
    "modules.app.serve",
    "modules.demo.stage",
    "modules.discord.transport.api_address",
    "modules.queue_manager.workers.fleet",
    "modules.utils.settings.server_discovery",
    "modules.utils.database.engine",
    "modules.utils.settings.env_file",
    "modules.utils.images.cleaner",
    "modules.utils.monitoring.metrics",
    "modules.utils.monitoring.health_server",
    "modules.utils.monitoring.log",
)


def main() -> None:
    """Serve until standard input ends."""
    import bot

    for name in READ_AHEAD:
        importlib.import_module(name)
    read_sentences_once()
    Translations.load()
    migrate_once()
    asyncio.run(open_one())
    gc.collect()
    gc.freeze()
    say({"ready": True})
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if "wait" in asked:
            ended, status = os.waitpid(asked["wait"], os.WNOHANG)
            say({"code": os.waitstatus_to_exitcode(status) if ended else None})
            continue
        pid = os.fork()
        if pid == 0:
            become(**asked)
            sys.exit(bot.main(asked["arguments"]))
        say({"pid": pid})


async def open_one() -> None:
    """The first database is made by the migrations, all others as a copy of it."""
    with tempfile.TemporaryDirectory() as folder:
        async with Database.open(f"sqlite:///{folder}/first.db"):
            pass


def become(
    *,
    arguments: list[str],
    root: str,
    folder: str,
    environ: dict[str, str],
    typed: str,
    output: str,
    errors: str,
    pages: str,
) -> None:
    """``python ROOT/bot.py ARGUMENTS`` in ``folder``, which reads what was ``typed``; its words are
    added to files. Its SQLite file may have as many pages as the file ``pages`` says."""
    import bot
    from modules.app import bootstrap

    os.setsid()
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with tempfile.TemporaryFile() as keys:
        keys.write(typed.encode())
        keys.seek(0)
        os.dup2(keys.fileno(), 0)
    for path, target in ((output, 1), (errors, 2)):
        opened = os.open(path, append, 0o600)
        os.dup2(opened, target)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    tempfile.tempdir = None
    sys.argv = [str(Path(root) / "bot.py"), *arguments]
    bot.ROOT = Path(root)
    bootstrap.prepare = lambda root, requirements, folder: None  # type: ignore[assignment, return-value]
    bootstrap.running_in = lambda root: True  # type: ignore[assignment]
    if pages:
        sqlite3.connect = limited(Path(pages))  # type: ignore[assignment]


def limited(pages: Path) -> Callable[..., sqlite3.Connection]:
    """What opens SQLite files whose size ``pages`` limits, as long as it is there."""
    connect = sqlite3.connect

    class Limited(sqlite3.Connection):
        limit = ""

        def cursor(self, *arguments: Any) -> Any:
            wanted = pages.read_text(encoding="utf-8") if pages.exists() else self.limit
            if wanted != self.limit:
                self.limit = wanted
                super().cursor().execute(f"PRAGMA max_page_count = {int(wanted)}")
            return super().cursor(*arguments)

    return lambda *arguments, **options: connect(*arguments, **{"factory": Limited, **options})


def say(answer: dict[str, Any]) -> None:
    """One line to the one who asked."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
