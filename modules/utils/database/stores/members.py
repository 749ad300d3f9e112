"""Who may not use the bot, and what each person has used up today."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, select, text

from modules.utils.database.codec import storable
from modules.utils.database.connections import Connections
from modules.utils.database.models import BlockRow
from modules.utils.database.rows import BlockRecord
from modules.utils.database.statements import upsert
from modules.utils.database.writer import GroupWriter

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


class Members:
    """Blocks and daily quotas. ``day`` is such as ``2026-01-31``. Methods raise `StoreUnavailable`."""

    def __init__(
        self,
        *,
        writer: GroupWriter,
        connections: Connections,
        unix: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._connections = connections
        self._unix = unix

    async def block(self, user_id: int, *, by: int | None = None, reason: str = "") -> None:
        """The person may not use the bot from now on."""
        values = {
            "user_id": user_id,
            "blocked_at": self._unix(),
            "blocked_by": by,
            "reason": storable(reason, 500),
        }
        await self._writer.execute((_BLOCK, values))

    async def unblock(self, user_id: int) -> bool:
        """The person may use the bot again; False if they were not blocked."""
        return await self._writer.execute(delete(BlockRow).where(BlockRow.user_id == user_id)) > 0

    async def is_blocked(self, user_id: int) -> bool:
        """Whether the person may not use the bot."""
        async with self._connections.reading() as connection:
            found = await connection.execute(select(BlockRow.user_id).where(BlockRow.user_id == user_id))
            return found.scalar() is not None

    async def blocked(self) -> list[BlockRecord]:
        """Everybody who is blocked, the latest first."""
        columns = (BlockRow.user_id, BlockRow.blocked_at, BlockRow.blocked_by, BlockRow.reason)
        async with self._connections.reading() as connection:
            rows = await connection.execute(select(*columns).order_by(BlockRow.blocked_at.desc()))
            return [
                BlockRecord(user_id=user_id, blocked_at=at, by=by, reason=reason)
                for user_id, at, by, reason in rows
            ]

    async def spend(self, user_id: int, day: str, count: int, limit: int) -> bool:
        """Take ``count`` of the person's ``limit`` pictures of ``day``: all of them, or none and False."""
        who = {"user_id": user_id, "day": day}
        spent = (_SPEND, {**who, "count": count, "limit": limit})
        return await self._writer.execute((_BEGIN_DAY, who), spent) > 0

    async def refund(self, user_id: int, day: str, count: int) -> None:
        """Give back what came to nothing."""
        values = {"user_id": user_id, "day": day, "count": count}
        await self._writer.execute((_REFUND, values), patience=None)
