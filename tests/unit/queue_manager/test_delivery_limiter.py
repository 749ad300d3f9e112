"""How many pictures are in memory between the server that made them and their owner, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from modules.queue_manager.jobs import Batch, Job, JobId, Picture
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Finished, Receipt
from modules.queue_manager.workers.fleet import Fleet
from tests.fakes import FakeEngine, FakeRun, Listener, MemoryStore, offer, request
from tests.virtual_time import VirtualClock, run_virtual

AT_ONCE = 8


@dataclass
class Table:
    """What has been fetched and not been delivered yet, and the most of it at any time."""

    out: dict[JobId, int] = field(default_factory=dict)
    most: int = 0
    most_of_one: int = 0
    delivered: list[int] = field(default_factory=list)

    def fetched(self, job: Job) -> None:
        self.out[job.id] = job.request.user_id
        self.most = max(self.most, len(self.out))
        self.most_of_one = max(self.most_of_one, *Counter(self.out.values()).values())


class CountedRun(FakeRun):
    async def fetch(self, index: int) -> Picture:
        self._engine.table.fetched(self._batch.jobs[index])  # type: ignore[attr-defined]
        return await super().fetch(index)


@dataclass
class CountedEngine(FakeEngine):
    table: Table = field(default_factory=Table)

    async def submit(self, batch: Batch) -> FakeRun:
        self.submitted.append(batch)
        return CountedRun(self, batch)


@dataclass
class SlowPost:
    """A delivery that takes ``seconds``, and for ever for the person ``stuck``."""

    table: Table
    seconds: float
    stuck: int = 0

    async def deliver(self, finished: Finished) -> Receipt:
        if finished.job.request.user_id == self.stuck:
            await asyncio.Event().wait()
        await asyncio.sleep(self.seconds)
        del self.table.out[finished.job.id]
        self.table.delivered.append(finished.job.request.user_id)
        return Receipt(where="channel", channel_id=1, message_id=1)


def play(
    people: int, each: int, *, seconds: float, stuck: int = 0, until: float
) -> tuple[Table, CountedEngine]:
    """What becomes of so many jobs on one quick GPU after ``until`` seconds."""

    async def whole() -> tuple[Table, CountedEngine]:
        clock, table = VirtualClock(), Table()
        engine = CountedEngine("a", clock, fixed=0.01, each=0.01, table=table)
        queue = QueueManager(
            offers=[offer()],
            store=MemoryStore(),
            clock=clock,
            delivery=SlowPost(table, seconds, stuck),
            pictures_at_once=AT_ONCE,
        )
        queue.subscribe(Listener())
        fleet = Fleet(runs=queue.runs, make_engine=lambda _: engine, clock=clock)
        await fleet.set_urls(["a"])
        for user in range(1, people + 1):
            await queue.submit([request(user, f"{user}/{n}") for n in range(each)], limit=each)
        await asyncio.sleep(until)
        await fleet.aclose(0.0)
        await queue.aclose()
        return table, engine

    return run_virtual(whole())


def test_pictures_wait_at_their_server_until_there_is_room_and_none_is_lost() -> None:
    table, _ = play(50, 2, seconds=1.0, until=60)
    assert (table.most, table.most_of_one) == (AT_ONCE, 1)
    assert Counter(table.delivered) == dict.fromkeys(range(1, 51), 2)


def test_the_gpu_does_not_wait_for_deliveries() -> None:
    table, engine = play(50, 2, seconds=1.0, until=10)
    assert len(table.delivered) < 100
    assert sum(len(batch.jobs) for _, _, batch in engine.log) == 100


def test_somebody_whose_channel_takes_nothing_holds_up_nobody() -> None:
    table, _ = play(20, 5, seconds=0.1, stuck=1, until=60)
    assert Counter(table.delivered) == dict.fromkeys(range(2, 21), 5)
    assert table.most <= AT_ONCE
    assert sum(user == 1 for user in table.out.values()) == 1


class UnequalRun(FakeRun):
    """The earlier a picture's row, the longer it takes to fetch."""

    async def fetch(self, index: int) -> Picture:
        await asyncio.sleep(float(self._engine.table.delays[index]))  # type: ignore[attr-defined]
        return await super().fetch(index)


@dataclass
class UnequalEngine(FakeEngine):
    table: UnequalPost = field(default_factory=lambda: UnequalPost([]))

    async def submit(self, batch: Batch) -> FakeRun:
        return UnequalRun(self, batch)


@dataclass
class UnequalPost:
    delays: list[float]
    delivered: list[str] = field(default_factory=list)

    async def deliver(self, finished: Finished) -> Receipt:
        self.delivered.append(finished.job.request.prompt)
        return Receipt(where="channel", channel_id=1, message_id=1)


def delivered_after(delays: list[float]) -> list[str]:
    """In which order the pictures of one person's batch are delivered if fetching them takes so long."""

    async def whole() -> list[str]:
        clock, post = VirtualClock(), UnequalPost(delays)
        queue = QueueManager(offers=[offer()], store=MemoryStore(), clock=clock, delivery=post)
        fleet = Fleet(
            runs=queue.runs, make_engine=lambda _: UnequalEngine("a", clock, table=post), clock=clock
        )
        await fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        await queue.submit([request(1, f"p{n}") for n in range(len(delays))], limit=9)
        await asyncio.sleep(120.0)
        await fleet.aclose(0.0)
        await queue.aclose()
        return post.delivered

    return run_virtual(whole())


def test_the_results_of_one_channel_come_in_the_order_in_which_they_were_made() -> None:
    assert delivered_after([3.0, 2.0, 1.0]) == ["p0", "p1", "p2"]


def test_a_picture_that_takes_long_is_overtaken(caplog: pytest.LogCaptureFixture) -> None:
    assert delivered_after([60.0, 1.0, 2.0]) == ["p1", "p2", "p0"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
