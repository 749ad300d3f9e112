"""Connections that are opened and not waited for."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

from modules.utils.database.address import read_address
from modules.utils.database.connections import Connections


async def test_a_connection_that_nobody_waits_for_is_closed(tmp_path: Path) -> None:
    connections = Connections(read_address(f"sqlite:///{tmp_path}/bot.db", root=tmp_path))
    for turns in range(30):
        opening = asyncio.ensure_future(connections.connect())
        for _ in range(turns):
            await asyncio.sleep(0.0003)
        if not opening.cancel():
            await (await opening).close()
        await asyncio.gather(opening, return_exceptions=True)
        await connections.aclose()
    gc.collect()  # what was left behind would complain now
