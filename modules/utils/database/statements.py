"""SQL that both databases understand, made of the models' column names."""

from __future__ import annotations

from sqlalchemy import Table, TextClause, text

from modules.utils.database.models import Base


def insert_new(row: type[Base]) -> TextClause:
    """Insert, and leave a row of the same primary key as it is (so that a repeat does no harm)."""
    table = _table(row)
    return text(f"{_insert(table)} ON CONFLICT ({_keys(table)}) DO NOTHING")


def upsert(row: type[Base]) -> TextClause:
    """Insert, or overwrite the row of the same primary key."""
    table = _table(row)
    names = [column.name for column in table.columns if not column.primary_key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names)
    return text(f"{_insert(table)} ON CONFLICT ({_keys(table)}) DO UPDATE SET {sets}")


def _table(row: type[Base]) -> Table:
    table = row.__table__
    assert isinstance(table, Table)
    return table


def _keys(table: Table) -> str:
    return ", ".join(column.name for column in table.primary_key)


def _insert(table: Table) -> str:
    names = [column.name for column in table.columns]
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({values})"  # noqa: S608 (names are the models')
