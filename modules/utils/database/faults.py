"""Sorts database errors into ours: it cannot be reached, it is full, or we made a mistake. Foreign errors
become ours only here.
"""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from modules.queue_manager.errors import StoreUnavailable

_AWAY_CLASSES = ("08", "53", "57P", "58")
"""PostgreSQL's error classes (appendix A of its manual): connection, resources, shutdown, system."""

_AWAY_CODES = {
    "25006": "it is read-only (a standby, or a primary that was demoted)",
    "25P03": "it closed an idle transaction",
    "26000": "it forgot a prepared statement (a transaction pooler)",
    "42P05": "a prepared statement is there already (a transaction pooler)",
    "28000": "it refuses the user or the connection",
    "28P01": "it refuses the password",
    "3D000": "there is no such database",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "a lock was not available",
    "57014": "it cancelled the statement",
}

_SQLITE_AWAY = (
    "disk i/o error",
    "unable to open database file",
    "attempt to write a readonly database",
    "no active connection",
    "connection closed",
)


class StoreFull(StoreUnavailable):
    """The database's disk is full: waiting a moment will not help."""


class StoreLocked(StoreUnavailable):
    """Another process has locked the database's file."""


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's five-character code, wherever in the chain of causes it is."""
    return _found(error, "sqlstate", "pgcode")


def said(error: BaseException | None) -> str:
    """PostgreSQL's own words, in one line of at most 200 characters; empty if it said nothing."""
    return " ".join((_found(error, "message") or "").split())[:200]


def _found(error: BaseException | None, *names: str) -> str | None:
    """The first text under one of ``names`` in the chain of causes."""
    for _ in range(8):
        for name in names:
            if isinstance(value := getattr(error, name, None), str):
                return value
        if error is not None:
            error = getattr(error, "orig", None) or error.__cause__ or error.__context__
    return None


@contextmanager
def store_faults() -> Iterator[None]:
    """Inside, an error that means "away for now" becomes `StoreUnavailable`; others pass."""
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception as error:
        fault = _unavailable(error)
        if fault is None:
            raise
        raise fault from error


def _unavailable(error: Exception) -> StoreUnavailable | None:
    """``error`` as ours if the database is away or full right now, else None (then it is our mistake)."""
    code = sqlstate(error)
    if code is not None:
        return _of_code(code, said(error))
    if isinstance(error, ssl.SSLError):
        return StoreUnavailable(f"TLS: {error.reason or error}")
    if isinstance(error, (DBAPIError, sqlite3.Error)):
        return _of_driver(error)
    foreign = type(error).__module__.startswith("asyncpg")
    if foreign or isinstance(error, (OSError, asyncio.TimeoutError, TimeoutError, PoolTimeout)):
        return StoreUnavailable(f"{type(error).__name__}: {error}"[:200])
    return None


def _of_code(code: str, words: str) -> StoreUnavailable | None:
    if code == "53100":
        return StoreFull(f"its disk is full ({code})")
    if code in _AWAY_CODES:
        return StoreUnavailable(f"{_AWAY_CODES[code]} ({code})")
    if code.startswith(_AWAY_CLASSES):
        return StoreUnavailable(f"PostgreSQL answers {code}{': ' if words else ''}{words}")
    return None


def _of_driver(error: DBAPIError | sqlite3.Error) -> StoreUnavailable | None:
    """SQLAlchemy wraps what the driver raises, but not where the driver is called without it."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    message, text = str(origin)[:200], str(origin).lower()
    if "database or disk is full" in text:
        return StoreFull("the disk is full")
    if "is locked" in text:
        return StoreLocked(message)
    away = (
        (isinstance(error, DBAPIError) and error.connection_invalidated)
        or any(sign in text for sign in _SQLITE_AWAY)
        or isinstance(origin, (OSError, asyncio.TimeoutError))
        or type(origin).__name__ == "InterfaceError"
    )
    return StoreUnavailable(message) if away else None
