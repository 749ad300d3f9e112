"""Brings the tables up to date at start, under a lock, so that only one of several processes does it.

Alembic is imported only if there is something to do; one query finds out.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.errors import StartupError

log = logging.getLogger(__name__)

NEWEST = "0005"
"""The newest file in ``migrations/versions``; a test compares the two."""

_LOCK_NUMBER = 0x66754C4C6574
"""Number of PostgreSQL's advisory lock ("fuLLet" in ASCII)."""

IDLE_SECONDS = 15
"""How long a migration may be idle; shorter than `Database.open` waits for a server."""

_IDLE_LIMIT = text("SELECT set_config('idle_in_transaction_session_timeout', :seconds, true)")

_SCRIPTS = Path(__file__).parent / "migrations"


async def bring_up_to_date(connection: AsyncConnection) -> None:
    """Run what is missing, in one transaction that is committed at the end.

    The lock belongs to the transaction, because a session's lock does not hold behind a transaction pooler.
    Raises `StartupError` if a newer version of the bot made the tables.
    """
    up_to_date = await connection.run_sync(revision) == NEWEST
    await connection.rollback()
    if up_to_date:
        return
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # Ends the transaction of a process that is frozen while it has the lock: others wait for it.
        await connection.execute(_IDLE_LIMIT, {"seconds": f"{IDLE_SECONDS}s"})
        await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
    await connection.run_sync(_upgrade)
    await connection.commit()


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
    if before is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(before)
        except CommandError as error:
            raise StartupError(
                f"The database was made by a newer version of this bot (its schema is {before}, this program "
                f"knows only {NEWEST}): run the newer version, or write another database into DATABASE_URL"
            ) from error
    command.upgrade(config, "head")
    log.info("Database schema updated from %s to %s", before or "nothing", NEWEST)
