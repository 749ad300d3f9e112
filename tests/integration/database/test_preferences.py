"""What people chose is read once, and a new choice is seen at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable

from modules.queue_manager.errors import StoreUnavailable
from modules.utils.database.connections import Connections
from modules.utils.database.engine import Database
from modules.utils.database.rows import UserPreferences
from modules.utils.database.stores import preferences
from modules.utils.database.writer import GroupWriter

SPANISH = UserPreferences(locale="es-ES", previews=False)


class Reads:
    """Counts the queries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        rows = Connections.rows

        async def counted(connections: Connections, query: Executable) -> Sequence[Any]:
            self.count += 1
            return await rows(connections, query)

        monkeypatch.setattr(Connections, "rows", counted)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as opened:
        yield opened


@pytest.fixture
def reads(database: Database, monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


async def test_what_was_read_once_is_not_read_again(database: Database, reads: Reads) -> None:
    for _ in range(10):
        assert await database.preferences.get(1) == UserPreferences()
    await database.preferences.put(2, SPANISH)
    for _ in range(10):
        assert await database.preferences.get(2) == SPANISH
    assert reads.count == 1


async def test_a_new_choice_and_a_forgotten_one_are_seen_at_once(database: Database) -> None:
    assert await database.preferences.get(1) == UserPreferences()
    await database.preferences.put(1, SPANISH)
    assert await database.preferences.get(1) == SPANISH
    await database.history.forget(1)
    assert await database.preferences.get(1) == UserPreferences()


@pytest.mark.parametrize("change", ["put", "forget"])
async def test_what_was_read_before_it_changed_is_not_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    rows, read, go_on = Connections.rows, asyncio.Event(), asyncio.Event()

    async def slow(connections: Connections, query: Executable) -> Sequence[Any]:
        found = await rows(connections, query)
        read.set()
        await go_on.wait()
        return found

    before = UserPreferences(model="before")
    await database.preferences.put(1, before)
    database.preferences.forget(1)
    with monkeypatch.context() as patch:
        patch.setattr(Connections, "rows", slow)
        asked = asyncio.ensure_future(database.preferences.get(1))
        await read.wait()
    if change == "put":
        await database.preferences.put(1, SPANISH)
    else:
        await database.history.forget(1)
    go_on.set()
    assert await asked == before
    assert await database.preferences.get(1) == (SPANISH if change == "put" else UserPreferences())


async def test_a_change_of_which_nobody_knows_whether_it_was_written_is_looked_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = GroupWriter.write

    async def written_and_lost(writer: GroupWriter, *change: object, **options: object) -> None:
        await write(writer, *change, **options)  # type: ignore[arg-type]
        raise StoreUnavailable("the connection died after the commit")

    assert await database.preferences.get(1) == UserPreferences()
    monkeypatch.setattr(GroupWriter, "write", written_and_lost)
    with pytest.raises(StoreUnavailable):
        await database.preferences.put(1, SPANISH)
    assert await database.preferences.get(1) == SPANISH


async def test_only_so_many_people_are_remembered(
    database: Database, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preferences, "REMEMBERED", 3)
    for user in (1, 2, 3, 1, 4):  # of the four, the second was asked for longest ago
        await database.preferences.get(user)
    assert reads.count == 4
    await database.preferences.get(1)
    assert reads.count == 4
    await database.preferences.get(2)
    assert reads.count == 5
