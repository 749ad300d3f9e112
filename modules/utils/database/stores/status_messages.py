"""Which message shows which jobs' progress, so that none stays at "45 %" after a crash."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select

from modules.queue_manager.jobs import JobId
from modules.utils.database.models import StatusMessageRow
from modules.utils.database.rows import StatusMessageRecord
from modules.utils.database.statements import upsert
from modules.utils.database.stores.store import Store

_PUT = upsert(StatusMessageRow)


class StatusMessages(Store):
    """Progress messages by job; one message may be about several jobs."""

    async def put(self, job_ids: Collection[JobId], channel_id: int, message_id: int) -> None:
        """The jobs' progress is shown there from now on."""
        place = {"channel_id": channel_id, "message_id": message_id}
        await self.writer.execute(*((_PUT, {"job_id": job_id, **place}) for job_id in job_ids))

    async def remove(self, job_ids: Collection[JobId]) -> None:
        """Nothing shows the jobs' progress any more."""
        await self.writer.execute(delete(StatusMessageRow).where(StatusMessageRow.job_id.in_(job_ids)))

    async def get(self, job_id: JobId) -> StatusMessageRecord | None:
        """The message that shows the job, or is about to."""
        query = select(StatusMessageRow.__table__).where(StatusMessageRow.job_id == job_id)
        rows = await self.connections.rows(query)
        return StatusMessageRecord(**rows[0]._mapping) if rows else None

    async def all(self) -> list[StatusMessageRecord]:
        """All of them. Waits out a database that is away."""
        rows = await self.connections.rows_at_last(select(StatusMessageRow.__table__))
        return [StatusMessageRecord(**row._mapping) for row in rows]
