"""Which message shows which job's progress, so that none stays at "45 %" after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select
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

    def __init__(self, *, writer: GroupWriter, connections: Connections, patience: float = 8.0) -> None:
        self._writer = writer
        self._connections = connections
        self._patience = patience

    async def put(self, job_id: JobId, channel_id: int, message_id: int) -> None:
        """The job's progress is shown there from now on."""
        await self._write(_PUT, {"job_id": job_id, "channel_id": channel_id, "message_id": message_id})

    async def remove(self, job_id: JobId) -> None:
        """Nothing shows the job's progress any more."""
        await self._write(delete(StatusMessageRow).where(StatusMessageRow.job_id == job_id))

    async def all(self) -> list[StatusMessageRecord]:
        """All that are noted. Waits out a database that is away."""
        return await self._connections.read_at_last(_noted)

    async def _write(self, statement: Any, values: Mapping[str, object] | None = None) -> None:
        def change(connection: Connection) -> None:
            connection.execute(statement, values)

        await self._writer.write(change, patience=self._patience)


async def _noted(connection: AsyncConnection) -> list[StatusMessageRecord]:
    rows = (await connection.execute(select(*_COLUMNS))).all()
    return [
        StatusMessageRecord(job_id=JobId(job_id), channel_id=channel_id, message_id=message_id)
        for job_id, channel_id, message_id in rows
    ]
