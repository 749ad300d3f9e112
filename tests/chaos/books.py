"""Reads a bot's database from outside: what it had accepted, and in which order it first sent it to a GPU.

The order is kept by a trigger, since the journal itself only knows the last sending of a job.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.postgres import Postgres

_COLUMNS = (
    "id, number, user_id, key, state, attempts, run_ended_at IS NOT NULL, ended_at IS NOT NULL, request"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A job as the journal has it. ``made``: there was a picture at least once. ``group``: see `Job`."""

    id: str
    number: int
    user_id: int
    key: str
    state: str
    attempts: int
    made: bool
    ended: bool
    group: str


class Books(Protocol):
    """A bot's database, read and troubled from outside."""

    url: str

    def ask(self, query: str) -> list[Sequence[Any]]:
        """The rows of a query."""
        ...

    def watch_first_dispatches(self) -> None:
        """From now on the table ``first_dispatches`` holds each job once. Needs the bot's tables."""
        ...

    def free(self) -> None:
        """Make the dead bot's lease run out now; where a server keeps it, that would take seconds."""
        ...

    async def stop(self) -> None:
        """Take the database away; where it has no server, nothing happens."""
        ...

    async def start(self) -> None:
        """Bring it back."""
        ...

    async def fill(self) -> None:
        """Leave no room on its disk."""
        ...

    async def empty(self) -> None:
        """Make room again."""
        ...


def jobs(books: Books) -> list[Row]:
    """Every job that was ever accepted, in the order of acceptance."""
    found = books.ask(f"SELECT {_COLUMNS} FROM jobs ORDER BY number")  # noqa: S608 - constants
    return [
        Row(
            id=row[0], number=int(row[1]), user_id=int(row[2]), key=row[3], state=row[4],
            attempts=int(row[5]), made=row[6] in (1, "t", True), ended=row[7] in (1, "t", True),
            group=(json.loads(row[8]).get("set") or [row[0]])[0],
        )
        for row in found
    ]  # fmt: skip


def order_violations(books: Books) -> list[str]:
    """Jobs that were first sent after a later one of the same person and batch key."""
    sent = books.ask(
        "SELECT jobs.user_id, jobs.key, jobs.number FROM first_dispatches AS first"
        " JOIN jobs ON jobs.id = first.id ORDER BY first.handed_over, first.slot"
    )
    newest: dict[tuple[str, str], int] = {}
    violations = []
    for user_id, key, number in sent:
        before = newest.get((str(user_id), key), 0)
        if int(number) < before:
            violations.append(f"#{number} of {user_id} after #{before}: {json.loads(key)}")
        newest[str(user_id), key] = max(before, int(number))
    return violations


class SqliteBooks:
    """A file. It is full once it may have no more pages than it has, which bots of a nursery obey."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bot.db"
        self.url = f"sqlite:///{self.path}"
        self._limit = folder / "pages"

    def ask(self, query: str) -> list[Sequence[Any]]:
        """See `Books`."""
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            return list(connection.execute(query))

    def watch_first_dispatches(self) -> None:
        """See `Books`."""
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            connection.executescript(
                "CREATE TABLE first_dispatches (id TEXT PRIMARY KEY, handed_over INT, slot INT);"
                "CREATE TRIGGER IF NOT EXISTS first_dispatch AFTER UPDATE ON jobs"
                " WHEN NEW.state = 'dispatched' BEGIN INSERT OR IGNORE INTO first_dispatches"
                " VALUES (NEW.id, NEW.handed_over, NEW.slot); END;"
            )

    def free(self) -> None:
        """The system has freed it."""

    async def stop(self) -> None:
        """A file cannot go away."""

    async def start(self) -> None:
        """A file cannot come back."""

    async def fill(self) -> None:
        """See `Books`."""
        self._limit.write_text("1", encoding="utf-8")

    async def empty(self) -> None:
        """See `Books`."""
        self._limit.write_text("1073741823", encoding="utf-8")


class PostgresBooks:
    """A database of a real server; a trigger says that the disk is full."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self.name = server.new_database()
        self.url = server.url(self.name)

    def ask(self, query: str) -> list[Sequence[Any]]:
        """See `Books`."""
        return [line.split("|") for line in self._server.sql(query, self.name).splitlines()]

    def watch_first_dispatches(self) -> None:
        """See `Books`."""
        self._server.sql(
            "CREATE TABLE first_dispatches (id text PRIMARY KEY, handed_over bigint, slot int);"
            "CREATE TABLE disk (is_full boolean); INSERT INTO disk VALUES (false);"
            "CREATE FUNCTION note_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO first_dispatches VALUES (NEW.id, NEW.handed_over, NEW.slot) ON CONFLICT DO NOTHING;"
            " RETURN NULL; END $$;"
            "CREATE TRIGGER first_dispatch AFTER UPDATE ON jobs FOR EACH ROW"
            " WHEN (NEW.state = 'dispatched') EXECUTE FUNCTION note_first();"
            "CREATE FUNCTION check_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF (SELECT is_full FROM disk) THEN"
            "  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';"
            " END IF; RETURN NULL; END $$;"
            "CREATE TRIGGER check_disk BEFORE INSERT OR UPDATE ON jobs FOR EACH STATEMENT"
            " EXECUTE FUNCTION check_disk();",
            self.name,
        )

    def free(self) -> None:
        """See `Books`."""
        self._server.sql("UPDATE lease SET expires_at = 0", self.name)

    async def stop(self) -> None:
        """See `Books`."""
        await asyncio.to_thread(self._server.stop)

    async def start(self) -> None:
        """See `Books`."""
        await asyncio.to_thread(self._server.start)

    async def fill(self) -> None:
        """See `Books`."""
        await asyncio.to_thread(self._server.sql, "UPDATE disk SET is_full = true", self.name)

    async def empty(self) -> None:
        """See `Books`."""
        await asyncio.to_thread(self._server.sql, "UPDATE disk SET is_full = false", self.name)
