"""Jobs, batches and their turns for tests of the journal."""

from __future__ import annotations

import uuid

from modules.queue_manager.errors import OutOfMemory
from modules.queue_manager.jobs import Batch, BatchKey, GenerationRequest, Job, JobId, Picture, Size
from modules.queue_manager.ports import Delivered, Dispatched, Failed, Finished, Receipt, RunReport
from tests.fakes import request

SIZE = Size(width=64, height=48)


def a_job(number: int, wanted: GenerationRequest | None = None, **fields: object) -> Job:
    """A job with an id of its own."""
    wanted = wanted or request(**fields)  # type: ignore[arg-type]
    key = BatchKey(
        model=wanted.model,
        kind=wanted.kind,
        size=wanted.size,
        negative=wanted.negative or None,
        sources=tuple(source.size for source in wanted.sources),
    )
    return Job(
        id=JobId(uuid.uuid4().hex), number=number, request=wanted, key=key, queued_at=1_700_000_000.5 + number
    )


def a_batch(*jobs: Job) -> Batch:
    """The jobs as one batch."""
    return Batch(id=str(uuid.uuid4()), key=jobs[0].key, jobs=jobs)


def dispatched(*jobs: Job, engine: str = "gpu:1") -> Dispatched:
    """The jobs, handed over together."""
    return Dispatched(batch=a_batch(*jobs), engine=engine)


def finished(job: Job, data: bytes = b"pixels", engine: str = "gpu:1") -> Finished:
    """The job's picture is there."""
    report = RunReport(engine=engine, batch_size=2, started_at=100.0, ended_at=104.5)
    return Finished(job=job, picture=Picture(data=data, media_type="image/png", size=SIZE), report=report)


def delivered(job: Job, message: int = 7, channel: int = 8, size: Size | None = None) -> Delivered:
    """The job's picture was posted."""
    receipt = Receipt(where="channel", channel_id=channel, message_id=message, size=size)
    return Delivered(job=job, receipt=receipt)


def kept(job: Job) -> Delivered:
    """The job's picture could be posted nowhere."""
    return Delivered(job=job, receipt=Receipt(where="kept"))


def failed(job: Job, reason: str = "no memory") -> Failed:
    """The job ended without a picture."""
    return Failed(job=job, error=OutOfMemory(reason))
