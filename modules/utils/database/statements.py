"""SQL that both databases understand, made of the models' column names."""

from __future__ import annotations

from sqlalchemy import TextClause, insert, text

from modules.utils.database.models import Base


def insert_new(row: type[Base]) -> TextClause:
    """Insert; a row with the same primary key stays as it is (so that a repeat does no harm)."""
    return text(f"{insert(row)} ON CONFLICT ({_keys(row)}) DO NOTHING")


def upsert(row: type[Base]) -> TextClause:
    """Insert, or overwrite the row with the same primary key."""
    names = [column.name for column in row.__table__.columns if not column.primary_key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names)
    return text(f"{insert(row)} ON CONFLICT ({_keys(row)}) DO UPDATE SET {sets}")


def _keys(row: type[Base]) -> str:
    return ", ".join(column.name for column in row.__table__.primary_key)
