"""What ``check`` says about the database: is it there, encrypted, up to date, writable, with room?"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.errors import BadSettings, StoreUnavailable
from modules.queue_manager.jobs import FusionCheck
from modules.utils.database.address import Address, PostgresAddress, SqliteAddress, read_address
from modules.utils.database.connections import Connections, explain_start_failure
from modules.utils.database.engine import ROOT
from modules.utils.database.faults import store_faults
from modules.utils.database.schema import NEWEST, of_another_program, revision
from modules.utils.database.stores.fusion_checks import read_all
from modules.utils.inspection import Finding
from modules.utils.private_hosts import is_private

ROOM_MB = 256
"""``check`` warns if less than this is free beside the pictures that are kept."""


async def inspect_database(url: str, *, image_disk_mb: int = 0) -> tuple[Finding, ...]:
    """Look at the database of ``DATABASE_URL`` and change nothing in it. ``image_disk_mb`` is the room that
    pictures may take there."""
    try:
        address = read_address(url, root=ROOT)
        if isinstance(address, SqliteAddress):
            blocked = _about_file(address.path)
            if blocked is not None:
                return (blocked, *_about_room(address.path, image_disk_mb))
        async with contextlib.aclosing(Connections(address)) as connections:
            return tuple([found async for found in _findings(address, connections, image_disk_mb)])
    except BadSettings as fault:
        return (Finding(level="fault", what=str(fault), fix="correct DATABASE_URL"),)


async def read_fusion_checks(url: str) -> Mapping[str, Mapping[str, FusionCheck]]:
    """What ``check --fusion`` found, by server and model; nothing if the database cannot be read, which
    `inspect_database` tells."""
    try:
        address = read_address(url, root=ROOT)
        if isinstance(address, SqliteAddress) and not address.path.exists():
            return {}
        async with contextlib.aclosing(Connections(address)) as connections:
            return await read_all(connections)
    except (BadSettings, StoreUnavailable, DBAPIError, sqlite3.Error):
        return {}


def _about_file(path: Path) -> Finding | None:
    """What keeps a file from being opened, or that it will be made; None if it is there."""
    if path.exists():
        return None
    folder = next(each for each in path.parents if each.exists())
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Finding(level="ok", what=f"the SQLite file {path} will be created when the bot first starts")
    fix = "give the bot's user the right to write there, or name another file in DATABASE_URL"
    return Finding(level="fault", what=f"{folder} cannot be written", fix=fix)


def _about_room(path: Path, image_disk_mb: int) -> Iterator[Finding]:
    folder = next(each for each in path.parents if each.exists())
    free = shutil.disk_usage(folder).free // 2**20
    used = path.stat().st_size // 2**20 if path.exists() else 0
    wanted = max(0, image_disk_mb - used) + ROOM_MB
    if free >= wanted:
        yield Finding(level="ok", what=f"{free} MB are free for the database", routine=True)
    elif free < ROOM_MB // 4:
        yield Finding(level="fault", what=f"only {free} MB are free for the database", fix="make room")
    else:
        what = f"only {free} MB are free for the database, which may need {wanted}"
        yield Finding(level="hint", what=what, fix="make room, or lower IMAGE_DISK_MB")


async def _findings(address: Address, connections: Connections, image_disk_mb: int) -> AsyncIterator[Finding]:
    """Everything, up to the first thing that keeps the rest from being looked at."""
    try:
        async with contextlib.aclosing(await connections.connect()) as connection:
            yield Finding(level="ok", what=f"{address.shown} answers")
            if isinstance(address, PostgresAddress):
                yield await _about_tls(address, connection)
            with store_faults():
                found = await connection.run_sync(revision)
                yield _about_revision(found, await connection.run_sync(of_another_program, found))
                await connection.rollback()
            yield await _about_writing(connection)
    except StoreUnavailable as error:
        why = explain_start_failure(address, error) or f"{address.shown} cannot be used: {error}"
        yield Finding(level="fault", what=str(why), fix="correct DATABASE_URL, or start the database")
    except (DBAPIError, sqlite3.Error) as error:
        what = f"{address.shown} cannot be used: {getattr(error, 'orig', error)}"
        yield Finding(level="fault", what=what, fix="is it this bot's database? Name another, or restore it")
    if isinstance(address, SqliteAddress):
        for finding in _about_room(address.path, image_disk_mb):
            yield finding


async def _about_writing(connection: AsyncConnection) -> Finding:
    try:
        with store_faults():
            await connection.run_sync(_try_to_write)
    except (DBAPIError, StoreUnavailable) as error:
        why = getattr(error, "orig", None) or error
        fix = "give the bot's user the right to write (PostgreSQL: GRANT CREATE, USAGE ON SCHEMA public)"
        return Finding(level="fault", what=f"the database cannot be written: {why}", fix=fix)
    finally:
        await connection.rollback()
    return Finding(level="ok", what="it can be written", routine=True)


def _try_to_write(connection: Connection) -> None:
    """In a transaction that the caller rolls back."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    connection.execute(text("CREATE TABLE fullet_check (id INTEGER)"))
    connection.execute(text("INSERT INTO fullet_check VALUES (1)"))


def _about_revision(found: str | None, foreign: Sequence[str]) -> Finding:
    if foreign:
        what = f"another program keeps its tables there ({', '.join(foreign)})"
        return Finding(level="fault", what=what, fix="give this bot a database of its own in DATABASE_URL")
    if found == NEWEST:
        return Finding(level="ok", what=f"its tables are up to date (schema {found})", routine=True)
    if found is None:
        return Finding(level="ok", what="it is empty; the tables will be created when the bot first starts")
    if found < NEWEST:
        return Finding(
            level="ok", what=f"its tables (schema {found}) will be updated to {NEWEST} when the bot starts"
        )
    return Finding(
        level="fault",
        what=f"it was made by a newer version of this bot (schema {found}, this program only knows {NEWEST})",
        fix="run the newer version, or write another database into DATABASE_URL",
    )


async def _about_tls(address: PostgresAddress, connection: AsyncConnection) -> Finding:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    encrypted = driver._transport.get_extra_info("ssl_object") if driver is not None else None
    if encrypted is not None:
        checked = (
            "" if address.tls["sslmode"].startswith("verify") else ", but the certificate is not checked"
        )
        return Finding(level="ok", what=f"the connection is encrypted ({encrypted.version()}{checked})")
    if all(is_private(host) for host, _ in address.hosts):
        return Finding(level="ok", what="the connection is not encrypted, but stays in a private network")
    what = "the connection to the database is not encrypted"
    return Finding(level="hint", what=what, fix="add ?sslmode=require (or verify-full) to DATABASE_URL")
