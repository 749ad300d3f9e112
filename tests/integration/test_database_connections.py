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


async def test_closing_waits_for_those_who_still_read(tmp_path: Path) -> None:
    connections = Connections(read_address(f"sqlite:///{tmp_path}/bot.db", root=tmp_path))
    began, read = asyncio.Event(), asyncio.Event()

    async def reader() -> None:
        async with connections.reading() as connection:
            began.set()
            await read.wait()
            await connection.exec_driver_sql("SELECT 1")

    reading = asyncio.ensure_future(reader())
    await began.wait()
    closing = asyncio.ensure_future(connections.aclose())
    await asyncio.sleep(0.05)
    assert not closing.done()
    read.set()
    await asyncio.gather(reading, closing)
    gc.collect()
