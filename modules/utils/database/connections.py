"""Connections to either database: how they are opened, and what is set on each.

SQLite's settings: WAL, so that readers and the writer do not wait for each other; ``synchronous=FULL``,
so that what was accepted survives a loss of power and not only of the process (the wait for the disk is
shared by a group of changes, which makes it cheap; ``NORMAL`` would wait at checkpoints alone);
``secure_delete``, so that what a person had forgotten is overwritten and not only unlinked; and a busy
timeout, since another process may be migrating or checking.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from sqlalchemy import URL, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from modules.queue_manager.backoff import Backoff
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSettings, StoreUnavailable
from modules.utils.database.address import Address, PostgresAddress, SqliteAddress, TlsChoice
from modules.utils.database.faults import POOLER_CODES, said, sqlstate, store_faults
from modules.utils.database.tls import tls_context
from modules.utils.database.write_channel import FRESH_SECONDS, AsyncChannel, ThreadChannel, WriteChannel

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSING_SECONDS = 5.0

READERS = 4
"""Connections for reading, opened as they are needed and kept: to open and close one costs more than most
queries. Whoever finds them all lent waits. The writer has one of its own, and so has PostgreSQL's lease:
these two wait for nobody."""

WAIT_SECONDS = 10.0
"""For so long a query waits for one of them."""

_PRAGMAS: tuple[tuple[str, int | str], ...] = (
    ("auto_vacuum", "incremental"),
    ("busy_timeout", 5000),
    ("journal_mode", "wal"),
    ("synchronous", "full"),
    ("foreign_keys", "on"),
    ("secure_delete", "on"),
    ("journal_size_limit", 64_000_000),
)


# Transactions begin where the writer says BEGIN, and nowhere else.
_SQLITE_ARGUMENTS: dict[str, Any] = {"isolation_level": None, "timeout": 5.0}


class Connections:
    """Opens connections for writing, reading and holding the lease; closes them all at the end."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._pooled = isinstance(address, PostgresAddress) and address.pooled
        self._retired: list[AsyncEngine] = []
        self._engine, self._apart = self._make_engines()
        self._opening: set[asyncio.Future[AsyncConnection]] = set()
        self._lent: set[AsyncConnection] = set()

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @property
    def pooled(self) -> bool:
        """Whether nothing prepared is kept, because a transaction pooler answers."""
        return self._pooled

    async def connect(self, *, apart: bool = False) -> AsyncConnection:
        """A connection for transactions, begun by its first statement. To be closed by the caller.

        ``apart``: not one of those that others read with (on SQLite there are no others).
        """
        pooled = self._pooled
        try:
            with self.watching():
                return await self._open(apart=apart)
        except StoreUnavailable:
            if self._pooled == pooled:
                raise
        # A pooler was recognised by the first question to an old connection: nothing was done on it yet.
        with self.watching():
            return await self._open(apart=apart)

    async def look_for_pooler(self) -> None:
        """Keep nothing prepared from now on if somebody stands between us and PostgreSQL.

        A pooler gives its clients process numbers of its own making, which are not the one that serves
        them. What is found so is not found by the first statement that meets a strange server, which
        fails. Raises `StoreUnavailable`.
        """
        if self.dialect == "sqlite" or self._pooled:
            return
        async with aclosing(await self.connect()) as connection:
            with self.watching():
                driver: Any = (await connection.get_raw_connection()).driver_connection
                serving = await connection.scalar(text("SELECT pg_backend_pid()"))
                if driver is not None and driver.get_server_pid() != serving:
                    log.info("A pooler stands before the database: nothing is kept prepared")
                    self._keep_nothing_prepared()

    async def _open(self, *, apart: bool = False) -> AsyncConnection:
        """A connection of an engine; if this is cancelled meanwhile, it is closed and not left behind."""
        if self.dialect != "sqlite":
            return await (self._apart if apart else self._engine).connect()
        opening = asyncio.ensure_future(_started(self._engine))  # cancelled, it would leave a thread behind
        self._opening.add(opening)
        try:
            connection = await asyncio.shield(opening)
        except asyncio.CancelledError:
            with suppress(SQLAlchemyError):
                await asyncio.shield((await asyncio.shield(opening)).close())
            raise
        finally:
            if opening.done():
                self._opening.discard(opening)
        return connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for a query or a few. Raises `StoreUnavailable`."""
        async with self.statements() as connection:
            yield connection

    async def read_at_last(self, read: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What ``read`` gives, however long the database is away: for what nobody can go on without."""
        backoff, told = Backoff(first=0.1, longest=2.0), False
        while True:
            try:
                async with self.reading() as connection:
                    return await read(connection)
            except StoreUnavailable as error:
                if not told:
                    log.warning("The database is away, and must be read to go on: %s", error)
                    told = True
            await asyncio.sleep(backoff.pause())

    def statements_apart(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """As `statements`, and no reader is waited for."""
        return self.statements(apart=True)

    @asynccontextmanager
    async def statements(self, *, apart: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement stands alone, without a round trip for BEGIN and COMMIT.

        Behind a transaction pooler they share one transaction, committed on leaving: between a
        statement's preparation and its execution the pooler might change the server otherwise.
        """
        connection = await self.connect(apart=apart)
        self._lent.add(connection)
        try:
            with self.watching():
                if self._pooled:
                    yield connection
                    await connection.commit()
                elif self.dialect == "sqlite":
                    yield connection  # as all of its engine are
                else:
                    yield await connection.execution_options(isolation_level="AUTOCOMMIT")
        finally:
            await asyncio.shield(self._take_back(connection))

    async def _take_back(self, connection: AsyncConnection) -> None:
        try:
            await connection.close()
        finally:
            self._lent.discard(connection)

    def write_channel(self) -> WriteChannel:
        """Where the one writer's transactions go; it closes what it opens by ``discard``."""
        if isinstance(self._address, SqliteAddress):
            return ThreadChannel(_sqlite_writer_engine(self._address))
        return AsyncChannel(self)

    async def aclose(self) -> None:
        """Close what is open; a server that does not answer is not waited for."""
        if self.dialect == "sqlite":
            await self._all_returned()
        for engine in dict.fromkeys((self._engine, self._apart, *self._retired)):
            try:
                async with timeout(CLOSING_SECONDS):
                    await engine.dispose()
            except asyncio.TimeoutError:
                log.warning("Connections could not be closed in good order: the database does not answer")

    async def _all_returned(self) -> None:
        """Wait for those who still read: what comes back to a pool after its end is closed by nobody."""
        with suppress(asyncio.TimeoutError):
            async with timeout(CLOSING_SECONDS):
                while self._lent or not all(opening.done() for opening in self._opening):  # noqa: ASYNC110 - short, and once
                    await asyncio.sleep(0.01)
        for opening in list(self._opening):
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                await opening.result().close()

    def _make_engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        if isinstance(self._address, SqliteAddress):
            engine = _sqlite_engine(self._address)
            return engine, engine
        readers = _postgres_engine(self._address, pooled=self._pooled, size=READERS)
        # For the writer and the lease; more only while one hangs on a server that has gone silent.
        return readers, _postgres_engine(self._address, pooled=self._pooled, size=2, overflow=2)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, errors become `StoreUnavailable` where they mean that, and a pooler is recognised."""
        with store_faults():
            try:
                yield
            except DBAPIError as error:
                self._note_pooler(error)
                raise

    def _note_pooler(self, error: DBAPIError) -> None:
        """A transaction pooler answers, though the URL did not say so: keep nothing prepared from now on."""
        if self._pooled or sqlstate(error) not in POOLER_CODES:
            return
        log.warning(
            "A transaction pooler stands before the database: prepared statements are off from now on"
        )
        self._keep_nothing_prepared()

    def _keep_nothing_prepared(self) -> None:
        self._pooled = True
        self._retired += (self._engine, self._apart)
        self._engine, self._apart = self._make_engines()


async def _started(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


def _sqlite_engine(address: SqliteAddress) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(address.path)),
        connect_args=_SQLITE_ARGUMENTS,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        # Said once here, and not at each loan and return, which would change threads several times more.
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
            connection.close()  # nobody else has it yet
            raise
        cursor.close()


def _postgres_engine(address: PostgresAddress, *, pooled: bool, size: int, overflow: int = 0) -> AsyncEngine:
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
    """What ``asyncpg.connect`` gets (through SQLAlchemy, which takes the two ``prepared_statement`` ones)."""
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


def _tls_arguments(choice: TlsChoice) -> dict[str, Any]:
    if choice.mode in ("allow", "prefer"):
        # The driver itself falls back to plain text (or up to TLS) when it is told the mode by name.
        if not choice.certificate:
            return {"ssl": choice.mode}
        files = {"sslcert": choice.certificate, "sslkey": choice.key, "sslpassword": choice.key_password}
        given = {name: value for name, value in files.items() if value}
        return {"dsn": "postgresql://?" + urlencode({"sslmode": choice.mode, **given})}
    context = tls_context(choice)
    if context is None:
        return {"ssl": False}
    return {"ssl": context, "direct_tls": choice.direct}


def explain_start_failure(address: Address, error: BaseException) -> BadSettings | None:
    """The one line for an error at the first connection that no waiting will mend, or None."""
    refused = _refusal(address, sqlstate(error), said(error))
    if refused is not None:
        return refused
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = f"TLS certificate refused: {cause.verify_message}{_why_checked(address)}"
        return BadSettings(f"DATABASE_URL: {address.shown}: {why}")
    if isinstance(cause, ssl.SSLError):
        return BadSettings(f"DATABASE_URL: {address.shown}: TLS failed: {cause.reason or cause}")
    if "SSL" in str(cause) and isinstance(cause, ConnectionError):
        return BadSettings(f"DATABASE_URL: {address.shown} does not speak TLS, and sslmode demands it")
    return None


def _why_checked(address: Address) -> str:
    if not (isinstance(address, PostgresAddress) and address.tls.for_binding):
        return ""
    return (
        ". It is checked because of channel_binding=require: name its authority "
        "(sslrootcert=/path/to/ca.pem), or leave channel_binding out"
    )


def _refusal(address: Address, code: str | None, words: str) -> BadSettings | None:
    """The line for what a server, or PgBouncer, said. The latter gives one code to all it refuses, and to a
    server that is away for a moment, too; its words tell them apart."""
    pooler = code == "08P01"
    if code in ("28000", "28P01") or (pooler and "authentication failed" in words):
        return BadSettings(f"DATABASE_URL: {address.shown} refuses this user or password ({code})")
    if code == "3D000" or (pooler and ("no such database" in words or "does not exist" in words)):
        return BadSettings(f"DATABASE_URL: {address.shown}: there is no such database")
    if pooler and words.startswith("unsupported startup parameter"):
        name = words.rpartition(": ")[2]
        return BadSettings(
            f"DATABASE_URL: the pooler before {address.shown} does not take the parameter {name}: "
            "leave it out, or name the server itself"
        )
    return None
