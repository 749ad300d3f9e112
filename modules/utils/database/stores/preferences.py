"""What each person chose for themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from sqlalchemy import select

from modules.utils.database.models import PreferencesRow
from modules.utils.database.rows import UserPreferences
from modules.utils.database.statements import upsert
from modules.utils.database.stores.store import Store

_COLUMNS = [getattr(PreferencesRow, choice.name) for choice in fields(UserPreferences)]
_PUT = upsert(PreferencesRow)

REMEMBERED = 10_000
"""How many people's choices are kept in memory: those that were asked for last."""


@dataclass(kw_only=True)
class Preferences(Store):
    """Choices by user. Every command and every picture asks for them, so what was read once stays in memory,
    and is written through."""

    _known: dict[int, UserPreferences] = field(default_factory=dict, init=False)
    _changes: int = field(default=0, init=False)

    async def get(self, user_id: int) -> UserPreferences:
        """The person's choices; for someone who never chose, the defaults."""
        known = self._known.pop(user_id, None)
        if known is not None:
            self._known[user_id] = known  # last in the order, since it was just asked for
            return known
        changes = self._changes
        rows = await self.connections.rows(select(*_COLUMNS).where(PreferencesRow.user_id == user_id))
        read = UserPreferences(**rows[0]._mapping) if rows else UserPreferences()
        if changes == self._changes:  # otherwise it may be out of date already
            self._remember(user_id, read)
        return read

    def forget(self, user_id: int) -> None:
        """What is in memory of the person's choices is out of date, or will be in a moment."""
        self._changes += 1
        self._known.pop(user_id, None)

    async def put(self, user_id: int, preferences: UserPreferences) -> None:
        """Replace the person's choices."""
        try:
            await self.writer.execute((_PUT, {"user_id": user_id, **asdict(preferences)}))
        finally:
            self.forget(user_id)  # even if it failed: it may have been written all the same
        self._remember(user_id, preferences)

    def _remember(self, user_id: int, preferences: UserPreferences) -> None:
        self._known[user_id] = preferences
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
