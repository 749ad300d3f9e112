"""Pure: turns the database's records of ended jobs back into jobs and errors that can be shown."""

from __future__ import annotations

from modules.queue_manager.errors import GenerationError
from modules.queue_manager.jobs import BatchKey, Job
from modules.utils.database.rows import JobRecord


def job_of(record: JobRecord) -> Job:
    """The job, to be shown and not to be run again: its key is a plain one."""
    request = record.request
    return Job(
        id=record.job_id,
        number=record.number,
        request=request,
        key=BatchKey(model=request.model, kind=request.kind, size=request.size),
        queued_at=record.queued_at,
    )


def error_of(record: JobRecord) -> GenerationError:
    error = GenerationError(record.error_reason or "", model=record.request.model)
    error.message_key = record.error_key or error.message_key  # type: ignore[misc]
    return error
