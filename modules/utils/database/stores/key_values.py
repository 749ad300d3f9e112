"""Short texts that must outlive the process, each under a name."""

from __future__ import annotations

from sqlalchemy import Connection, select

from modules.utils.database.connections import Connections
from modules.utils.database.models import FactRow
from modules.utils.database.statements import upsert
from modules.utils.database.writer import GroupWriter

_PUT = upsert(FactRow)


class KeyValues:
    """Texts by name, such as the hash of the command tree. Methods raise `StoreUnavailable`."""

    def __init__(self, *, writer: GroupWriter, connections: Connections, patience: float = 8.0) -> None:
        self._writer = writer
        self._connections = connections
        self._patience = patience

    async def get(self, key: str) -> str | None:
        """The text, or None."""
        async with self._connections.reading() as connection:
            return (await connection.execute(select(FactRow.value).where(FactRow.key == key))).scalar()

    async def put(self, key: str, value: str) -> None:
        """Replace the text."""

        def change(connection: Connection) -> None:
            connection.execute(_PUT, {"key": key, "value": value})

        await self._writer.write(change, patience=self._patience)
