"""SQL that both databases understand, made of the models' column names."""

from __future__ import annotations

from sqlalchemy import Table, TextClause, text

from modules.utils.database.models import Base


def insert_new(row: type[Base]) -> TextClause:
    """Insert, and leave a row that is there already as it is (so that a repeat does no harm)."""
    return text(f"{_insert(_table(row))} ON CONFLICT DO NOTHING")


def upsert(row: type[Base]) -> TextClause:
    """Insert, or overwrite the row of the same primary key."""
    table = _table(row)
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return text(f"{_insert(table)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}")


def _table(row: type[Base]) -> Table:
    table = row.__table__
    assert isinstance(table, Table)
    return table


def _insert(table: Table) -> str:
    names = [column.name for column in table.columns]
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({values})"  # noqa: S608 (names are the models')
