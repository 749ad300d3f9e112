"""``python bot.py check`` finds each thing that can be wrong, and says how to fix it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from modules.ai.inspection import inspect_models
from modules.app import check
from modules.demo.comfy_server import ComfyServer, ServerProfile
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.world import BotSpec, WorldSpec, default_world
from modules.discord.transport.permissions import NEEDED, invite_link, names
from modules.utils.database.engine import Database
from modules.utils.database.inspection import inspect_database
from modules.utils.inspection import Finding, Section, as_text, of_level
from modules.utils.monitoring.health_server import HealthServer
from modules.utils.settings import settings
from modules.utils.settings.inspection import inspect_settings
from tests.bot_process import said_by
from tests.comfy_v2 import Platform
from tests.postgres import Postgres
from tests.postgres_relay import Authority, relaying

ROOT = Path(__file__).parents[3]
TOKEN = "MTE4NzQwMjM.GhJk2L.s3cr3t-part-of-the-token"
KEY = "painter:hunter2-hunter2"
GOOD = ServerProfile(api_key=KEY, cache_lru=100)
NEEDED_ALONE = BotSpec(token=TOKEN, permissions=NEEDED.value)


@dataclass
class QueuePosition:
    """A bot's surroundings, and its settings, which each test spoils in one point."""

    discord: DiscordServer
    comfy: ComfyServer
    env_file: Path

    def write(self, **changes: str) -> Path:
        values = {
            "DISCORD_TOKEN": TOKEN,
            "ALLOWED_GUILD_ID": str(self.discord.guild.id),
            "GALLERY_CHANNEL_ID": str(self.discord.channel("gallery").id),
            "COMFY_URLS": self.comfy.url,
            "COMFY_API_KEY": KEY,
            "DATABASE_URL": f"sqlite:///{self.env_file.parent / 'bot.db'}",
            "DISCORD_API_BASE": self.discord.api_url,
            "DISCORD_GATEWAY_URL": self.discord.gateway_url,
            **changes,
        }
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        self.env_file.chmod(0o600)
        return self.env_file

    async def check(self, **changes: str) -> list[Section]:
        """What is found with these settings."""
        given, found = inspect_settings(self.write(**changes), {})
        return [Section(title="Settings", findings=found), *await check.inspect(given, ROOT / "flujos")]


@asynccontextmanager
async def place(
    tmp_path: Path, *, world: WorldSpec | None = None, profile: ServerProfile = GOOD
) -> AsyncIterator[QueuePosition]:
    world = world or default_world(2, bot=NEEDED_ALONE)
    async with DiscordServer(world) as discord, ComfyServer(profile=profile, drawing="plain") as comfy:
        yield QueuePosition(discord, comfy, tmp_path / ".env")
        assert discord.violations == []


def faults(sections: list[Section]) -> str:
    return "\n".join(str(finding) for finding in of_level(sections, "fault"))


def hints(sections: list[Section]) -> str:
    return "\n".join(str(finding) for finding in of_level(sections, "hint"))


# ── all in order ────────────────────────────────────────────────────────────────────────────────


async def test_a_good_set_up_has_nothing_to_mend_and_shows_no_secret(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        sections = await here.check()
        told = as_text(sections, everything=True)
        assert told.endswith(" OK, 0 warnings, 0 problems"), told
        for line in (
            "✓ DISCORD_TOKEN is set (in .env)",
            "✓ the Message Content Intent is on",
            "✓ the bot has the permission Manage Channels",
            f"✓ the invite link with exactly the permissions it needs: {invite_link(here.discord.bot.id)}",
            "✓ the gallery is #gallery",
            "✓ slash commands can be registered",
            f"✓ 127.0.0.1:{here.comfy.port} is ComfyUI 0.33.0 with 24.0 GB",
            f"✓ 127.0.0.1:{here.comfy.port} answers over HTTP, with its key",
            f"✓ 127.0.0.1:{here.comfy.port} has the node pack 2.0.0",
            f"✓ 127.0.0.1:{here.comfy.port} has the GGUF nodes CLIPLoaderGGUF, UnetLoaderGGUF",
            f"✓ 127.0.0.1:{here.comfy.port} can run z-image, 4 at once",
            "✓ z-image (imagine) is OK",
        ):
            assert line in told
        assert TOKEN not in told
        assert "hunter2" not in told


async def test_problems_come_first_with_their_fixes_and_routine_only_on_request(tmp_path: Path) -> None:
    async with (
        place(tmp_path) as here,
        ComfyServer(profile=GOOD, drawing="plain") as two,
        ComfyServer(profile=GOOD, drawing="plain") as three,
    ):
        urls = ",".join([here.comfy.url, two.url, three.url])
        sections = await here.check(COMFY_URLS=urls, MAX_JOBS_PER_USER="2", LOG_LEVEL="debug")
        healthy = as_text(sections)
        assert len(healthy.splitlines()) <= 25, healthy
        assert f"✓ 127.0.0.1:{two.port} (ComfyUI 0.33.0, 24.0 GB) can run flux, flux_edit, " in healthy
        assert "LOG_LEVEL is debug" in healthy
        assert "MAX_JOBS_PER_USER" not in healthy
        assert "MAX_JOBS_PER_USER is 2 (in .env)" in as_text(sections, everything=True)

        here.discord.set_bot_permissions(NEEDED.value & ~type(NEEDED)(attach_files=True).value)
        faulty = as_text(await here.check(LOG_LEVEL="loud", ROLE_LIMITS="223456789012345678=4"))
        lines = [line for line in faulty.splitlines() if line[0] in "✗•"]
        assert [line.partition(" ")[0] for line in lines] == ["✗", "✗", "✗", "•"]
        fixes = [line for line in faulty.splitlines() if line.startswith("  → ")]
        assert len(fixes) == len(lines)
        assert fixes[0] == "  → correct it in .env or in the environment"
        assert fixes[1].startswith("  → give it to the bot's role in Server Settings")


@pytest.mark.parametrize("permissions", [NEEDED.value, 0], ids=["sound", "faulty"])
async def test_the_command_tells_machines_and_ends_accordingly(tmp_path: Path, permissions: int) -> None:
    world = default_world(2, bot=replace(NEEDED_ALONE, permissions=permissions))
    async with place(tmp_path, world=world) as here:
        code, output, errors = await said_by(
            "check", "--json", "--env-file", str(here.write()), folder=tmp_path
        )
    told: dict[str, Any] = json.loads(output)
    lacking = [check["what"] for check in told["checks"] if check["level"] == "fault"]
    assert code == (0 if permissions else 1), errors
    assert told["ok"] == bool(permissions)
    assert bool(lacking) != bool(permissions)
    assert {check["area"] for check in told["checks"]} == {
        "Settings", "Discord", "Database", "ComfyUI", "Models in flujos/",
    }  # fmt: skip
    assert "s3cr3t" not in output + errors


# ── settings ────────────────────────────────────────────────────────────────────────────────────


async def test_each_wrong_variable_is_told_and_the_rest_is_looked_at_all_the_same(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        unasked = as_text(await here.check(COMFY_URLS="", DISCORD_TOKEN=""))
        assert "• Discord: skipped\n  → fix DISCORD_TOKEN first" in unasked
        assert "• ComfyUI: skipped\n  → fix COMFY_URLS first" in unasked
        sections = await here.check(
            COMFY_URLS="", MAX_JOBS_PER_USER="many", BANNED_WORDS_FILE=str(tmp_path / "none")
        )
        told = faults(sections)
        assert "COMFY_URLS: missing: write your ComfyUI's address" in told
        assert 'MAX_JOBS_PER_USER: "many" is not a whole number from 1 to 1000' in told
        assert "none cannot be read (No such file or directory): correct the path" in told
        assert "the bot has the permission Manage Channels" in as_text(sections, everything=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "is a folder: write the path of a text file"),
        (lambda path: path.write_bytes("coño".encode("latin-1")), "is not UTF-8 text: save it as UTF-8"),
        (lambda path: None, "cannot be read (No such file or directory): correct the path"),
    ],
)
def test_a_list_of_banned_words_that_cannot_be_read_is_a_fault(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "words.txt"
    make(path)
    environ = {"DISCORD_TOKEN": TOKEN, "COMFY_URLS": "http://gpu:1", "BANNED_WORDS_FILE": str(path)}
    _, found = inspect_settings(tmp_path / ".env", environ)
    told = faults([Section(title="Settings", findings=found)])
    assert f"BANNED_WORDS_FILE: {path} {words}" in told


def test_slips_of_the_pen_are_told(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(
        f"DISCORD_TOKEN={TOKEN}\nCOMFY_URL=http://gpu:1\nMETRIC_PORT=9100\nMETRICS_PORT=9100\n"
    )
    env_file.chmod(0o644)
    environ = {"METRICS_HOST": "0.0.0.0", "METRICS_PORT": "9200"}
    _, found = inspect_settings(env_file, environ)
    told = hints([Section(title="Settings", findings=found)])
    assert "METRIC_PORT in .env is not a setting: did you mean METRICS_PORT?" in told
    assert "METRICS_PORT in .env is overridden by the environment variable of that name" in told
    assert "METRICS_HOST=0.0.0.0 lets other machines read the metrics and the status page" in told
    assert os.name == "nt" or "other users of this machine can read .env" in told


def test_a_database_address_that_cannot_be_read_is_not_taken_for_none(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("DATABASE_URL=mysql://u@db/x\n")
    assert check.report(env_file, ROOT / "flujos", as_json=False) == 1
    told = capfdbinary.readouterr().out.decode()
    assert "DATABASE_URL: mysql:// is not a database that this bot can use" in told
    assert "• Database: skipped\n  → fix DATABASE_URL first" in told
    assert "SQLite file" not in told


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_port_for_the_figures_that_is_not_to_be_had_is_told(tmp_path: Path, host: str) -> None:
    async def told(port: int, host: str) -> str:
        env_file = tmp_path / ".env"
        env_file.write_text(f"METRICS_PORT={port}\nMETRICS_HOST={host}\n")
        _, found = await asyncio.to_thread(inspect_settings, env_file, {})
        return as_text([Section(title="Settings", findings=found)])

    async with HealthServer().serving(host=host, port=0) as port:
        assert "another program's" not in await told(port, host)
    assert "another program's" not in await told(port, host)
    with socket.create_server((host, 0)) as other:
        port = other.getsockname()[1]
        assert (
            f"• Settings: METRICS_PORT {port} of METRICS_HOST {host} is used by another program"
            in await told(port, host)
        )
    assert "✗ Settings: METRICS_PORT 9100 of METRICS_HOST 192.0.2.1 cannot be used" in await told(
        9100, "192.0.2.1"
    )


def test_without_a_file_it_is_told_how_to_make_one(tmp_path: Path) -> None:
    _, found = inspect_settings(tmp_path / ".env", {})
    assert "there is no .env: create it with: python3 bot.py setup" in hints(
        [Section(title="", findings=found)]
    )


def test_a_folder_or_a_file_with_an_ending_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    _, found = inspect_settings(tmp_path / ".env", {})
    assert ".env is a folder: remove it and write the file" in faults([Section(title="", findings=found)])
    (tmp_path / ".env").rmdir()
    (tmp_path / ".env.txt").write_text(f"DISCORD_TOKEN={TOKEN}\n")
    _, found = inspect_settings(tmp_path / ".env", {})
    told = [Section(title="", findings=found)]
    assert ".env is called .env.txt: rename it to .env" in faults(told)
    assert "there is no .env" not in hints(told)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DISCORD_TOKEN='unfinished\n")
    _, found = inspect_settings(tmp_path / ".env", {})
    assert ".env: line 1 cannot be read: write NAME=value" in faults([Section(title="", findings=found)])


# ── Discord ─────────────────────────────────────────────────────────────────────────────────────


async def test_nothing_is_looked_at_any_more_once_looking_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, ended = asyncio.Event(), asyncio.Event()

    async def look_for_ever(*_: object) -> tuple[Finding, ...]:
        looking.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async def fail(*_: object, **__: object) -> tuple[Finding, ...]:
        await looking.wait()
        raise ZeroDivisionError

    monkeypatch.setattr(check, "_inspect_discord", look_for_ever)
    monkeypatch.setattr(check, "inspect_database", fail)
    given = settings.read({"DISCORD_TOKEN": "a.b.c", "COMFY_URLS": "http://127.0.0.1:9"}, {})
    with pytest.raises(ZeroDivisionError):
        await check.inspect(given, ROOT / "flujos")
    assert ended.is_set()


async def test_a_wrong_token_is_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        told = faults(await here.check(DISCORD_TOKEN="another.bots.token"))
        assert told.startswith("Discord does not accept DISCORD_TOKEN: reset it in the developer portal")


async def test_a_discord_that_is_away_is_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with socket.create_server(("127.0.0.1", 0)) as unheard:
            port = unheard.getsockname()[1]
        told = faults(await here.check(DISCORD_API_BASE=f"http://127.0.0.1:{port}/api/v10"))
        assert "Discord cannot be reached" in told


async def test_each_missing_permission_is_told_by_name_with_the_link(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        for name in [name for name, needed in NEEDED if needed]:
            one = type(NEEDED)(**{name: True})
            here.discord.set_bot_permissions(NEEDED.value & ~one.value)
            (fault,) = of_level(await here.check(GALLERY_CHANNEL_ID=""), "fault")
            assert fault.what == f"the bot lacks the permission {next(names(one))}"
            assert invite_link(here.discord.bot.id) in fault.fix


async def test_more_than_is_needed_is_told(tmp_path: Path) -> None:
    world = default_world(2, bot=replace(NEEDED_ALONE, permissions=8, message_content_intent=False))
    async with place(tmp_path, world=world) as here:
        sections = await here.check()
        assert faults(sections) == ""
        assert "is an administrator, which is more than it needs" in hints(sections)
        assert "Message Content Intent is off, so ! commands need a mention" in hints(sections)


async def test_the_wrong_guild_none_and_no_choice_are_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        known = f"FuLLet demo ({here.discord.guild.id})"
        link = invite_link(here.discord.bot.id)
        wrong = faults(await here.check(ALLOWED_GUILD_ID="123456789012345678"))
        assert wrong == (
            f"the bot is not in the server ALLOWED_GUILD_ID=123456789012345678, but in {known}: "
            f"correct the ID, or invite the bot with {link}"
        )
        assert f"write the ID of its server there; the bot is in {known}" in faults(
            await here.check(ALLOWED_GUILD_ID="")
        )
        here.discord.kick_bot(here.discord.guild)
        assert faults(await here.check()) == f"the bot is not in any server: invite it with {link}"


async def test_a_gallery_that_is_not_there_or_shut_is_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        shut = str(here.discord.channel("moderators").id)
        assert "lacks View Channels in the gallery #moderators" in faults(
            await here.check(GALLERY_CHANNEL_ID=shut)
        )
        told = faults(await here.check(GALLERY_CHANNEL_ID="123456789012345678"))
        assert "GALLERY_CHANNEL_ID=123456789012345678 is not a channel of this server" in told


async def test_roles_that_are_not_there_are_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        known = str(here.discord.guild.id)  # @everyone's role has the guild's id
        sections = await here.check(
            PRIORITY_ROLES=f"{known},123456789012345678", ROLE_LIMITS="223456789012345678=4"
        )
        told = hints(sections)
        assert "contains 123456789012345678, which is not a role of this server" in told
        assert "contains 223456789012345678, which is not a role of this server" in told
        assert known not in told
        assert faults(sections) == ""


# ── database ────────────────────────────────────────────────────────────────────────────────────


async def found_in(url: str, **more: Any) -> list[Section]:
    return [Section(title="Database", findings=await inspect_database(url, **more))]


async def test_a_database_that_is_used_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    assert "will be created when the bot first starts" in as_text(await found_in(url))
    assert not (tmp_path / "bot.db").exists()
    async with Database.open(url) as database, database.lease.hold():
        await database.key_values.put("kept", "yes")
        told = as_text(await found_in(url), everything=True)
        assert await database.key_values.get("kept") == "yes"
    assert "its tables are up to date" in told
    assert "it can be written" in told
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "fullet_check" not in names
    assert "made by a newer version of this bot (schema 9999" in faults(await found_in(url))


async def test_a_file_that_is_no_database_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_bytes(b"this is a letter, not a database " * 100)
    assert "file is not a database" in faults(await found_in(f"sqlite:///{tmp_path / 'odd.db'}"))
    (tmp_path / "file").write_text("")
    told = faults(await found_in(f"sqlite:///{tmp_path / 'file' / 'bot.db'}"))
    assert "file cannot be written: give the bot's user the right" in told


async def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free // 2**20
    sections = await found_in(f"sqlite:///{tmp_path / 'bot.db'}", image_disk_mb=free * 2)
    assert "make room, or lower IMAGE_DISK_MB" in hints(sections)


async def test_a_postgresql_is_looked_at(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.new_database()
    empty = await found_in(postgres.url(name))
    assert "it is empty; the tables will be created when the bot first starts" in as_text(empty)
    assert "stays in a private network" in as_text(empty)
    assert faults(empty) == ""
    with relaying(
        postgres.socket, answer="tls", context=Authority(tmp_path, "ours").server_context("localhost")
    ) as relay:
        url = f"postgresql://postgres:x@localhost:{relay.port}/{name}"
        assert "the connection is encrypted (TLSv1." in as_text(await found_in(f"{url}?sslmode=require"))
        checked = f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'ours.crt'}"
        assert "the connection is encrypted (TLSv1.3)" in as_text(await found_in(checked))
        Authority(tmp_path, "theirs")
        told = faults(await found_in(f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'theirs.crt'}"))
        assert "certificate" in told
        assert "x@" not in told


async def test_a_postgresql_that_is_far_and_in_the_open_is_told(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres.new_database()
    with relaying(postgres.socket) as relay:
        url = f"postgresql://postgres:x@127.0.0.1:{relay.port}/{name}?sslmode=prefer"
        monkeypatch.setattr("modules.utils.database.inspection.is_private", lambda host: False)
        told = hints(await found_in(url))
    assert "the connection to the database is not encrypted: add ?sslmode=require" in told


async def test_a_postgresql_that_is_away_lacks_the_database_or_forbids_writing_is_told(
    postgres: Postgres,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    assert "cannot be used" in faults(await found_in(f"postgresql://postgres@127.0.0.1:{port}/x"))
    assert "there is no such database" in faults(await found_in(postgres.url("nowhere")))
    name = postgres.new_database()
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "the database cannot be written" in faults(await found_in(postgres.url(name)))


# ── ComfyUI and models ──────────────────────────────────────────────────────────────────────────


async def test_a_server_that_is_away_wants_a_key_or_is_none_is_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        told = faults(await here.check(COMFY_API_KEY="wrong"))
        assert "needs the right COMFY_API_KEY (it answered 401): correct COMFY_API_KEY" in told
        told = faults(await here.check(COMFY_URLS=here.discord.url))
        assert "answered 404: correct COMFY_URLS, or check what is in front of that ComfyUI" in told
        await here.comfy.stop()
        told = faults(await here.check())
        assert "cannot be reached" in told
        assert "start ComfyUI with --listen, open its port in the firewall" in told


async def test_a_name_that_stands_for_no_server_is_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        told = faults(await here.check(COMFY_URLS="dns+http://no-such-host.invalid:8188"))
        assert told == (
            "no server was found at dns+http://no-such-host.invalid:8188: "
            "correct the name in COMFY_URLS, or start a server"
        )


async def test_a_name_that_scales_from_zero_may_stand_for_no_server(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        sections = await here.check(COMFY_URLS="dns+http://no-such-host.invalid:8188?start=90")
        assert faults(sections) == ""
        assert "• ComfyUI: no server was found at dns+http://no-such-host.invalid:8188?start=90" in as_text(
            sections
        )


async def test_each_server_behind_a_name_is_looked_at(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        sections = await here.check(COMFY_URLS=f"dns+http://localhost:{here.comfy.port}")
        assert f"✓ 127.0.0.1:{here.comfy.port} (ComfyUI 0.33.0, 24.0 GB) can run" in as_text(sections)


@asynccontextmanager
async def behind_tls(context: ssl.SSLContext, port: int) -> AsyncIterator[str]:
    """The address of a proxy that speaks TLS before what listens on ``port``."""

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, inner[1]), pass_on(inner[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_certificate_that_nobody_knows_and_a_server_without_tls_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    async with (
        place(tmp_path) as here,
        behind_tls(authority.server_context("127.0.0.1"), here.comfy.port) as url,
    ):
        told = faults(await here.check(COMFY_URLS=url))
        assert "its certificate is not trusted (unable to get local issuer certificate)" in told
        assert "name its authority's file in the environment variable SSL_CERT_FILE" in told
        told = faults(await here.check(COMFY_URLS=here.comfy.url.replace("http://", "https://")))
        assert "does not speak TLS at this address: write http:// if it does not use TLS" in told

        here.write(COMFY_URLS=url)
        command = [sys.executable, str(ROOT / "bot.py"), "check", "--env-file", str(here.env_file)]
        environ = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(authority.certificate)}
        command.append("--all")
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, env=environ, check=False)
        assert done.returncode == 0, done.stdout
        assert "answers over HTTPS, with its key" in done.stdout.decode()


async def test_what_a_server_lacks_is_told_with_what_to_do(tmp_path: Path) -> None:
    profile = replace(
        GOOD,
        missing_models=frozenset({"flux-2-klein-4b-Q5_K_M.gguf"}),
        extra_models={"unet_gguf": ("klein/flux-2-klein-4b-q5_k_m.gguf",)},
        pack_version=None,
        cache_lru=0,
    )
    async with place(tmp_path, profile=profile) as here:
        sections = await here.check()
        assert "did you mean klein/flux-2-klein-4b-q5_k_m.gguf?" in faults(sections)
        assert "cannot make variations: copy comfy_custom_nodes/fullet" in hints(sections)
        assert "start ComfyUI with --cache-lru 100" in hints(sections)


async def test_a_missing_file_is_told_with_the_line_that_fetches_it(tmp_path: Path) -> None:
    models = tmp_path / "flujos"
    models.mkdir()
    graph = (ROOT / "flujos" / "z-image.json").read_text(encoding="utf-8")
    (models / "dream.json").write_text(
        graph.replace("z-image-turbo-Q5_K_M.gguf", "sub/nightfall.gguf"), encoding="utf-8"
    )
    (models / "dream.toml").write_text(
        "[[downloads]]\n"
        'name = "nightfall.gguf"\nurl = "https://example.org/nightfall.gguf"\nfolder = "unet"\n',
        encoding="utf-8",
    )
    async with place(tmp_path) as here:
        given, _ = inspect_settings(here.write(), {})
        sections = await check.inspect(given, models)
        (fault,) = of_level(sections, "fault")
        assert "cannot run dream, because it lacks sub/nightfall.gguf" in fault.what
        line = "curl -fgL --create-dirs -o ComfyUI/models/unet/sub/nightfall.gguf "
        assert fault.detail == line + "'https://example.org/nightfall.gguf'"
        assert f"    {fault.detail}\n" in as_text(sections)


async def test_loras_and_styles_that_cannot_be_had_are_told_with_what_to_do(tmp_path: Path) -> None:
    models = shutil.copytree(ROOT / "flujos", tmp_path / "flujos")
    (models / "loras.toml").write_text(
        '[grain]\nlabel = "Grain"\nfile = "grain.safetensors"\nmodels = ["flux", "z-imag"]\n'
        '[ink]\nlabel = "Ink"\nfile = "ink_v1.safetensors"\nmodels = ["flux", "upscale"]\n',
        encoding="utf-8",
    )
    profile = replace(GOOD, extra_models={"loras": ("grain.safetensors", "ink_v2.safetensors")})
    async with place(tmp_path, profile=profile) as here:
        given, _ = inspect_settings(here.write(), {})
        sections = await check.inspect(given, models)
        assert {str(finding) for finding in of_level(sections, "fault")} == {
            "loras.toml: grain: there is no model z-imag; did you mean z-image?: "
            "correct the line models = … under [grain]",
            "loras.toml: ink: it cannot be used with upscale: an upscale takes no LoRA: "
            "correct the line models = … under [ink]",
        }
        assert (
            "loras.toml: ink: no server that runs flux has ink_v1.safetensors: put the file into "
            "ComfyUI/models/loras there, or name another one in loras.toml; did you mean ink_v2.safetensors?"
        ) in hints(sections)
        everything = as_text(sections, everything=True)
        assert "the LoRA grain is OK" in everything
        assert "styles that are OK: 10" in everything
        for name in ("loras", "styles"):
            (models / f"{name}.toml").write_text("[x]\ny = 1\n", encoding="utf-8")
        told = faults(await check.inspect(given, models))
        assert "loras.toml: x.models is missing: correct it; until then no LoRA is offered" in told
        assert "styles.toml: x.prompt is missing: correct it; until then no style is offered" in told


async def test_missing_gguf_nodes_are_told(tmp_path: Path) -> None:
    async with place(tmp_path, profile=replace(GOOD, gguf=False)) as here:
        told = faults(await here.check())
        assert "lacks the node UnetLoaderGGUF: install https://github.com/city96/ComfyUI-GGUF" in told


def test_faulty_files_are_told_and_what_was_derived_is_shown(tmp_path: Path) -> None:
    for name in ("flux.toml", "flux.json", "z-image.json", "upscale.json"):
        shutil.copy(ROOT / "flujos" / name, tmp_path / name)
    (tmp_path / "upscale.toml").write_text('label = "x"\nkind = "picture"\n')
    (tmp_path / "nothing.json").write_text("{}")
    templates, found = inspect_models(tmp_path)
    sections = [Section(title="Models", findings=found)]
    assert list(templates) == ["flux", "z-image"]
    assert [line.partition(": ")[0] for line in faults(sections).splitlines()] == [
        "nothing.json",
        "upscale.toml",
    ]
    assert "upscale.toml: kind: 'picture' is not one of imagine, edit, upscale" in faults(sections)
    (derived,) = [finding for finding in found if finding.detail]
    assert derived.what.startswith("z-image (imagine) is OK")
    assert derived.detail.splitlines()[1].startswith("prompt 4.text; ")
    assert "8 steps" in derived.detail


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    assert "there is no model" in faults([Section(title="", findings=inspect_models(tmp_path)[1])])


# ── Comfy API v2 ────────────────────────────────────────────────────────────────────────────────


async def test_an_elastic_address_is_tried_without_buying_a_run(tmp_path: Path) -> None:
    async with place(tmp_path) as here, Platform(gpus=[here.comfy]).open() as platform:
        name = platform.url.partition("://")[2]
        urls = f"{here.comfy.url},comfy+{platform.url}?jobs=8&after=60&models=flux"
        sections = await here.check(COMFY_URLS=urls, COMFY_API_KEYS=f"{platform.url}={platform.key}")
        told = as_text(sections, everything=True)
        terms = "up to 8 runs at once, for jobs that would wait longer than 60 s"
        assert f"✓ {name} answers as Comfy API v2; {terms}; models: flux" in told
        assert "✓ COMFY_API_KEYS is set (in .env)" in told
        assert f"{name} keeps no labels, so a run that starts during a crash may be paid for twice" in told
        assert platform.key not in told
        assert not faults(sections)
        wrong = faults(await here.check(COMFY_URLS=urls, COMFY_API_KEYS=f"{platform.url}=another-key"))
        assert (
            f"{name} needs the right key in COMFY_API_KEYS (it answered 401): "
            f"write http://{name}=KEY into COMFY_API_KEYS" in wrong
        )
        assert "another-key" not in wrong
        nothing = hints(
            await here.check(
                COMFY_URLS=f"comfy+{platform.url}?models=nonesuch",
                COMFY_API_KEYS=f"{platform.url}={platform.key}",
            )
        )
        assert f"{name} offers no model: add models= to its address" in nothing
        assert "names nonesuch, which is not a model in flujos/" in nothing
        assert not platform.jobs


async def test_an_elastic_address_where_nothing_is_or_something_else(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        there = faults(await here.check(COMFY_URLS=f"{here.comfy.url},comfy+http://127.0.0.1:1"))
        assert "127.0.0.1:1 cannot be reached: correct the address in COMFY_URLS" in there
        other = faults(await here.check(COMFY_URLS=f"comfy+{here.comfy.url}"))
        assert "does not answer as Comfy API v2 does" in other or "answered 401" in other
