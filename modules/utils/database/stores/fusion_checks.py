"""What ``check --fusion`` found, by server and model. The command writes it, the bot reads it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from modules.queue_manager.jobs import FusionCheck
from modules.utils.database.codec import storable
from modules.utils.database.connections import Connections
from modules.utils.database.models import FusionCheckRow
from modules.utils.database.statements import upsert
from modules.utils.database.stores.store import Store

_PUT = upsert(FusionCheckRow)


async def read_all(connections: Connections) -> Mapping[str, Mapping[str, FusionCheck]]:
    """The last finding about each model, by server and model. Raises `StoreUnavailable`."""
    found: dict[str, dict[str, FusionCheck]] = {}
    for row in await connections.rows(select(FusionCheckRow.__table__)):
        found.setdefault(row.engine, {})[row.model] = FusionCheck(
            version=row.version,
            checked_at=row.checked_at,
            gain=row.gain,
            rows=row.row_count,
            why_alone=row.why_alone,
        )
    return found


class FusionChecks(Store):
    """The last finding about each model on each server."""

    async def of(self, engine: str) -> Mapping[str, FusionCheck]:
        """What is known of a server, by the name of the model."""
        return (await read_all(self.connections)).get(storable(engine, 300), {})

    async def put(self, engine: str, model: str, check: FusionCheck) -> None:
        """Remember it in place of the former one."""
        values = {
            "engine": storable(engine, 300),
            "model": storable(model, 100),
            "version": storable(check.version, 64),
            "checked_at": check.checked_at,
            "gain": check.gain,
            "row_count": check.rows,
            "why_alone": None if check.why_alone is None else storable(check.why_alone, 500),
        }
        await self.writer.execute((_PUT, values))
