"""What may happen while a new process reads what its predecessor left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from modules.discord.ui.translations import Translations
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.jobs import Batch, Job, ModelOffer
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Backlog, Cancelled, Dispatched, Failed, JobTurn
from tests.fakes import Listener, MemoryStore, Postbox, offer, request
from tests.virtual_time import run_virtual


class SlowStore(MemoryStore):
    """Each answer takes a moment, the backlog's the longest; it is what it was in the middle of that."""

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        await super().accept(jobs, sources)
        await asyncio.sleep(1.0)

    async def backlog(self) -> Backlog:
        await asyncio.sleep(2.0)
        found = await super().backlog()
        await asyncio.sleep(2.0)
        return found


def manager_of(store: MemoryStore, listener: Listener, offered: ModelOffer | None = None) -> QueueManager:
    manager = QueueManager(
        offers=[offered or offer()], store=store, clock=LoopClock(), delivery=Postbox(), max_jobs_per_user=9
    )
    manager.subscribe(listener)
    return manager


@pytest.mark.parametrize("after", [0.5, 1.5, 3.5])
def test_a_request_during_recovery_becomes_one_job(after: float) -> None:
    async def whole() -> None:
        manager = manager_of(SlowStore(), Listener())
        recovering = asyncio.ensure_future(manager.recover())
        await asyncio.sleep(after)
        (job,) = await manager.submit([request(1, "during")])
        await recovering
        assert manager.active_jobs(1) == (job,)
        assert manager.status().waiting == 1
        await manager.cancel(job.id, by=1)
        assert manager.status().waiting == 0
        await manager.aclose()

    run_virtual(whole())


def test_what_was_cancelled_while_recovering_does_not_come_back() -> None:
    async def whole() -> None:
        manager = manager_of(SlowStore(), Listener())
        recovering = asyncio.ensure_future(manager.recover())
        await asyncio.sleep(0.5)
        (job,) = await manager.submit([request(1, "during")])
        await asyncio.sleep(1.0)
        await manager.cancel(job.id, by=1)
        await recovering
        assert manager.status().waiting == 0
        await manager.aclose()

    run_virtual(whole())


def test_nobody_is_told_of_an_end_that_a_crash_could_undo() -> None:
    listener = Listener()

    class Watched(MemoryStore):
        async def record(self, turn: JobTurn) -> None:
            await asyncio.sleep(1.0)
            told = [event for event in listener.events if isinstance(event, Cancelled)]
            assert told == []
            await super().record(turn)

    async def whole() -> None:
        manager = manager_of(Watched(), listener)
        (job,) = await manager.submit([request(1, "never mind")])
        await manager.cancel(job.id, by=1)
        await manager.settle(1.0)
        assert listener.of(job)[-1] == "Cancelled"
        await manager.aclose()

    run_virtual(whole())


def test_jobs_of_a_graph_that_died_with_its_process_get_the_one_of_today() -> None:
    async def whole() -> None:
        store = MemoryStore()
        first = manager_of(store, Listener(), offer(version="b"))
        (job,) = await first.submit([request(1, "before")])
        assert job.key.model == "flux@b"
        await first.aclose()
        second = manager_of(store, Listener())
        await second.recover()
        (found,) = second.active_jobs(1)
        assert (found.id, found.key.model) == (job.id, "flux")
        await second.aclose()

    run_virtual(whole())


@pytest.mark.parametrize("given_to_a_server", [False, True])
def test_a_job_whose_model_left_between_two_processes_fails_and_frees_its_place(
    given_to_a_server: bool,
) -> None:
    async def whole() -> None:
        store, listener = MemoryStore(), Listener()
        first = manager_of(store, Listener())
        (job,) = await first.submit([request(1, "before")])
        await first.aclose()
        if given_to_a_server:
            await store.record(Dispatched(batch=Batch(id="b", key=job.key, jobs=(job,)), engine="a"))
        second = manager_of(store, listener, offer("z-image"))
        (other,) = await second.submit([request(1, "meanwhile", model="z-image")])
        await second.recover()
        await second.settle(1.0)
        assert second.active_jobs(1) == (other,)
        (failed,) = [event for event in listener.events if isinstance(event, Failed)]
        assert failed.job.id == job.id
        said = Translations.load().error("en-US", failed.error)
        assert said == "No GPU has flux any more. Please choose another model."
        await second.aclose()

    run_virtual(whole())
