"""A port for a process that is yet to start."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """One below those that systems give to connections by themselves, which could have it by then."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
