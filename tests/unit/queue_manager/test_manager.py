"""The queue's promises, in virtual time: limits, order, batches, cancelling, failures, recovery."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    AttemptsExhausted,
    BadPrompt,
    BadSeed,
    BadSize,
    BadStrength,
    CannotMask,
    CannotStart,
    ExecutionFailed,
    MaskNeeded,
    ModelUnavailable,
    NoSourceImage,
    OutOfMemory,
    QueueClosed,
    RequestRejected,
    UnknownJob,
    UnknownModel,
    UserLimitReached,
    VariationUnavailable,
    WrongSourceCount,
)
from modules.queue_manager.jobs import MAX_SEED, Job, Size, SourceImage, Variation
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.offers import Offers
from modules.queue_manager.ports import Cancelled, Capabilities, Failed
from modules.queue_manager.scheduling.patience import Patience
from modules.queue_manager.workers.fleet import Fleet
from modules.queue_manager.workers.worker import WorkerTimes
from tests.fakes import SQUARE, FakeEngine, Listener, MemoryStore, Postbox, offer, request
from tests.virtual_time import VirtualClock, run_virtual


@dataclass
class House:
    """A queue, a fleet of fake GPUs, and everything they leave behind."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    box: Postbox = field(default_factory=Postbox)
    ear: Listener = field(default_factory=Listener)
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    engine_settings: dict[str, Any] = field(default_factory=dict)
    times: WorkerTimes = field(default_factory=WorkerTimes)

    def __post_init__(self) -> None:
        self.settings.setdefault("batch_window", 0.15)
        self.manager = QueueManager(
            offers=[
                offer(),
                offer("z-image"),
                offer("flux_edit", kind="edit"),
                offer("starter", starts=True, masks="may"),
                offer("filler", kind="edit", masks="must"),
            ],
            store=self.store,
            clock=self.clock,
            delivery=self.box,
            **self.settings,
        )
        self.manager.subscribe(self.ear)
        self.fleet = Fleet(
            runs=self.manager.runs, make_engine=self._engine, clock=self.clock, times=self.times
        )

    def _engine(self, url: str) -> FakeEngine:
        if url not in self.engines:
            self.engines[url] = FakeEngine(url, self.clock, **self.engine_settings)
        return self.engines[url]

    async def submit(self, user: int = 1, prompt: str = "a lighthouse", **more: Any) -> Job:
        (job,) = await self.manager.submit([request(user, prompt, **more)])
        return job

    async def ended(self, *jobs: Job, within: float = 600.0) -> None:
        """Wait until these jobs have ended."""
        async with timeout(within):
            while any(self.manager.job(job.id) for job in jobs):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # a job has left the queue a moment before its end is journaled and told
        await self.manager.settle(5.0)

    def batches(self, name: str = "a") -> list[list[str]]:
        """The prompts of each batch that the engine finished."""
        return [[job.request.prompt for job in batch.jobs] for _, _, batch in self.engines[name].log]


def play(scene: Callable[[House], Awaitable[None]], *urls: str, **settings: Any) -> House:
    """Run a scene in a house whose fleet is ``urls`` (one GPU if none is named)."""
    engine_settings = settings.pop("engine", {})
    times = settings.pop("times", WorkerTimes())

    async def whole() -> House:
        house = House(settings=settings, engine_settings=engine_settings, times=times)
        await house.fleet.set_urls(urls or ("a",))
        await asyncio.sleep(0.01)
        await scene(house)
        await house.fleet.aclose(60.0)
        await house.manager.aclose()
        return house

    return run_virtual(whole())


# ── models that change ──────────────────────────────────────────────────────────────────────────


def test_jobs_run_with_the_graph_that_they_were_accepted_with() -> None:
    async def scene(house: House) -> None:
        before, other = list(house.manager.offers), offer(version="b", label="Other")
        house.manager.pause()
        old = await house.submit(prompt="old")
        offers, engine = house.manager.offers, house.engines["a"]
        assert isinstance(offers, Offers)
        offers.replace([other, *before[1:]], retired=before[:1])
        engine.limits = {**engine.limits, "flux@b": 4}
        new = await house.submit(user=2, prompt="new")  # before any server was asked
        house.fleet.ask_again()
        await asyncio.sleep(1.0)  # much sooner than a minute
        assert house.manager.models_in_use() == {"flux", "flux@b"}
        house.manager.resume()
        await house.ended(old, new)
        assert house.manager.models_in_use() == set()

    house = play(scene)
    assert house.batches() == [["old"], ["new"]]
    assert [batch.key.model for _, _, batch in house.engines["a"].log] == ["flux", "flux@b"]


def test_jobs_of_a_model_that_has_gone_still_run_and_new_ones_are_refused() -> None:
    async def scene(house: House) -> None:
        before = list(house.manager.offers)
        house.manager.pause()
        job = await house.submit(prompt="old")
        assert isinstance(house.manager.offers, Offers)
        house.manager.offers.replace(before[1:], retired=before[:1])
        with pytest.raises(UnknownModel):
            await house.submit(user=2)
        house.manager.resume()
        await house.ended(job)

    assert play(scene).batches() == [["old"]]


def test_a_model_that_changes_while_a_job_is_accepted_is_the_one_that_was_asked_for() -> None:
    async def scene(house: House) -> None:
        before = list(house.manager.offers)
        house.store.delay = 0.5
        accepting = asyncio.ensure_future(house.submit(prompt="old"))
        await asyncio.sleep(0.1)
        assert isinstance(house.manager.offers, Offers)
        assert "flux" in house.manager.models_in_use()
        house.manager.offers.replace(before[1:], retired=before[:1])
        job = await accepting
        assert job.key.model == "flux"
        await house.ended(job)

    assert play(scene).batches() == [["old"]]


# ── acceptance ──────────────────────────────────────────────────────────────────────────────────


def test_of_fifty_racing_submissions_exactly_two_are_accepted() -> None:
    async def scene(house: House) -> None:
        house.store.delay = 0.02
        tries = [house.submit(prompt=f"p{n}") for n in range(50)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        jobs = [r for r in results if isinstance(r, Job)]
        assert len(jobs) == 2
        assert sum(isinstance(r, UserLimitReached) for r in results) == 48
        await house.ended(*jobs)
        await house.submit(prompt="a place is free again")

    play(scene)


def test_jobs_that_run_count_and_another_persons_do_not() -> None:
    async def scene(house: House) -> None:
        await house.submit(1)
        await asyncio.sleep(0.5)
        await house.submit(1)
        with pytest.raises(UserLimitReached) as told:
            await house.submit(1)
        assert told.value.fields == {"active": 2, "limit": 2, "asked": 1}
        await house.submit(2)
        with pytest.raises(UserLimitReached):
            await house.manager.submit([request(3)] * 3)
        await house.manager.submit([request(3)] * 3, limit=3)

    play(scene)


START = SourceImage(key="a", size=SQUARE)
SMALLER = SourceImage(key="b", size=Size(width=64, height=64))


@pytest.mark.parametrize(
    ("image_request", "error"),
    [
        ({"model": "sdxl"}, UnknownModel),
        ({"model": "flux_edit"}, UnknownModel),  # of another kind
        ({"prompt": " \n "}, BadPrompt),
        ({"prompt": "\u200b \u3164\u2800\ufe0f\u00ad\U000e0041"}, BadPrompt),
        ({"prompt": "x" * 10_000}, BadPrompt),
        ({"seed": MAX_SEED + 1}, BadSeed),
        ({"seed": -1}, BadSeed),
        ({"size": Size(width=30_000, height=8)}, BadSize),
        ({"model": "flux_edit", "kind": "edit"}, NoSourceImage),
        ({"sources": (START,)}, WrongSourceCount),
        ({"sources": (START,), "strength": 0.5}, CannotStart),
        ({"sources": (START,), "mask": START}, CannotMask),
        ({"model": "filler", "kind": "edit", "sources": (START,)}, MaskNeeded),
        ({"model": "starter", "strength": 0.5}, NoSourceImage),
        ({"model": "starter", "strength": 1.5, "sources": (START,)}, BadStrength),
        ({"model": "starter", "strength": 0.5, "sources": (SMALLER,)}, BadSize),
        ({"model": "starter", "mask": SMALLER, "sources": (START,)}, BadSize),
    ],
)
def test_what_cannot_be_is_refused_and_takes_no_place(
    image_request: dict[str, Any], error: type[RequestRejected]
) -> None:
    async def scene(house: House) -> None:
        with pytest.raises(error):
            await house.submit(**image_request)
        assert house.manager.status().users == 0
        assert not house.store.jobs

    names = ("flux", "z-image", "flux_edit", "starter", "filler")
    play(scene, engine={"limits": dict.fromkeys(names, 4)})


def test_a_store_that_cannot_write_means_not_accepted() -> None:
    async def scene(house: House) -> None:
        house.store.broken = True
        with pytest.raises(QueueClosed) as told:
            await house.submit()
        assert told.value.fields["why"] == "store"
        assert house.manager.status().users == 0
        house.store.broken = False
        await house.ended(await house.submit())

    play(scene)


def test_a_closed_queue_takes_nothing() -> None:
    async def scene(house: House) -> None:
        house.manager.close("wrong-guild")
        with pytest.raises(QueueClosed):
            await house.submit()
        house.manager.open()
        await house.submit()

    play(scene)


def test_a_model_that_no_living_server_has_is_refused_and_with_none_alive_jobs_wait() -> None:
    async def scene(house: House) -> None:
        with pytest.raises(ModelUnavailable):
            await house.submit(model="z-image")
        house.engines["a"].die()
        lost = await house.submit()  # dispatched, and found dead
        await asyncio.sleep(1.0)
        waiting = await house.submit(2, model="z-image")
        house.engines["a"].limits = {"flux": 4, "z-image": 4}
        house.engines["a"].live()
        await house.ended(lost, waiting)
        assert set(house.box.pictures) == {lost.id, waiting.id}

    play(scene, engine={"limits": {"flux": 4}})


def test_a_variation_is_refused_where_no_living_server_can_make_one() -> None:
    async def scene(house: House) -> None:
        varied = Variation(seed=7, strength=0.15)
        with pytest.raises(VariationUnavailable):
            await house.submit(variation=varied)
        await house.ended(await house.submit())

    play(scene, engine={"varies": False})


def test_a_model_that_comes_to_a_server_that_is_never_idle_is_noticed() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(8)]
        house.engines["a"].limits = {"flux": 1, "z-image": 1}
        await asyncio.sleep(60.0)
        assert house.fleet.engines()[0].state == "busy"
        later = await house.submit(9, model="z-image")
        await house.ended(*jobs, later)
        assert later.id in house.box.pictures

    play(scene, engine={"limits": {"flux": 1}, "fixed": 9.0}, times=WorkerTimes(refresh=20.0))


# ── turns and batches ───────────────────────────────────────────────────────────────────────────


def test_three_people_are_served_in_turns() -> None:
    async def scene(house: House) -> None:
        house.manager.pause()
        jobs = [await house.submit(ord(name[0]), name) for name in ("A1", "A2", "B1", "C1", "C2", "A3")]
        house.manager.resume()
        await house.ended(*jobs)

    house = play(scene, max_jobs_per_user=3, engine={"limits": {"flux": 1}})
    assert house.batches() == [["A1"], ["B1"], ["C1"], ["A2"], ["C2"], ["A3"]]


def test_only_equal_keys_share_a_run_and_every_picture_is_its_owners() -> None:
    async def scene(house: House) -> None:
        house.manager.pause()
        jobs = [await house.submit(n, f"p{n}", model=("flux", "z-image")[n % 2], seed=n) for n in range(1, 9)]
        house.manager.resume()
        await house.ended(*jobs)
        for job in jobs:
            text = f"{job.request.prompt}|{job.request.seed}".encode()
            assert house.box.pictures[job.id].picture.data == text

    house = play(scene)
    assert [len({job.key for job in batch.jobs}) for _, _, batch in house.engines["a"].log] == [1, 1]
    assert sorted(len(batch) for batch in house.batches()) == [4, 4]


def test_a_newcomer_is_in_the_next_batch_however_deep_the_others_queues_are() -> None:
    async def scene(house: House) -> None:
        crowd = [await house.submit(n % 4, f"crowd{n}") for n in range(80)]
        await asyncio.sleep(2.0)
        handed_over = len(house.engines["a"].submitted)
        await house.submit(99, "newcomer")
        await house.ended(*crowd)
        batch = house.engines["a"].submitted[handed_over]
        assert "newcomer" in [job.request.prompt for job in batch.jobs]

    play(scene, max_jobs_per_user=20)


def test_a_newcomer_with_another_model_waits_two_batches_at_most() -> None:
    async def scene(house: House) -> None:
        crowd = [await house.submit(n % 4, f"crowd{n}") for n in range(80)]
        await asyncio.sleep(2.0)
        handed_over = len(house.engines["a"].submitted)
        await house.submit(99, "newcomer", model="z-image")
        await house.ended(*crowd)
        models = [batch.key.model for batch in house.engines["a"].submitted[handed_over:]]
        assert models.index("z-image") <= 2

    play(scene, max_jobs_per_user=20, engine={"load": 5.0})


def test_two_engines_specialise_when_two_models_are_asked_for() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n % 10, f"p{n}", model=("flux", "z-image")[n % 2]) for n in range(80)]
        await house.ended(*jobs)

    house = play(scene, "a", "b", max_jobs_per_user=8, engine={"load": 5.0, "noise": 0.15})
    for engine in house.engines.values():
        models = [batch.key.model for _, _, batch in engine.log]
        changes = sum(a != b for a, b in itertools.pairwise(models))
        assert changes <= 1


def test_the_engine_never_waits_for_the_bot() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n % 20, f"p{n}") for n in range(160)]
        await house.ended(*jobs)

    house = play(scene, "a", "b", max_jobs_per_user=8, engine={"noise": 0.15, "fetch_seconds": 0.5})
    for engine in house.engines.values():
        assert engine.busy_share() > 0.99


def test_an_idle_engine_waits_for_a_crowd_and_not_long_for_one() -> None:
    async def scene(house: House) -> None:
        for n in range(4):
            await house.submit(n, f"crowd{n}")
            await asyncio.sleep(0.02)
        await asyncio.sleep(10.0)
        alone_at = house.clock.now()
        await house.ended(await house.submit(9, "alone"))
        assert house.clock.now() - alone_at < 2.0 + 0.15  # its own two seconds, and little more

    assert play(scene).batches() == [["crowd0", "crowd1", "crowd2", "crowd3"], ["alone"]]


@pytest.mark.parametrize(("expected", "alone"), [(True, False), (False, True)])
def test_an_idle_engine_waits_for_somebody_who_is_about_to_ask(expected: bool, alone: bool) -> None:
    async def scene(house: House) -> None:
        async def latecomer() -> None:
            await asyncio.sleep(0.12)
            await house.submit(2, "late")

        async def announced() -> None:
            with house.manager.expecting():
                await latecomer()

        coming = asyncio.ensure_future(announced() if expected else latecomer())
        await asyncio.sleep(0)
        await house.submit(1, "early")
        await coming
        await asyncio.sleep(10.0)

    assert play(scene).batches() == ([["early"], ["late"]] if alone else [["early", "late"]])


def test_nobody_who_never_asks_is_waited_for_longer_than_the_window() -> None:
    async def scene(house: House) -> None:
        with house.manager.expecting():
            began = house.clock.now()
            await house.ended(await house.submit(1, "early"))
            assert house.clock.now() - began < 2.0 + 0.2

    play(scene)


def test_late_arrivals_join_the_batch_that_is_handed_over() -> None:
    async def scene(house: House) -> None:
        first = [await house.submit(n, f"first{n}") for n in range(4)]
        await asyncio.sleep(4.0)  # of 5 seconds
        late = [await house.submit(10 + n, f"late{n}") for n in range(3)]
        await house.ended(*first, *late)

    house = play(scene)
    assert house.batches()[1] == ["late0", "late1", "late2"]


def test_a_slow_engine_leaves_the_last_job_to_a_fast_one() -> None:
    async def scene(house: House) -> None:
        house.engines["slow"].fixed, house.engines["slow"].each = 3.0, 9.0
        warm_up = [await house.submit(n, f"w{n}") for n in range(12)]
        await house.ended(*warm_up)
        before = {name: len(engine.log) for name, engine in house.engines.items()}
        one = await house.submit(50, "alone")
        await asyncio.sleep(0.5)
        two = await house.submit(51, "next")
        await house.ended(one, two)
        assert len(house.engines["slow"].log) == before["slow"]

    play(scene, "slow", "fast", max_jobs_per_user=12, engine={"limits": {"flux": 2}})


# ── cancelling ──────────────────────────────────────────────────────────────────────────────────


def test_cancelling_one_of_a_running_batch_leaves_the_others_their_pictures() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(3)]
        await asyncio.sleep(2.0)
        await house.manager.cancel(jobs[1].id, by=1)
        assert house.manager.active_jobs(1) == ()
        await house.ended(*jobs)
        assert set(house.box.pictures) == {jobs[0].id, jobs[2].id}
        assert house.ear.of(jobs[1]) == ["Queued", "Started", "Cancelled"]
        with pytest.raises(UnknownJob):
            await house.manager.cancel(jobs[1].id, by=1)

    play(scene)


def test_when_all_of_a_batch_are_cancelled_the_engine_is_free_at_once() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(3)]
        await asyncio.sleep(2.0)
        for job in jobs:
            await house.manager.cancel(job.id, by=None)
        cancelled_at = house.clock.now()
        after = await house.submit(9, "after")
        await house.ended(after)
        assert house.clock.now() - cancelled_at < 2.5  # its own two seconds, and little more
        assert set(house.box.pictures) == {after.id}
        assert house.fleet.engines()[0].last_error is None

    play(scene)


def test_a_batch_handed_over_and_cancelled_never_runs() -> None:
    async def scene(house: House) -> None:
        first = [await house.submit(n, f"p{n}") for n in range(4)]
        await asyncio.sleep(1.0)
        second = await house.submit(8, "second")
        while not any(second in batch.jobs for batch in house.engines["a"].submitted):
            await asyncio.sleep(0.05)
        await house.manager.cancel(second.id, by=8)
        await house.ended(*first)
        await asyncio.sleep(5.0)

    assert len(play(scene).batches()) == 1


# ── failures ────────────────────────────────────────────────────────────────────────────────────


def test_a_neighbour_who_is_cancelled_before_their_prompt_fails_the_run_costs_nobody_a_picture() -> None:
    async def scene(house: House) -> None:
        guilty = await house.submit(1, "poison")
        innocent = await house.submit(2, "a pond")
        await asyncio.sleep(0.5)  # the run has begun
        await house.manager.cancel(guilty.id, by=1)
        await house.ended(guilty, innocent)
        assert house.ear.of(innocent)[-1] == "Delivered"

    play(scene, engine={"limits": {"flux": 2}, "poison": "poison"})


def test_one_poisoned_prompt_among_eight_fails_alone_and_costs_few_runs() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, "poison" if n == 5 else f"p{n}") for n in range(8)]
        await house.ended(*jobs)
        assert len(house.box.pictures) == 7
        (failed,) = [turn for turn in house.store.turns if isinstance(turn, Failed)]
        assert failed.job.id == jobs[5].id
        assert isinstance(failed.error, ExecutionFailed)

    house = play(scene, engine={"limits": {"flux": 8}, "poison": "poison"})
    assert len(house.engines["a"].submitted) <= 1 + 2 * 3


def test_an_engine_that_dies_costs_nobody_a_picture() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(20)]
        await asyncio.sleep(2.0)
        house.engines["a"].die()
        await asyncio.sleep(8.0)
        house.engines["a"].live()
        await house.ended(*jobs)
        assert set(house.box.pictures) == {job.id for job in jobs}
        retried = [job for job in jobs if "Requeued" in house.ear.of(job)]
        assert 1 <= len(retried) <= 8
        assert len(house.engines["a"].log) > 0  # it came back into service

    play(scene, "a", "b")


def test_a_job_is_given_up_after_max_attempts_with_a_clear_reason() -> None:
    async def scene(house: House) -> None:
        job = await house.submit()
        for _ in range(3):
            await asyncio.sleep(1.0)
            house.engines["a"].die()
            await asyncio.sleep(0.1)
            house.engines["a"].live()
            await asyncio.sleep(6.0)
        await house.ended(job)
        (failed,) = [turn for turn in house.store.turns if isinstance(turn, Failed)]
        assert isinstance(failed.error, AttemptsExhausted)
        assert failed.error.fields["attempts"] == 3

    play(scene, engine={"fixed": 30.0})


@pytest.mark.parametrize("urls", [("a",), ("a", "b")])
def test_a_prompt_that_kills_every_server_fails_alone(urls: tuple[str, ...]) -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, "deadly" if n == 2 else f"p{n}") for n in range(8)]
        await house.ended(*jobs)
        (failed,) = [turn for turn in house.store.turns if isinstance(turn, Failed)]
        assert failed.job.id == jobs[2].id
        assert isinstance(failed.error, AttemptsExhausted)
        assert set(house.box.pictures) == {job.id for job in jobs} - {jobs[2].id}

    house = play(scene, *urls, engine={"deadly": "deadly"})
    prompts = [
        [job.request.prompt for job in batch.jobs]
        for engine in house.engines.values()
        for batch in engine.submitted
    ]
    assert sum("deadly" in together for together in prompts) == 3
    assert ["deadly"] in prompts


def test_the_last_attempt_is_a_jobs_own_after_a_restart_too() -> None:
    async def whole() -> None:
        first = House()
        jobs = [await first.submit(n, f"p{n}") for n in range(3)]
        await first.manager.aclose()
        first.store.jobs[jobs[1].id] = replace(jobs[1], attempts=2)

        second = House(store=first.store)
        await second.manager.recover()
        await second.fleet.set_urls(["a"])
        await second.ended(*jobs)
        assert sorted(second.batches()) == [["p0", "p2"], ["p1"]]
        await second.fleet.aclose(5.0)
        await second.manager.aclose()

    run_virtual(whole())


def test_a_stalled_engine_is_noticed_and_its_jobs_go_elsewhere() -> None:
    async def scene(house: House) -> None:
        warm_up = [await house.submit(n, f"w{n}") for n in range(8)]
        await house.ended(*warm_up)
        house.engines["a"].stalling = True
        jobs = [await house.submit(n, f"p{n}") for n in range(8)]
        await house.ended(*jobs)
        assert len(house.box.pictures) == 16

    play(scene, "a", "b", times=WorkerTimes(patience=Patience(step=5.0, usual=2.0)))


def test_a_server_that_answers_but_stands_still_gets_nothing_more_until_it_moves() -> None:
    async def scene(house: House) -> None:
        warm_up = [await house.submit(n, f"w{n}") for n in range(8)]
        await house.ended(*warm_up)
        house.engines["a"].stalling = True
        began, before = house.clock.now(), len(house.engines["a"].submitted)
        jobs = [await house.submit(n, f"p{n}") for n in range(20)]
        await house.ended(*jobs)
        assert len(house.box.pictures) == 28
        assert house.clock.now() - began < 45.0  # one standstill was waited for, and no second one
        assert len(house.engines["a"].submitted) <= before + 2
        house.engines["a"].stalling = False
        while house.fleet.engines()[0].state != "idle":
            await asyncio.sleep(0.1)
        more = [await house.submit(n, f"q{n}") for n in range(8)]
        await house.ended(*more)
        assert len(house.engines["a"].submitted) > before + 2

    play(scene, "a", "b", engine={"limits": {"flux": 2}, "each": 0.5})


def test_a_standstill_is_one_also_where_the_job_was_cancelled_meanwhile() -> None:
    async def scene(house: House) -> None:
        warm_up = [await house.submit(n, f"w{n}") for n in range(4)]
        await house.ended(*warm_up)
        engine = house.engines["a"]
        engine.stalling, before = True, len(engine.submitted)
        victim = await house.submit(1, "victim")
        await asyncio.sleep(1.0)
        engine.gpu = asyncio.Lock()
        await engine.gpu.acquire()  # the server is at it until it moves
        await house.manager.cancel(victim.id, by=1)
        later = [await house.submit(10 + n, f"p{n}") for n in range(4)]
        await asyncio.sleep(300.0)
        assert len(engine.submitted) <= before + 2
        engine.stalling = False
        engine.gpu.release()
        await house.ended(*later)
        assert {job.id for job in later} <= set(house.box.pictures)

    play(scene, engine={"limits": {"flux": 2}, "each": 0.5})


def test_out_of_memory_shrinks_the_batch_serves_everybody_and_is_remembered() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(12)]
        await house.ended(*jobs)
        assert len(house.box.pictures) == 12

    house = play(scene, engine={"fits": 2})
    assert next(len(batch.jobs) for batch in house.engines["a"].submitted) == 4
    assert sum(len(batch.jobs) > 2 for batch in house.engines["a"].submitted) <= 2


def test_memory_for_not_even_one_picture_is_told_as_such() -> None:
    async def scene(house: House) -> None:
        job = await house.submit()
        await asyncio.sleep(60.0)
        assert house.manager.job(job.id) is None
        (failed,) = [turn for turn in house.store.turns if isinstance(turn, Failed)]
        assert isinstance(failed.error, OutOfMemory)

    play(scene, engine={"fits": 0})


# ── the fleet changes ───────────────────────────────────────────────────────────────────────────


def test_a_removed_engine_finishes_its_batch_and_gives_back_what_only_waited() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(16)]
        await asyncio.sleep(4.8)
        await house.fleet.set_urls(["b"])
        await house.ended(*jobs)
        assert len(house.box.pictures) == 16
        assert len(house.engines["a"].log) == 1
        assert all(job.attempts == 0 for job in house.store.jobs.values())

    play(scene, "a", "b")


def test_an_added_engine_works_at_once() -> None:
    async def scene(house: House) -> None:
        jobs = [await house.submit(n, f"p{n}") for n in range(16)]
        await house.fleet.set_urls(["a", "b"])
        await house.ended(*jobs)
        assert len(house.engines["b"].log) == 2

    play(scene)


def test_a_drained_engine_takes_no_more() -> None:
    async def scene(house: House) -> None:
        assert await house.fleet.drain("a")
        assert not await house.fleet.drain("nobody")
        await house.submit()
        await asyncio.sleep(5.0)
        await house.fleet.set_urls(["a", "b"])  # as when a name is looked up again
        await asyncio.sleep(5.0)
        assert not house.engines["a"].submitted
        assert house.engines["b"].submitted
        house.fleet.recall()
        await house.fleet.set_urls(["a"])
        job = await house.submit()
        await house.ended(job)
        assert house.engines["a"].submitted

    play(scene)


# ── what people are told ────────────────────────────────────────────────────────────────────────


def test_places_are_true_and_the_time_is_close() -> None:
    async def scene(house: House) -> None:
        warm_up = [await house.submit(n, f"w{n}") for n in range(4)]
        await house.ended(*warm_up)
        jobs = [await house.submit(n, f"p{n}") for n in range(12)]
        await asyncio.sleep(0.2)
        places = [house.manager.place(job.id) for job in jobs]
        assert [p.ahead for p in places if p] == [0] * 4 + list(range(8))
        last = places[-1]
        assert last
        assert last.state == "waiting"
        assert last.expected_at
        began = house.clock.unix()
        await house.ended(*jobs)
        assert last.expected_at - began == pytest.approx(house.clock.unix() - began, rel=0.1)
        assert house.manager.place(jobs[0].id) is None

    play(scene)


def test_the_counts_follow_each_turn_of_the_jobs() -> None:
    async def scene(house: House) -> None:
        def counts() -> tuple[int, int, int, int]:
            status = house.manager.status()
            return status.waiting, status.taken, status.running, status.arriving

        house.box.seconds = 3.0
        engine = house.engines["a"]
        async with engine.gpu:  # somebody else's work is before theirs at that server
            jobs = [await house.submit(n) for n in range(6)]
            await asyncio.sleep(1.0)
            assert counts() == (2, 4, 0, 0)
        await asyncio.sleep(1.0)
        assert counts() == (2, 0, 4, 0)
        await house.manager.cancel(jobs[0].id, by=0)
        assert counts() == (2, 0, 3, 0)
        while house.manager.status().arriving == 0:
            await asyncio.sleep(0.1)
        assert counts()[3] == 3
        await asyncio.sleep(1.0)
        assert counts() == (0, 0, 2, 3)
        engine.die()
        await asyncio.sleep(1.0)
        assert counts() == (2, 0, 0, 3)
        engine.live()
        await house.ended(*jobs)
        assert counts() == (0, 0, 0, 0)

    play(scene)


def test_everybody_hears_of_a_job_in_order() -> None:
    async def scene(house: House) -> None:
        job = await house.submit()
        await house.ended(job)
        assert house.ear.of(job) == ["Queued", "Started", "Finished", "Delivered"]

    play(scene)


# ── restarts ────────────────────────────────────────────────────────────────────────────────────


def test_a_restart_follows_what_runs_and_keeps_the_order_of_what_waits() -> None:
    async def whole() -> None:
        first = House(settings={"max_jobs_per_user": 9})
        await first.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        jobs = [await first.submit(n, f"p{n}") for n in range(8)]
        await asyncio.sleep(2.0)
        await first.fleet.aclose(0.0)
        await first.manager.aclose()

        second = House(store=first.store, box=first.box, engines=first.engines)
        await second.manager.recover()
        await second.fleet.set_urls(["a"])
        await second.ended(*jobs)
        assert len(second.box.pictures) == 8
        assert len(second.engines["a"].submitted) == 2  # the first batch was not run again
        await second.fleet.aclose(1.0)
        await second.manager.aclose()

    run_virtual(whole())


def test_what_a_restarted_server_forgot_is_run_again_and_what_a_removed_one_had_too() -> None:
    async def whole(urls: list[str]) -> None:
        first = House()
        await first.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        jobs = [await first.submit(n, f"p{n}") for n in range(4)]
        await asyncio.sleep(2.0)
        await first.fleet.aclose(0.0)
        await first.manager.aclose()
        first.engines["a"].known.clear()

        second = House(store=first.store, box=first.box)
        await second.manager.recover()
        await second.fleet.set_urls(urls)
        await second.ended(*jobs)
        assert set(second.box.pictures) == {job.id for job in jobs}
        await second.fleet.aclose(1.0)
        await second.manager.aclose()

    run_virtual(whole(["a"]))
    run_virtual(whole(["b"]))


def test_what_a_server_forgot_goes_before_what_only_waited() -> None:
    async def whole() -> None:
        first = House(settings={"max_jobs_per_user": 9})
        await first.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        jobs = [await first.submit(n % 2, f"p{n}") for n in range(12)]
        await asyncio.sleep(2.0)
        begun = [job.id for batch in first.engines["a"].submitted for job in batch.jobs]
        assert 0 < len(begun) < len(jobs)
        await first.fleet.aclose(0.0)
        await first.manager.aclose()

        second = House(store=first.store, box=first.box, settings={"max_jobs_per_user": 9})
        await second.manager.recover()
        await second.fleet.set_urls(["a"])
        await second.ended(*jobs)
        again = [job.id for batch in second.engines["a"].submitted for job in batch.jobs]
        assert sorted(again[: len(begun)]) == sorted(begun)
        assert set(second.box.pictures) == {job.id for job in jobs}
        await second.fleet.aclose(1.0)
        await second.manager.aclose()

    run_virtual(whole())


def test_cancelled_jobs_stay_cancelled_after_a_restart() -> None:
    async def whole() -> None:
        first = House()
        await first.fleet.set_urls(["a"])
        await asyncio.sleep(0.01)
        jobs = [await first.submit(n, f"p{n}") for n in range(3)]
        await asyncio.sleep(2.0)
        await first.manager.cancel(jobs[0].id, by=0)
        assert isinstance(first.store.ended[jobs[0].id], Cancelled)
        await first.fleet.aclose(0.0)
        await first.manager.aclose()

        second = House(store=first.store, box=first.box, engines=first.engines)
        await second.manager.recover()
        await second.fleet.set_urls(["a"])
        await second.ended(*jobs)
        assert set(second.box.pictures) == {jobs[1].id, jobs[2].id}
        await second.fleet.aclose(1.0)
        await second.manager.aclose()

    run_virtual(whole())


def test_an_engine_removed_while_it_is_being_asked_leaves_at_once() -> None:
    async def whole() -> None:
        house = House()
        engine = house._engine("a")
        asked = asyncio.Event()
        probe = engine.probe

        async def slow_probe() -> Capabilities:
            asked.set()
            await asyncio.sleep(1.0)
            return await probe()

        engine.probe = slow_probe  # type: ignore[method-assign]
        await house.fleet.set_urls(["a"])
        await asked.wait()
        began = house.clock.now()
        await house.fleet.aclose(60.0)
        assert house.clock.now() - began < 2.0
        await house.manager.aclose()

    run_virtual(whole())
