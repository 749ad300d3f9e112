"""``bot.py database copy``: moves the bot to another database, such as from SQLite to PostgreSQL."""

from __future__ import annotations

import asyncio
import sys

from modules.utils.database.copying import Copied, copy_database

_NAMES = {
    "jobs": "jobs",
    "sources": "pictures that edits start from",
    "job_sources": "links from jobs to those",
    "pictures": "last or undelivered pictures",
    "sessions": "private channels",
    "preferences": "people's settings",
    "blocks": "blocked people",
    "quotas": "counts of pictures a day",
    "facts": "notes of the bot",
    "learned": "lessons about servers and models",
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
        return 130  # as shells have it after Ctrl-C
    sys.stdout.write("\n".join(_told(done)) + "\n")
    return 0


def _told(done: Copied) -> list[str]:
    lines = [f"Copied from {done.source} to {done.target}:"]
    lines += [f"  {_NAMES[name]}: {count}" for name, count in done.rows.items() if count]
    lines.append("Write the new address into DATABASE_URL, and start the bot.")
    if done.open_jobs:
        lines.append(
            f"{done.open_jobs} of the jobs wait or run: a bot on the new database goes on with them. "
            "Start none on the old one, or their pictures are made twice."
        )
    return lines
