"""``DATABASE_URL``: every shape that hosts hand out and people paste, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modules.queue_manager.errors import BadSettings
from modules.utils.database.address import PostgresAddress, SqliteAddress, read_address
from modules.utils.database.connections import asyncpg_arguments

ROOT = Path("/bot")


def postgres(url: str) -> PostgresAddress:
    address = read_address(url, root=ROOT)
    assert isinstance(address, PostgresAddress)
    return address


def refusal(url: str) -> str:
    with pytest.raises(BadSettings) as caught:
        read_address(url, root=ROOT)
    line = str(caught.value)
    assert line.startswith("DATABASE_URL: ")
    assert "\n" not in line
    return line


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/bot/database/bot_data.db"),
        ("  ", "/bot/database/bot_data.db"),
        ("sqlite:///other.db", "/bot/other.db"),
        ("sqlite:////srv/bot.db", "/srv/bot.db"),
        ("sqlite+aiosqlite:///my%20bot.db", "/bot/my bot.db"),
        ("SQLITE:///a?synchronous=normal", "/bot/a"),
    ],
)
def test_sqlite_files_lie_under_the_root_unless_absolute(url: str, path: str) -> None:
    address = read_address(url, root=ROOT)
    assert isinstance(address, SqliteAddress)
    assert address.path == Path(path)


def test_sqlite_takes_a_few_pragmas() -> None:
    address = read_address("sqlite:///a?synchronous=NORMAL&max_page_count=99&busy_timeout=7", root=ROOT)
    assert isinstance(address, SqliteAddress)
    assert address.pragmas == (("synchronous", "normal"), ("max_page_count", 99), ("busy_timeout", 7))
    assert "synchronous" in refusal("sqlite:///a?synchronous=off")
    assert "did you mean synchronous" in refusal("sqlite:///a?synchronus=full")


# ── what hosts hand out ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        # Heroku
        (
            "postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1",
            "u ec2-1-2-3-4.compute-1.amazonaws.com:5432 d1 prefer",
        ),
        # Railway, inside and outside
        (
            "postgresql://postgres:p@postgres.railway.internal:5432/railway",
            "postgres postgres.railway.internal:5432 railway prefer",
        ),
        (
            "postgresql://postgres:p@monorail.proxy.rlwy.net:41234/railway",
            "postgres monorail.proxy.rlwy.net:41234 railway prefer",
        ),
        # Render: no port
        (
            "postgresql://u:p@dpg-abc-a.oregon-postgres.render.com/bot_db",
            "u dpg-abc-a.oregon-postgres.render.com:5432 bot_db prefer",
        ),
        # Aiven
        (
            "postgres://avnadmin:AVNS_x@pg-1-me.a.aivencloud.com:21699/defaultdb?sslmode=require",
            "avnadmin pg-1-me.a.aivencloud.com:21699 defaultdb require",
        ),
        # Neon
        (
            "postgresql://u:p@ep-x-pooler.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
            "u ep-x-pooler.aws.neon.tech:5432 neondb verify-full",
        ),
        # Supabase
        (
            "postgres://postgres.abc:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true",
            "postgres.abc aws-0-eu.pooler.supabase.com:6543 postgres prefer",
        ),
        # PgBouncer beside the bot, and other drivers' ways of saying so
        ("postgresql+asyncpg://u:p@db:6432/d", "u db:6432 d prefer"),
        ("postgresql://u:p@db/d?statement_cache_size=0", "u db:5432 d prefer"),
        ("postgresql://u:p@db/d?prepareThreshold=0&ssl=false", "u db:5432 d disable"),
        # libpq's other ways
        ("postgresql://u:p@a:1,b:2/d?target_session_attrs=read-write", "u a:1,b:2 d prefer"),
        ("postgresql:///d?host=/run/postgresql&user=u", "u /run/postgresql:5432 d prefer"),
        ("postgresql://u@%2Frun%2Fpostgresql/d", "u /run/postgresql:5432 d prefer"),
        ("postgresql://u@[2001:db8::1]:7/d", "u 2001:db8::1:7 d prefer"),
        ("postgresql://u@/d?host=a,b&port=1,2", "u a:1,b:2 d prefer"),
        ("postgresql://u@a,b/d?port=9", "u a:9,b:9 d prefer"),
        ("postgresql://", "None localhost:5432 None prefer"),
        ("postgresql+psycopg2://u@h/d?sslmode=verify-full&sslrootcert=system", "u h:5432 d verify-full"),
    ],
)
def test_what_hosts_hand_out(url: str, expected: str) -> None:
    address = postgres(url)
    hosts = ",".join(f"{host}:{port}" for host, port in address.hosts)
    assert f"{address.user} {hosts} {address.database} {address.tls['sslmode']}" == expected


@pytest.mark.parametrize("written", ["", "&sslmode=allow", "&sslmode=require", "&sslmode=verify-ca"])
def test_a_demand_for_channel_binding_checks_the_certificate_and_says_so(written: str) -> None:
    """The driver cannot bind, and nobody is to sit in the middle all the same."""
    address = postgres(f"postgresql://u@h/d?channel_binding=require{written}")
    assert (address.tls["sslmode"], address.tls["sslrootcert"]) == ("verify-full", "system")
    (note,) = address.notes
    assert "channel_binding" in note
    assert "verify-full" in note
    named = postgres(f"postgresql://u@h/d?channel_binding=require{written}&sslrootcert=/ca.pem")
    assert (named.tls["sslmode"], named.tls["sslrootcert"]) == ("verify-full", "/ca.pem")


@pytest.mark.parametrize("wanted", ["prefer", "disable"])
def test_a_mere_wish_for_channel_binding_changes_nothing(wanted: str) -> None:
    asked = postgres(f"postgresql://u@h/d?sslmode=require&channel_binding={wanted}")
    assert asked == postgres("postgresql://u@h/d?sslmode=require")


def test_the_driver_gets_what_the_url_says() -> None:
    address = postgres(
        "postgres://u:p%40@h:1/d?application_name=mine&connect_timeout=3&options=-c%20statement_timeout%3D5s"
        "&target_session_attrs=primary&sslmode=disable&passfile=/p"
    )
    arguments = asyncpg_arguments(address, pooled=False)
    assert arguments["server_settings"] == {"application_name": "mine", "options": "-c statement_timeout=5s"}
    assert (arguments["password"], arguments["timeout"], arguments["passfile"]) == ("p@", 3.0, "/p")
    assert (arguments["target_session_attrs"], arguments["dsn"]) == (
        "primary",
        "postgresql://?sslmode=disable",
    )
    assert "statement_cache_size" not in arguments


@pytest.mark.parametrize("rest", ["", "&sslrootcert=system"])
@pytest.mark.parametrize("name", ["sslcert", "sslkey", "sslcrl"])
def test_a_file_that_cannot_be_read_is_named_before_anything_is_asked(name: str, rest: str) -> None:
    address = postgres(f"postgresql://u@h/d?sslmode=verify-full&{name}=/nowhere/file.pem{rest}")
    with pytest.raises(BadSettings, match=f"DATABASE_URL: {name}: /nowhere/file.pem cannot be read"):
        asyncpg_arguments(address, pooled=False)


def test_nothing_prepared_outlives_a_pooled_transaction() -> None:
    arguments = asyncpg_arguments(postgres("postgresql://u@h/d?pgbouncer=true"), pooled=True)
    assert arguments["statement_cache_size"] == arguments["prepared_statement_cache_size"] == 0
    names = {arguments["prepared_statement_name_func"]() for _ in range(100)}
    assert len(names) == 100


# ── what is wrong with it ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("mysql://u:p@h/d", "mysql://"),
        ("database/bot.db", "postgresql://"),
        ("postgresql//u@h/d", "postgresql://"),
        ("sqlite://bot.db", "sqlite:///"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:///", "memory"),
        ("postgres://u:p@h:port/d", "port"),
        ("postgres://u:p@h:99999/d", "65535"),
        ("postgres://u:pa/ss@h/d", "%2F"),
        ("postgres://u:pa?ss@h/d", "%3F"),
        ("postgres://u:p@h/d?sslmode=required", "verify-full"),
        ("postgres://u:p@h/d?sslmod=require", "did you mean sslmode"),
        ("postgres://u:p@h/d?sslmode", "no value"),
        ("postgres://u:p@h/d?sslmode=require&sslrootcert=system", "verify-full"),
        ("postgres://u:p@h/d?sslnegotiation=direct", "sslmode"),
        ("postgres://u:p@h/d?gssencmode=require", "gssencmode"),
        ("postgres://u:p@h/d?channel_binding=always", "channel_binding"),
        ("postgres://u:p@h/d?channel_binding=require&sslmode=disable", "verify-full"),
        ("postgres://u:p@/d?host=/run/postgresql&channel_binding=require", "TLS"),
        ("postgres://u:p@h/d?target_session_attrs=master", "target_session_attrs"),
        ("postgres://u:p@h/d?connect_timeout=soon", "connect_timeout"),
        ("postgres://u:p@h1,h2/d?port=1,2,3", "port"),
        ("postgres://u:p@[::1/d", "[::1]:5432"),
        ("postgres://u:%ff@h/d", "UTF-8"),
        ("postgres://u:%00@h/d", "zero byte"),
        ("postgres://u:p@ho st/d", "host"),
    ],
)
def test_a_wrong_url_is_one_line_that_names_the_fix(url: str, part: str) -> None:
    assert part in refusal(url)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(user=_TEXT, password=_TEXT, database=_TEXT)
def test_percent_encoded_parts_come_back_as_they_were(user: str, password: str, database: str) -> None:
    url = f"postgres://{quote(user, safe='')}:{quote(password, safe='')}@h/{quote(database, safe='')}"
    address = postgres(url)
    assert (address.user, address.password, address.database) == (user, password, database)


_SECRET = st.text("abcXYZ0189_-~!$&'()*+,;=:@/?#[] %\\\"<>^`{|}é", min_size=1, max_size=30).map(
    lambda text: f"hunter2{text}hunter2"
)


@given(password=_SECRET, tail=st.sampled_from(["", "?sslmode=nonsense", "?nope=1", ":port/d", "/d?sslmode"]))
def test_the_password_is_in_no_message_and_no_repr(password: str, tail: str) -> None:
    for written in (password, quote(password, safe="")):
        try:
            address = read_address(f"postgres://user:{written}@host/db{tail}", root=ROOT)
        except BadSettings as error:
            said = str(error)
        else:
            assert isinstance(address, PostgresAddress)
            said = f"{address!r} {address.shown}" if "hunter2" in (address.password or "") else ""
        assert "hunter2" not in said


@given(st.text(max_size=80))
@example("~nobody/bot.db")
@example("~\0")
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, f"postgres://{text}", f"postgres://u:p@h/d?{text}", f"sqlite:///{text}"):
        try:
            address = read_address(url, root=ROOT)
        except BadSettings:
            continue
        assert address.shown
