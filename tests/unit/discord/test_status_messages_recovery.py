"""What becomes of the status messages that a former process left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from discord.utils import time_snowflake

from modules.discord.delivery.status_messages import LiveStatusMessages
from modules.discord.delivery.status_poster import StatusPoster
from modules.discord.transport.message_client import OutgoingMessage, Posted
from modules.discord.ui.components import custom_id
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import LeaseLost, StoreUnavailable
from modules.queue_manager.jobs import Job, JobId, PictureSet
from modules.queue_manager.ports import Started
from modules.utils.database.rows import JobRecord
from tests.fakes import request
from tests.journal import a_job
from tests.virtual_time import VirtualClock, run_virtual

JOB = JobId("0" * 32)
MESSAGE = time_snowflake(datetime.fromtimestamp(VirtualClock().epoch, tz=timezone.utc))


class Shelf:
    """The noted messages: one, of `JOB`."""

    def __init__(self) -> None:
        self.noted = [SimpleNamespace(job_id=JOB, channel_id=1, message_id=2)]

    async def all(self) -> list[Any]:
        return self.noted

    async def remove(self, job_ids: Collection[JobId]) -> None:
        self.noted = [record for record in self.noted if record.job_id not in job_ids]


def live_messages(
    store: Any, channel: Any, clock: VirtualClock, together: Sequence[Job] = ()
) -> LiveStatusMessages:
    """The part to be tested, where the queue says little; ``together``: the active jobs of the set."""
    nobody: Any = None
    poster = StatusPoster(
        message_client=channel,
        store=store,
        preferences=nobody,
        messages=Translations.load(),
        clock=clock,
        tell_elsewhere=nobody,
    )
    return LiveStatusMessages(
        poster=poster,
        store=store,
        clock=clock,
        place=lambda _: None,
        hindrance=lambda: None,
        served=lambda _: True,
        stranded=lambda _: None,
        together_with=lambda _: together,
    )


@pytest.mark.parametrize(("record", "left"), [(None, 0), (SimpleNamespace(state="queued"), 1)])
def test_a_message_is_forgotten_only_if_nobody_knows_its_job(record: Any, left: int) -> None:
    """A job that is neither active nor ended is being cancelled: its end is on its way."""
    shelf = Shelf()
    messages = live_messages(shelf, Channel(), VirtualClock())

    async def known(_: JobId) -> Any:
        return record

    async def whole() -> None:
        await messages.recall()
        await messages.repair(lambda _: None, known)

    run_virtual(whole())
    assert len(shelf.noted) == left


class Gaps:
    """Notes of messages, in a database that now and then cannot be asked."""

    def __init__(self, faults: list[Exception | None]) -> None:
        self._faults = faults
        self.noted: dict[JobId, int] = {JOB: 0}

    async def all(self) -> list[Any]:
        return [
            SimpleNamespace(job_id=job_id, channel_id=1000, message_id=number)
            for job_id, number in self.noted.items()
        ]

    async def put(self, job_ids: Collection[JobId], channel_id: int, message_id: int) -> None:
        self._fail()
        self.noted |= dict.fromkeys(job_ids, message_id)

    async def remove(self, job_ids: Collection[JobId]) -> None:
        self._fail()
        self.noted = {job_id: where for job_id, where in self.noted.items() if job_id not in job_ids}

    def _fail(self) -> None:
        fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            raise fault


class Channel:
    """A message client for a channel in which one message offers to cancel `JOB`."""

    def __init__(self) -> None:
        components = [{"components": [{"custom_id": custom_id("cancel", JOB)}]}]
        self.messages: dict[int, Any] = {MESSAGE: {"id": str(MESSAGE), "components": components}}

    async def page(self, channel_id: int, *, after: int | None = None) -> list[Any]:
        return list(self.messages.values())

    @asynccontextmanager
    async def turn_to_edit(self, where: Posted, **_: object) -> AsyncIterator[None]:
        yield

    async def edit_now(self, where: Posted, note: OutgoingMessage) -> None:
        assert note.view is not None
        self.messages[where.message_id] = {
            "id": str(where.message_id),
            "text": str(note.view.to_components()),
        }

    async def delete(self, where: Posted, **_: object) -> None:
        self.messages.pop(where.message_id, None)


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), LeaseLost("for a moment")])
@pytest.mark.parametrize("gap", [0, 1])
@pytest.mark.parametrize(("state", "left"), [("delivered", []), ("cancelled", [MESSAGE])])
def test_a_database_that_is_away_for_a_while_leaves_no_message_behind(
    fault: Exception, gap: int, state: Any, left: list[int]
) -> None:
    shelf, channel, clock = Gaps([*[None] * gap, fault]), Channel(), VirtualClock()
    messages = live_messages(shelf, channel, clock)

    async def known(_: JobId) -> JobRecord:
        return JobRecord(job_id=JOB, number=1, request=request(), state=state, queued_at=clock.unix())

    async def whole() -> None:
        await messages.recall()
        await messages.repair(lambda _: None, known)
        await clock.sleep(30)

    run_virtual(whole())
    assert list(channel.messages) == left
    assert not any("components" in message for message in channel.messages.values())
    assert shelf.noted == {}


def test_of_a_set_only_what_was_delivered_counts_as_ready_after_a_restart() -> None:
    """Of four, the first was delivered and the last has failed, which is not known yet; one is made now, and
    one waits without any event."""
    together = replace(request(1), set=PictureSet(id="5" * 32, count=4))
    jobs = [a_job(number, together) for number in range(1, 5)]
    shelf, channel, clock = Gaps([]), Channel(), VirtualClock()
    shelf.noted = {job.id: MESSAGE for job in jobs[1:]}
    messages = live_messages(shelf, channel, clock, together=jobs[1:3])

    async def whole() -> None:
        await messages.recall()
        await messages.on_event(Started(job=jobs[1], engine="a", batch_size=1))
        await clock.sleep(5)
        await messages.aclose()

    run_virtual(whole())
    assert "1 of 4 ready" in channel.messages[MESSAGE]["text"]
