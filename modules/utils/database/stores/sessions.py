"""Who has which private channel."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update

from modules.utils.database.models import SessionRow
from modules.utils.database.rows import SessionRecord
from modules.utils.database.statements import upsert
from modules.utils.database.stores.store import Store

_PUT = upsert(SessionRow)


class SessionStore(Store):
    """Sessions by guild and user."""

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
        """Remember a session in place of the person's former one."""
        await self.writer.execute((_PUT, asdict(record)))

    async def touch(self, guild_id: int, user_id: int, at: float) -> None:
        """The session was used at ``at`` (Unix seconds), so it will not be closed soon."""
        change = update(SessionRow).where(SessionRow.guild_id == guild_id, SessionRow.user_id == user_id)
        await self.writer.execute(change.values(last_used_at=at, warned=False))

    async def remove(self, guild_id: int, user_id: int) -> None:
        """The session is over."""
        await self.writer.execute(
            delete(SessionRow).where(SessionRow.guild_id == guild_id, SessionRow.user_id == user_id)
        )

    async def _find(self, *conditions: Any) -> list[SessionRecord]:
        query = select(SessionRow.__table__).where(*conditions).order_by(SessionRow.last_used_at)
        return [SessionRecord(**row._mapping) for row in await self.connections.rows(query)]
