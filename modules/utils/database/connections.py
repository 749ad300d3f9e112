"""Connections to either database: how they are opened, and what is set on each.

SQLite's settings: WAL, so that readers and the writer do not wait for each other; ``synchronous=FULL``, so
that accepted jobs survive a power failure and not only a crash (a group of changes shares the wait for the
disk, which makes it cheap; ``NORMAL`` would wait only at checkpoints); ``secure_delete``, so that what a
person asked the bot to forget is overwritten and not only unlinked; and a busy timeout, because another
process may be migrating or checking.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from sqlalchemy import URL, Engine, Executable, NullPool, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from modules.queue_manager.backoff import Backoff
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSettings, StoreUnavailable
from modules.utils.database.address import Address, PostgresAddress, SqliteAddress, at_home
from modules.utils.database.faults import said, sqlstate, store_faults
from modules.utils.database.write_channel import FRESH_SECONDS, AsyncChannel, ThreadChannel, WriteChannel

log = logging.getLogger(__name__)

_T = TypeVar("_T")

CLOSING_SECONDS = 5.0

READERS = 4
"""Connections for reading, opened when they are needed and kept: opening and closing one costs more than most
queries. A reader that finds them all lent waits. The writer has its own connection, and so has PostgreSQL's
lease: these two never wait for readers."""

WAIT_SECONDS = 10.0
"""How long a query waits for one of them."""

_PRAGMAS: tuple[tuple[str, int | str], ...] = (
    ("auto_vacuum", "incremental"),
    ("busy_timeout", 5000),
    ("journal_mode", "wal"),
    ("synchronous", "full"),
    ("foreign_keys", "on"),
    ("secure_delete", "on"),
    ("journal_size_limit", 64_000_000),
)

# The driver must begin no transactions: the writer says BEGIN itself.
_SQLITE_ARGUMENTS: dict[str, Any] = {"isolation_level": None, "timeout": 5.0}


class Connections:
    """Opens connections for writing, reading and holding the lease; closes them all at the end."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.shown = address.shown
        """Where the database is, for people and logs."""
        # Right for any server; `look_for_pooler` finds out whether statements may be kept prepared.
        self._pooled = True
        self._make_engines()
        self._lent: set[AsyncConnection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    async def look_for_pooler(self) -> None:
        """Keep statements prepared from now on, unless a pooler stands between us and PostgreSQL.

        A pooler invents the process ids that it gives to its clients; PostgreSQL itself gives the id of the
        process that serves the connection. Raises `StoreUnavailable`.
        """
        if self.dialect == "sqlite" or not self._pooled:
            return
        async with aclosing(await self.connect()) as connection:
            with store_faults():
                driver: Any = (await connection.get_raw_connection()).driver_connection
                serving = await connection.scalar(text("SELECT pg_backend_pid()"))
        if driver.get_server_pid() != serving:
            log.info("A pooler is in front of the database: no prepared statements are used")
            return
        await self.aclose()
        self._pooled = False
        self._make_engines()

    async def connect(self, *, apart: bool = False) -> AsyncConnection:
        """A connection for transactions. On PostgreSQL the first statement begins one, on SQLite the caller
        says BEGIN. To be closed by the caller.

        ``apart``: not one of those that others read with (no difference on SQLite). If this is cancelled, the
        connection is closed and not left behind. Raises `StoreUnavailable`.
        """
        with store_faults():
            if self.dialect != "sqlite":
                return await (self._apart if apart else self._engine).connect()
            # Goes on if we are cancelled: a connection half opened would leave a thread behind.
            opening = self._unhurried(_opened(self._engine))
            try:
                return await asyncio.shield(opening)
            except asyncio.CancelledError:
                self._unhurried(_close_opened(opening))
                raise

    async def rows(self, query: Executable) -> Sequence[Any]:
        """All rows that ``query`` gives. Raises `StoreUnavailable`."""
        async with self.statements() as connection:
            return (await connection.execute(query)).all()

    async def rows_at_last(self, query: Executable) -> Sequence[Any]:
        """As `rows`, however long the database is away: for what the bot cannot go on without."""
        backoff, logged = Backoff(first=0.1, longest=2.0), False
        while True:
            try:
                return await self.rows(query)
            except StoreUnavailable as error:
                if not logged:
                    log.warning("The database cannot be reached, and the bot needs it to go on: %s", error)
                    logged = True
            await asyncio.sleep(backoff.pause())

    @asynccontextmanager
    async def statements(self, *, apart: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement stands alone, without a round trip for BEGIN and COMMIT.

        Behind a pooler they share one transaction, committed at the end: otherwise the pooler might change
        the server between a statement's preparation and its execution. ``apart`` and errors as in `connect`.
        """
        connection = await self.connect(apart=apart)
        self._lent.add(connection)
        with store_faults():
            try:
                if self.dialect == "sqlite":
                    yield connection  # all connections of this engine are like that
                elif self._pooled:
                    yield connection
                    await connection.commit()
                else:
                    yield await connection.execution_options(isolation_level="AUTOCOMMIT")
            finally:
                self._lent.discard(connection)
                await asyncio.shield(self._unhurried(connection.close()))

    def _unhurried(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run in a task that nobody cancels; on SQLite, `aclose` waits for it."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def write_channel(self) -> WriteChannel:
        """The writer's connection. It closes what it opens when ``discard`` is called."""
        if isinstance(self._address, SqliteAddress):
            return ThreadChannel(_sqlite_writer_engine(self._address))
        return AsyncChannel(partial(self.connect, apart=True))

    async def aclose(self) -> None:
        """Close what is open; a server that does not answer is waited for only `CLOSING_SECONDS`."""
        if self.dialect == "sqlite":
            await self._all_returned()
        for engine in {self._engine, self._apart}:
            try:
                async with timeout(CLOSING_SECONDS):
                    await engine.dispose()
            except asyncio.TimeoutError:
                log.warning("Connections could not be closed properly: the database does not answer")

    async def _all_returned(self) -> None:
        """Wait for those who still read: nobody closes a connection that comes back after the pool's end."""
        with suppress(asyncio.TimeoutError):
            async with timeout(CLOSING_SECONDS):
                while self._lent or self._tasks:  # noqa: ASYNC110 - short, and once
                    await asyncio.sleep(0.01)

    def _make_engines(self) -> None:
        if isinstance(self._address, SqliteAddress):
            self._engine = self._apart = _sqlite_engine(self._address)
            return
        self._engine = _postgres_engine(self._address, pooled=self._pooled, size=READERS, overflow=0)
        # For the writer and the lease; more only while one hangs on a server that has gone silent.
        self._apart = _postgres_engine(self._address, pooled=self._pooled, size=2, overflow=2)


async def _opened(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def _close_opened(opening: asyncio.Task[AsyncConnection]) -> None:
    with suppress(SQLAlchemyError):
        await (await opening).close()


def _sqlite_engine(address: SqliteAddress) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(address.path)),
        connect_args=_SQLITE_ARGUMENTS,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        # Set here once: setting it at each loan and return would change threads several times more.
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )
    _prepare_each(engine.sync_engine, address)
    return engine


def _sqlite_writer_engine(address: SqliteAddress) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(address.path)),
        connect_args=_SQLITE_ARGUMENTS,
        poolclass=NullPool,
        hide_parameters=True,
    )
    _prepare_each(engine, address)
    return engine


def _prepare_each(engine: Engine, address: SqliteAddress) -> None:
    statements = [f"PRAGMA {name}={value}" for name, value in (*_PRAGMAS, *address.pragmas)]

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        try:
            for statement in statements:
                cursor.execute(statement)
        except BaseException:
            connection.close()  # nobody else knows it yet
            raise
        cursor.close()


def _postgres_engine(address: PostgresAddress, *, pooled: bool, size: int, overflow: int) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args=asyncpg_arguments(address, pooled=pooled),
        pool_size=size,
        max_overflow=overflow,
        pool_pre_ping=True,
        pool_timeout=WAIT_SECONDS,
        pool_recycle=int(FRESH_SECONDS),
        hide_parameters=True,
    )


def asyncpg_arguments(address: PostgresAddress, *, pooled: bool) -> dict[str, Any]:
    """The arguments of ``asyncpg.connect`` (SQLAlchemy takes the two ``prepared_statement`` ones)."""
    arguments: dict[str, Any] = {
        "host": [host for host, _ in address.hosts],
        "port": [port for _, port in address.hosts],
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "timeout": address.connect_seconds,
        "command_timeout": 30.0,
        "server_settings": dict(address.settings),
        "target_session_attrs": address.session_attributes,
        **_tls_arguments(address.tls),
    }
    if address.passfile:
        arguments["passfile"] = address.passfile
    if pooled:
        arguments.update(
            statement_cache_size=0,
            prepared_statement_cache_size=0,
            # The same server connection may hold another client's statement of the same name.
            prepared_statement_name_func=lambda: f"fullet_{uuid4().hex}",
        )
    return arguments


def _tls_arguments(tls: Mapping[str, str]) -> dict[str, Any]:
    """The driver reads libpq's parameters itself, except ``sslrootcert=system``. Raises `BadSettings`."""
    files = {name: str(at_home(tls[name])) for name in ("sslcert", "sslkey", "sslcrl") if name in tls}
    for name, path in files.items():
        if not os.access(path, os.R_OK):
            raise BadSettings(f"DATABASE_URL: {name}: {path} cannot be read")
    mode, root = tls["sslmode"], tls.get("sslrootcert")
    if root == "system":
        context = _system_context({**tls, **files})
        return {"ssl": context, "direct_tls": tls.get("sslnegotiation") == "direct"}
    authority = at_home(root or "~/.postgresql/root.crt")
    needed = mode.startswith("verify-") or (root is not None and mode == "require")
    if needed and not os.access(authority, os.R_OK):
        raise BadSettings(
            f"DATABASE_URL: sslmode={mode} needs the file {authority}; put the server's CA certificate "
            "there, name it with sslrootcert=, or use sslrootcert=system"
        )
    if root is not None:
        files["sslrootcert"] = str(authority)
    return {"dsn": f"postgresql://?{urlencode({**tls, **files})}"}


def _system_context(tls: Mapping[str, str]) -> ssl.SSLContext:
    """The context that libpq would use for ``tls`` with the system's authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.set_alpn_protocols(["postgresql"])
    least = tls.get("ssl_min_protocol_version", "TLSv1.2")
    greatest = tls.get("ssl_max_protocol_version", "MAXIMUM_SUPPORTED")
    context.minimum_version = ssl.TLSVersion[least.replace(".", "_")]
    context.maximum_version = ssl.TLSVersion[greatest.replace(".", "_")]
    try:
        if "sslcrl" in tls:
            context.load_verify_locations(tls["sslcrl"])
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        if "sslcert" in tls:
            context.load_cert_chain(tls["sslcert"], tls.get("sslkey"), lambda: tls.get("sslpassword", ""))
    except ssl.SSLError as error:
        raise BadSettings(f"DATABASE_URL: sslcert, sslkey or sslcrl cannot be used: {error}") from error
    return context


def explain_start_failure(address: Address, error: BaseException) -> BadSettings | None:
    """The one line for an error at the first connection that waiting will not fix, or None."""
    refused = _refusal(address, sqlstate(error), said(error))
    if refused is not None:
        return refused
    cause, problem = error.__cause__, None
    if isinstance(cause, ssl.SSLCertVerificationError):
        problem = f": TLS certificate refused: {cause.verify_message}"
        if isinstance(address, PostgresAddress) and address.bound:
            problem += (
                ". It is checked because of channel_binding=require: name its authority "
                "(sslrootcert=/path/to/ca.pem), or leave channel_binding out"
            )
    elif isinstance(cause, ssl.SSLError):
        problem = f": TLS failed: {cause.reason or cause}"
    elif "SSL" in str(cause) and isinstance(cause, ConnectionError):
        problem = " does not speak TLS, and sslmode requires it"
    return BadSettings(f"DATABASE_URL: {address.shown}{problem}") if problem else None


def _refusal(address: Address, code: str | None, words: str) -> BadSettings | None:
    """The line for what a server, or PgBouncer, said. PgBouncer uses one code for all that it refuses, and
    for a server that is away for a moment; its words tell them apart."""
    pooler = code == "08P01"
    if code in ("28000", "28P01") or (pooler and "authentication failed" in words):
        return BadSettings(f"DATABASE_URL: {address.shown} refuses this user or password ({code})")
    if code == "3D000" or (pooler and ("no such database" in words or "does not exist" in words)):
        return BadSettings(f"DATABASE_URL: {address.shown}: there is no such database")
    if pooler and words.startswith("unsupported startup parameter"):
        name = words.rpartition(": ")[2]
        return BadSettings(
            f"DATABASE_URL: the pooler in front of {address.shown} does not accept the parameter {name}: "
            "leave it out, or write the address of the server itself"
        )
    return None
