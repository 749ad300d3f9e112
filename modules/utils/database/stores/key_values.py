"""Short texts that must outlive the process, each under a name."""

from __future__ import annotations

from sqlalchemy import select

from modules.utils.database.connections import Connections
from modules.utils.database.models import KeyValueRow
from modules.utils.database.statements import upsert
from modules.utils.database.writer import GroupWriter

_PUT = upsert(KeyValueRow)


class KeyValues:
    """Texts by name, such as the hash of the command tree. Methods raise `StoreUnavailable`."""

    def __init__(self, *, writer: GroupWriter, connections: Connections) -> None:
        self._writer = writer
        self._connections = connections

    async def get(self, key: str) -> str | None:
        """The text, or None."""
        async with self._connections.reading() as connection:
            return (
                await connection.execute(select(KeyValueRow.value).where(KeyValueRow.key == key))
            ).scalar()

    async def put(self, key: str, value: str) -> None:
        """Replace the text."""
        await self._writer.execute((_PUT, {"key": key, "value": value}))
