"""Logs to stdout, as text or as one JSON object per line, with secrets removed from every line. Each line has
the fields of ``extra`` (engine, where …) and names the jobs that it is about (see `job_log`)."""

from __future__ import annotations

import base64
import json
import logging
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, TextIO
from urllib.parse import quote

from modules.queue_manager.job_log import add_fields

STRUCK = "***"

_LINE = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

# At DEBUG discord.http logs whole bodies (people's prompts) and the gateway its payloads; the others log more
# than an operator needs.
_AT_LEAST = {
    "discord": logging.WARNING,
    "discord.http": logging.INFO,
    "discord.gateway": logging.WARNING,
    "discord.client": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "aiosqlite": logging.INFO,
    "httpx": logging.WARNING,  # it logs signed addresses, which anybody who knows them can open
    "httpcore": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.INFO,
    "PIL": logging.INFO,
}


def configure(
    *,
    level: str = "INFO",
    style: Literal["text", "json"] = "text",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log line of the process to ``stream`` (stdout), and nowhere else."""
    handler = _Redacting(stream or sys.stdout)
    handler.redact = Redactor(secrets)
    handler.setFormatter(JsonLines() if style == "json" else TextLines(_LINE, "%Y-%m-%d %H:%M:%S"))
    handler.addFilter(_wanted)
    handler.addFilter(add_fields)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _AT_LEAST.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


class Redactor:
    """Removes known secrets from a text, in each form in which they may be there."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            as_password = form.startswith(":") and form.endswith("@")
            text = text.replace(form, f":{STRUCK}@" if as_password else STRUCK)
        return text


def _forms(secret: str) -> set[str]:
    """``secret`` as it is, in URLs, in JSON, in reprs and in a Basic header."""
    written = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    if ":" in secret:
        written.add(base64.b64encode(secret.encode()).decode())
    # A very short one (a test database's "a") is removed only where a URL shows it as a password: without
    # each "a" no line would be readable.
    return {form if len(form) >= 6 else f":{form}@" for form in written if form}


class _Redacting(logging.StreamHandler):  # type: ignore[type-arg] # no argument before Python 3.11
    redact: Redactor

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))


class TextLines(logging.Formatter):
    """``2026-01-31 18:05:09.123 INFO    modules.queue_manager.workers.worker: words  engine=… job=#37 …``"""

    def formatMessage(self, record: logging.LogRecord) -> str:
        context = " ".join(f"{name}={value}" for name, value in _context(record).items())
        line = super().formatMessage(record)
        return f"{line}  {context}" if context else line


class JsonLines(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, the fields of ``extra``, exception."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_context(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def _context(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def _wanted(record: logging.LogRecord) -> bool:
    # discord.py warns that libraries for voice are missing, which this bot does not use
    return not (record.name == "discord.client" and "voice will NOT be supported" in str(record.msg))


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Replaces Python's own printing of an uncaught exception, which would show secrets."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("An error ended the process", exc_info=(kind, error, trace))
