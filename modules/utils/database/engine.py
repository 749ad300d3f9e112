"""The database as one thing to open and close: `Database` leads to everything else in this folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from modules.queue_manager.backoff import Backoff
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import BadSettings, StoreError, StoreUnavailable
from modules.utils.database.address import Address, SqliteAddress, read_address
from modules.utils.database.connections import Connections, explain_start_failure
from modules.utils.database.faults import StoreLocked, sqlstate, store_faults
from modules.utils.database.file_lock import FileGround
from modules.utils.database.lease import LENGTH_SECONDS, Lease, RowGround
from modules.utils.database.retention import Janitor
from modules.utils.database.rows import Retention
from modules.utils.database.schema import bring_up_to_date
from modules.utils.database.stores.fusion_checks import FusionChecks
from modules.utils.database.stores.history import History
from modules.utils.database.stores.jobs import JobJournal
from modules.utils.database.stores.key_values import KeyValues
from modules.utils.database.stores.members import Members
from modules.utils.database.stores.pictures import PictureShelf
from modules.utils.database.stores.preferences import Preferences
from modules.utils.database.stores.sessions import SessionStore
from modules.utils.database.stores.status_messages import StatusMessages
from modules.utils.database.writer import CommitObserver, GroupWriter

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[3]
"""The repository's root, where ``database/`` lies."""

NO_PRIVILEGE = "42501"
"""PostgreSQL's code for a right that a user lacks (appendix A of its manual)."""

KEEP_A_WHILE = Retention()
GIVE_BACK_SECONDS = 2.0


@dataclass(kw_only=True)
class Database:
    """What the bot remembers. Made only by `Database.open`.

    If several processes share it, enter ``lease.hold()`` before anything is dispatched or posted.
    """

    connections: Connections
    lease: Lease
    retention: Retention
    unix: Callable[[], float]
    on_commit: CommitObserver | None

    def __post_init__(self) -> None:
        connections, unix = self.connections, self.unix
        channel = connections.write_channel()
        self.writer = GroupWriter(channel=channel, lease=self.lease, observe=self.on_commit)
        self.janitor = Janitor(
            writer=self.writer, connections=connections, retention=self.retention, unix=unix
        )
        self.pictures = PictureShelf(
            writer=self.writer, connections=connections, unix=unix, stored=self.janitor.note_stored
        )
        self.jobs = JobJournal(writer=self.writer, connections=connections, shelf=self.pictures, unix=unix)
        self.preferences = Preferences(writer=self.writer, connections=connections)
        self.history = History(
            writer=self.writer,
            connections=connections,
            shelf=self.pictures,
            preferences=self.preferences,
        )
        self.members = Members(writer=self.writer, connections=connections, unix=unix)
        self.sessions = SessionStore(writer=self.writer, connections=connections)
        self.fusion_checks = FusionChecks(writer=self.writer, connections=connections)
        self.key_values = KeyValues(writer=self.writer, connections=connections)
        self.status_messages = StatusMessages(writer=self.writer, connections=connections)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        retention: Retention = KEEP_A_WHILE,
        unix: Callable[[], float] = time.time,
        on_commit: CommitObserver | None = None,
        patience: float = 30.0,
        lease_seconds: float = LENGTH_SECONDS,
    ) -> AsyncIterator[Database]:
        """Open the database of ``DATABASE_URL`` (empty: the default file), with its tables up to date.

        Waits up to ``patience`` seconds for a server that is not there yet. Raises `StartupError` with one
        line for the operator. ``on_commit`` is called with each commit's seconds and number of changes.
        """
        address = read_address(url, root=ROOT)
        connections = Connections(address)
        try:
            await _prepare(address, connections, patience)
            database = cls(
                connections=connections,
                lease=Lease(lease_ground(address, connections), length_seconds=lease_seconds),
                retention=retention,
                unix=unix,
                on_commit=on_commit,
            )
            async with database.writer.running(), database._housekeeping():
                yield database
        finally:
            await connections.aclose()

    @asynccontextmanager
    async def _housekeeping(self) -> AsyncIterator[None]:
        tasks = {
            asyncio.create_task(self.pictures.run(), name="last-pictures"),
            asyncio.create_task(self.janitor.run(self.lease.held), name="janitor"),
        }
        for task in tasks:
            task.add_done_callback(_note_end)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with contextlib.suppress(StoreError, asyncio.TimeoutError):
                async with timeout(GIVE_BACK_SECONDS):
                    await self.jobs.give_back_numbers()


def _note_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error(
            "The task %s has failed; its work is not done until the next start",
            task.get_name(),
            exc_info=error,
        )


def lease_ground(address: Address, connections: Connections) -> RowGround | FileGround:
    """What holds the lease of this database."""
    if isinstance(address, SqliteAddress):
        return FileGround(address.path.with_name(address.path.name + ".lock"), connections.statements)
    return RowGround(partial(connections.statements, apart=True))


def make_file(path: Path) -> None:
    """Make an empty file, and its folder, where there is none. Raises `BadSettings`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # People's prompts are in it; the files beside it are made with the same permissions.
        path.touch(mode=0o600, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadSettings(f"DATABASE_URL: {path}: {error.filename} is not a folder") from error
    except OSError as error:
        raise BadSettings(f"DATABASE_URL: {path}: {error.strerror}") from error


async def _prepare(address: Address, connections: Connections, patience: float) -> None:
    """Make the file's folder, connect (waiting for a server that is not there yet), migrate."""
    if isinstance(address, SqliteAddress):
        make_file(address.path)
    else:
        for note in address.notes:
            log.warning("%s", note)
    give_up_at, backoff, logged = time.monotonic() + patience, Backoff(first=0.25, longest=3.0), False
    while True:
        pause = backoff.pause()
        try:
            await connections.look_for_pooler()
            async with contextlib.aclosing(await connections.connect()) as connection:
                with store_faults():
                    await bring_up_to_date(connection)
        except StoreLocked:
            # However long that takes: its holder may be a frozen process of ours, and we take over from it.
            if not logged:
                log.warning("Standing by: another process has locked %s", address.shown)
                logged = True
        except StoreUnavailable as error:
            hopeless = explain_start_failure(address, error)
            if hopeless is not None:
                raise hopeless from error
            if isinstance(address, SqliteAddress) or time.monotonic() + pause > give_up_at:
                raise BadSettings(f"DATABASE_URL: {address.shown} cannot be used: {error}") from error
            log.warning("Waiting for %s: %s", address.shown, error)
        except DBAPIError as error:
            if sqlstate(error) == NO_PRIVILEGE:
                right = "give the bot's user the right to write there (GRANT CREATE, USAGE ON SCHEMA public)"
                raise BadSettings(f"DATABASE_URL: {address.shown}: {error.orig}; {right}") from error
            raise BadSettings(f"DATABASE_URL: {address.shown} cannot be used: {error.orig}") from error
        else:
            return
        await asyncio.sleep(pause)
