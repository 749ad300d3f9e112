"""What all stores have in common."""

from __future__ import annotations

from dataclasses import dataclass

from modules.utils.database.connections import Connections
from modules.utils.database.writer import GroupWriter


@dataclass(kw_only=True)
class Store:
    """Writes through the one writer and reads through ``connections``. Its methods raise
    `StoreUnavailable`."""

    writer: GroupWriter
    connections: Connections
