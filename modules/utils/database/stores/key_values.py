"""Short texts that must outlive the process, each under a name."""

from __future__ import annotations

from sqlalchemy import select

from modules.utils.database.models import KeyValueRow
from modules.utils.database.statements import upsert
from modules.utils.database.stores.store import Store

SHARED = "shared:"
"""The start of a name that ends with the id of a job whose picture is in the gallery; the text is the id of
the message there. The name goes when the job goes."""

_PUT = upsert(KeyValueRow)


class KeyValues(Store):
    """Texts by name, such as a hash of the commands and their ids."""

    async def get(self, key: str) -> str | None:
        """The text, or None if there is none."""
        found = await self.connections.rows(select(KeyValueRow.value).where(KeyValueRow.key == key))
        return found[0].value if found else None

    async def put(self, key: str, value: str) -> None:
        """Remember the text in place of the former one."""
        await self.writer.execute((_PUT, {"key": key, "value": value}))
