"""Turns ``DATABASE_URL`` into what the drivers need; reads no file and asks no server.

Takes what hosting services give and people paste: libpq's URLs with all their parameters, those of other
drivers (``?ssl=true``, ``?pgbouncer=true``), SQLite files, or nothing. Anything else raises `BadSettings`
with one sentence. The password is in no message and no ``repr``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from modules.queue_manager.errors import BadSettings

DEFAULT_FILE = "database/bot_data.db"

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_OTHER_DRIVERS_MODES = {
    # node-postgres, JDBC, asyncpg through SQLAlchemy, Prisma, Go
    "no-verify": "require",
    **dict.fromkeys(("true", "1", "on", "yes"), "require"),
    **dict.fromkeys(("false", "0", "off", "no"), "disable"),
    "verify_ca": "verify-ca",
    "verify_full": "verify-full",
}

_SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")

_TLS = (
    "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
)  # fmt: skip
"""The driver reads these itself, as libpq does."""

_KNOWN = (
    *_TLS,
    *(  # noqa: SIM905 (forty lines otherwise)
        "host hostaddr port dbname user password passfile sslmode ssl channel_binding target_session_attrs"
        " application_name fallback_application_name connect_timeout options search_path"
        # libpq's, which mean nothing to this driver or ask for what it does anyway
        " client_encoding keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout"
        " gssencmode krbsrvname gsslib gssdelegation sslcompression sslsni sslcertmode requirepeer"
        " load_balance_hosts replication max_protocol_version min_protocol_version"
        # for poolers, which are recognised without them (see ``connections.py``), and other clients' caches
        " pgbouncer pool_mode statement_cache_size prepared_statement_cache_size prepareThreshold"
        " connection_limit pool_timeout pool_size pool_max_conns pool_min_conns max_overflow pool_recycle"
        " socket_timeout schema sslaccept uselibpqcompat supa workaround async_fallback conn_max_age timezone"
    ).split(),
)

_PRAGMAS = ("synchronous", "busy_timeout", "max_page_count")

_ENCODE = "special characters in user or password must be percent-encoded (/ is %2F, ? is %3F, @ is %40)"


@dataclass(frozen=True, kw_only=True, slots=True)
class SqliteAddress:
    """A file. ``pragmas`` are set on each connection in addition to ours."""

    path: Path
    pragmas: tuple[tuple[str, int | str], ...] = ()

    @property
    def shown(self) -> str:
        """For people and logs."""
        return f"SQLite {self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresAddress:
    """A PostgreSQL server, or several, of which ``session_attributes`` choose one.

    ``tls`` holds libpq's parameters, ``sslmode`` always. ``bound``: the certificate is checked in place of
    the channel binding that the URL demands. ``settings`` go with the start-up message.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    tls: Mapping[str, str] = field(repr=False)
    bound: bool
    connect_seconds: float
    session_attributes: str
    passfile: str | None
    settings: Mapping[str, str]

    @property
    def shown(self) -> str:
        """For people and logs: without user and password."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"PostgreSQL {hosts}/{self.database or ''}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the operator."""
        if not self.bound:
            return ()
        return (
            "DATABASE_URL asks for channel_binding=require, which the driver cannot do: the server's "
            "certificate and its name are checked instead, as by sslmode=verify-full",
        )


Address = SqliteAddress | PostgresAddress


def read_address(url: str, *, root: Path) -> Address:
    """What ``url`` means; relative SQLite paths start at ``root``. Raises `BadSettings`."""
    url = url.strip()
    if not url:
        return SqliteAddress(path=root / DEFAULT_FILE)
    scheme, separator, rest = url.partition("://")
    family = scheme.lower().partition("+")[0]
    if not separator:
        raise _bad("it must begin with postgresql:// or sqlite:/// (or be empty for a SQLite file)")
    if family == "sqlite":
        return _read_sqlite(rest, root)
    if family in ("postgres", "postgresql"):
        return _read_postgres(rest)
    raise _bad(
        f"{scheme[:20]}:// is not a database that this bot can use; write postgresql://, or leave it empty "
        "for SQLite"
    )


def at_home(path: str) -> Path:
    """``path`` with ``~`` and ``~user`` replaced by the home folder, if that user exists."""
    return Path(os.path.expanduser(path))


def _bad(problem: str) -> BadSettings:
    return BadSettings(f"DATABASE_URL: {problem}")


def _one_of(parameters: Mapping[str, str], name: str, default: str, allowed: Collection[str]) -> str:
    value = parameters.get(name, default)
    if value not in allowed:
        raise _bad(f"{name} must be one of {', '.join(allowed)}")
    return value


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────


def _read_sqlite(rest: str, root: Path) -> SqliteAddress:
    location, _, query = rest.partition("?")
    if not location.startswith("/"):
        raise _bad("a SQLite file is written sqlite:///relative/path.db or sqlite:////absolute/path.db")
    name = _decode(location[1:])
    if name in ("", ":memory:") or name.startswith("file:"):
        raise _bad(
            "SQLite in memory would forget everything; name a file, as in sqlite:///database/bot_data.db"
        )
    return SqliteAddress(path=root / at_home(name), pragmas=_pragmas(_parameters(query)))


def _pragmas(parameters: Mapping[str, str]) -> tuple[tuple[str, int | str], ...]:
    pragmas: list[tuple[str, int | str]] = []
    for name, value in parameters.items():
        if name == "synchronous" and value.lower() in ("normal", "full", "extra"):
            pragmas.append((name, value.lower()))
        elif name in ("busy_timeout", "max_page_count") and value.isdecimal():
            pragmas.append((name, int(value)))
        elif name in _PRAGMAS:
            raise _bad(f"SQLite does not accept this value of {name}")
        else:
            raise _unknown(name, _PRAGMAS)
    return tuple(pragmas)


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────


def _read_postgres(rest: str) -> PostgresAddress:
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    if "@" in path or ("@" in query and "@" not in place):
        raise _bad(_ENCODE)
    parameters = _parameters(query)
    for name in parameters:
        if name not in _KNOWN:
            raise _unknown(name, _KNOWN)
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    servers = _hosts(parameters.get("hostaddr") or parameters.get("host") or hosts, parameters.get("port"))
    tls = _tls(parameters)
    bound = _one_of(parameters, "channel_binding", "prefer", ("disable", "prefer", "require")) == "require"
    if bound:
        tls = _checked(tls, servers)
    return PostgresAddress(
        hosts=servers,
        user=parameters.get("user") or _decode(user) or None,
        password=parameters.get("password") or _decode(password) or None,
        database=parameters.get("dbname") or _decode(path) or None,
        tls=tls,
        bound=bound,
        connect_seconds=_connect_seconds(parameters.get("connect_timeout", "10")),
        session_attributes=_one_of(parameters, "target_session_attrs", "any", _SESSION_ATTRIBUTES),
        passfile=parameters.get("passfile"),
        settings=_settings(parameters),
    )


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for part in query.split("&"):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if not equals:
            raise _bad("a parameter after the ? has no value (name=value, joined by &)")
        parameters[_decode(name)] = _decode(value)
    return parameters


def _decode(text: str) -> str:
    """Percent-decoded. A plus stays a plus, as in libpq."""
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _bad("a percent-encoded part is not UTF-8") from None
    if "\0" in decoded:
        raise _bad("a percent-encoded part contains a zero byte (%00)")
    return decoded


def _unknown(name: str, known: Collection[str]) -> BadSettings:
    near = difflib.get_close_matches(name, known, n=1)
    shown = name[:40] if name.isidentifier() else "(unreadable)"
    hint = f"; did you mean {near[0]}?" if near else ""
    return _bad(f"the parameter {shown} is not known{hint}")


def _hosts(hosts: str, ports: str | None) -> tuple[tuple[str, int], ...]:
    """Reads ``a:1,b``, ``[::1]:5432``, ``/folder``, ``%2Ffolder``; missing ports are taken from ``ports``."""
    given = (ports or "5432").split(",")
    names = hosts.split(",") if hosts else ["localhost"]
    if len(given) not in (1, len(names)):
        raise _bad("port and host list different numbers of entries")
    defaults = given * len(names) if len(given) == 1 else given
    return tuple(_host(name, default) for name, default in zip(names, defaults, strict=True))


def _host(entry: str, default_port: str) -> tuple[str, int]:
    entry = _decode(entry)
    host, port = entry, default_port
    if entry.startswith("["):
        host, bracket, tail = entry[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise _bad("an IPv6 address is written [::1]:5432")
        port = tail[1:] or default_port
    elif not entry.startswith("/") and entry.count(":") == 1:
        host, _, port = entry.partition(":")
        port = port or default_port
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise _bad("the port is not a number from 1 to 65535 (are special characters percent-encoded?)")
    if not host.startswith("/") and any(character.isspace() or character in "@#?%" for character in host):
        raise _bad("the host name is not valid (are special characters in the password percent-encoded?)")
    return host or "localhost", int(port)


def _tls(parameters: Mapping[str, str]) -> dict[str, str]:
    """libpq's parameters of TLS, as the driver reads them, with ``sslmode`` by its name."""
    tls = {name: parameters[name] for name in _TLS if parameters.get(name)}
    written = (parameters.get("sslmode") or parameters.get("ssl") or "prefer").lower()
    mode = _OTHER_DRIVERS_MODES.get(written, written)
    if mode not in _MODES:
        raise _bad(f"sslmode must be one of {', '.join(_MODES)}")
    if tls.get("sslrootcert") == "system" and mode != "verify-full":
        # libpq refuses weaker modes, because anyone can get a certificate from a public authority.
        if "sslmode" in parameters:
            raise _bad("sslrootcert=system needs sslmode=verify-full")
        mode = "verify-full"
    if parameters.get("gssencmode") == "require":
        raise _bad("gssencmode=require is not supported; use sslmode=verify-full")
    negotiation = _one_of(parameters, "sslnegotiation", "postgres", ("postgres", "direct"))
    if negotiation == "direct" and mode in ("disable", "allow", "prefer"):
        raise _bad("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")
    for name in ("ssl_min_protocol_version", "ssl_max_protocol_version"):
        _one_of(tls, name, "TLSv1.2", ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"))
    return {**tls, "sslmode": mode}


def _checked(tls: Mapping[str, str], hosts: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """``tls`` with the server's certificate checked, for a URL that demands channel binding.

    The driver logs in by SCRAM-SHA-256 only, never by SCRAM-SHA-256-PLUS, which would bind the login to the
    server's certificate. ``sslmode=require`` looks at no certificate, so it would silently break the demand;
    refusing the demand would shut out every URL that Neon hands out. So the certificate is checked: by
    ``sslrootcert``, else by the system's authorities, which have signed Neon's.
    """
    if tls["sslmode"] == "disable" or any(host.startswith("/") for host, _ in hosts):
        # as with libpq: without TLS there is nothing to bind to
        raise _bad("channel_binding=require needs TLS: leave it out, or ask for sslmode=verify-full")
    return {"sslrootcert": "system", **tls, "sslmode": "verify-full"}


def _connect_seconds(written: str) -> float:
    if not (written.isascii() and written.isdecimal()):
        raise _bad("connect_timeout is not a number of seconds")
    # libpq: 0 means no limit, and less than 2 means 2. We never wait without a limit.
    return float(min(max(int(written), 2), 60)) if int(written) else 60.0


def _settings(parameters: Mapping[str, str]) -> dict[str, str]:
    name = parameters.get("application_name") or parameters.get("fallback_application_name") or "fullet"
    given = {key: parameters[key] for key in ("options", "search_path") if parameters.get(key)}
    return {"application_name": name, **given}
