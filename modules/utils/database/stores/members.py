"""Who may not use the bot, and what each person has used up today."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from math import inf

from sqlalchemy import delete, select, text

from modules.queue_manager.jobs import Job
from modules.utils.database.codec import storable
from modules.utils.database.models import BlockRow
from modules.utils.database.statements import upsert
from modules.utils.database.stores.store import Store
from modules.utils.database.writer import Rows

_BLOCK = upsert(BlockRow)
_BEGIN_DAY = text("INSERT INTO quotas (user_id, day, used) VALUES (:user_id, :day, 0) ON CONFLICT DO NOTHING")
_SPEND = text(
    "UPDATE quotas SET used = used + :count"
    " WHERE user_id = :user_id AND day = :day AND used + :count <= :limit"
)
_REFUND = text(
    "UPDATE quotas SET used = CASE WHEN used > :count THEN used - :count ELSE 0 END"
    " WHERE user_id = :user_id AND day = :day"
)


_REFUND_UNENDED = text(
    "UPDATE quotas SET used = CASE WHEN used > 0 THEN used - 1 ELSE 0 END WHERE user_id = :user_id"
    " AND day = :day AND EXISTS (SELECT 1 FROM jobs WHERE id = :job_id AND ended_at IS NULL)"
)


def day_of(unix: float) -> str:
    """The day (UTC, as YYYY-MM-DD) that a request of this time is counted in."""
    return datetime.fromtimestamp(unix, timezone.utc).date().isoformat()


def refund_of(job: Job) -> Rows:
    """Gives one picture of the daily limit back to the owner of a job that ends without a picture. It is in
    the transaction that ends the job and runs before the end itself, so that a repeat changes nothing."""
    values = {"user_id": job.request.user_id, "day": day_of(job.queued_at), "job_id": job.id}
    return Rows(rank=2, statement=_REFUND_UNENDED, parameters=[values])


@dataclass(kw_only=True)
class Members(Store):
    """Blocks and daily quotas. ``day`` is written as in ``2026-01-31``."""

    unix: Callable[[], float]

    async def block(self, user_id: int, *, by: int | None = None, reason: str = "") -> None:
        """From now on the person may not use the bot."""
        values = {
            "user_id": user_id,
            "blocked_at": self.unix(),
            "blocked_by": by,
            "reason": storable(reason, 500),
        }
        await self.writer.execute((_BLOCK, values))

    async def unblock(self, user_id: int) -> bool:
        """The person may use the bot again; False if they were not blocked."""
        return await self.writer.execute(delete(BlockRow).where(BlockRow.user_id == user_id)) > 0

    async def is_blocked(self, user_id: int) -> bool:
        """Whether the person may not use the bot."""
        query = select(BlockRow.user_id).where(BlockRow.user_id == user_id)
        return bool(await self.connections.rows(query))

    async def blocked(self) -> list[int]:
        """The ids of all who are blocked, the latest first."""
        query = select(BlockRow.user_id).order_by(BlockRow.blocked_at.desc())
        return [row.user_id for row in await self.connections.rows(query)]

    async def spend(self, user_id: int, day: str, count: int, limit: int) -> bool:
        """Take ``count`` of the person's ``limit`` pictures of ``day``: all of them, or none and False."""
        who = {"user_id": user_id, "day": day}
        spent = (_SPEND, {**who, "count": count, "limit": limit})
        return await self.writer.execute((_BEGIN_DAY, who), spent) > 0

    async def refund(self, user_id: int, day: str, count: int) -> None:
        """Give back pictures that were not made."""
        values = {"user_id": user_id, "day": day, "count": count}
        await self.writer.execute((_REFUND, values), patience=inf)
