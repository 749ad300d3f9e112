"""What holds for every test."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.examples import examples
from tests.progress import Progress, left_out

with contextlib.suppress(ImportError):  # the environment of the node tests has no Hypothesis
    from hypothesis import settings

    # a slow moment of a busy machine is no fault of the example that was tried in it
    settings.register_profile("fullet", deadline=None, max_examples=examples(50))
    settings.load_profile("fullet")

with contextlib.suppress(ImportError):  # nor has it Fluent and SQLAlchemy
    from tests.made_once import migrate_once, read_sentences_once

    read_sentences_once()
    migrate_once()


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
    for name, own in {"root": level, **levels}.items():
        logger = logging.getLogger(name)
        if logger.level != own:  # setting a level takes longer the more loggers there are
            logger.setLevel(own)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files whose tests mostly wait for a whole bot among those whose tests calculate."""
    kinds: dict[bool, dict[Path, list[pytest.Item]]] = {True: {}, False: {}}
    for item in items:
        kinds[item.nodeid.startswith("tests/e2e/")].setdefault(item.path, []).append(item)
    places = {
        path: (place / len(files), path) for files in kinds.values() for place, path in enumerate(files)
    }
    items.sort(key=lambda item: places[item.path])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Report how far the run is; with -v pytest reports every test, with -q it writes its dots."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and terminal.verbosity == 0 and not session.config.option.collectonly:
        terminal.showfspath = False
        session.config.pluginmanager.register(Progress(terminal, lambda: session.testscollected))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter) -> Iterator[None]:
    """The last line but one says what was left out."""
    yield
    if line := left_out(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)
