"""Which jobs a log line is about: it gets the fields ``job=#37 user=… job_id=…``. A batch's line names all of
its jobs, with commas between them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from modules.queue_manager.jobs import Job

_fields: ContextVar[dict[str, str]] = ContextVar("fields of log lines")


@contextmanager
def about(*jobs: Job, **more: str) -> Iterator[None]:
    """Every line that is logged inside this block names these jobs and has the fields ``more``. So do tasks
    that are started inside, until the block ends (some live on for other jobs)."""
    fields = _of(jobs) | more
    before = _fields.set(fields)
    try:
        yield
    finally:
        _fields.reset(before)
        fields.clear()


def go_on_about(job: Job) -> None:
    """The same until the current task ends."""
    _fields.set(_of([job]))


def add_fields(record: logging.LogRecord) -> bool:
    """A filter of log handlers, which lets every line through."""
    for name, value in _fields.get({}).items():
        vars(record).setdefault(name, value)
    return True


def _of(jobs: tuple[Job, ...] | list[Job]) -> dict[str, str]:
    if not jobs:
        return {}
    return {
        "job": ",".join(f"#{job.number}" for job in jobs),
        "user": ",".join(str(job.request.user_id) for job in jobs),
        "job_id": ",".join(job.id for job in jobs),
    }
