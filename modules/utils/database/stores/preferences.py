"""What each person chose for themselves."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import select

from modules.utils.database.connections import Connections
from modules.utils.database.models import PreferencesRow
from modules.utils.database.rows import UserPreferences
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


REMEMBERED = 10_000
"""People whose choices are kept in memory, those of whom something was asked last."""

_DEFAULTS = UserPreferences()


class Preferences:
    """Choices by user, asked for with every command and every picture: what was read once stays in memory,
    and is written through. Methods raise `StoreUnavailable`."""

    def __init__(self, *, writer: GroupWriter, connections: Connections) -> None:
        self._writer = writer
        self._connections = connections
        self._known: dict[int, UserPreferences] = {}
        self._changes = 0

    async def get(self, user_id: int) -> UserPreferences:
        """The person's choices; for one who never chose, the defaults."""
        known = self._known.pop(user_id, None)
        if known is not None:
            self._known[user_id] = known  # the one asked for last
            return known
        changes = self._changes
        async with self._connections.reading() as connection:
            found = await connection.execute(select(*_COLUMNS).where(PreferencesRow.user_id == user_id))
            row = found.one_or_none()
        read = _DEFAULTS if row is None else UserPreferences(**row._mapping)
        if changes == self._changes:  # else it may be out of date already
            self._remember(user_id, read)
        return read

    def forget(self, user_id: int) -> None:
        """What is known of the person's choices is not so any more, or will not be in a moment."""
        self._changes += 1
        self._known.pop(user_id, None)

    async def put(self, user_id: int, preferences: UserPreferences) -> None:
        """Replace the person's choices."""
        try:
            await self._writer.execute((_PUT, {"user_id": user_id, **asdict(preferences)}))
        finally:
            self.forget(user_id)  # also if it failed: it may have been written all the same
        self._remember(user_id, preferences)

    def _remember(self, user_id: int, preferences: UserPreferences) -> None:
        self._known[user_id] = preferences
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
