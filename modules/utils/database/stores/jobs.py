"""The journal: what must be known of each job if the process dies at this instant.

An accepted job is on disk before anybody hears of it; each later turn follows. Turns are updates of one
statement, so that those of many jobs travel together (see ``writer.py``). The queue in memory decides;
the journal only remembers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from modules.queue_manager.jobs import Batch, Job, JobId, Learned
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
from modules.utils.database.connections import Connections
from modules.utils.database.models import JobRow, JobSourceRow, LearnedRow, SourceRow, StatusMessageRow
from modules.utils.database.statements import insert_new, upsert
from modules.utils.database.stores.pictures import PictureShelf
from modules.utils.database.writer import GroupWriter, Rows

ACCEPT_PATIENCE = 8.0
"""Seconds that a person's command waits for a database that is away, before it is told no."""

NUMBERS_AHEAD = 50
"""Job numbers reserved with one write. A crash skips at most so many; a clean end gives them back."""

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
    # What has ended is not begun again by a turn that was overtaken.
    + " WHERE id = :id AND (ended_at IS NULL OR CAST(:ended_at AS DOUBLE PRECISION) IS NOT NULL)"
)

_DROP_SOURCE = text(
    "DELETE FROM sources WHERE key = :key AND NOT EXISTS (SELECT 1 FROM job_sources"
    " JOIN jobs ON jobs.id = job_sources.job_id"
    " WHERE job_sources.key = sources.key AND jobs.ended_at IS NULL)"
)
_DROP_JOB = text("DELETE FROM jobs WHERE id = :id")

_RESERVE = text("UPDATE counters SET value = value + :count WHERE name = 'jobs'")
_RESERVED = text("SELECT value FROM counters WHERE name = 'jobs'")
_GIVE_BACK = text("UPDATE counters SET value = :used WHERE name = 'jobs' AND value = :reserved")


class JobJournal:
    """A `JobStore` in the database.

    ``keep_sources``: leave an edit's inputs after its job's end, until they are too old or too many.
    """

    def __init__(
        self,
        *,
        writer: GroupWriter,
        connections: Connections,
        shelf: PictureShelf,
        keep_sources: bool,
        unix: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._connections = connections
        self._shelf = shelf
        self._keep_sources = keep_sources
        self._unix = unix
        self._next_number, self._last_number = 1, 0
        self._reserving = asyncio.Lock()
        self._handed_over = 0

    async def next_numbers(self, count: int) -> Sequence[int]:
        """See `JobStore`. Raises `StoreUnavailable`, `LeaseLost`."""
        async with self._reserving:
            if self._last_number - self._next_number + 1 < count:
                ahead = max(count, NUMBERS_AHEAD)
                self._last_number = await self._writer.write(_reserve(ahead), patience=ACCEPT_PATIENCE)
                self._next_number = self._last_number - ahead + 1
            first = self._next_number
            self._next_number += count
            return range(first, first + count)

    async def accept(self, jobs: Sequence[Job], sources: Mapping[str, bytes]) -> None:
        """See `JobStore`."""
        needs = [(source.key, job.id) for job in jobs for source in job.request.sources]
        change = [Rows(rank=0, statement=_INSERT_JOB, parameters=[_job_values(job) for job in jobs])]
        if sources:
            change.append(Rows(rank=1, statement=_INSERT_SOURCE, parameters=self._source_values(sources)))
        if needs:
            values = [{"key": key, "job_id": job_id} for key, job_id in dict.fromkeys(needs)]
            change.append(Rows(rank=2, statement=_INSERT_NEED, parameters=values))
        undo = [
            Rows(rank=5, statement=_DROP_JOB, parameters=[{"id": job.id} for job in jobs]),
            *_source_drops(key for key, _ in needs),
        ]
        await self._writer.write(change, patience=ACCEPT_PATIENCE, undo=undo)

    async def record(self, turn: JobTurn) -> None:
        """See `JobStore`."""
        if isinstance(turn, Dispatched):
            await self._writer.write([Rows(rank=3, statement=_TURN, parameters=self._dispatch_values(turn))])
            return
        if isinstance(turn, (Requeued, Finished)):
            await self._writer.write([Rows(rank=3, statement=_TURN, parameters=[_turn_values(turn)])])
            return
        await self._end(turn)

    async def source(self, key: str) -> bytes:
        """See `JobStore`. Raises `StoreUnavailable` if the database is away."""
        async with self._connections.reading() as connection:
            data = (await connection.execute(select(SourceRow.data).where(SourceRow.key == key))).scalar()
        if data is None:
            raise KeyError(key)
        return bytes(data)

    async def backlog(self) -> Backlog:
        """See `JobStore`. A batch holds those of its jobs that have not ended, in order of their slots.

        Waits out a database that is away.
        """
        waiting, begun = await self._connections.read_at_last(_unended)
        jobs = [job async for job in _restored(waiting)]
        return Backlog(waiting=tuple(jobs), dispatched=await _batches(begun))

    async def learned(self) -> Mapping[str, Mapping[str, Learned]]:
        """See `JobStore`. Waits out a database that is away."""
        found: dict[str, dict[str, Learned]] = {}
        for row in await self._connections.read_at_last(_all_learned):
            found.setdefault(row.engine, {})[row.model] = Learned(
                version=row.version,
                rows=row.row_limit,
                proven=row.proven,
                patience=row.patience,
                why_alone=row.why_alone,
            )
        return found

    async def learn(self, engine: str, model: str, learned: Learned) -> None:
        """See `JobStore`."""
        values = {
            "engine": storable(engine, 300),
            "model": storable(model, 100),
            "version": storable(learned.version, 64),
            "row_limit": learned.rows,
            "proven": learned.proven,
            "patience": learned.patience,
            "why_alone": None if learned.why_alone is None else storable(learned.why_alone, 500),
        }
        await self._writer.execute((_PUT_LEARNED, values))

    async def give_back_numbers(self) -> None:
        """At a clean end: let the next process go on with the first number that was not given."""
        used, reserved = self._next_number - 1, self._last_number
        if used < reserved:
            self._next_number, self._last_number = 1, 0
            await self._writer.execute((_GIVE_BACK, {"used": used, "reserved": reserved}), patience=1.0)

    async def _end(self, turn: Delivered | Failed | Cancelled) -> None:
        job = turn.job
        picture = turn.picture if isinstance(turn, Delivered) else None
        change = [
            Rows(rank=3, statement=_TURN, parameters=[{**_turn_values(turn), "ended_at": self._unix()}])
        ]
        if isinstance(turn, Delivered) and turn.receipt.where == "kept" and picture is not None:
            change.append(self._shelf.keeping(job, picture))
        if not isinstance(turn, Delivered):
            change.append(_to_be_told(job))
        if not self._keep_sources:
            change.extend(_source_drops(source.key for source in job.request.sources))
        await self._writer.write(change)
        if isinstance(turn, Delivered) and turn.receipt.where != "kept" and picture is not None:
            self._shelf.offer(job, picture)

    def _source_values(self, sources: Mapping[str, bytes]) -> list[dict[str, object]]:
        now = self._unix()
        return [
            {"key": key, "size": len(data), "stored_at": now, "data": bytes(data)}
            for key, data in sources.items()
        ]

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


def _turn_values(turn: Requeued | Finished | Delivered | Failed | Cancelled) -> dict[str, object]:
    values = {**_NOTHING, "id": turn.job.id}
    if isinstance(turn, Requeued):
        values.update(state="queued", attempts=turn.job.attempts)
    elif isinstance(turn, Finished):
        values.update(
            state="finished",
            engine=storable(turn.report.engine, 300),
            batch_size=turn.report.batch_size,
            run_started_at=turn.report.started_at,
            run_ended_at=turn.report.ended_at,
        )
    elif isinstance(turn, Delivered):
        receipt = turn.receipt
        state = "kept" if receipt.where == "kept" else "delivered"
        values.update(state=state, posted_in=receipt.channel_id, message_id=receipt.message_id)
        if receipt.size is not None:
            values.update(width=receipt.size.width, height=receipt.size.height)
    elif isinstance(turn, Failed):
        values.update(
            state="failed", error_key=turn.error.message_key, error_reason=storable(turn.error.reason, 500)
        )
    else:
        values.update(state="cancelled")
    return values


def _to_be_told(job: Job) -> Rows:
    """Its owner is to hear of its end, also if this process dies before it can say so."""
    place = {"job_id": job.id, "channel_id": job.request.channel_id, "message_id": 0}
    return Rows(rank=4, statement=_INSERT_STATUS, parameters=[place])


def _source_drops(keys: Iterable[str]) -> list[Rows]:
    """Remove these sources, but for what an active job needs."""
    parameters = [{"key": key} for key in dict.fromkeys(keys)]
    return [Rows(rank=6, statement=_DROP_SOURCE, parameters=parameters)] if parameters else []


def _reserve(count: int) -> Callable[[Connection], Any]:
    def change(connection: Connection) -> int:
        connection.execute(_RESERVE, {"count": count})
        return int((connection.execute(_RESERVED)).scalar_one())

    return change


async def _unended(connection: AsyncConnection) -> tuple[Sequence[Any], Sequence[Any]]:
    """The rows of the jobs that wait, in their order, and of those that were given to an engine."""
    columns = (
        JobRow.id, JobRow.number, JobRow.state, JobRow.request, JobRow.key, JobRow.attempts,
        JobRow.queued_at, JobRow.engine, JobRow.batch_id, JobRow.slot,
        JobRow.run_ended_at,
    )  # fmt: skip
    unended = select(*columns).where(JobRow.ended_at.is_(None))
    waiting = await connection.execute(unended.where(JobRow.state == "queued").order_by(JobRow.number))
    begun = await connection.execute(
        unended.where(JobRow.state != "queued").order_by(JobRow.handed_over, JobRow.slot)
    )
    return waiting.all(), begun.all()


async def _all_learned(connection: AsyncConnection) -> Sequence[Any]:
    return (await connection.execute(select(LearnedRow.__table__))).all()


async def _restored(rows: Sequence[Any]) -> Any:
    """The rows' jobs; lets others run now and then, since there may be many thousands."""
    for place, row in enumerate(rows):
        if place % 500 == 499:
            await asyncio.sleep(0)
        yield Job(
            id=JobId(row.id),
            number=row.number,
            request=request_from_text(row.request),
            key=key_from_text(row.key),
            queued_at=row.queued_at,
            attempts=row.attempts,
            # Once a picture was there it may have been posted, also if the job waits again since.
            maybe_posted=row.run_ended_at is not None,
        )


async def _batches(rows: Sequence[Any]) -> dict[str, tuple[Batch, ...]]:
    members: dict[tuple[str, str], list[tuple[Job, int]]] = {}
    restored = [job async for job in _restored(rows)]
    for row, job in zip(rows, restored, strict=True):
        members.setdefault((row.engine, row.batch_id), []).append((job, row.slot))
    batches: dict[str, list[Batch]] = {}
    for (engine, batch_id), placed in members.items():
        jobs, slots = zip(*placed, strict=True)
        batches.setdefault(engine, []).append(Batch(id=batch_id, key=jobs[0].key, jobs=jobs, rows=slots))
    return {engine: tuple(listed) for engine, listed in batches.items()}
