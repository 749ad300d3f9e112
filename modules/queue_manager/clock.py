"""The clock of a running event loop."""

from __future__ import annotations

import asyncio
import time


class LoopClock:
    """`ports.Clock` on the running loop's own time, so that waiting and measuring never disagree."""

    def now(self) -> float:
        """Seconds of ``loop.time()``."""
        return asyncio.get_running_loop().time()

    def unix(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        await asyncio.sleep(seconds)
