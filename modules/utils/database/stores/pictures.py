"""Stored pictures: each person's last one, and those that could not be posted anywhere.

The last picture is kept as bytes, because the message goes away with the session's channel, which is closed
when it has not been used for a while (SESSION_IDLE_MINUTES). It is stored in the background after its
delivery, only the newest of each person, and slowly enough to leave the disk to the journal. Until then, and
if the process dies before, the job's message is used.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select, text

from modules.queue_manager.errors import StoreError
from modules.queue_manager.jobs import Job, JobId, Picture, Size
from modules.utils.database.models import PictureRow
from modules.utils.database.statements import upsert
from modules.utils.database.stores.store import Store
from modules.utils.database.writer import Rows

log = logging.getLogger(__name__)

PENDING_LIMIT = 24
"""How many pictures may wait in memory to be stored; if there are more, the oldest is dropped."""

SHARE_OF_TIME = 0.2
"""The part of the time that may be spent on storing last pictures."""

_PUT = upsert(PictureRow)
_PICTURE = select(PictureRow.data, PictureRow.media_type, PictureRow.width, PictureRow.height)
_JOB_IS_THERE = text("SELECT 1 FROM jobs WHERE id = :id AND state IN ('delivered', 'kept')")


@dataclass(kw_only=True)
class PictureShelf(Store):
    """Keeps the bytes of pictures, and gives them back. ``stored`` is called with the size of each last
    picture once it is stored."""

    unix: Callable[[], float]
    stored: Callable[[int], None]
    _pending: dict[int, tuple[Job, Picture]] = field(default_factory=dict, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def offer(self, job: Job, picture: Picture) -> None:
        """``picture`` is now its owner's last one; it is stored when there is time."""
        user = job.request.user_id
        self._pending.pop(user, None)
        self._pending[user] = (job, picture)
        if len(self._pending) > PENDING_LIMIT:
            del self._pending[next(iter(self._pending))]
        self._wake.set()

    def keeping(self, job: Job, picture: Picture) -> Rows:
        """The rows that keep a picture that could not be posted anywhere."""
        return Rows(rank=4, statement=_PUT, parameters=[self._values(job, picture, kept=True)])

    def withdraw(self, *, user_id: int | None = None, job_id: JobId | None = None) -> None:
        """Forget a picture that is not stored yet: of this person, or of this job."""
        for user, (job, _) in list(self._pending.items()):
            if user == user_id or job.id == job_id:
                del self._pending[user]

    async def picture(self, job_id: JobId) -> Picture | None:
        """The stored picture of a job, or None."""
        for job, picture in self._pending.values():
            if job.id == job_id:
                return picture
        for row in await self.connections.rows(_PICTURE.where(PictureRow.job_id == job_id)):
            size = Size(width=row.width, height=row.height)
            return Picture(data=bytes(row.data), media_type=row.media_type, size=size)
        return None

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
                await self.writer.write(self._storing(job, picture), patience=60.0)
                self.stored(len(picture.data))
            except StoreError as error:
                log.warning("The last picture of a user was not stored: %s", error)
            if self._pending.get(user, (None,))[0] is job:
                del self._pending[user]
            await asyncio.sleep((time.monotonic() - started) * (1 / SHARE_OF_TIME - 1))

    def _storing(self, job: Job, picture: Picture) -> Callable[[Connection], Any]:
        values = self._values(job, picture, kept=False)

        def change(connection: Connection) -> None:
            if connection.execute(_JOB_IS_THERE, {"id": job.id}).scalar() is None:
                return  # deleted or forgotten meanwhile
            theirs = PictureRow.user_id == job.request.user_id
            connection.execute(delete(PictureRow).where(theirs, PictureRow.kept.is_(False)))
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
            "stored_at": self.unix(),
            "data": picture.data,
        }
