"""The clock of a running event loop."""

from __future__ import annotations

import asyncio
import time


class LoopClock:
    """`ports.Clock` on the time of the running loop, so that waiting and measuring agree."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def unix(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
