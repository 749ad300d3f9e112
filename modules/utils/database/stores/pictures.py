"""Stored pictures: each person's last one, and those that could be posted nowhere.

The last picture is kept as bytes, since a message reference alone is gone with the session's channel
(closed after half an hour without use). It is stored after its delivery, in the background, the newest
of each person only, and at a pace that leaves the disk to the journal; until then, and if the process
dies before, the job's message reference serves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, select, text

from modules.queue_manager.errors import StoreError
from modules.queue_manager.jobs import Job, JobId, Picture, Size
from modules.utils.database.connections import Connections
from modules.utils.database.models import PictureRow
from modules.utils.database.statements import upsert
from modules.utils.database.writer import GroupWriter, Rows

log = logging.getLogger(__name__)

PENDING_LIMIT = 24
"""Most pictures that wait in memory to be stored; beyond it the oldest is not stored."""

SHARE_OF_TIME = 0.2
"""Part of the time that storing last pictures may take."""

_PUT = upsert(PictureRow)
_JOB_IS_THERE = text("SELECT 1 FROM jobs WHERE id = :id AND state IN ('delivered', 'kept')")


class PictureShelf:
    """Keeps the bytes of pictures, and gives them back."""

    def __init__(
        self,
        *,
        writer: GroupWriter,
        connections: Connections,
        unix: Callable[[], float],
        stored: Callable[[int], None],
    ) -> None:
        self._writer = writer
        self._connections = connections
        self._unix = unix
        self._stored = stored
        self._pending: dict[int, tuple[Job, Picture]] = {}
        self._wake = asyncio.Event()

    def offer(self, job: Job, picture: Picture) -> None:
        """``picture`` is its owner's last one now; it is stored when there is time."""
        user = job.request.user_id
        self._pending.pop(user, None)
        self._pending[user] = (job, picture)
        if len(self._pending) > PENDING_LIMIT:
            del self._pending[next(iter(self._pending))]
        self._wake.set()

    def keeping(self, job: Job, picture: Picture) -> Rows:
        """The rows that keep a picture that could be posted nowhere."""
        return Rows(rank=4, statement=_PUT, parameters=[self._values(job, picture, kept=True)])

    def withdraw(self, *, user_id: int | None = None, job_id: JobId | None = None) -> None:
        """Forget what is not stored yet: of one person, or of one job."""
        for user, (job, _) in list(self._pending.items()):
            if user == user_id or job.id == job_id:
                del self._pending[user]

    async def picture(self, job_id: JobId) -> Picture | None:
        """The stored picture of a job, or None. Raises `StoreUnavailable`."""
        for job, picture in self._pending.values():
            if job.id == job_id:
                return picture
        columns = (PictureRow.data, PictureRow.media_type, PictureRow.width, PictureRow.height)
        async with self._connections.reading() as connection:
            found = await connection.execute(select(*columns).where(PictureRow.job_id == job_id))
            row = found.one_or_none()
        return None if row is None else _picture(row)

    async def run(self) -> None:
        """Store what is offered, until cancelled."""
        while True:
            self._wake.clear()
            if not self._pending:
                await self._wake.wait()
                continue
            user = next(iter(self._pending))
            job, picture = self._pending[user]
            started = time.monotonic()
            try:
                await self._writer.write(self._storing(job, picture), patience=60.0)
                self._stored(len(picture.data))
            except StoreError as error:
                log.warning("The last picture of a user was not stored: %s", error)
            if self._pending.get(user, (None,))[0] is job:
                del self._pending[user]
            await asyncio.sleep((time.monotonic() - started) * (1 / SHARE_OF_TIME - 1))

    def _storing(self, job: Job, picture: Picture) -> Callable[[Connection], Any]:
        values = self._values(job, picture, kept=False)

        def change(connection: Connection) -> None:
            if (connection.execute(_JOB_IS_THERE, {"id": job.id})).scalar() is None:
                return  # deleted or forgotten meanwhile
            older = delete(PictureRow).where(
                PictureRow.user_id == job.request.user_id, PictureRow.kept.is_(False)
            )
            connection.execute(older)
            connection.execute(_PUT, values)

        return change

    def _values(self, job: Job, picture: Picture, *, kept: bool) -> dict[str, object]:
        return {
            "job_id": job.id,
            "user_id": job.request.user_id,
            "kept": kept,
            "media_type": picture.media_type,
            "width": picture.size.width,
            "height": picture.size.height,
            "size": len(picture.data),
            "stored_at": self._unix(),
            "data": picture.data,
        }


def _picture(row: Any) -> Picture:
    return Picture(
        data=bytes(row.data), media_type=row.media_type, size=Size(width=row.width, height=row.height)
    )
