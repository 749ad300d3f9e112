"""``sslmode`` in ``DATABASE_URL``: what it promises, seen from the server's side of a TLS relay."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from modules.queue_manager.errors import BadSettings
from modules.utils.database.engine import Database
from tests.postgres import Postgres
from tests.postgres_relay import Answer, Authority, Relay, relaying

PASSWORD = "pa$$/wörd-" + secrets.token_hex(4)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "foreign")


@pytest.fixture(scope="module")
def name(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture(autouse=True)
def no_certificates_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def relay(request: pytest.FixtureRequest, postgres: Postgres, ours: Authority) -> Iterator[Relay]:
    """A server with a certificate for ``localhost`` by our authority, or one that answers otherwise."""
    answer: Answer = getattr(request, "param", "tls")
    with relaying(postgres.socket, answer=answer, context=ours.server_context("localhost")) as running:
        yield running


def url(relay: Relay, name: str, query: str, host: str = "localhost") -> str:
    return f"postgres://postgres:{quote(PASSWORD, safe='')}@{host}:{relay.port}/{name}?{query}"


async def works(where: str) -> None:
    async with Database.open(where, patience=5) as database:
        await database.key_values.put("secret", "said")
        assert await database.key_values.get("secret") == "said"


async def fails(where: str) -> str:
    """The one line, at once, without the password."""
    with pytest.raises(BadSettings) as caught:
        async with Database.open(where, patience=60):
            pass
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("DATABASE_URL: ")
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error)
        error = error.__cause__
    return line


def encrypted(relay: Relay) -> bool:
    """All that was said was said in TLS."""
    assert any(seen.began for seen in relay.seen)
    return all(seen.encrypted for seen in relay.seen if seen.began)


@pytest.mark.parametrize("query", ["sslmode=require", "ssl=true", "sslmode=no-verify"])
async def test_require_encrypts_without_asking_who_signed(relay: Relay, name: str, query: str) -> None:
    await works(url(relay, name, query, host="127.0.0.1"))
    assert encrypted(relay)


async def test_require_with_a_root_certificate_asks_who_signed(
    relay: Relay, name: str, ours: Authority, foreign: Authority
) -> None:
    await works(url(relay, name, f"sslmode=require&sslrootcert={ours.certificate}", host="127.0.0.1"))
    assert encrypted(relay)
    relay.seen.clear()
    assert "TLS" in await fails(url(relay, name, f"sslmode=require&sslrootcert={foreign.certificate}"))
    assert not any(seen.began for seen in relay.seen)


async def test_a_root_certificate_at_home_is_used(
    relay: Relay, name: str, foreign: Authority, tmp_path: Path
) -> None:
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_bytes(foreign.certificate.read_bytes())
    await fails(url(relay, name, "sslmode=require"))
    assert not any(seen.began for seen in relay.seen)


async def test_verify_ca_asks_who_signed_but_not_for_whom(
    relay: Relay, name: str, ours: Authority, foreign: Authority
) -> None:
    await works(url(relay, name, f"sslmode=verify-ca&sslrootcert={ours.certificate}", host="127.0.0.1"))
    assert encrypted(relay)
    relay.seen.clear()
    await fails(url(relay, name, f"sslmode=verify-ca&sslrootcert={foreign.certificate}"))
    assert not any(seen.began for seen in relay.seen)


async def test_verify_full_asks_for_whom_as_well(relay: Relay, name: str, ours: Authority) -> None:
    await works(url(relay, name, f"sslmode=verify-full&sslrootcert={ours.certificate}"))
    assert encrypted(relay)
    relay.seen.clear()
    line = await fails(url(relay, name, f"sslmode=verify-full&sslrootcert={ours.certificate}", "127.0.0.1"))
    assert "certificate" in line.lower()
    assert not any(seen.began for seen in relay.seen)


async def test_verify_full_by_the_systems_authorities_refuses_our_own(relay: Relay, name: str) -> None:
    await fails(url(relay, name, "sslmode=verify-full&sslrootcert=system"))
    assert not any(seen.began for seen in relay.seen)


async def test_a_demand_for_channel_binding_lets_nobody_in_between(
    relay: Relay, name: str, ours: Authority
) -> None:
    """With ``sslmode=require`` alone, any server's certificate would do."""
    line = await fails(url(relay, name, "sslmode=require&channel_binding=require"))
    assert "channel_binding" in line
    assert "sslrootcert" in line
    assert not any(seen.began for seen in relay.seen)
    relay.seen.clear()
    named = f"sslmode=require&channel_binding=require&sslrootcert={ours.certificate}"
    await fails(url(relay, name, named, host="127.0.0.1"))
    assert not any(seen.began for seen in relay.seen)
    await works(url(relay, name, named))
    assert encrypted(relay)


async def test_verification_without_a_root_certificate_names_the_file(relay: Relay, name: str) -> None:
    assert "root.crt" in await fails(url(relay, name, "sslmode=verify-ca"))
    assert relay.seen == []


@pytest.mark.parametrize("relay", ["refuse"], indirect=True)
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_is_refused(relay: Relay, name: str, ours: Authority, mode: str) -> None:
    root = f"&sslrootcert={ours.certificate}" if mode != "require" else ""
    assert "TLS" in await fails(url(relay, name, f"sslmode={mode}{root}"))
    assert relay.seen
    assert not any(seen.began for seen in relay.seen)


async def test_prefer_uses_tls_where_it_is_to_be_had(relay: Relay, name: str) -> None:
    await works(url(relay, name, ""))
    assert encrypted(relay)


@pytest.mark.parametrize("relay", ["refuse", "break"], indirect=True)
async def test_prefer_does_without_where_it_is_not(relay: Relay, name: str) -> None:
    await works(url(relay, name, "sslmode=prefer"))
    assert relay.seen[0].asked_for_tls
    assert any(seen.began and not seen.encrypted for seen in relay.seen)


async def test_disable_does_not_even_ask(relay: Relay, name: str) -> None:
    await works(url(relay, name, "sslmode=disable"))
    assert not any(seen.asked_for_tls for seen in relay.seen)


async def test_direct_tls_needs_no_question(relay: Relay, name: str, ours: Authority) -> None:
    query = f"sslmode=verify-full&sslrootcert={ours.certificate}&sslnegotiation=direct"
    await works(url(relay, name, query))
    assert encrypted(relay)
    assert not any(seen.asked_for_tls for seen in relay.seen)
