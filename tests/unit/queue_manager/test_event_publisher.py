"""What listeners hear, and what is kept in memory for those who are slow."""

from __future__ import annotations

import asyncio

from modules.queue_manager.event_publisher import EventPublisher
from modules.queue_manager.ports import Delivered, Finished, JobEvent, Receipt
from tests.fakes import Listener
from tests.journal import a_job, finished
from tests.virtual_time import run_virtual


class Slow:
    """A listener who is never done with the first event."""

    async def on_event(self, event: JobEvent) -> None:
        await asyncio.Event().wait()


def test_pictures_are_not_kept_for_those_who_have_not_heard() -> None:
    async def whole() -> None:
        quick = Listener()
        publisher = EventPublisher()
        publisher.add(Slow())
        publisher.add(quick)
        for number in range(1, 101):
            publisher.tell(finished(a_job(number), bytes(1000)))
        await asyncio.sleep(1)
        waiting = [event for line in publisher._lines for event in line.events]
        assert len(waiting) == 99
        heard = [*waiting, *quick.events]
        assert sum(len(event.picture.data) for event in heard if isinstance(event, Finished)) == 0
        await publisher.aclose()

    run_virtual(whole())


def test_a_slow_listener_holds_up_only_itself() -> None:
    async def whole() -> list[str]:
        quick, job = Listener(), a_job(1)
        publisher = EventPublisher()
        publisher.add(Slow())
        publisher.add(quick)
        publisher.tell(finished(job, b"pixels"))
        publisher.tell(Delivered(job=job, receipt=Receipt(where="channel")))
        await asyncio.sleep(1)
        await publisher.aclose()
        return quick.of(job)

    assert run_virtual(whole()) == ["Finished", "Delivered"]
