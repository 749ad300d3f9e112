"""A real PgBouncer in transaction mode before a test's PostgreSQL, where one is installed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.free_port import free_port
from tests.postgres import Postgres

SECONDS_TO_START = 10.0

_CONFIGURATION = """\
[databases]
* = host={socket_folder} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth}
auth_file = {users}
pool_mode = transaction
default_pool_size = {size}
server_round_robin = 1
{more}
"""

_TLS = """\
client_tls_sslmode = require
client_tls_key_file = {certificate}
client_tls_cert_file = {certificate}
"""


def pgbouncer() -> str:
    """The program; without one, the test that asks is skipped and says so."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("pgbouncer is not installed (apt install pgbouncer)")
    return found


@contextmanager
def bouncing(
    postgres: Postgres, *, size: int = 2, password: str | None = None, certificate: Path | None = None
) -> Iterator[int]:
    """Its port, until left. Consecutive transactions of a client meet alternating servers.

    ``password``: what the user postgres must prove by SCRAM; without one anybody may come in.
    ``certificate``: a file with it and its key; nothing but TLS is spoken then.
    """
    program = pgbouncer()
    with tempfile.TemporaryDirectory(prefix="bouncer") as name:
        folder = Path(name)
        users, configuration, own = folder / "users.txt", folder / "pgbouncer.ini", folder / "own.pem"
        users.write_text(f'"postgres" "{password or ""}"\n', encoding="utf-8")
        if certificate:
            shutil.copy(certificate, own)
        port = free_port()
        configuration.write_text(
            _CONFIGURATION.format(
                socket_folder=postgres.socket_folder,
                port=port,
                auth="any" if password is None else "scram-sha-256",
                users=users,
                size=size,
                more=_TLS.format(certificate=own) if certificate else "",
            ),
            encoding="utf-8",
        )
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)
        # It refuses to be root, and must reach the server's socket.
        user = ["-u", postgres.system_user] if postgres.system_user else []
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen([program, *user, str(configuration)], stdout=output, stderr=output)
        try:
            _await(process, port, log)
            yield port
        finally:
            process.terminate()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up_at = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < give_up_at:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"PgBouncer does not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
