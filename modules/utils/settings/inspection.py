"""What ``check`` reports about the settings: each variable that is given, and what looks misspelt."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from modules.queue_manager.errors import BadSettings
from modules.utils.inspection import Finding
from modules.utils.monitoring.health_server import SERVER
from modules.utils.settings.settings import ALIAS, Settings, gather, given, read_file, unknown_names
from modules.utils.settings.values import is_loopback


def inspect_settings(path: Path, environ: Mapping[str, str]) -> tuple[Settings, tuple[Finding, ...]]:
    """The settings and what to report about them. A setting that cannot be read has its default here: for the
    token that is an empty text, for the addresses none."""
    found: list[Finding] = list(_about_file(path))
    try:
        written = read_file(path)
    except BadSettings as fault:
        written = {}
        found.append(_fault(str(fault)))
    values, faults = gather(environ, written)
    settings = Settings(**{"discord_token": "", "comfy_urls": (), **values})  # type: ignore[arg-type]
    found += [_fault(line) for line in faults]
    found += _about_each(environ, written, values)
    found += [replace(_fault(line), level="hint") for line in unknown_names(written)]
    found += _about_values(settings)
    return settings, tuple(found)


def _fault(line: str) -> Finding:
    what, _, fix = line.partition("; ")
    return Finding(level="fault", what=what, fix=fix or "correct it in .env or in the environment")


def _about_file(path: Path) -> Iterator[Finding]:
    if not path.exists() and not path.with_name(f"{path.name}.txt").exists():
        fix = (
            "create it with: python3 bot.py setup (not needed if everything is set in environment variables)"
        )
        yield Finding(level="hint", what=f"there is no {path.name}", fix=fix)
    elif os.name != "nt" and path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        what = f"other users of this machine can read {path.name}, and the token in it"
        yield Finding(level="hint", what=what, fix=f"chmod 600 {path.name}")


def _about_each(
    environ: Mapping[str, str], written: Mapping[str, str], values: Mapping[str, object]
) -> Iterator[Finding]:
    for setting in fields(Settings):
        name = setting.name.upper()
        if setting.name not in values:
            continue
        in_environment, in_file = given(name, environ, {})[1], given(name, {}, written)[1]
        shown = (in_environment or in_file) if setting.repr else "set"
        where = "in the environment" if in_environment else "in .env"
        what, as_default = f"{name} is {shown[:200]} ({where})", values[setting.name] == setting.default
        yield Finding(level="ok", what=what, routine=as_default)
        if in_environment and in_file not in ("", in_environment):
            alias = f" ({ALIAS} counts as COMFY_URLS)" if name == "COMFY_URLS" else ""
            what = f"{name} in .env is overridden by the environment variable of that name"
            yield Finding(level="hint", what=what, fix=f"remove one of the two{alias}")


def _about_values(settings: Settings) -> Iterator[Finding]:
    yield from map(_fault, unreadable_list(settings))
    if settings.metrics_port and not is_loopback(settings.metrics_host):
        what = (
            f"METRICS_HOST={settings.metrics_host} lets other machines read the metrics and the status page"
        )
        yield Finding(level="hint", what=what, fix="leave it empty unless a firewall protects it")
    if settings.metrics_port:
        yield from _about_port(settings.metrics_host, settings.metrics_port)


def unreadable_list(settings: Settings) -> Iterator[str]:
    """A sentence if the list of banned words is set and cannot be read: then no prompt is taken."""
    path = settings.banned_words_file
    if path and Path(path).is_dir():
        yield f"BANNED_WORDS_FILE: {path} is a folder; write the path of a text file"
        return
    try:
        if path:
            Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        yield f"BANNED_WORDS_FILE: {path} is not UTF-8 text; save it as UTF-8"
    except OSError as error:
        why = f"{path} cannot be read ({error.strerror})"
        yield f"BANNED_WORDS_FILE: {why}; correct the path, or make the file readable"


def _about_port(host: str, port: int) -> Iterator[Finding]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address, family=family):
            return
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        if taken and _is_a_bot(host, port):
            return
        why = "is used by another program" if taken else f"cannot be used ({error.strerror})"
        what = f"METRICS_PORT {port} of METRICS_HOST {host} {why}"
        fix = "choose another port" if taken else "correct METRICS_HOST, or choose a port above 1023"
        yield Finding(level="hint" if taken else "fault", what=what, fix=fix)


def _is_a_bot(host: str, port: int) -> bool:
    """Whether this bot listens there: it may well run during the check."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    try:
        connection = HTTPConnection(anywhere.get(host, host), port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().headers["Server"] == SERVER
    except (OSError, HTTPException):
        return False
