"""Brings the tables up to date at start, under a lock, so that only one of several processes does it.

Alembic is imported only if there is something to do; one query finds out.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.errors import StartupError
from modules.utils.database.models import Base

log = logging.getLogger(__name__)

NEWEST = "0007"
"""The newest file in ``migrations/versions``; a test compares the two."""

_LOCK_NUMBER = 0x66754C4C6574
"""Number of PostgreSQL's advisory lock ("fuLLet" in ASCII)."""

IDLE_SECONDS = 15
"""How long a migration may be idle; shorter than `Database.open` waits for a server."""

_ENCODING = text(
    "SELECT pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = current_database()"
)

_IDLE_LIMIT = text("SELECT set_config('idle_in_transaction_session_timeout', :seconds, true)")

_SCRIPTS = Path(__file__).parent / "migrations"


async def bring_up_to_date(connection: AsyncConnection) -> None:
    """Run what is missing, in one transaction that is committed at the end.

    The lock belongs to the transaction, because a session's lock does not hold behind a transaction pooler.
    Raises `StartupError` if a newer version of the bot or another program made the tables, or if the database
    cannot hold every text.
    """
    await _check_encoding(connection)
    up_to_date = await connection.run_sync(revision) == NEWEST
    await connection.rollback()
    if up_to_date:
        return
    await _begin_alone(connection)
    await connection.run_sync(_upgrade)
    await connection.commit()


async def make_tables(connection: AsyncConnection) -> None:
    """Make the tables in a database that has none, in a transaction that the caller commits. Raises
    `StartupError` as `bring_up_to_date` does, and if they are there."""
    await _check_encoding(connection)
    await connection.rollback()
    await _begin_alone(connection)
    if await connection.run_sync(revision) is not None:
        raise StartupError("DATABASE_URL: the bot's tables are already there; name an empty database")
    await connection.run_sync(_upgrade)


async def _check_encoding(connection: AsyncConnection) -> None:
    if connection.dialect.name == "sqlite":
        return
    encoding = (await connection.execute(_ENCODING)).scalar()
    if encoding not in ("UTF8", "SQL_ASCII"):
        raise StartupError(
            f"DATABASE_URL: the database's encoding is {encoding}, which cannot hold what people write; "
            "create one with ENCODING 'UTF8' TEMPLATE template0, and name that"
        )


async def _begin_alone(connection: AsyncConnection) -> None:
    """Begin a transaction during which no other process of ours changes tables."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    # Ends the transaction of a process that is frozen while it has the lock: others wait for it.
    await connection.execute(_IDLE_LIMIT, {"seconds": f"{IDLE_SECONDS}s"})
    await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})


def revision(connection: Connection) -> str | None:
    """The revision that the database says it has; None for an empty one."""
    if connection.dialect.name == "sqlite":
        there = text("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
    else:
        # Not to_regclass: it may answer from a cache that is older than the lock.
        there = text(
            "SELECT 1 FROM pg_catalog.pg_class"
            " WHERE relname = 'alembic_version' AND relkind = 'r' AND pg_table_is_visible(oid)"
        )
    if connection.execute(there).scalar() is None:
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def of_another_program(connection: Connection, found: str | None) -> list[str]:
    """The tables that stand in the bot's way; ``found`` is the database's revision. Where it has one, the
    bot's own tables are there, or the revision is another program's."""
    there = set(inspect(connection).get_table_names())
    ours = set(Base.metadata.tables)
    if found is None:
        return sorted(there & ours)
    return [] if "facts" in there else ["alembic_version"]


def _upgrade(connection: Connection) -> None:
    before = revision(connection)
    if before == NEWEST:
        return  # another process did it while we waited for the lock
    from alembic import command  # noqa: PLC0415 (a fifth of the start-up time, and seldom needed)
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if tables := of_another_program(connection, before):
        raise StartupError(
            f"DATABASE_URL: another program keeps its tables there ({', '.join(tables)}): "
            "give this bot a database of its own"
        )
    if before is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(before)
        except CommandError as error:
            raise StartupError(
                f"The database was made by a newer version of this bot (its schema is {before}, this program "
                f"only knows {NEWEST}): run the newer version, or write another database into DATABASE_URL"
            ) from error
    command.upgrade(config, "head")
    log.info("Database schema updated from %s to %s", before or "nothing", NEWEST)
