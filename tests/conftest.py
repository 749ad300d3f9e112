"""What holds for every test."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import pytest

with contextlib.suppress(ImportError):  # the environment of the node tests has no Hypothesis
    from hypothesis import settings

    # a slow moment of a busy machine is no fault of the example that was tried in it
    settings.register_profile("fullet", deadline=None)
    settings.load_profile("fullet")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What a test sets up for logging in its own process (`bot.py check` does) ends with it."""
    root = logging.getLogger()
    handlers, levels = (
        root.handlers[:],
        {name: logging.getLogger(name).level for name in root.manager.loggerDict},
    )
    level = root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)
