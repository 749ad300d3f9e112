"""What people asked for and what came of it: for ``/history``, buttons, ``find`` and ``/forget``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import delete, exists, func, not_, select, update

from modules.queue_manager.jobs import GenerationRequest, JobId, Picture, Size
from modules.queue_manager.ports import RunReport
from modules.utils.database.codec import request_from_text
from modules.utils.database.models import (
    JobRow,
    JobSourceRow,
    PictureRow,
    PreferencesRow,
    SourceRow,
    StatusMessageRow,
)
from modules.utils.database.rows import JobRecord, JobRecordState
from modules.utils.database.stores.pictures import PictureShelf
from modules.utils.database.stores.preferences import Preferences
from modules.utils.database.stores.store import Store

LOOKED_THROUGH = 200
"""How many jobs are searched at once, the latest first."""

_WITH_PICTURE = JobRow.state.in_(("delivered", "kept"))


@dataclass(kw_only=True)
class History(Store):
    """Jobs, ended or not."""

    shelf: PictureShelf
    preferences: Preferences

    async def job(self, job_id: JobId) -> JobRecord | None:
        """The job of this id, unless it was pruned or forgotten."""
        return await self._first(JobRow.id == job_id)

    async def by_number(self, number: int) -> JobRecord | None:
        """The job of this number."""
        return await self._first(JobRow.number == number)

    async def by_message(self, message_id: int) -> JobRecord | None:
        """The job whose result this message carries; if it shows a set, the job of the first picture."""
        found = await self.of_message(message_id)
        return found[0] if found else None

    async def of_message(self, message_id: int) -> list[JobRecord]:
        """The jobs whose results this message carries, in the order of their numbers."""
        return (await self._find(JobRow.message_id == message_id, limit=25))[::-1]

    async def of_user(
        self,
        user_id: int,
        *,
        before: int | None = None,
        limit: int = 25,
        fits: Callable[[GenerationRequest], bool] = lambda _: True,
    ) -> list[JobRecord]:
        """The person's pictures that fit, the newest first; ``before``: only lower numbers (for the next
        page)."""
        found: list[JobRecord] = []
        while len(found) < limit:
            conditions = [JobRow.user_id == user_id, _WITH_PICTURE]
            if before is not None:
                conditions.append(JobRow.number < before)
            records = await self._find(*conditions, limit=LOOKED_THROUGH)
            found += [record for record in records if fits(record.request)]
            if len(records) < LOOKED_THROUGH:
                break
            before = records[-1].number
        return found[:limit]

    async def models_used(self, user_id: int | None = None) -> list[str]:
        """The models of the latest pictures, of one person or of everybody, the most used first."""
        latest = select(JobRow.request).where(_WITH_PICTURE).order_by(JobRow.number.desc())
        if user_id is not None:
            latest = latest.where(JobRow.user_id == user_id)
        rows = await self.connections.rows(latest.limit(LOOKED_THROUGH))
        used = Counter(model for row in rows for model in request_from_text(row.request).models)
        return [model for model, _ in used.most_common()]

    async def last_picture(self, user_id: int) -> JobRecord | None:
        """The person's last job that gave a picture (see `picture` for its bytes)."""
        return await self._first(JobRow.user_id == user_id, _WITH_PICTURE)

    async def picture(self, job_id: JobId) -> Picture | None:
        """The job's picture, if its bytes are stored: a person's last one, or one kept for them."""
        return await self.shelf.picture(job_id)

    async def last_queued_at(self, user_id: int) -> float | None:
        """When the person last asked for a picture (Unix seconds)."""
        latest = select(JobRow.queued_at).where(JobRow.user_id == user_id).order_by(JobRow.number.desc())
        rows = await self.connections.rows(latest.limit(1))
        return rows[0].queued_at if rows else None

    async def active_users(self) -> frozenset[int]:
        """The people with a job that has not ended."""
        query = select(JobRow.user_id).where(JobRow.ended_at.is_(None)).distinct()
        return frozenset(row.user_id for row in await self.connections.rows(query))

    async def recent_prompts(self, user_id: int, contains: str = "", limit: int = 25) -> list[str]:
        """The person's own prompts that hold ``contains``, whatever its case; each once, the newest first."""
        latest = select(JobRow.request).where(JobRow.user_id == user_id).order_by(JobRow.number.desc())
        rows = await self.connections.rows(latest.limit(LOOKED_THROUGH))
        prompts = dict.fromkeys(request_from_text(row.request).prompt for row in rows)
        wanted = contains.casefold()
        return [prompt for prompt in prompts if wanted in prompt.casefold()][:limit]

    async def undelivered(self, user_id: int) -> list[tuple[JobRecord, Picture]]:
        """Pictures that could not be posted anywhere and wait for their owner, the oldest first."""
        waiting = await self._find(JobRow.user_id == user_id, JobRow.state == "kept", limit=25)
        found = [(record, await self.shelf.picture(record.job_id)) for record in reversed(waiting)]
        return [(record, picture) for record, picture in found if picture is not None]

    async def kept_for(self) -> list[int]:
        """The people for whom undelivered pictures wait, starting with the one who has waited longest."""
        query = select(JobRow.user_id).where(JobRow.state == "kept").group_by(JobRow.user_id)
        return [row.user_id for row in await self.connections.rows(query.order_by(func.min(JobRow.number)))]

    async def mark_delivered(
        self, job_id: JobId, *, channel_id: int, message_id: int | None, size: Size | None
    ) -> None:
        """A kept picture reached its owner in this message and size."""
        posted: dict[str, object] = {"state": "delivered", "posted_in": channel_id, "message_id": message_id}
        if size is not None:
            posted |= {"width": size.width, "height": size.height}
        job = update(JobRow).where(JobRow.id == job_id, JobRow.state == "kept").values(**posted)
        picture = update(PictureRow).where(PictureRow.job_id == job_id).values(kept=False)
        await self.writer.execute(job, picture)

    async def delete_picture(self, job_id: JobId) -> None:
        """The owner deleted the result: its bytes go, and it is no longer anyone's last picture."""
        self.shelf.withdraw(job_id=job_id)
        await self.writer.execute(
            delete(PictureRow).where(PictureRow.job_id == job_id),
            update(JobRow)
            .where(JobRow.id == job_id, _WITH_PICTURE)
            .values(state="deleted", posted_in=None, message_id=None),
        )

    async def forget(self, user_id: int) -> None:
        """Erase the person's prompts, pictures, inputs and settings.

        Cancel their active jobs first: those rows go as well. Two things stay: the count against today's
        limit, and a block.
        """
        self.shelf.withdraw(user_id=user_id)
        theirs = select(JobRow.id).where(JobRow.user_id == user_id)
        needed = select(JobSourceRow.key).where(JobSourceRow.job_id.in_(theirs))
        elsewhere = exists().where(JobSourceRow.key == SourceRow.key, JobSourceRow.job_id.not_in(theirs))
        try:
            await self.writer.execute(
                delete(StatusMessageRow).where(StatusMessageRow.job_id.in_(theirs)),
                delete(SourceRow).where(SourceRow.key.in_(needed), not_(elsewhere)),
                delete(PictureRow).where(PictureRow.user_id == user_id),
                delete(JobRow).where(JobRow.user_id == user_id),
                delete(PreferencesRow).where(PreferencesRow.user_id == user_id),
            )
        finally:
            self.preferences.forget(user_id)
        if self.connections.dialect == "sqlite":
            # Otherwise the write-ahead log would hold the former pages until it is used again.
            async with self.connections.statements() as connection:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    async def _first(self, *conditions: Any) -> JobRecord | None:
        found = await self._find(*conditions, limit=1)
        return found[0] if found else None

    async def _find(self, *conditions: Any, limit: int) -> list[JobRecord]:
        query = select(JobRow.__table__).where(*conditions).order_by(JobRow.number.desc()).limit(limit)
        return [_record(row) for row in await self.connections.rows(query)]


def _record(row: Any) -> JobRecord:
    report = RunReport(
        engine=row.engine,
        batch_size=row.batch_size,
        started_at=row.run_started_at,
        ended_at=row.run_ended_at,
    )
    return JobRecord(
        job_id=JobId(row.id),
        number=row.number,
        request=request_from_text(row.request),
        state=cast(JobRecordState, row.state),
        queued_at=row.queued_at,
        channel_id=row.posted_in,
        message_id=row.message_id,
        ended_at=row.ended_at,
        report=None if row.run_ended_at is None else report,
        error_key=row.error_key,
        error_reason=row.error_reason,
        size=Size(width=row.width, height=row.height) if row.width and row.height else None,
    )
