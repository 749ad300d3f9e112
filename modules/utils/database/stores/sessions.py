"""Whose private channel is which."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update

from modules.utils.database.connections import Connections
from modules.utils.database.models import SessionRow
from modules.utils.database.rows import SessionRecord
from modules.utils.database.statements import upsert
from modules.utils.database.writer import GroupWriter

_COLUMNS = (
    SessionRow.guild_id,
    SessionRow.user_id,
    SessionRow.channel_id,
    SessionRow.last_used_at,
    SessionRow.warned,
)
_PUT = upsert(SessionRow)


class SessionStore:
    """Sessions by guild and user. Methods raise `StoreUnavailable` when the database is away too long."""

    def __init__(self, *, writer: GroupWriter, connections: Connections) -> None:
        self._writer = writer
        self._connections = connections

    async def get(self, guild_id: int, user_id: int) -> SessionRecord | None:
        """The person's session in this guild."""
        found = await self._find(SessionRow.guild_id == guild_id, SessionRow.user_id == user_id)
        return found[0] if found else None

    async def by_channel(self, channel_id: int) -> SessionRecord | None:
        """The session whose channel this is."""
        found = await self._find(SessionRow.channel_id == channel_id)
        return found[0] if found else None

    async def of_guild(self, guild_id: int) -> list[SessionRecord]:
        """All sessions of a guild, the longest unused first."""
        return await self._find(SessionRow.guild_id == guild_id)

    async def put(self, record: SessionRecord) -> None:
        """Note a session, replacing the person's former one."""
        await self._writer.execute((_PUT, asdict(record)))

    async def touch(self, guild_id: int, user_id: int, at: float) -> None:
        """The session was used at ``at`` (Unix seconds): it is not about to be closed any more."""
        change = update(SessionRow).where(SessionRow.guild_id == guild_id, SessionRow.user_id == user_id)
        await self._writer.execute(change.values(last_used_at=at, warned=False))

    async def remove(self, guild_id: int, user_id: int) -> None:
        """The session is over."""
        await self._writer.execute(
            delete(SessionRow).where(SessionRow.guild_id == guild_id, SessionRow.user_id == user_id)
        )

    async def _find(self, *conditions: Any) -> list[SessionRecord]:
        query = select(*_COLUMNS).where(*conditions).order_by(SessionRow.last_used_at)
        async with self._connections.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [SessionRecord(**row._mapping) for row in rows]
