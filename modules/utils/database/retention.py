"""Removes what has been kept long enough, in small portions, so that the journal never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, literal, not_, select, union_all
from sqlalchemy.orm import InstrumentedAttribute

from modules.queue_manager.errors import StoreError
from modules.utils.database.models import (
    JobRow,
    JobSourceRow,
    KeyValueRow,
    PictureRow,
    QuotaRow,
    SourceRow,
    StatusMessageRow,
)
from modules.utils.database.rows import Retention
from modules.utils.database.stores.key_values import SHARED
from modules.utils.database.stores.store import Store

log = logging.getLogger(__name__)

PORTION = 200
"""How many rows are removed in one transaction."""

SHRINK_PAGES, SHRINK_STEPS = 250, 400
"""A step frees a megabyte, so the writer waits for milliseconds at most; a round takes at most 400 steps."""

DAY = 86_400.0
JUMP = 14 * DAY
"""If nobody has asked for anything for longer than this, the clock is doubted."""

PATIENCE = 30.0
"""Seconds to wait for a database that is away; the next round comes anyway."""

ROUND_SECONDS = 1800.0

_NEEDED = exists().where(
    JobSourceRow.key == SourceRow.key, JobSourceRow.job_id == JobRow.id, JobRow.ended_at.is_(None)
)
"""Of a source: an active job needs it."""


@dataclass(kw_only=True)
class Janitor(Store):
    """Prunes at its start, every half hour, and when `note_stored` was called for many bytes."""

    retention: Retention
    unix: Callable[[], float]
    _stored: int = field(default=0, init=False)
    _offset: float | None = field(default=None, init=False)
    _distrusted_until: float = field(default=float("-inf"), init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def note_stored(self, size: int) -> None:
        """``size`` bytes of pictures were stored; after a twentieth of the disk's limit, check it."""
        self._stored += size
        if self._stored > self.retention.image_disk_mb * 1e6 / 20:
            self._stored = 0
            self._wake.set()

    async def run(self, held: asyncio.Event) -> None:
        """Once the lease is ``held``, prune until cancelled."""
        await held.wait()
        while True:
            try:
                if await self._trusts_the_clock():
                    await self.prune()
            except StoreError as error:
                log.warning("Old rows were not removed: %s", error)
            self._wake.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), ROUND_SECONDS)

    async def _trusts_the_clock(self) -> bool:
        """Whether the clock seems right: False for a day after it has jumped far ahead of the newest job, or
        of the time that has passed. A wrong date would make everything old."""
        now, steady = self.unix(), time.monotonic()
        if self._offset is None:
            rows = await self.connections.rows(select(func.max(JobRow.queued_at).label("newest")))
            gone = 0.0 if rows[0].newest is None else now - rows[0].newest
            odd = gone > JUMP
            what = f"The newest picture was asked for {gone / DAY:.0f} days ago"
        else:
            jump = now - steady - self._offset
            odd = jump > DAY
            what = f"The clock has jumped ahead by {jump / DAY:.1f} days"
        self._offset = now - steady
        if odd:
            self._distrusted_until = steady + DAY
            log.warning("%s; in case the clock is wrong, nothing is removed for a day", what)
        return steady >= self._distrusted_until

    async def prune(self) -> None:
        """Remove everything that is too old or too much."""
        now = self.unix()
        history_before = now - self.retention.history_days * DAY
        images_before = now - self.retention.image_days * DAY
        removals = (
            _removal(JobRow.id, JobRow.ended_at < history_before),
            _removal(PictureRow.job_id, PictureRow.stored_at < images_before, PictureRow.kept.is_(False)),
            _removal(SourceRow.key, SourceRow.stored_at < images_before, not_(_NEEDED)),
            _removal_over(self.retention.image_disk_mb * 1e6),
        )
        undelivered = await self.connections.rows(
            select(JobRow.number).where(JobRow.state == "kept", JobRow.ended_at < history_before)
        )
        if undelivered:
            numbers = ", ".join(f"#{row.number}" for row in undelivered)
            log.warning(
                "Pictures that could not be delivered within HISTORY_DAYS (%d) are removed: %s",
                self.retention.history_days,
                numbers,
            )
        removed = sum([await self._in_portions(remove) for remove in removals])
        before_yesterday = time.strftime("%Y-%m-%d", time.gmtime(now - 2 * DAY))
        await self.writer.execute(
            delete(QuotaRow).where(QuotaRow.day < before_yesterday),
            delete(StatusMessageRow).where(StatusMessageRow.job_id.not_in(select(JobRow.id))),
            delete(KeyValueRow).where(
                KeyValueRow.key.startswith(SHARED),
                func.substr(KeyValueRow.key, len(SHARED) + 1).not_in(select(JobRow.id)),
            ),
            patience=PATIENCE,
        )
        if removed and self.connections.dialect == "sqlite":
            await self._shrink()

    async def _in_portions(self, remove: Callable[[Connection], int]) -> int:
        """Call ``remove``, each time in a new transaction, until it removes nothing; returns the sum."""
        total = 0
        while removed := await self.writer.write(remove, patience=PATIENCE):
            total += removed
            await asyncio.sleep(0.02)
        return total

    async def _shrink(self) -> None:
        """Give SQLite's freed pages back to the file system."""
        async with self.connections.statements() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            for _ in range(SHRINK_STEPS):
                # A script, because the statement has to be stepped once a page.
                await driver.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
                if not (await connection.exec_driver_sql("PRAGMA freelist_count")).scalar():
                    break
                await asyncio.sleep(0.05)


def _removal(
    key: InstrumentedAttribute[str], *conditions: ColumnElement[bool]
) -> Callable[[Connection], int]:
    """Removes a portion of the rows of ``key``'s table for which ``conditions`` hold."""
    portion = select(key).where(*conditions).limit(PORTION)
    removal = delete(key.class_).where(key.in_(portion))
    return lambda connection: connection.execute(removal).rowcount


def _removal_over(limit: float) -> Callable[[Connection], int]:
    """Removes a portion of the oldest pictures and inputs, as long as all together take more than ``limit``
    bytes; inputs of active jobs stay, and pictures that could not be delivered."""
    sizes = union_all(select(PictureRow.size), select(SourceRow.size)).subquery()
    oldest = union_all(
        select(PictureRow.stored_at, PictureRow.size, PictureRow.job_id.label("key"), literal(True)).where(
            PictureRow.kept.is_(False)
        ),
        select(SourceRow.stored_at, SourceRow.size, SourceRow.key, literal(False)).where(not_(_NEEDED)),
    )

    def change(connection: Connection) -> int:
        excess = float(connection.scalar(select(func.coalesce(func.sum(sizes.c.size), 0))) or 0) - limit
        removed = 0
        for _, size, key, is_picture in connection.execute(oldest.order_by("stored_at").limit(PORTION)).all():
            if excess <= 0:
                break
            row, column = (PictureRow, PictureRow.job_id) if is_picture else (SourceRow, SourceRow.key)
            connection.execute(delete(row).where(column == key))
            excess, removed = excess - size, removed + 1
        return removed

    return change
