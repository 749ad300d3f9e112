"""Removes what has been kept long enough, in small portions, so that the journal never waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Connection, Executable, delete, exists, func, not_, select

from modules.queue_manager.errors import StoreError
from modules.utils.database.connections import Connections
from modules.utils.database.models import (
    JobRow,
    JobSourceRow,
    PictureRow,
    QuotaRow,
    SourceRow,
    StatusMessageRow,
)
from modules.utils.database.rows import Retention
from modules.utils.database.writer import GroupWriter

log = logging.getLogger(__name__)

PORTION = 200
"""Rows removed in one transaction."""

SHRINK_PAGES, SHRINK_STEPS = 250, 400
"""A step frees a megabyte, so that the writer waits for milliseconds at most; a round, 400 of them."""

DAY = 86_400.0
PATIENCE = 30.0
"""Seconds for which a database that is away is waited for; the next round comes anyway."""

ROUND_SECONDS = 1800.0


_NEEDED = exists().where(
    JobSourceRow.key == SourceRow.key, JobSourceRow.job_id == JobRow.id, JobRow.ended_at.is_(None)
)
"""Of a source: an active job starts from it."""


class Janitor:
    """Prunes at its start, every half hour, and when `note_stored` says that much was stored."""

    def __init__(
        self,
        *,
        writer: GroupWriter,
        connections: Connections,
        retention: Retention,
        unix: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._connections = connections
        self._retention = retention
        self._unix = unix
        self._stored = 0
        self._wake = asyncio.Event()

    def note_stored(self, size: int) -> None:
        """``size`` bytes of pictures were stored; look at the disk's limit once it is a twentieth."""
        self._stored += size
        if self._stored > self._retention.image_disk_mb * 1e6 / 20:
            self._stored = 0
            self._wake.set()

    async def run(self) -> None:
        """Prune until cancelled."""
        while True:
            try:
                await self.prune()
            except StoreError as error:
                log.warning("Old rows were not removed: %s", error)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), ROUND_SECONDS)
            except asyncio.TimeoutError:
                continue

    async def prune(self) -> None:
        """Remove once what is too old or too much."""
        now = self._unix()
        removed = await self._portions(_old_jobs(now - self._retention.history_days * DAY))
        removed += await self._portions(_old_pictures(now - self._retention.image_days * DAY))
        removed += await self._portions(_old_sources(now - self._retention.image_days * DAY))
        removed += await self._fit_disk()
        last_days = datetime.fromtimestamp(now, tz=timezone.utc) - timedelta(days=2)
        there = exists().where(JobRow.id == StatusMessageRow.job_id)
        await self._writer.execute(
            delete(QuotaRow).where(QuotaRow.day < last_days.strftime("%Y-%m-%d")),
            delete(StatusMessageRow).where(not_(there)),
            patience=PATIENCE,
        )
        if removed and self._connections.dialect == "sqlite":
            await self._shrink()

    async def _portions(self, removal: Executable) -> int:
        total = 0
        while removed := await self._writer.execute(removal, patience=PATIENCE):
            total += removed
            if removed < PORTION:
                break
            await asyncio.sleep(0.02)
        return total

    async def _shrink(self) -> None:
        """Give SQLite's freed pages back to the file system."""
        async with self._connections.reading() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            for _ in range(SHRINK_STEPS):
                # A script, because the statement has to be stepped once a page.
                await driver.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
                if not (await connection.exec_driver_sql("PRAGMA freelist_count")).scalar():
                    break
                await asyncio.sleep(0.05)

    async def _fit_disk(self) -> int:
        """Remove the oldest pictures and inputs until all fit the limit; inputs of active jobs stay."""
        total = 0
        limit = self._retention.image_disk_mb * 1e6
        while removed := await self._writer.write(_oldest_over(limit), patience=PATIENCE):
            total += removed
            await asyncio.sleep(0.02)
        return total


def _old_jobs(before: float) -> Executable:
    old = select(JobRow.id).where(JobRow.ended_at < before).limit(PORTION)
    return delete(JobRow).where(JobRow.id.in_(old))


def _old_pictures(before: float) -> Executable:
    old = select(PictureRow.job_id).where(PictureRow.stored_at < before).limit(PORTION)
    return delete(PictureRow).where(PictureRow.job_id.in_(old))


def _old_sources(before: float) -> Executable:
    old = select(SourceRow.key).where(SourceRow.stored_at < before, not_(_NEEDED)).limit(PORTION)
    return delete(SourceRow).where(SourceRow.key.in_(old))


def _oldest_over(limit: float) -> Callable[[Connection], int]:
    def change(connection: Connection) -> int:
        pictures = (connection.execute(select(func.coalesce(func.sum(PictureRow.size), 0)))).scalar_one()
        sources = (connection.execute(select(func.coalesce(func.sum(SourceRow.size), 0)))).scalar_one()
        excess = float(pictures) + float(sources) - limit
        if excess <= 0:
            return 0
        removed = 0
        for kind, key, size in _oldest(connection):
            if excess <= 0:
                break
            table, column = (
                (PictureRow, PictureRow.job_id) if kind == "picture" else (SourceRow, SourceRow.key)
            )
            connection.execute(delete(table).where(column == key))
            excess, removed = excess - size, removed + 1
        return removed

    return change


def _oldest(connection: Connection) -> list[tuple[str, str, int]]:
    pictures = connection.execute(
        select(PictureRow.stored_at, PictureRow.job_id, PictureRow.size)
        .order_by(PictureRow.stored_at)
        .limit(PORTION)
    )
    sources = connection.execute(
        select(SourceRow.stored_at, SourceRow.key, SourceRow.size)
        .where(not_(_NEEDED))
        .order_by(SourceRow.stored_at)
        .limit(PORTION)
    )
    both = [("picture", *row) for row in pictures.all()] + [("source", *row) for row in sources.all()]
    return [(kind, key, size) for kind, _, key, size in sorted(both, key=lambda entry: entry[1])]
