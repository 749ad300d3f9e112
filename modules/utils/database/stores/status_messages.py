"""Which message shows which job's progress, so that none stays at "45 %" after a crash."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.jobs import JobId
from modules.utils.database.connections import Connections
from modules.utils.database.models import StatusMessageRow
from modules.utils.database.rows import StatusMessageRecord
from modules.utils.database.statements import upsert
from modules.utils.database.writer import GroupWriter

_COLUMNS = (StatusMessageRow.job_id, StatusMessageRow.channel_id, StatusMessageRow.message_id)
_PUT = upsert(StatusMessageRow)


class StatusMessages:
    """Progress messages by job. Methods raise `StoreUnavailable`."""

    def __init__(self, *, writer: GroupWriter, connections: Connections) -> None:
        self._writer = writer
        self._connections = connections

    async def put(self, job_id: JobId, channel_id: int, message_id: int) -> None:
        """The job's progress is shown there from now on."""
        values = {"job_id": job_id, "channel_id": channel_id, "message_id": message_id}
        await self._writer.execute((_PUT, values))

    async def remove(self, job_id: JobId) -> None:
        """Nothing shows the job's progress any more."""
        await self._writer.execute(delete(StatusMessageRow).where(StatusMessageRow.job_id == job_id))

    async def all(self) -> list[StatusMessageRecord]:
        """All that are noted. Waits out a database that is away."""
        return await self._connections.read_at_last(_noted)


async def _noted(connection: AsyncConnection) -> list[StatusMessageRecord]:
    rows = (await connection.execute(select(*_COLUMNS))).all()
    return [
        StatusMessageRecord(job_id=JobId(job_id), channel_id=channel_id, message_id=message_id)
        for job_id, channel_id, message_id in rows
    ]
