"""``bot.py database copy``: moves the bot to another database, such as from SQLite to PostgreSQL."""

from __future__ import annotations

import asyncio
import sys

from modules.utils.database.copying import Copied, copy_database

_NAMES = {
    "jobs": "jobs",
    "sources": "source pictures",
    "job_sources": "links from jobs to source pictures",
    "pictures": "kept pictures (the latest, and those not delivered yet)",
    "sessions": "private channels",
    "preferences": "people's settings",
    "blocks": "blocked people",
    "quotas": "daily picture counts",
    "facts": "the bot's own notes",
    "learned": "what was learned about servers and models",
    "fusion_checks": "results of check --fusion",
    "status_messages": "status messages",
    "counters": "counters",
}


async def copied(source_url: str, target_url: str) -> int:
    """Copy a database and print what was copied; returns the exit code. If it is cancelled, the target stays
    as it was. Raises `StartupError`."""
    try:
        done = await copy_database(source_url, target_url)
    except asyncio.CancelledError:
        sys.stderr.write("Stopped; nothing was copied\n")
        return 130  # as in shells after Ctrl-C
    sys.stdout.write("\n".join(_told(done)) + "\n")
    return 0


def _told(done: Copied) -> list[str]:
    lines = [f"Copied from {done.source} to {done.target}:"]
    lines += [f"  {_NAMES[name]}: {count}" for name, count in done.rows.items() if count]
    lines.append("Write the new address into DATABASE_URL and start the bot.")
    if done.open_jobs:
        lines.append(
            f"Jobs that have not ended: {done.open_jobs}. The bot continues them on the new database. "
            "Do not start a bot on the old one, or their pictures are made twice."
        )
    return lines
