"""Sessions, history, people and pictures, over SQLite and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import StoreUnavailable
from modules.queue_manager.jobs import FusionCheck, Job, Size, SourceImage
from modules.queue_manager.ports import Cancelled, RunReport
from modules.utils.database.engine import Database
from modules.utils.database.inspection import read_fusion_checks
from modules.utils.database.retention import Janitor
from modules.utils.database.rows import Retention, SessionRecord, StatusMessageRecord, UserPreferences
from modules.utils.database.stores.members import day_of
from tests.journal import a_job, delivered, dispatched, failed, finished, kept

DAY = 86_400.0


class Wall:
    """A wall clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bot.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def database(url: str, wall: Wall) -> AsyncIterator[Database]:
    retention = Retention(history_days=30, image_days=7, image_disk_mb=1)
    async with Database.open(url, unix=wall, retention=retention) as opened:
        yield opened


async def live(database: Database, job: Job, data: bytes = b"pixels", message: int = 7) -> None:
    """Accept the job, make its picture, post it."""
    await database.jobs.accept([job], {})
    await database.jobs.record(dispatched(job))
    await database.jobs.record(finished(job, data))
    await database.jobs.record(delivered(job, message, data=data))


async def stored(database: Database, job: Job) -> None:
    """Return once the picture is in the database and not only about to be."""
    for _ in range(500):
        if not database.pictures._pending:
            break
        await asyncio.sleep(0.01)
    assert await database.history.picture(job.id) is not None


# ── sessions ────────────────────────────────────────────────────────────────────────────────────


async def test_sessions_belong_to_a_guild_and_a_user(database: Database) -> None:
    mine = SessionRecord(guild_id=2**62, user_id=1, channel_id=10, last_used_at=5.5, warned=True)
    other = SessionRecord(guild_id=2**62, user_id=2, channel_id=11, last_used_at=4.0)
    elsewhere = SessionRecord(guild_id=3, user_id=1, channel_id=12, last_used_at=1.0)
    for record in (mine, other, elsewhere):
        await database.sessions.put(record)
    assert await database.sessions.get(2**62, 1) == mine
    assert await database.sessions.by_channel(11) == other
    assert await database.sessions.of_guild(2**62) == [other, mine]
    await database.sessions.touch(2**62, 1, 9.0)
    touched = await database.sessions.get(2**62, 1)
    assert touched is not None
    assert (touched.last_used_at, touched.warned) == (9.0, False)
    await database.sessions.put(SessionRecord(guild_id=3, user_id=1, channel_id=99, last_used_at=2.0))
    assert await database.sessions.by_channel(12) is None
    await database.sessions.remove(3, 1)
    assert await database.sessions.get(3, 1) is None


# ── history ─────────────────────────────────────────────────────────────────────────────────────


async def test_history_shows_pictures_newest_first_in_pages(database: Database) -> None:
    for number in range(1, 8):
        await live(database, a_job(number, user=1), message=100 + number)
    await live(database, a_job(8, user=2), message=108)
    await database.jobs.accept([waiting := a_job(9, user=1)], {})
    await database.jobs.record(failed(waiting))
    page = await database.history.of_user(1, limit=3)
    assert [record.number for record in page] == [7, 6, 5]
    page = await database.history.of_user(1, before=5, limit=10)
    assert [record.number for record in page] == [4, 3, 2, 1]


async def test_a_record_tells_all_of_a_job(database: Database, wall: Wall) -> None:
    job = a_job(1, prompt="a fox")
    await live(database, job, message=42)
    record = await database.history.by_message(42)
    assert record is not None
    assert record == await database.history.job(job.id) == await database.history.by_number(1)
    assert (record.request, record.state, record.channel_id) == (job.request, "delivered", 8)
    assert record.report == RunReport(engine="gpu:1", batch_size=2, started_at=100.0, ended_at=104.5)
    assert record.ended_at == wall.at
    assert await database.history.by_message(43) is None

    await database.jobs.accept([unlucky := a_job(2)], {})
    await database.jobs.record(failed(unlucky, "no room" * 200))
    record = await database.history.job(unlucky.id)
    assert record is not None
    assert (record.state, record.error_key) == ("failed", "error-out-of-memory")
    assert (record.error_reason or "").startswith("no roomno room")
    assert len(record.error_reason or "") == 500


async def test_the_last_picture_is_there_with_its_bytes_also_after_a_restart(url: str) -> None:
    first, second, elses = a_job(1, user=1), a_job(2, user=1), a_job(3, user=2)
    async with Database.open(url) as database:
        await live(database, first, b"first")
        await stored(database, first)
        await live(database, second, b"second")
        await live(database, elses, b"else's")
        picture = await database.history.picture(second.id)
        assert picture is not None  # at once, before it is stored
        await stored(database, second)
    async with Database.open(url) as database:
        last = await database.history.last_picture(1)
        assert last is not None
        assert last.job_id == second.id
        picture = await database.history.picture(second.id)
        assert picture is not None
        assert (picture.data, picture.media_type, picture.size) == (
            b"second",
            "image/png",
            Size(width=64, height=48),
        )
        assert await database.history.picture(first.id) is None  # only the last one is stored
        assert await database.history.last_picture(3) is None


async def test_a_picture_that_could_be_posted_nowhere_waits_for_its_owner(url: str) -> None:
    job, again = a_job(1, user=1), a_job(2, user=1)
    async with Database.open(url) as database:
        for unposted, data in ((job, b"one"), (again, b"two")):
            await database.jobs.accept([unposted], {})
            await database.jobs.record(finished(unposted, data))
            await database.jobs.record(kept(unposted, data))
    async with Database.open(url) as database:
        waiting = await database.history.undelivered(1)
        assert [(record.job_id, picture.data) for record, picture in waiting] == [
            (job.id, b"one"),
            (again.id, b"two"),
        ]
        await database.history.mark_delivered(
            job.id, channel_id=5, message_id=6, size=Size(width=12, height=34)
        )
        assert [record.job_id for record, _ in await database.history.undelivered(1)] == [again.id]
        record = await database.history.by_message(6)
        assert record is not None
        assert (record.job_id, record.state) == (job.id, "delivered")
        assert record.size == Size(width=12, height=34)


async def test_recent_prompts_are_found_by_a_part_whatever_its_case(database: Database) -> None:
    prompts = ["A Red Fox", "ein ROTER Fuchs", "a blue fox", "ÑANDÚ 100%", "A Red Fox"]
    for number, prompt in enumerate(prompts, 1):
        await database.jobs.accept([a_job(number, user=1, prompt=prompt)], {})
    await database.jobs.accept([a_job(9, user=2, prompt="another's fox")], {})
    assert await database.history.recent_prompts(1, "FOX", 5) == ["A Red Fox", "a blue fox"]
    assert await database.history.recent_prompts(1, "ñandú") == ["ÑANDÚ 100%"]
    assert await database.history.recent_prompts(1, "%") == ["ÑANDÚ 100%"]
    assert await database.history.recent_prompts(1, "", 2) == ["A Red Fox", "ÑANDÚ 100%"]


async def test_a_deleted_picture_is_nobodys_last(database: Database) -> None:
    older, newer = a_job(1, user=1), a_job(2, user=1)
    await live(database, older)
    await live(database, newer, b"secret")
    await database.history.delete_picture(newer.id)
    last = await database.history.last_picture(1)
    assert last is not None
    assert last.job_id == older.id
    assert await database.history.picture(newer.id) is None
    record = await database.history.job(newer.id)
    assert record is not None
    assert (record.state, record.message_id) == ("deleted", None)


async def test_forget_erases_every_word_and_picture_of_a_person(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        source = SourceImage(key="dd" * 32, size=Size(width=8, height=8))
        mine = a_job(1, user=1, prompt="zebra-secret", kind="edit", sources=(source,))
        others = a_job(2, user=2, prompt="somebody else's")
        await database.jobs.accept([mine], {source.key: b"zebra-source"})
        await database.jobs.record(finished(mine, b"zebra-picture"))
        await database.jobs.record(delivered(mine, data=b"zebra-picture"))
        await stored(database, mine)
        await live(database, others, b"others")
        await database.preferences.put(1, UserPreferences(model="zebra-model"))
        await database.members.block(1, reason="spam")
        assert await database.members.spend(1, "2026-01-31", 3, 5)

        await database.history.forget(1)

        assert await database.history.job(mine.id) is None
        assert await database.history.recent_prompts(1) == []
        assert await database.history.picture(mine.id) is None
        assert await database.preferences.get(1) == UserPreferences()
        assert await database.history.job(others.id) is not None
        assert await database.members.is_blocked(1)
        assert not await database.members.spend(1, "2026-01-31", 3, 5)  # a day's limit holds on
    rows = sqlite3.connect(tmp_path / "bot.db")
    dump = "\n".join(rows.iterdump())
    rows.close()
    assert "zebra" not in dump
    assert b"zebra".hex() not in dump.lower()
    # Nor may it be read from the file's freed pages.
    assert_nowhere(b"zebra", tmp_path)


def assert_nowhere(word: bytes, folder: Path) -> None:
    for file in folder.iterdir():
        assert word not in file.read_bytes(), file.name


# ── people ──────────────────────────────────────────────────────────────────────────────────────


async def test_preferences_come_back_as_they_were_put(database: Database) -> None:
    assert await database.preferences.get(1) == UserPreferences()
    chosen = UserPreferences(model="flux", aspect="wide", locale="es-ES", previews=False, direct_message=True)
    await database.preferences.put(1, UserPreferences())
    await database.preferences.put(1, chosen)
    assert await database.preferences.get(1) == chosen
    assert await database.preferences.get(2) == UserPreferences()


async def test_blocks_last_until_lifted(database: Database, wall: Wall) -> None:
    await database.members.block(7, by=1, reason="spam\0")
    assert await database.members.is_blocked(7)
    assert not await database.members.is_blocked(8)
    assert await database.members.blocked() == [7]
    (row,) = await database.connections.rows(text("SELECT blocked_by, reason, blocked_at FROM blocks"))
    assert tuple(row) == (1, "spam", wall.at)
    assert await database.members.unblock(7)
    assert not await database.members.unblock(7)
    assert await database.members.blocked() == []


async def test_who_gets_no_picture_has_it_back_with_the_journals_turn(database: Database) -> None:
    """Nothing else has to happen after the turn, and a turn that is written twice counts once."""
    members, jobs = database.members, [a_job(number) for number in (1, 2, 3, 4)]
    user, day = jobs[0].request.user_id, day_of(jobs[0].queued_at)
    assert await members.spend(user, day, 4, 4)
    await database.jobs.accept(jobs, {})
    await database.jobs.record(failed(jobs[0]))
    await database.jobs.record(failed(jobs[0]))
    await asyncio.gather(
        database.jobs.record(Cancelled(job=jobs[1], by=None)), database.jobs.record(delivered(jobs[2]))
    )
    await database.jobs.record(Cancelled(job=jobs[2], by=None))
    assert not await members.spend(user, day, 3, 4)
    assert await members.spend(user, day, 2, 4)


async def test_a_days_pictures_are_spent_exactly_and_refunded(database: Database) -> None:
    members, day = database.members, "2027-01-15"
    spent = await asyncio.gather(*(members.spend(1, day, 1, 10) for _ in range(50)))
    assert spent.count(True) == 10
    await members.refund(1, day, 2)
    assert not await members.spend(1, day, 3, 10)
    assert await members.spend(1, day, 2, 10)
    await members.refund(1, day, 99)
    assert not await members.spend(1, day, 11, 10)
    assert await members.spend(1, day, 10, 10)
    assert await members.spend(1, "2027-01-16", 10, 10)


async def test_key_values_and_status_messages_outlive_the_process(url: str) -> None:
    one, two = a_job(1), a_job(2)
    async with Database.open(url) as database:
        await database.jobs.accept([one, two], {})
        await database.key_values.put("commands", "old")
        await database.key_values.put("commands", "new")
        await database.status_messages.put([one.id], 5, 6)
        await database.status_messages.put([two.id], 5, 7)
        await database.status_messages.put([one.id], 5, 8)
        await database.status_messages.remove([two.id])
    async with Database.open(url) as database:
        assert await database.key_values.get("commands") == "new"
        assert await database.key_values.get("other") is None
        shown = StatusMessageRecord(job_id=one.id, channel_id=5, message_id=8)
        assert await database.status_messages.all() == [shown]


# ── keeping ─────────────────────────────────────────────────────────────────────────────────────


async def test_old_rows_go_and_active_ones_stay(database: Database, wall: Wall) -> None:
    old, active = a_job(1, user=1), a_job(2, user=1)
    await live(database, old)
    await stored(database, old)
    await database.jobs.accept([active], {})
    await database.status_messages.put([old.id], 1, 2)
    await database.status_messages.put([active.id], 1, 3)
    wall.at += 8 * DAY
    await database.janitor.prune()
    assert await database.history.picture(old.id) is None
    assert await database.history.job(old.id) is not None
    wall.at += 30 * DAY
    await live(database, young := a_job(3, user=1))
    await database.janitor.prune()
    assert await database.history.job(old.id) is None
    assert await database.history.job(young.id) is not None
    assert [job.number for job in (await database.jobs.backlog()).waiting] == [2]
    assert [shown.job_id for shown in await database.status_messages.all()] == [active.id]


async def test_inputs_that_are_kept_for_another_try_go_after_some_days(url: str, wall: Wall) -> None:
    sources = [SourceImage(key=f"{number:064x}", size=Size(width=8, height=8)) for number in range(3)]
    jobs = [a_job(number, kind="edit", sources=(source,)) for number, source in enumerate(sources, 1)]
    retention = Retention(history_days=30, image_days=7)
    async with Database.open(url, unix=wall, retention=retention) as database:
        for job, source in zip(jobs[:2], sources[:2], strict=True):
            await database.jobs.accept([job], {source.key: b"bytes"})
        await database.jobs.record(failed(jobs[0]))
        wall.at += 8 * DAY
        await database.jobs.accept([jobs[2]], {sources[2].key: b"bytes"})
        await database.jobs.record(failed(jobs[2]))
        await database.janitor.prune()
        with pytest.raises(KeyError):
            await database.jobs.source(sources[0].key)
        assert await database.jobs.source(sources[1].key)  # of a job that lives
        assert await database.jobs.source(sources[2].key)  # young


async def test_one_start_with_a_wrong_date_removes_nothing(
    tmp_path: Path, wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    url, job = f"sqlite:///{tmp_path}/bot.db", a_job(1, user=1)
    wall.at = job.queued_at
    async with Database.open(url, unix=wall) as database, database.lease.hold():
        await live(database, job)
    for ahead, left in ((3650, True), (10, True)):
        caplog.clear()
        wall.at = job.queued_at + ahead * DAY
        async with Database.open(url, unix=wall, retention=Retention(history_days=5)) as database:
            assert await database.janitor._trusts_the_clock() is (ahead == 10)
            if ahead == 3650:
                async with database.lease.hold(), timeout(15):
                    while "in case the clock is wrong, nothing is removed" not in caplog.text:
                        await asyncio.sleep(0.01)
            assert (await database.history.job(job.id) is not None) is left
            wall.at += 3 * DAY  # it jumps while the bot runs
            assert not await database.janitor._trusts_the_clock()
            assert "The clock has jumped ahead by 3.0 days; in case" in caplog.text


async def test_an_undelivered_picture_is_removed_with_the_history_alone_and_not_in_silence(
    database: Database, wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    """The fixture's limits: 7 days for pictures, 30 for the history, 1 MB of disk."""
    jobs = [a_job(number, user=number) for number in (1, 2)]
    for job in jobs:
        await database.jobs.accept([job], {})
        await database.jobs.record(kept(job, b"x" * 900_000))
    assert await database.history.kept_for() == [1, 2]
    wall.at += 20 * DAY
    await database.janitor.prune()
    assert [len(await database.history.undelivered(user)) for user in (1, 2)] == [1, 1]
    wall.at += 20 * DAY
    await database.janitor.prune()
    assert await database.history.kept_for() == []
    assert "could not be delivered within HISTORY_DAYS (30) are removed: #1, #2" in caplog.text


async def test_over_the_disks_limit_the_oldest_pictures_go_first(database: Database, wall: Wall) -> None:
    jobs = [a_job(number, user=number) for number in range(1, 6)]
    for job in jobs:
        await live(database, job, bytes(300_000))
        await stored(database, job)
        wall.at += 60
    await database.janitor.prune()
    found = [await database.history.picture(job.id) is not None for job in jobs]
    assert found == [False, False, True, True, True]


async def test_over_the_disks_limit_inputs_go_by_their_age_as_pictures_do(url: str, wall: Wall) -> None:
    keys = [f"{number:064x}" for number in range(4)]
    edits = [
        a_job(number, user=9, kind="edit", sources=(SourceImage(key=key, size=Size(width=8, height=8)),))
        for number, key in enumerate(keys, 1)
    ]
    between = a_job(5, user=5)
    async with Database.open(url, unix=wall, retention=Retention(image_disk_mb=1)) as database:
        for edit, key in zip(edits, keys, strict=True):
            await database.jobs.accept([edit], {key: bytes(300_000)})
            await database.jobs.record(failed(edit))
            wall.at += 60
            if edit is edits[1]:
                await live(database, between, bytes(300_000))
                await stored(database, between)
                wall.at += 60
        await database.janitor.prune()
        for key in keys[:2]:
            with pytest.raises(KeyError):
                await database.jobs.source(key)
        assert await database.history.picture(between.id) is not None
        assert [len(await database.jobs.source(key)) for key in keys[2:]] == [300_000, 300_000]


async def test_inputs_of_active_jobs_are_not_removed_for_want_of_room(database: Database) -> None:
    source = SourceImage(key="ee" * 32, size=Size(width=8, height=8))
    active = a_job(1, kind="edit", sources=(source,))
    await database.jobs.accept([active], {source.key: bytes(2_000_000)})
    await live(database, other := a_job(2, user=5), bytes(300_000))
    await database.janitor.prune()
    assert len(await database.jobs.source(source.key)) == 2_000_000
    assert await database.history.picture(other.id) is None


async def test_a_locked_file_shrinks_later(tmp_path: Path) -> None:
    file = tmp_path / "bot.db"
    async with Database.open(f"sqlite:///{file}") as database:
        async with database.connections.statements() as connection:
            await connection.exec_driver_sql("PRAGMA busy_timeout = 0")
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await database.janitor._shrink()
        await database.janitor._shrink()


async def test_housekeeping_that_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def prune(_: Janitor) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Janitor, "prune", prune)
    url = f"sqlite:///{tmp_path}/bot.db"
    async with Database.open(url) as database, database.lease.hold(), timeout(15):
        while not caplog.records:
            await asyncio.sleep(0.01)
    assert "The task janitor has failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_the_file_shrinks_when_pictures_go(tmp_path: Path, wall: Wall) -> None:
    file = tmp_path / "bot.db"
    async with Database.open(f"sqlite:///{file}", unix=wall) as database:
        for number in range(1, 5):
            await live(database, job := a_job(number, user=number), bytes(1_000_000))
            await stored(database, job)
        wall.at += 8 * DAY
        await database.janitor.prune()
    assert file.stat().st_size < 1_000_000


async def test_the_last_fusion_check_of_each_model_is_kept_for_each_server(url: str) -> None:
    passed = FusionCheck(version="1", checked_at=1_800_000_000.5, gain=2.1, rows=4)
    failed = FusionCheck(version="2", checked_at=1_800_000_100.0, why_alone="its pictures differ")
    async with Database.open(url) as database, database.lease.hold(), Database.open(url) as command:
        await command.fusion_checks.put("gpu:1", "flux", passed)
        await command.fusion_checks.put("gpu:1", "z-image", passed)
        await command.fusion_checks.put("gpu:1", "flux", failed)
        assert await database.fusion_checks.of("gpu:1") == {"flux": failed, "z-image": passed}
        assert await database.fusion_checks.of("gpu:2") == {}
    assert await read_fusion_checks(url) == {"gpu:1": {"flux": failed, "z-image": passed}}


async def test_where_nothing_was_checked_nothing_is_known_and_nothing_is_made(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    assert await read_fusion_checks(f"sqlite:///{file}") == {}
    assert not file.exists()
    sqlite3.connect(file).close()
    assert await read_fusion_checks(f"sqlite:///{file}") == {}, "tables of an older version"
    assert await read_fusion_checks("mysql://nonsense") == {}
