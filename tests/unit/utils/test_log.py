"""Log lines carry a job's context and never a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.queue_manager import job_log
from modules.utils.monitoring import log
from tests.journal import a_job
from tests.unit.queue_manager.test_manager import House, play

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


def test_a_text_line_names_the_job_that_it_is_about(lines: Callable[..., io.StringIO]) -> None:
    stream, job = lines(), a_job(37, user=5)
    with job_log.about(job):
        logging.getLogger("anywhere").info("posted", extra={"where": "channel"})
    assert stream.getvalue().endswith(f" anywhere: posted  where=channel job=#37 user=5 job_id={job.id}\n")


def test_a_json_line_is_one_object_with_the_context_as_fields(lines: Callable[..., io.StringIO]) -> None:
    stream, jobs = lines(style="json"), (a_job(37, user=5), a_job(38, user=6))
    with job_log.about(*jobs, run="0a1b"):
        logging.getLogger("here").warning("two\nlines ×", extra={"engine": "gpu"})
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "WARNING",
        "logger": "here",
        "message": "two\nlines ×",
        "engine": "gpu",
        "job": "#37,#38",
        "user": "5,6",
        "job_id": f"{jobs[0].id},{jobs[1].id}",
        "run": "0a1b",
    }


def test_what_goes_on_after_a_job_is_not_about_it(lines: Callable[..., io.StringIO]) -> None:
    stream, go_on = lines(), asyncio.Event()

    async def lives_on() -> None:
        logging.getLogger("here").info("its own")
        await go_on.wait()
        logging.getLogger("here").info("others'")

    async def scene() -> None:
        with job_log.about(a_job(37)):
            task = asyncio.create_task(lives_on())
            await asyncio.sleep(0)
            with job_log.about(a_job(38)):
                logging.getLogger("here").info("inner")
        go_on.set()
        await task

    asyncio.run(scene())
    told = [line.split(": ")[1].partition(" user=")[0] for line in stream.getvalue().splitlines()]
    assert told == ["its own  job=#37", "inner  job=#38", "others'"]


def told_of(stream: io.StringIO, number: int) -> list[str]:
    """What grep shows of one job: each message, without what failed."""
    lines = [line for line in stream.getvalue().splitlines() if re.search(rf"#{number}\b", line)]
    return [line.split(": ")[1].split("  ")[0] for line in lines]


def test_each_turn_of_a_job_is_found_by_its_number_and_names_its_owner(
    lines: Callable[..., io.StringIO],
) -> None:
    stream = lines()

    async def scene(house: House) -> None:
        house.engines["a"].lost_pictures, house.box.unreadable = 1, 1
        jobs = [await house.submit(user, "a private wish") for user in (71, 72, 73)]
        jobs.append(await house.submit(74, "a private poison"))
        await asyncio.sleep(0.5)
        jobs.append(await house.submit(75, "a private wish"))
        await house.manager.cancel(jobs[-1].id, by=9)
        await house.ended(*jobs)

    play(scene, engine={"poison": "poison"})
    text = stream.getvalue()
    assert "private" not in text
    assert told_of(stream, 5) == ["Queued", "Cancelled"]
    assert re.search(r"Cancelled  by=9 job=#5 user=75 job_id=\w{32}\n", text)
    assert told_of(stream, 4)[:5] == ["Queued", "Dispatched", "Started", "Run failed", "Requeued"]
    assert told_of(stream, 4)[-1] == "Failed"
    assert re.search(r"Dispatched  engine=a job=#1,#2,#3,#4 user=71,72,73,74 job_id=[\w,]{131} run=", text)
    assert re.search(r"Run failed: .* engine=a blame=content job=#1,#2,#3,#4 ", text)
    for number in (1, 2, 3):
        assert told_of(stream, number)[-1] == "Delivered"
        assert "Requeued" in told_of(stream, number)
    assert text.count("Could not deliver: away  job=#") == 1
    about_jobs = [line for line in text.splitlines() if " job=#" in line]
    assert all(" user=7" in line and " job_id=" in line for line in about_jobs)


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
