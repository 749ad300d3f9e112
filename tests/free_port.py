"""A port for a process that is yet to start."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """A port below the range that systems use for outgoing connections, so that none of these takes it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
