"""Log lines carry a job's context and never a secret."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.utils.monitoring import log

TOKEN = "MTE4NzQwMjM.GhJk2L.s3cr3t"
KEY = "me:hunter2!"


@pytest.fixture
def lines() -> Iterator[Callable[..., io.StringIO]]:
    """Configures logging into a text, and puts everything back."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level

    def configure(**how: object) -> io.StringIO:
        stream = io.StringIO()
        log.configure(stream=stream, secrets=(TOKEN, KEY, "hunter2!", "p@ss w", "ab"), **how)  # type: ignore[arg-type]
        return stream

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = hook
    logging.captureWarnings(False)


def test_a_text_line_carries_the_jobs_context(lines: Callable[..., io.StringIO]) -> None:
    stream = lines()
    logging.getLogger("modules.queue_manager").info(
        "job %s queued", 7, extra={"job": "0a1b", "batch": "c2d3"}
    )
    assert stream.getvalue().endswith(" INFO    modules.queue_manager: job 7 queued  job=0a1b batch=c2d3\n")


def test_a_json_line_is_one_object_with_the_context_as_fields(lines: Callable[..., io.StringIO]) -> None:
    stream = lines(style="json")
    logging.getLogger("here").warning("two\nlines ×", extra={"job": "0a1b"})
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("Z")
    assert record == {"level": "WARNING", "logger": "here", "message": "two\nlines ×", "job": "0a1b"}


@pytest.mark.parametrize("style", ["text", "json"])
def test_secrets_are_struck_everywhere(lines: Callable[..., io.StringIO], style: str) -> None:
    stream = lines(style=style)
    logger = logging.getLogger("here")
    logger.info("token %s", TOKEN, extra={"url": "postgres://u:p%40ss%20w@h/db"})
    logger.info("header %s", {"Authorization": "Basic bWU6aHVudGVyMiE="})
    logger.info("short postgres://u:ab@h/db, about able people")
    try:
        raise ValueError(f"refused {KEY}")
    except ValueError:
        logger.exception("with a traceback")
    text = stream.getvalue()
    for secret in (TOKEN, KEY, "hunter2", "p%40ss", "bWU6aHVudGVyMiE=", ":ab@"):
        assert secret not in text
    assert "about able people" in text
    assert "ValueError" in text


def test_an_uncaught_exception_is_a_log_line_too(lines: Callable[..., io.StringIO]) -> None:
    stream = lines()
    error = RuntimeError(TOKEN)
    sys.excepthook(RuntimeError, error, None)
    assert "CRITICAL" in stream.getvalue()
    assert TOKEN not in stream.getvalue()


def test_libraries_do_not_print_peoples_words(lines: Callable[..., io.StringIO]) -> None:
    stream = lines(level="DEBUG")
    logging.getLogger("discord.http").debug("POST with body %s", {"content": "a private prompt"})
    logging.getLogger("modules.ai").debug("our own detail")
    assert "private prompt" not in stream.getvalue()
    assert "our own detail" in stream.getvalue()


@given(st.text(min_size=6), st.text(), st.text())
def test_no_text_round_a_secret_brings_it_through(secret: str, before: str, after: str) -> None:
    struck = log.Redactor([secret])(before + secret + after)
    assert secret not in struck.replace(log.STRUCK, "") or secret in before + after or secret in log.STRUCK
