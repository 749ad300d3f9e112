"""The demonstration as a process of its own, slow enough to be looked at."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from modules.queue_manager.backports import timeout

ROOT = Path(__file__).parents[2]
SECONDS_PER_IMAGE = 7


@asynccontextmanager
async def demonstration(log: Path) -> AsyncIterator[str]:
    """`bot.py demo` with one GPU; the page's address."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "bot.py", "demo", "--no-browser",
            "--users", "5", "--gpus", "1", "--seconds-per-image", str(SECONDS_PER_IMAGE),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        said = ""
        async with timeout(60):
            while (found := re.search(r"(http://127\.0\.0\.1:\d+)/\s+type", said)) is None:
                line = await process.stdout.readline()
                assert line, f"the demonstration ended: {said}{await asyncio.to_thread(log.read_text)}"
                said += line.decode()
        yield found[1]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
