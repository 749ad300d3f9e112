"""Gives birth to bots that are ready at once: a process that has read every module and forks on request.

Commands come in on standard input, one JSON object a line: ``{"start": [arguments], "log": path}`` is
answered by ``{"pid": n}``, ``{"wait": n}`` by ``{"code": c}`` (negative: the signal that ended it).
What is born runs ``bot.py`` as its own process; only the reading of modules is saved. Its SQLite file may
have as many pages as the file ``pages`` in the folder named on the command line says.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

READ_AHEAD = (
    "aiosqlite",
    "asyncpg",
    "discord",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.WebPImagePlugin",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "modules.ai.engines",
    "modules.app.serve",
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
    gc.collect()
    gc.freeze()
    say({"ready": True})
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if "wait" in asked:
            say({"code": os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])})
            continue
        pid = os.fork()
        if pid == 0:
            become(asked["log"])
            sqlite3.connect = limited(Path(sys.argv[1]) / "pages")  # type: ignore[assignment]
            sys.exit(bot.main(asked["start"]))
        say({"pid": pid})


def become(log: str) -> None:
    """A process apart, whose words go to a file."""
    os.setsid()
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives


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
