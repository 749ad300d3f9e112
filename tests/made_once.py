"""What the bots of one process need and always comes out the same is made once: it takes half of a short
test's time otherwise."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from fluent.runtime import FluentResource, bundle
from fluent.runtime.prepare import Compiler
from sqlalchemy import Connection

from modules.discord.ui import translations
from modules.utils.database import schema


def read_sentences_once() -> None:
    """From now on, a text or sentence of a catalogue that was parsed or compiled before is not again."""
    translations.FluentResource = functools.cache(FluentResource)  # type: ignore[assignment,attr-defined]
    compiler = functools.cache(Compiler())  # its results fit any bundle
    bundle.Compiler = lambda: compiler  # type: ignore[assignment,misc]


def migrate_once() -> None:
    """From now on, a new SQLite file gets the tables and rows that the migrations gave to the first one."""
    upgrade, made = schema._upgrade, []

    def upgrade_or_repeat(connection: Connection) -> None:
        fresh = connection.dialect.name == "sqlite" and not any(_tables(connection))
        if not (fresh and made):
            upgrade(connection)
            if fresh:
                made[:] = list(_statements(connection))
            return
        for statement, values in made:
            connection.exec_driver_sql(statement, values)

    schema._upgrade = upgrade_or_repeat


def _tables(connection: Connection) -> Iterator[str]:
    found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    yield from (name for (name,) in found if not name.startswith("sqlite_"))


def _statements(connection: Connection) -> Iterator[tuple[str, tuple[object, ...]]]:
    """What makes the tables, indexes and rows of this database in an empty one."""
    named = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    yield from ((sql, ()) for (sql,) in named)
    for table in list(_tables(connection)):
        for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):  # noqa: S608 (a table of our own)
            places = ", ".join("?" * len(row))
            yield f"INSERT INTO {table} VALUES ({places})", tuple(row)  # noqa: S608
