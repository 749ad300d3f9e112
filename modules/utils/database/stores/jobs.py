"""The journal: what must be known of each job if the process dies at this instant.

An accepted job is on disk before anyone is told; every later step is written too. All steps use the same
statement, so that those of many jobs go to the database together (see ``writer.py``). The queue in memory
decides; the journal only remembers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, text

from modules.queue_manager.jobs import Batch, Job, JobId, Learned, Picture
from modules.queue_manager.ports import (
    Backlog,
    Cancelled,
    Delivered,
    Dispatched,
    Failed,
    Finished,
    JobTurn,
    Requeued,
)
from modules.utils.database.codec import (
    key_from_text,
    key_to_text,
    request_from_text,
    request_to_text,
    storable,
)
from modules.utils.database.models import JobRow, JobSourceRow, LearnedRow, SourceRow, StatusMessageRow
from modules.utils.database.statements import insert_new, upsert
from modules.utils.database.stores.members import refund_of
from modules.utils.database.stores.pictures import PictureShelf
from modules.utils.database.stores.store import Store
from modules.utils.database.writer import Rows

ACCEPT_PATIENCE = 8.0
"""Seconds that a person's command waits for a database that is away before it is refused."""

NUMBERS_AHEAD = 50
"""Job numbers reserved by one write. A crash skips at most this many; a clean end gives them back."""

_INSERT_JOB = insert_new(JobRow)
_INSERT_SOURCE = insert_new(SourceRow)
_INSERT_NEED = insert_new(JobSourceRow)
_INSERT_STATUS = insert_new(StatusMessageRow)
_PUT_LEARNED = upsert(LearnedRow)

_TURN_COLUMNS = (
    "attempts", "engine", "batch_id", "slot", "handed_over", "batch_size", "run_started_at", "run_ended_at",
    "posted_in", "message_id", "width", "height", "ended_at", "error_key", "error_reason",
)  # fmt: skip
_TURN = text(
    "UPDATE jobs SET state = :state, "  # noqa: S608 (the names are those above)
    + ", ".join(f"{name} = COALESCE(:{name}, {name})" for name in _TURN_COLUMNS)
    # A turn that was overtaken does not revive a job that has ended.
    + " WHERE id = :id AND (ended_at IS NULL OR CAST(:ended_at AS DOUBLE PRECISION) IS NOT NULL)"
)

_DROP_SOURCE = text(
    "DELETE FROM sources WHERE key = :key AND NOT EXISTS (SELECT 1 FROM job_sources"
    " JOIN jobs ON jobs.id = job_sources.job_id"
    " WHERE job_sources.key = sources.key AND jobs.ended_at IS NULL)"
)
_DROP_JOB = text("DELETE FROM jobs WHERE id = :id")

_UNENDED = select(
    JobRow.id, JobRow.number, JobRow.request, JobRow.key, JobRow.attempts, JobRow.queued_at,
    JobRow.engine, JobRow.batch_id, JobRow.slot, JobRow.run_ended_at,
).where(JobRow.ended_at.is_(None))  # fmt: skip

_RESERVE = text("UPDATE counters SET value = value + :count WHERE name = 'jobs'")
_RESERVED = text("SELECT value FROM counters WHERE name = 'jobs'")
_GIVE_BACK = text("UPDATE counters SET value = :used WHERE name = 'jobs' AND value = :reserved")


@dataclass(kw_only=True)
class JobJournal(Store):
    """A `JobStore` in the database. A job's inputs stay after its end ("Again" and "Vary" work for days),
    until they are too old or too many."""

    shelf: PictureShelf
    unix: Callable[[], float]
    _next_number: int = field(default=1, init=False)
    _last_number: int = field(default=0, init=False)
    _reserving: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _handed_over: int = field(default=0, init=False)

    async def next_numbers(self, count: int) -> Sequence[int]:
        async with self._reserving:
            if self._last_number - self._next_number + 1 < count:
                ahead = max(count, NUMBERS_AHEAD)

                def reserve(connection: Connection) -> int:
                    connection.execute(_RESERVE, {"count": ahead})
                    return int(connection.execute(_RESERVED).scalar_one())

                self._last_number = await self.writer.write(reserve, patience=ACCEPT_PATIENCE)
                self._next_number = self._last_number - ahead + 1
            first = self._next_number
            self._next_number += count
            return range(first, first + count)

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        now, needs = self.unix(), {(source.key, job.id) for job in jobs for source in job.request.inputs}
        stored = [
            {"key": key, "size": len(data), "stored_at": now, "data": bytes(data)}
            for key, data in sources.items()
        ]
        needed = [{"key": key, "job_id": job_id} for key, job_id in sorted(needs)]
        change = (
            Rows(rank=0, statement=_INSERT_JOB, parameters=[_job_values(job) for job in jobs]),
            Rows(rank=1, statement=_INSERT_SOURCE, parameters=stored),
            Rows(rank=2, statement=_INSERT_NEED, parameters=needed),
        )
        undo = (
            Rows(rank=5, statement=_DROP_JOB, parameters=[{"id": job.id} for job in jobs]),
            Rows(rank=6, statement=_DROP_SOURCE, parameters=[{"key": key} for key in sources]),
        )
        await self.writer.write(change, patience=ACCEPT_PATIENCE, undo=undo)

    async def record(self, turn: JobTurn) -> None:
        values = self._dispatch_values(turn) if isinstance(turn, Dispatched) else [self._turn_values(turn)]
        change = [Rows(rank=3, statement=_TURN, parameters=values)]
        posted: tuple[Job, Picture] | None = None
        if isinstance(turn, (Failed, Cancelled)):
            change += [refund_of(turn.job), _to_be_told(turn.job)]
        elif isinstance(turn, Delivered) and turn.picture is not None:
            if turn.receipt.where == "kept":
                change.append(self.shelf.keeping(turn.job, turn.picture))
            else:
                posted = (turn.job, turn.picture)
        await self.writer.write(change)
        if posted is not None:
            self.shelf.offer(*posted)

    async def source(self, key: str) -> bytes:
        for row in await self.connections.rows(select(SourceRow.data).where(SourceRow.key == key)):
            return bytes(row.data)
        raise KeyError(key)

    async def backlog(self) -> Backlog:
        """Waits out a database that is away."""
        begun = await self.connections.rows_at_last(
            _UNENDED.where(JobRow.state != "queued").order_by(JobRow.handed_over, JobRow.slot)
        )
        waiting = await self.connections.rows_at_last(
            _UNENDED.where(JobRow.state == "queued").order_by(JobRow.number)
        )
        return Backlog(waiting=tuple(await _restored(waiting)), dispatched=await _batches(begun))

    async def learned(self) -> Mapping[str, Mapping[str, Learned]]:
        """Waits out a database that is away."""
        found: dict[str, dict[str, Learned]] = {}
        for row in await self.connections.rows_at_last(select(LearnedRow.__table__)):
            found.setdefault(row.engine, {})[row.model] = Learned(
                version=row.version,
                rows=row.row_limit,
                proven=row.proven,
                patience=row.patience,
                why_alone=row.why_alone,
                durations=row.durations,
            )
        return found

    async def learn(self, engine: str, model: str, learned: Learned) -> None:
        values = {
            "engine": storable(engine, 300),
            "model": storable(model, 100),
            "version": storable(learned.version, 64),
            "row_limit": learned.rows,
            "proven": learned.proven,
            "patience": learned.patience,
            "why_alone": None if learned.why_alone is None else storable(learned.why_alone, 500),
            "durations": learned.durations,
        }
        await self.writer.execute((_PUT_LEARNED, values))

    async def give_back_numbers(self) -> None:
        """At a clean end: let the next process continue with the first number that was not used."""
        used, reserved = self._next_number - 1, self._last_number
        if used < reserved:
            self._next_number, self._last_number = 1, 0
            await self.writer.execute((_GIVE_BACK, {"used": used, "reserved": reserved}), patience=1.0)

    def _dispatch_values(self, turn: Dispatched) -> list[dict[str, object]]:
        # Grows also when the wall clock is set back.
        self._handed_over = max(self._handed_over + 1, time.time_ns() // 1000)
        return [
            {
                **_NOTHING,
                "id": job.id,
                "state": "dispatched",
                "attempts": job.attempts,
                "engine": storable(turn.engine, 300),
                "batch_id": turn.batch.id,
                "slot": turn.batch.row(index),
                "handed_over": self._handed_over,
                "batch_size": len(turn.batch.jobs),
            }
            for index, job in enumerate(turn.batch.jobs)
        ]

    def _turn_values(self, turn: Requeued | Finished | Delivered | Failed | Cancelled) -> dict[str, object]:
        values = {**_NOTHING, "id": turn.job.id}
        if isinstance(turn, Requeued):
            return values | {"state": "queued", "attempts": turn.job.attempts}
        if isinstance(turn, Finished):
            return values | {
                "state": "finished",
                "engine": storable(turn.report.engine, 300),
                "batch_size": turn.report.batch_size,
                "run_started_at": turn.report.started_at,
                "run_ended_at": turn.report.ended_at,
            }
        values["ended_at"] = self.unix()
        if isinstance(turn, Cancelled):
            return values | {"state": "cancelled"}
        if isinstance(turn, Failed):
            reason = storable(turn.error.reason, 500)
            return values | {"state": "failed", "error_key": turn.error.message_key, "error_reason": reason}
        receipt = turn.receipt
        return values | {
            "state": "kept" if receipt.where == "kept" else "delivered",
            "posted_in": receipt.channel_id,
            "message_id": receipt.message_id,
            "width": receipt.size and receipt.size.width,
            "height": receipt.size and receipt.size.height,
        }


_NOTHING: dict[str, object] = dict.fromkeys(("state", *_TURN_COLUMNS))


def _job_values(job: Job) -> dict[str, object]:
    return {
        **_NOTHING,
        "id": job.id,
        "number": job.number,
        "user_id": job.request.user_id,
        "state": "queued",
        "request": request_to_text(job.request),
        "key": key_to_text(job.key),
        "attempts": job.attempts,
        "queued_at": job.queued_at,
    }


def _to_be_told(job: Job) -> Rows:
    """Its owner will be told that it ended, even if this process dies before it can do so."""
    place = {"job_id": job.id, "channel_id": job.request.channel_id, "message_id": 0}
    return Rows(rank=4, statement=_INSERT_STATUS, parameters=[place])


async def _restored(rows: Sequence[Any]) -> list[Job]:
    """The rows' jobs; lets others run now and then, since there may be many thousands."""
    jobs: list[Job] = []
    for row in rows:
        if len(jobs) % 500 == 499:
            await asyncio.sleep(0)
        job = Job(
            id=JobId(row.id),
            number=row.number,
            request=request_from_text(row.request),
            key=key_from_text(row.key),
            queued_at=row.queued_at,
            attempts=row.attempts,
            # Once there was a picture it may have been posted, even if the job is waiting again now.
            maybe_posted=row.run_ended_at is not None,
        )
        jobs.append(job)
    return jobs


async def _batches(rows: Sequence[Any]) -> dict[str, tuple[Batch, ...]]:
    """The batches by engine; each holds those of its jobs that have not ended, in order of their slots."""
    members: dict[tuple[str, str], list[tuple[Job, int]]] = {}
    for row, job in zip(rows, await _restored(rows), strict=True):
        members.setdefault((row.engine, row.batch_id), []).append((job, row.slot))
    batches: dict[str, tuple[Batch, ...]] = {}
    for (engine, batch_id), placed in members.items():
        jobs, slots = zip(*placed, strict=True)
        batch = Batch(id=batch_id, key=jobs[0].key, jobs=jobs, rows=slots)
        batches[engine] = (*batches.get(engine, ()), batch)
    return batches
