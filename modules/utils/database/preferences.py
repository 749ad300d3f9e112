"""What each person chose for themselves."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, select

from modules.utils.database.connections import Connections
from modules.utils.database.models import PreferencesRow
from modules.utils.database.records import UserPreferences
from modules.utils.database.statements import upsert
from modules.utils.database.writer import GroupWriter

_COLUMNS = (
    PreferencesRow.model,
    PreferencesRow.aspect,
    PreferencesRow.locale,
    PreferencesRow.previews,
    PreferencesRow.notify,
    PreferencesRow.direct_message,
)
_PUT = upsert(PreferencesRow)


class Preferences:
    """Choices by user. Methods raise `StoreUnavailable`."""

    def __init__(self, *, writer: GroupWriter, connections: Connections, patience: float = 8.0) -> None:
        self._writer = writer
        self._connections = connections
        self._patience = patience

    async def get(self, user_id: int) -> UserPreferences:
        """The person's choices; for one who never chose, the defaults."""
        async with self._connections.reading() as connection:
            found = await connection.execute(select(*_COLUMNS).where(PreferencesRow.user_id == user_id))
            row = found.one_or_none()
        return UserPreferences() if row is None else UserPreferences(**row._mapping)

    async def put(self, user_id: int, preferences: UserPreferences) -> None:
        """Replace the person's choices."""

        def change(connection: Connection) -> None:
            connection.execute(_PUT, {"user_id": user_id, **asdict(preferences)})

        await self._writer.write(change, patience=self._patience)
