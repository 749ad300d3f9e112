"""From ``DATABASE_URL`` to what the drivers want, as a pure function.

Takes what hosting services hand out and people paste: libpq's URLs with all their parameters, those of
other drivers (``?ssl=true``, ``?pgbouncer=true``), SQLite files, or nothing. What cannot be understood
is one `BadSettings` sentence; the password is in no message and no ``repr``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast
from urllib.parse import unquote

from modules.queue_manager.errors import BadSettings

DEFAULT_FILE = "database/bot_data.db"

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_MODES: tuple[str, ...] = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_OTHER_DRIVERS_MODES = {
    # node-postgres, JDBC, asyncpg through SQLAlchemy, Prisma, Go
    "no-verify": "require",
    "true": "require",
    "1": "require",
    "on": "require",
    "yes": "require",
    "false": "disable",
    "0": "disable",
    "off": "disable",
    "no": "disable",
    "verify_ca": "verify-ca",
    "verify_full": "verify-full",
}

_SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")

_UNDERSTOOD = [
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "sslmode", "ssl",
    "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "ssl_min_protocol_version",
    "ssl_max_protocol_version", "sslnegotiation", "channel_binding", "target_session_attrs",
    "application_name", "fallback_application_name", "connect_timeout", "options", "pgbouncer",
    "pool_mode", "statement_cache_size", "prepared_statement_cache_size", "prepareThreshold",
    "search_path",
]  # fmt: skip

_HARMLESS = (  # noqa: SIM905 (forty lines otherwise)
    # libpq's, without meaning for this driver or already what it does
    "client_encoding keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout"
    " gssencmode krbsrvname gsslib gssdelegation sslcompression sslsni sslcertmode requirepeer"
    " load_balance_hosts replication max_protocol_version min_protocol_version"
    # other clients' pools and caches
    " connection_limit pool_timeout pool_size pool_max_conns pool_min_conns max_overflow pool_recycle"
    " socket_timeout schema sslaccept uselibpqcompat supa workaround async_fallback conn_max_age timezone"
).split()

_ENCODE = "special characters in user or password must be percent-encoded (/ is %2F, ? is %3F, @ is %40)"

_POOLER_PORTS = frozenset({6432, 6543})
"""Where PgBouncer and Supavisor listen by habit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsChoice:
    """How the connection is to be encrypted, in libpq's terms; paths may begin with ``~``."""

    mode: SslMode
    root_certificate: str | None
    certificate: str | None
    key: str | None
    key_password: str | None = field(repr=False)
    revoked: str | None
    least_version: str | None
    greatest_version: str | None
    direct: bool
    for_binding: bool = False
    """Whether the certificate is checked in place of the channel binding that the URL demands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SqliteAddress:
    """A file. ``pragmas`` are set on each connection beside ours."""

    path: Path
    pragmas: tuple[tuple[str, int | str], ...] = ()

    @property
    def shown(self) -> str:
        """For people and logs."""
        return f"SQLite {self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresAddress:
    """A PostgreSQL server, or several of which one is chosen by ``session_attributes``.

    ``pooled``: a transaction pooler stands in front, so nothing prepared outlives a transaction.
    ``settings`` go with the start-up message; ``notes`` are sentences for the operator.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    tls: TlsChoice
    pooled: bool
    connect_seconds: float
    session_attributes: str
    passfile: str | None
    settings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def shown(self) -> str:
        """For people and logs: without user and password."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"PostgreSQL {hosts}/{self.database or ''}"


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
        f"{scheme[:20]}:// is not a database this bot knows; use postgresql:// or leave it empty for SQLite"
    )


def _bad(problem: str) -> BadSettings:
    return BadSettings(f"DATABASE_URL: {problem}")


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────


def _read_sqlite(rest: str, root: Path) -> SqliteAddress:
    location, _, query = rest.partition("?")
    if not location.startswith("/"):
        raise _bad("a SQLite file is written sqlite:///relative/path.db or sqlite:////absolute/path.db")
    name = unquote(location[1:])
    if name in ("", ":memory:") or name.startswith("file:"):
        raise _bad(
            "SQLite in memory would forget everything; name a file, as in sqlite:///database/bot_data.db"
        )
    return SqliteAddress(path=root / at_home(name), pragmas=_pragmas(_parameters(query)))


def at_home(path: str | Path) -> Path:
    """``~`` and ``~user`` stand for home folders; of somebody who has none, they are a name like others."""
    return Path(os.path.expanduser(path))


def _pragmas(parameters: Mapping[str, str]) -> tuple[tuple[str, int | str], ...]:
    pragmas: list[tuple[str, int | str]] = []
    for name, value in parameters.items():
        if name == "synchronous" and value.lower() in ("normal", "full", "extra"):
            pragmas.append((name, value.lower()))
        elif name in ("busy_timeout", "max_page_count") and value.isdecimal():
            pragmas.append((name, int(value)))
        elif name in ("synchronous", "busy_timeout", "max_page_count"):
            raise _bad(f"the value of {name} is not one that SQLite knows")
        else:
            raise _unknown(name, ["synchronous", "busy_timeout", "max_page_count"])
    return tuple(pragmas)


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────


def _read_postgres(rest: str) -> PostgresAddress:
    place, _, query = rest.partition("?")
    if "@" not in place and "@" in query:
        raise _bad(_ENCODE)
    parameters = _parameters(query)
    for name in parameters:
        if name not in _UNDERSTOOD and name not in _HARMLESS:
            raise _unknown(name, [*_UNDERSTOOD, *_HARMLESS])
    authority, _, path = place.partition("/")
    login, _, hosts = authority.rpartition("@")
    if "@" in path:
        raise _bad(_ENCODE)
    user, colon, password = login.partition(":")
    servers = _hosts(parameters.get("hostaddr") or parameters.get("host") or hosts, parameters.get("port"))
    tls = _bound(_tls(parameters), servers, parameters.get("channel_binding", "prefer"))
    return PostgresAddress(
        hosts=servers,
        user=parameters.get("user") or _decode(user) or None,
        password=parameters.get("password") or (_decode(password) if colon else None) or None,
        database=parameters.get("dbname") or _decode(path) or None,
        tls=tls,
        pooled=_is_pooled(servers, parameters),
        connect_seconds=_connect_seconds(parameters.get("connect_timeout", "10")),
        session_attributes=_session_attributes(parameters.get("target_session_attrs", "any")),
        passfile=parameters.get("passfile"),
        settings=_settings(parameters),
        notes=(_UNBOUND,) if tls.for_binding else (),
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
    """Percent-decoded. A plus stays a plus, as libpq has it."""
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _bad("a percent-encoded part is not UTF-8") from None
    if "\0" in decoded:
        raise _bad("a percent-encoded part holds a NUL (%00)")
    return decoded


def _unknown(name: str, known: list[str]) -> BadSettings:
    near = difflib.get_close_matches(name, known, n=1)
    shown = name[:40] if name.isidentifier() else "(unreadable)"
    hint = f"; did you mean {near[0]}?" if near else ""
    return _bad(f"the parameter {shown} is not known{hint}")


def _hosts(hosts: str, ports: str | None) -> tuple[tuple[str, int], ...]:
    """``a:1,b``, ``[::1]:5432``, ``/folder``, ``%2Ffolder``; ``ports`` fills what is missing."""
    given = (ports or "5432").split(",")
    names = hosts.split(",") if hosts else ["localhost"]
    if len(given) not in (1, len(names)):
        raise _bad("port lists another number of entries than host")
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
        raise _bad("the host name is not one (are special characters in the password percent-encoded?)")
    return host or "localhost", int(port)


def _tls(parameters: Mapping[str, str]) -> TlsChoice:
    written = parameters.get("sslmode") or parameters.get("ssl") or "prefer"
    mode = _OTHER_DRIVERS_MODES.get(written.lower(), written.lower())
    if mode not in _MODES:
        raise _bad(f"sslmode must be one of {', '.join(_MODES)}")
    root = parameters.get("sslrootcert")
    if root == "system" and mode != "verify-full":
        # libpq refuses weaker modes, since anybody can get a certificate from a public authority.
        if "sslmode" in parameters:
            raise _bad("sslrootcert=system needs sslmode=verify-full")
        mode = "verify-full"
    if parameters.get("gssencmode") == "require":
        raise _bad("gssencmode=require is not supported; use sslmode=verify-full")
    direct = parameters.get("sslnegotiation", "postgres")
    if direct not in ("postgres", "direct"):
        raise _bad("sslnegotiation must be postgres or direct")
    if direct == "direct" and mode in ("disable", "allow", "prefer"):
        raise _bad("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")
    return TlsChoice(
        mode=cast(SslMode, mode),
        root_certificate=root,
        certificate=parameters.get("sslcert"),
        key=parameters.get("sslkey"),
        key_password=parameters.get("sslpassword"),
        revoked=parameters.get("sslcrl"),
        least_version=parameters.get("ssl_min_protocol_version"),
        greatest_version=parameters.get("ssl_max_protocol_version"),
        direct=direct == "direct",
    )


_UNBOUND = (
    "DATABASE_URL asks for channel_binding=require, which the driver cannot do: the server's certificate and "
    "its name are checked instead, as by sslmode=verify-full"
)


def _bound(choice: TlsChoice, hosts: tuple[tuple[str, int], ...], wanted: str) -> TlsChoice:
    """``choice``, made to keep somebody in the middle out where the URL demands channel binding.

    The driver logs in by SCRAM-SHA-256 alone, never by SCRAM-SHA-256-PLUS, which would bind the login to the
    server's certificate. To go on with ``sslmode=require`` then, which looks at no certificate, would break
    the demand in silence; to refuse would refuse each URL that Neon hands out. So the certificate is
    checked: by ``sslrootcert``, else by the system's authorities, which is what Neon's is signed by.
    """
    if wanted not in ("disable", "prefer", "require"):
        raise _bad("channel_binding must be disable, prefer or require")
    if wanted != "require":
        return choice
    if choice.mode == "disable" or any(host.startswith("/") for host, _ in hosts):
        # as with libpq: without TLS there is nothing to bind to
        raise _bad("channel_binding=require needs TLS: leave it out, or ask for sslmode=verify-full")
    root = choice.root_certificate or "system"
    return replace(choice, mode="verify-full", root_certificate=root, for_binding=True)


def _connect_seconds(written: str) -> float:
    if not (written.isascii() and written.isdecimal()):
        raise _bad("connect_timeout is not a number of seconds")
    # libpq: 0 means no limit, and less than 2 means 2. We never wait without a limit.
    return float(min(max(int(written), 2), 60)) if int(written) else 60.0


def _session_attributes(written: str) -> str:
    if written not in _SESSION_ATTRIBUTES:
        raise _bad(f"target_session_attrs must be one of {', '.join(_SESSION_ATTRIBUTES)}")
    return written


def _settings(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    name = parameters.get("application_name") or parameters.get("fallback_application_name") or "fullet"
    settings = [("application_name", name)]
    settings.extend((key, parameters[key]) for key in ("options", "search_path") if parameters.get(key))
    return tuple(settings)


def _is_pooled(hosts: tuple[tuple[str, int], ...], parameters: Mapping[str, str]) -> bool:
    """Whether the URL says, openly or by habit, that a transaction pooler answers.

    A pooler that nothing gives away is recognised by its errors instead (see ``connections.py``).
    """
    if parameters.get("pgbouncer", "").lower() in ("true", "1", "yes", "on"):
        return True
    if parameters.get("pool_mode", "") in ("transaction", "statement"):
        return True
    caches = ("statement_cache_size", "prepared_statement_cache_size", "prepareThreshold")
    if any(parameters.get(name) == "0" for name in caches):
        return True
    return any(
        port in _POOLER_PORTS or "pooler" in host.lower() or "pgbouncer" in host.lower()
        for host, port in hosts
    )
