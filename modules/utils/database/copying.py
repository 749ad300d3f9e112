"""Copies everything from one database into an empty one, such as from SQLite into PostgreSQL, or back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass

from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSettings, StartupError, StoreUnavailable
from modules.utils.database.address import Address, SqliteAddress, read_address
from modules.utils.database.connections import Connections, explain_start_failure
from modules.utils.database.engine import ROOT, lease_ground, make_file
from modules.utils.database.faults import said, store_faults
from modules.utils.database.lease import LENGTH_SECONDS, Lease
from modules.utils.database.models import Base, CounterRow, JobRow, LeaseRow
from modules.utils.database.schema import NEWEST, make_tables, of_another_program, revision

PATIENCE = LENGTH_SECONDS + 2
"""Seconds to wait for the lease: that of a bot that was killed ends by then."""

PAGE_ROWS = 500
"""How many rows are in memory at once; of rows with pictures' bytes, only one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """What was copied: the number of ``rows`` of each table; ``open_jobs`` have not ended. ``source`` and
    ``target`` are for people."""

    source: str
    target: str
    rows: Mapping[str, int]
    open_jobs: int


async def copy_database(source_url: str, target_url: str, *, patience: float = PATIENCE) -> Copied:
    """Copy all rows of one database into another that has no tables yet, in one transaction. The URLs are as
    in ``DATABASE_URL``; ``patience``: the seconds to wait for the source's lease.

    Holds the source's lease meanwhile, so that no bot starts on it. Raises `StartupError` with one line for
    the operator; then the target is unchanged.
    """
    with _about("FROM"):
        source = read_address(source_url, root=ROOT)
    with _about("TO"):
        target = read_address(target_url, root=ROOT)
    async with AsyncExitStack() as stack:
        with _about("FROM", source):
            reader, lease = await _opened_source(stack, source, patience)
        with _about("TO", target):
            writer = await _opened_target(stack, target)
            await make_tables(writer)
            # The row of the lease is there, and says that nobody has it.
            tables = [table for table in Base.metadata.sorted_tables if table is not LeaseRow.__table__]
            await writer.execute(delete(CounterRow))
        rows = {table.name: await _copy(table, reader, writer, source, target) for table in tables}
        open_jobs = await reader.scalar(select(func.count()).where(JobRow.ended_at.is_(None)))
        with _about("FROM", source):
            if not lease.safe():
                raise StartupError("DATABASE_URL: another process uses it now; stop that one first")
        with _about("TO", target):
            await writer.commit()
    return Copied(source=source.shown, target=target.shown, rows=rows, open_jobs=open_jobs or 0)


async def _opened_source(
    stack: AsyncExitStack, address: Address, patience: float
) -> tuple[AsyncConnection, Lease]:
    """A connection with a snapshot of the database, and the lease, which is held."""
    if isinstance(address, SqliteAddress) and not address.path.is_file():
        raise BadSettings(f"DATABASE_URL: there is no file {address.path}")
    connections = await stack.enter_async_context(aclosing(Connections(address)))
    connection = await stack.enter_async_context(aclosing(await connections.connect()))
    found = await connection.run_sync(revision)
    foreign = await connection.run_sync(lambda inside: of_another_program(inside, found))
    if found is None or foreign:
        raise BadSettings(f"DATABASE_URL: {address.shown} is not a database of this bot")
    if found != NEWEST:
        what = "run the newer version" if found > NEWEST else "start the bot on it once to update it"
        raise StartupError(f"DATABASE_URL: its schema is {found}, and this program needs {NEWEST}: {what}")
    await connection.rollback()
    lease = Lease(lease_ground(address, connections), length_seconds=LENGTH_SECONDS)
    try:
        async with timeout(patience):
            await stack.enter_async_context(lease.hold())
    except asyncio.TimeoutError:
        raise StartupError("DATABASE_URL: a running bot uses it; stop that bot first") from None
    if connections.dialect == "sqlite":
        await connection.exec_driver_sql("BEGIN")
    else:
        await connection.execution_options(isolation_level="REPEATABLE READ")
    return connection, lease


async def _opened_target(stack: AsyncExitStack, address: Address) -> AsyncConnection:
    if isinstance(address, SqliteAddress):
        await stack.enter_async_context(_new_file(address))
    connections = await stack.enter_async_context(aclosing(Connections(address)))
    return await stack.enter_async_context(aclosing(await connections.connect()))


@asynccontextmanager
async def _new_file(address: SqliteAddress) -> AsyncIterator[None]:
    """Create the file if it is not there; remove it again if something fails inside."""
    made = not address.path.exists()
    make_file(address.path)
    try:
        yield
    except BaseException:
        for ending in ("", "-wal", "-shm") if made else ():
            address.path.with_name(address.path.name + ending).unlink(missing_ok=True)
        raise


async def _copy(
    table: Table, reader: AsyncConnection, writer: AsyncConnection, source: Address, target: Address
) -> int:
    """Copy a table's rows page by page; returns their number."""
    count, page_rows = 0, 1 if "data" in table.columns else PAGE_ROWS
    with _about("FROM", source):
        found = await reader.stream(select(table), execution_options={"yield_per": page_rows})
    pages = found.mappings().partitions()
    while True:
        with _about("FROM", source):
            page = await anext(pages, None)
        if page is None:
            return count
        with _about("TO", target, f"{target.shown} does not accept a row of the table {table.name}"):
            await writer.execute(insert(table), [dict(row) for row in page])
        count += len(page)


@contextmanager
def _about(side: str, address: Address | None = None, problem: str = "") -> Iterator[None]:
    """Turn an error inside into a `StartupError` that says on which side it happened. ``problem``: what to
    say of a statement that is refused."""
    shown = address.shown if address is not None else ""
    try:
        with store_faults():
            yield
    except StoreUnavailable as error:
        known = explain_start_failure(address, error) if address is not None else None
        line = str(known) if known is not None else f"{shown} cannot be used: {error}"
    except DBAPIError as error:
        # Not the error itself: PostgreSQL's details may quote the row.
        line = f"{problem or f'{shown} cannot be used'}: {said(error) or error.orig}"
    except StartupError as error:
        line = str(error)
    else:
        return
    raise StartupError(f"{side}: {line.removeprefix('DATABASE_URL: ')}")
