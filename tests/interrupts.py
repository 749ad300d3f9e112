"""Whether a child process hears Ctrl-C does not depend on how the tests themselves were started."""

from __future__ import annotations

import os
import signal


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


HEARING_INTERRUPTS = None if os.name == "nt" else _hear_interrupts
"""A child's ``preexec_fn``: what a shell starts in the background ignores SIGINT, and so do its children."""
