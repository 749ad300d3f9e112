"""Which of the status messages that a former process left behind are forgotten."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from modules.discord.progress import ProgressMessages
from modules.queue_manager.jobs import JobId
from tests.virtual_time import run_virtual

JOB = JobId("0" * 32)


class Shelf:
    """The noted messages: one, of `JOB`."""

    def __init__(self) -> None:
        self.noted = [SimpleNamespace(job_id=JOB, channel_id=1, message_id=2)]

    async def all(self) -> list[Any]:
        return self.noted

    async def remove(self, job_id: JobId) -> None:
        self.noted = [record for record in self.noted if record.job_id != job_id]


@pytest.mark.parametrize(("record", "left"), [(None, 0), (SimpleNamespace(state="queued"), 1)])
def test_a_message_is_forgotten_only_if_nobody_knows_its_job(record: Any, left: int) -> None:
    """A job that is neither active nor ended is being cancelled: its end is on its way."""
    shelf = Shelf()
    parts: Any = dict.fromkeys(("courier", "pacer", "preferences", "messages", "clock", "place", "hindrance"))
    messages = ProgressMessages(store=shelf, **parts)  # type: ignore[arg-type]

    async def known(_: JobId) -> Any:
        return record

    async def whole() -> None:
        await messages.recall()
        await messages.mend(lambda _: None, known)

    run_virtual(whole())
    assert len(shelf.noted) == left
