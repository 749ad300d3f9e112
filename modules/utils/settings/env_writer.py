"""Writes settings into ``.env``, and leaves everything else in it as it is."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from modules.queue_manager.errors import BadSettings
from modules.utils.settings.settings import decoded

BACKUP = ".bak"
FIRST_LINE = "# .env.example explains every setting.\n"

_PLAIN = re.compile(r"[\w.,:/@+=~-]*", re.ASCII)


def write_file(path: Path, changes: Mapping[str, str]) -> bool:
    """Set variables in the file at ``path``, which only its owner may read; what it was before is kept beside
    it, in a file that ends in `BACKUP`. Returns whether anything has changed. Raises `BadSettings`."""
    try:
        before = path.read_bytes() if path.exists() else None
        text = FIRST_LINE if before is None else decoded(before, path.name)
        after = changed(text, changes)
        if before is not None and after == text:
            return False
        if before is not None:
            _put(path.with_name(path.name + BACKUP), before)
        _put(path, after.encode())
    except OSError as error:
        raise BadSettings(f"{path.name}: cannot be written ({error.strerror}); fix its permissions") from None
    return True


def changed(text: str, changes: Mapping[str, str]) -> str:
    """``text`` with these variables in it: where they are already, else at its end."""
    missing, parts = dict(changes), []
    for binding in parse_stream(io.StringIO(text)):
        part, key = binding.original.string, binding.key
        if key is not None and key in changes:
            missing.pop(key, None)
            if (binding.value or "") != changes[key]:
                blank = part[: len(part) - len(part.lstrip())]
                part = blank + _line(key, changes[key])
        parts.append(part)
    if parts and not parts[-1].endswith("\n"):
        parts.append("\n")
    return "".join([*parts, *(_line(*item) for item in missing.items())])


def _line(name: str, value: str) -> str:
    if not _PLAIN.fullmatch(value):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        value = f"'{escaped}'"
    return f"{name}={value}\n"


def _put(path: Path, data: bytes) -> None:
    """In place, so that the file keeps its owner, and a link or a mounted file remains one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        path.chmod(0o600)
        file.write(data)
