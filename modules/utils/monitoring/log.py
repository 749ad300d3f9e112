"""Logs to stdout, as text or as one JSON object a line, with secrets struck out of every line.

What a record carries in ``extra`` (job, batch, engine …) stands at its end, so that a job is followed
with one grep.
"""

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

STRUCK = "***"

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

# discord.http prints whole bodies (people's prompts) at DEBUG, the gateway its payloads; the others
# say more than an operator needs.
_AT_LEAST = {
    "discord": logging.WARNING,
    "discord.http": logging.INFO,
    "discord.gateway": logging.WARNING,
    "discord.client": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "aiosqlite": logging.INFO,
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
    """Send every log line of the process to ``stream`` (stdout), and nothing else anywhere."""
    redactor = Redactor(secrets)
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines(redactor) if style == "json" else TextLines(redactor))
    handler.addFilter(_wanted)
    root = logging.getLogger()
    for former in list(root.handlers):
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _AT_LEAST.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


class Redactor:
    """Strikes known secrets out of a text, in the forms in which they may turn up there."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for form, struck in ((form, _struck(form)) for form in self._forms):
            if form in text:
                text = text.replace(form, struck)
        return text


def _forms(secret: str) -> set[str]:
    """``secret`` as it is, in URLs, in JSON, in reprs and in a Basic header."""
    written = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    if ":" in secret:
        written.add(base64.b64encode(secret.encode()).decode())
    # A very short one (a test database's "a") is struck only where a URL shows it as a password,
    # since striking each "a" would leave no readable line.
    return {form if len(form) >= 6 else f":{form}@" for form in written if form}


def _struck(form: str) -> str:
    return f":{STRUCK}@" if form.startswith(":") and form.endswith("@") else STRUCK


class TextLines(logging.Formatter):
    """``2026-01-31 18:05:09.123 INFO    modules.queue_manager.workers.worker: words  job=… batch=…``"""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
        self._redact = redactor

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line itself, before a traceback."""
        context = " ".join(f"{name}={value}" for name, value in _context(record).items())
        line = super().formatMessage(record)
        return f"{line}  {context}" if context else line

    def format(self, record: logging.LogRecord) -> str:
        """The line and its traceback, without secrets."""
        return self._redact(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the record's context, exception."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redact = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The object as text, without secrets."""
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
        return self._redact(json.dumps(fields, ensure_ascii=False, default=str))


def _context(record: logging.LogRecord) -> dict[str, object]:
    """What was given in ``extra``."""
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def _wanted(record: logging.LogRecord) -> bool:
    # discord.py points out that libraries for voice are missing, which this bot does not use
    return not (record.name == "discord.client" and "voice will NOT be supported" in str(record.msg))


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Takes the place of Python's own printing of an uncaught exception, which would not strike secrets."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("The process ends by an error", exc_info=(kind, error, trace))
