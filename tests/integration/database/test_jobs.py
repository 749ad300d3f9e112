"""The journal, over SQLite, over a real PostgreSQL, and (what a store must do at all) over its double."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from modules.queue_manager.errors import LeaseLost, StoreUnavailable
from modules.queue_manager.jobs import (
    MAX_SEED,
    Learned,
    LoraUse,
    PictureSet,
    Size,
    SourceImage,
    Style,
    Variation,
    batch_key,
)
from modules.queue_manager.ports import Cancelled, JobStore, Requeued
from modules.utils.database.codec import key_from_text, key_to_text, request_from_text, request_to_text
from modules.utils.database.engine import Database
from modules.utils.database.rows import Retention
from tests.examples import examples
from tests.fakes import MemoryStore, offer, request
from tests.journal import a_batch, a_job, delivered, dispatched, failed, finished, kept

Opener = Callable[[], AbstractAsyncContextManager[JobStore]]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bot.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same store again and again."""
    if request.param == "memory":
        memory = MemoryStore()

        @asynccontextmanager
        async def remembered() -> AsyncIterator[JobStore]:
            yield memory

        return remembered
    where = f"sqlite:///{tmp_path}/bot.db"
    if request.param == "postgresql":
        where = request.getfixturevalue("postgres_url")

    @asynccontextmanager
    async def opened() -> AsyncIterator[JobStore]:
        async with Database.open(where) as database, database.lease.hold():
            yield database.jobs

    return opened


# ── what every store does ───────────────────────────────────────────────────────────────────────


async def test_accepted_jobs_come_back_in_their_order_and_as_they_were(opener: Opener) -> None:
    jobs = [
        a_job(1, user=1, prompt="first"),
        a_job(2, user=2, prompt="nul \0, half \ud800, whole 🦊, ñ, \"'\\", negative="blurry", tier=2),
        a_job(
            3,
            user=1,
            seed=MAX_SEED,
            kind="edit",
            locale="es-ES",
            sources=(SourceImage(key="ab" * 32, size=Size(width=3, height=4)),),
            variation=Variation(seed=5, strength=0.25),
        ),
    ]
    async with opener() as store:
        await asyncio.gather(store.accept(jobs[1:], {"ab" * 32: b"bytes"}), store.accept(jobs[:1], {}))
    async with opener() as store:
        backlog = await store.backlog()
        assert sorted(backlog.waiting, key=lambda job: job.number) == jobs
        assert not backlog.dispatched
        assert await store.source("ab" * 32) == b"bytes"


async def test_numbers_grow_and_never_repeat(opener: Opener) -> None:
    given_out: list[int] = []
    for _ in range(3):
        async with opener() as store:
            handed = await asyncio.gather(*(store.next_numbers(count) for count in (1, 4, 1, 60)))
            given_out += sorted(number for numbers in handed for number in numbers)
    assert given_out == sorted(set(given_out))
    assert len(given_out) == 3 * 66


async def test_a_dispatched_batch_comes_back_with_what_is_left_of_it(opener: Opener) -> None:
    one, two, three, four = jobs = [a_job(number) for number in (1, 2, 3, 4)]
    turn = dispatched(*jobs)
    async with opener() as store:
        await store.accept(jobs, {})
        await store.record(turn)
        await store.record(finished(one))
        await store.record(delivered(one))
        await store.record(Cancelled(job=three, by=9))
    async with opener() as store:
        backlog = await store.backlog()
        (batch,) = backlog.dispatched["gpu:1"]
        assert (batch.id, batch.key) == (turn.batch.id, turn.batch.key)
        assert batch.jobs == (two, four)
        assert [batch.row(index) for index in range(2)] == [1, 3]
        assert not backlog.waiting


async def test_what_runs_have_taught_is_known_at_the_next_start(opener: Opener) -> None:
    grown = Learned(version="1", rows=3, proven=3, patience=8, durations='{"load":1.5}')
    alone = Learned(version="2", why_alone="its sampler is not one of ComfyUI's own \ud800")
    async with opener() as store:
        assert await store.learned() == {}
        await store.learn("gpu:1", "mine", Learned(version="1", rows=2, proven=2))
        await store.learn("gpu:1", "mine", grown)
        await store.learn("gpu:2", "mine", alone)
    async with opener() as store:
        learned = await store.learned()
    assert learned["gpu:1"] == {"mine": grown}
    assert learned["gpu:2"]["mine"].rows is None
    assert str(learned["gpu:2"]["mine"].why_alone).startswith("its sampler is not one of")


async def test_what_was_put_back_waits_again_with_its_attempts(opener: Opener) -> None:
    job = a_job(1)
    async with opener() as store:
        await store.accept([job], {})
        await store.record(dispatched(job))
        tried = replace(job, attempts=1)
        await store.record(Requeued(job=tried, error=failed(job).error))
    async with opener() as store:
        assert (await store.backlog()).waiting == (tried,)


async def test_ended_jobs_do_not_come_back(opener: Opener) -> None:
    jobs = [a_job(number) for number in (1, 2, 3, 4)]
    async with opener() as store:
        await store.accept(jobs, {})
        await store.record(dispatched(*jobs[:2]))
        for job in jobs[:2]:
            await store.record(finished(job))
        await store.record(delivered(jobs[0]))
        await store.record(kept(jobs[1]))
        await store.record(failed(jobs[2], "a reason with a NUL \0"))
        await store.record(Cancelled(job=jobs[3], by=None))
    async with opener() as store:
        backlog = await store.backlog()
        assert not backlog.waiting
        assert not backlog.dispatched


# ── what the database does beyond ───────────────────────────────────────────────────────────────


async def test_batches_come_back_per_engine_in_the_order_of_their_handing_over(url: str) -> None:
    jobs = [a_job(number) for number in range(1, 7)]
    turns = [dispatched(job, engine=f"gpu:{job.number % 2}") for job in reversed(jobs)]
    async with Database.open(url) as database:
        await database.jobs.accept(jobs, {})
        for turn in turns:
            await database.jobs.record(turn)
    async with Database.open(url) as database:
        found = (await database.jobs.backlog()).dispatched
        for engine in ("gpu:0", "gpu:1"):
            expected = [turn.batch.id for turn in turns if turn.engine == engine]
            assert [batch.id for batch in found[engine]] == expected


async def test_a_clean_end_leaves_no_gap_in_the_numbers(url: str) -> None:
    for expected in (1, 2, 3):
        async with Database.open(url) as database, database.lease.hold():
            assert list(await database.jobs.next_numbers(1)) == [expected]


async def test_a_finished_job_may_have_been_posted_also_after_it_was_put_back(url: str) -> None:
    posted, again = a_job(1), a_job(2)
    async with Database.open(url) as database:
        await database.jobs.accept([posted, again], {})
        await database.jobs.record(dispatched(posted, again))
        await database.jobs.record(finished(posted))
        await database.jobs.record(finished(again))
        await database.jobs.record(Requeued(job=again, error=failed(again).error))
    async with Database.open(url) as database:
        backlog = await database.jobs.backlog()
        assert [job.maybe_posted for job in backlog.waiting] == [True]
        ((batch,),) = backlog.dispatched.values()
        assert [(job.id, job.maybe_posted) for job in batch.jobs] == [(posted.id, True)]


async def test_a_turn_that_was_overtaken_does_not_revive_a_job(url: str) -> None:
    job = a_job(1)
    async with Database.open(url) as database:
        await database.jobs.accept([job], {})
        await asyncio.gather(
            database.jobs.record(Cancelled(job=job, by=1)), database.jobs.record(dispatched(job))
        )
        assert not (await database.jobs.backlog()).dispatched
        record = await database.history.job(job.id)
        assert record is not None
        assert record.state == "cancelled"


async def test_a_source_stays_until_the_last_job_that_needs_it_has_ended(url: str) -> None:
    shared = SourceImage(key="aa" * 32, size=Size(width=8, height=8))
    other = SourceImage(key="bb" * 32, size=Size(width=8, height=8))
    one = a_job(1, kind="edit", sources=(shared, other))
    two = a_job(2, kind="edit", sources=(shared, shared))
    async with Database.open(url, retention=Retention(image_days=0)) as database:
        await database.jobs.accept([one], {shared.key: b"shared", other.key: b"other"})
        await database.jobs.accept([two], {shared.key: b"shared"})
        await database.jobs.record(failed(one))
        await database.janitor.prune()
        assert await database.jobs.source(shared.key) == b"shared"
        with pytest.raises(KeyError):
            await database.jobs.source(other.key)
        await database.jobs.record(Cancelled(job=two, by=2))
        await database.janitor.prune()
        with pytest.raises(KeyError):
            await database.jobs.source(shared.key)


async def test_recovery_reads_no_sources(url: str) -> None:
    """They may be many megabytes each; an engine asks for those of the batch that it gets."""
    source = SourceImage(key="aa" * 32, size=Size(width=8, height=8))
    waiting, begun = (a_job(number, kind="edit", sources=(source,)) for number in (1, 2))
    async with Database.open(url) as database:
        await database.jobs.accept([waiting, begun], {source.key: b"bytes"})
        await database.jobs.record(dispatched(begun))

        def hide(connection: object) -> None:
            connection.exec_driver_sql("ALTER TABLE sources RENAME TO out_of_sight")  # type: ignore[attr-defined]

        await database.writer.write(hide)
    async with Database.open(url) as database:
        backlog = await database.jobs.backlog()
        assert backlog.waiting == (waiting,)
        assert [batch.jobs for batch in backlog.dispatched["gpu:1"]] == [(begun,)]


async def test_sources_may_be_kept_for_another_try(url: str) -> None:
    source = SourceImage(key="cc" * 32, size=Size(width=8, height=8))
    job = a_job(1, kind="edit", sources=(source,))
    async with Database.open(url) as database:
        await database.jobs.accept([job], {source.key: b"bytes"})
        await database.jobs.record(failed(job))
        assert await database.jobs.source(source.key) == b"bytes"


async def test_what_arrives_during_a_commit_shares_the_next(url: str) -> None:
    groups: list[int] = []
    async with Database.open(url, on_commit=lambda seconds, changes: groups.append(changes)) as database:
        jobs = [a_job(number) for number in range(1, 301)]
        groups.clear()
        await asyncio.gather(*(database.jobs.accept([job], {}) for job in jobs))
        assert sum(groups) >= 300
        assert len(groups) <= 10
        assert len((await database.jobs.backlog()).waiting) == 300


async def test_acceptance_waits_until_others_can_see_it(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        for number in (1, 2, 3):
            await database.jobs.accept([a_job(number)], {})
            other = sqlite3.connect(tmp_path / "bot.db")
            assert other.execute("SELECT count(*) FROM jobs").fetchone() == (number,)
            other.close()


async def test_one_faulty_change_harms_only_whoever_asked_for_it(url: str) -> None:
    async with Database.open(url) as database:
        await database.jobs.accept([a_job(1)], {})
        jobs = [a_job(number) for number in (2, 1, 3)]
        outcomes = await asyncio.gather(
            *(database.jobs.accept([job], {}) for job in jobs), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), IntegrityError, type(None)]
        waiting = (await database.jobs.backlog()).waiting
        assert [job.number for job in waiting] == [1, 2, 3]
        assert jobs[1] not in waiting


async def test_a_cancelled_acceptance_leaves_nothing_behind(url: str) -> None:
    async with Database.open(url) as database:
        accepted = []
        for number in range(1, 40):
            job = a_job(number)
            accepting = asyncio.ensure_future(database.jobs.accept([job], {}))
            for _ in range(number % 8):
                await asyncio.sleep(0.0003)
            if not accepting.cancel():
                accepted.append(job)
            await asyncio.wait({accepting})
        await database.jobs.accept([last := a_job(1000)], {})
        assert (await database.jobs.backlog()).waiting == (*accepted, last)


async def test_a_process_that_was_replaced_writes_nothing_more(url: str) -> None:
    async with Database.open(url) as database, database.lease.hold():
        await database.jobs.accept([accepted := a_job(1)], {})

        def usurp(connection: object) -> None:
            connection.exec_driver_sql("UPDATE lease SET epoch = epoch + 1")  # type: ignore[attr-defined]

        await database.writer.write(usurp)
        with pytest.raises(LeaseLost):
            await database.jobs.accept([a_job(2)], {})
        with pytest.raises(LeaseLost):
            await database.jobs.record(dispatched(accepted))
        assert database.lease.lost.is_set()
        assert not database.lease.safe()
        backlog = await database.jobs.backlog()
        assert backlog.waiting == (accepted,)
        assert not backlog.dispatched


async def test_a_closed_database_refuses(url: str) -> None:
    async with Database.open(url) as database:
        pass
    with pytest.raises(StoreUnavailable):
        await database.jobs.accept([a_job(1)], {})


# ── pure ────────────────────────────────────────────────────────────────────────────────────────

_SIZES = st.builds(Size, width=st.integers(1, 9999), height=st.integers(1, 9999))
_REQUESTS = st.builds(
    request,
    user=st.integers(1, 2**63 - 1),
    prompt=st.text(st.characters(), max_size=300),
    kind=st.sampled_from(["imagine", "edit", "upscale"]),
    seed=st.integers(0, MAX_SEED),
    size=_SIZES,
    tier=st.integers(0, 9),
    negative=st.text(max_size=20),
    sources=st.lists(st.builds(SourceImage, key=st.text("0123456789abcdef"), size=_SIZES), max_size=2).map(
        tuple
    ),
    variation=st.none()
    | st.builds(Variation, seed=st.integers(0, MAX_SEED), strength=st.floats(0, 1, allow_nan=False)),
    age_restricted=st.booleans(),
    strength=st.none() | st.integers(1, 20).map(lambda steps: steps / 20),
    mask=st.none() | st.builds(SourceImage, key=st.text("0123456789abcdef"), size=_SIZES),
    lora=st.none()
    | st.builds(
        LoraUse,
        name=st.text(max_size=9),
        label=st.text(max_size=9),
        file=st.text(max_size=9),
        strength=st.integers(-8, 8).map(lambda quarters: quarters / 4),
        clip=st.booleans(),
        words=st.text(max_size=9),
    ),
    style=st.none()
    | st.builds(
        Style,
        name=st.text(max_size=9),
        label=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=2).map(tuple),
        prompt=st.text(max_size=9),
        negative=st.text(max_size=9),
    ),
)
_WITH_ORIGINS = st.builds(
    lambda wanted, before, kind, models, together: replace(
        wanted, origin=before and replace(before.as_origin(kind), models=models), set=together
    ),
    _REQUESTS,
    st.none() | _REQUESTS,
    st.sampled_from(["edit", "upscale"]),
    st.lists(st.text(max_size=9), min_size=1, max_size=6).map(tuple),
    st.none() | st.builds(PictureSet, id=st.text("0123456789abcdef"), count=st.integers(2, 10)),
)


@settings(max_examples=examples(70), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_WITH_ORIGINS)
def test_requests_and_keys_survive_their_text(wanted: object) -> None:
    assert request_from_text(request_to_text(wanted)) == wanted  # type: ignore[arg-type]
    key = a_job(1, wanted).key  # type: ignore[arg-type]
    assert key_from_text(key_to_text(key)) == key
    assert request_to_text(wanted).isascii()  # type: ignore[arg-type]


def test_a_request_that_an_earlier_version_wrote_is_read() -> None:
    written = (
        '{"user_id":1,"guild_id":2,"channel_id":3,"locale":"en","kind":"upscale","model":"upscale",'
        '"prompt":"a fox","size":[128,128],"seed":5,"sources":[["ab",64,64]]}'
    )
    old = request_from_text(written)
    assert (old.origin, old.maker, old.models, old.set) == (None, old, ("upscale",), None)
    assert request_to_text(old) == written


def test_where_a_picture_came_from_keeps_nobody_apart_and_stays_small() -> None:
    model = offer("upscale", kind="upscale")
    asked = chain = request(prompt="a fox" * 1000, size=Size(width=64, height=64))
    for _ in range(40):
        chain = request(model="upscale", kind="upscale", origin=chain.as_origin("upscale"))
        chain = request(model="flux_edit", kind="edit", prompt="x", origin=chain.as_origin("edit"))
    upscaled = request(model="upscale", kind="upscale", origin=chain.as_origin("upscale"))
    assert batch_key(upscaled, model) == batch_key(replace(upscaled, origin=None), model)
    assert len(request_to_text(upscaled)) < 1000
    assert upscaled.maker is chain
    assert request(kind="upscale", origin=asked.as_origin("upscale")).maker is asked


def test_a_batch_keeps_its_jobs_in_order() -> None:
    jobs = [a_job(2), a_job(1)]
    assert a_batch(*jobs).jobs == tuple(jobs)
