"""``python bot.py check --discord`` tells what Discord does with the bot's messages, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modules.app import check
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.buckets import Limit, RateLimiter, Verdict
from modules.demo.discord_server.state.guilds import Message
from modules.demo.discord_server.state.world import BotSpec, ChannelSpec, default_world
from modules.discord.message_inspection import CHANNEL, TOPIC, inspect_messages
from modules.discord.transport.permissions import NEEDED
from modules.queue_manager.backports import timeout
from modules.utils.inspection import Finding, Section, as_text
from tests.bot_process import BotProcess, born
from tests.discord_stand import bot_on, discord_server

ROOT = Path(__file__).parents[3]
TOKEN = "MTE4NzQwMjM.GhJk2L.s3cr3t-part-of-the-token"
BOT = BotSpec(token=TOKEN, permissions=NEEDED.value)
SENT = "rest POST /channels/{channel_id}/messages"
MADE = "rest POST /guilds/{guild_id}/channels"
LONG_AGO = 1_000_000_000_000_000_000
"""The id of something that was made in 2022."""


class QuickLimits(RateLimiter):
    """Discord's limits, whose windows end five times as soon."""

    def ask(self, route: str, major: str, limit: Limit, *, counts_globally: bool) -> Verdict:
        shorter = replace(limit, seconds=limit.seconds / 5)
        return super().ask(route, major, shorter, counts_globally=counts_globally)


class Forgetful(dict[Any, Any]):
    """Remembers nothing."""

    def __setitem__(self, key: object, value: object) -> None:
        """Forget it."""


@asynccontextmanager
async def checking(
    server: DiscordServer, folder: Path, *options: str, guild_id: str | None = None
) -> AsyncIterator[BotProcess]:
    """The command as a process of its own."""
    env_file = folder / ".env"
    values = {
        "DISCORD_TOKEN": server.token,
        "ALLOWED_GUILD_ID": str(server.guild.id) if guild_id is None else guild_id,
        "DISCORD_API_BASE": server.api_url,
        "DISCORD_GATEWAY_URL": server.gateway_url,
    }
    env_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    env_file.chmod(0o600)
    command = ("check", "--discord", "--env-file", str(env_file), *options)
    process = await born(*command, folder=folder, log=folder / "said", errors=folder / "errors")
    try:
        yield process
    finally:
        await process.kill()


async def end_of(process: BotProcess) -> str:
    """What it has said."""
    await process.ended()
    said, errors = process.said(), process.log.with_name("errors").read_text(encoding="utf-8")
    assert TOKEN not in said + errors
    assert "Traceback" not in errors, errors
    return said


def names(server: DiscordServer) -> list[str]:
    return [channel.name for channel in server.guild.channels.values()]


async def until(condition: Callable[[], object]) -> None:
    """Return once something is so at the server."""
    async with timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_every_kind_of_message_holds_within_the_limits_while_the_bot_runs(tmp_path: Path) -> None:
    async with discord_server(default_world(2, bot=BOT)) as server, bot_on(server, tmp_path):
        server.hub.limits = QuickLimits(server.clock, enabled=True)
        before = names(server)
        async with checking(server, tmp_path) as process:
            told = await end_of(process)
        assert told.endswith(" OK, 0 warnings, 0 problems\n"), told
        assert process.code == 0
        for line in (
            "✓ a private channel is made, #fullet-check, which only the bot and administrators see",
            "✓ a status message is posted and comes back as it was sent (POST 200, GET 200)",
            "✓ a status message is edited and keeps what the edit does not mention (PATCH 200 3 times",
            "✓ a status message is found again as after a crash (GET 200, by its mark)",
            "✓ the pictures of a result come back from Discord byte for byte",
            "✓ a result posted twice under one nonce appears only once",
            "✓ a result is found again as after a crash (GET 200 twice, by its file's name and",
            "✓ a result that was deleted is not posted again under its nonce (POST 404, 404 Not Found",
            "✓ a failure notice is deleted (DELETE 204, GET 404)",
            "✓ a warning is posted",
            "✓ a result with several pictures is edited and keeps what the edit does not mention",
            "✓ a result with several pictures is found again as after a crash",
            "✓ a file of 10485760 bytes is accepted",
            "✓ a file of 10485761 bytes is refused as too large (POST 413, 413 Request Entity Too Large",
            "✓ Discord's rate limits for messages in a channel: POST 5 in 1 s and PATCH 5 in",
            "requests was rate-limited (429)",
            "✓ #fullet-check is deleted (404 Not Found (error code: 10003): Unknown Channel)",
        ):
            assert line in told
        assert server.counters["429"] == 0
        assert names(server) == before


async def test_a_missing_permission_is_told_with_discords_own_words(tmp_path: Path) -> None:
    lacking = BotSpec(token=TOKEN, permissions=NEEDED.value & ~type(NEEDED)(attach_files=True).value)
    async with discord_server(default_world(2, bot=lacking)) as server:
        before = names(server)
        async with checking(server, tmp_path, "--guild", str(server.guild.id), guild_id="") as process:
            told = await end_of(process)
        assert "✗ Discord: the bot lacks the permission Attach Files\n  → give it to the bot's role" in told
        assert (
            "✗ Messages: the private channel #fullet-check could not be made: 403 Forbidden "
            "(error code: 50013): Missing Permissions\n"
            "  → the bot's role needs Manage Channels, View Channels"
        ) in told
        assert process.code == 1
        assert names(server) == before


async def test_a_discord_that_doubles_messages_is_told(tmp_path: Path) -> None:
    async with discord_server(default_world(2, bot=BOT), rate_limits=False) as server:
        server.hub.nonces = Forgetful()
        before = names(server)
        async with checking(server, tmp_path, "--json") as process:
            told = await end_of(process)
        answer = json.loads(told)
        wrong = {check["what"]: check["fix"] for check in answer["checks"] if check["level"] == "fault"}
        several = "a result with several pictures"
        kinds = ("a status message", "a result", several, "a failure notice", "a warning")
        assert list(wrong) == [
            f"{kind} posted twice under one nonce appears only once: Discord made 2 messages out of it"
            for kind in kinds
        ]
        assert all(fix.startswith("if Discord's answer gets lost") for fix in wrong.values())
        assert process.code == 1
        assert answer["ok"] is False
        assert names(server) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize(("reached", "times"), [(MADE, 1), (SENT, 4)], ids=["first", "middle"])
async def test_ctrl_c_leaves_no_channel(tmp_path: Path, reached: str, times: int) -> None:
    async with discord_server(default_world(2, bot=BOT), rate_limits=False) as server:
        before = names(server)
        server.faults.slow(0.2, 60)  # so that the signal comes while an answer is awaited
        async with checking(server, tmp_path) as process:
            await until(lambda: server.counters[reached] == times)
            process.send(signal.SIGINT)
            await asyncio.sleep(0.05)  # people press it twice
            process.send(signal.SIGINT)
            told = await end_of(process)
        assert server.counters[MADE] == 1
        assert names(server) == before, told
        assert "• Messages: interrupted, so the rest was not tried\n  → run it again" in told
        assert "✓ #fullet-check is deleted" in told
        assert process.code == 130


async def found_at(server: DiscordServer) -> str:
    """What is found, in this process."""
    found: list[Finding] = []
    host = server.url.removeprefix("http://")
    await inspect_messages(found, token=server.token, guild_id=server.guild.id, extra_host=host)
    return as_text([Section(title="Messages", findings=tuple(found))], everything=True)


async def test_steps_that_fail_do_not_keep_the_channel() -> None:
    world = default_world(2, bot=BOT)
    guild = replace(world.guilds[0], automod_words=("unless",))  # only the warning has that
    async with discord_server(replace(world, guilds=(guild,)), rate_limits=False) as server:
        told = await found_at(server)
        assert "✗ Messages: a warning is posted and comes back as it was sent: 200000: " in told
        assert "→ this server's AutoMod blocks it" in told
        assert "✓ a result with several pictures is deleted" in told
        assert "✓ #fullet-check is deleted" in told
        assert CHANNEL not in names(server)


async def test_a_discord_that_goes_away_ends_it_and_the_channel_is_named() -> None:
    async with discord_server(default_world(2, bot=BOT), rate_limits=False) as server:
        looking = asyncio.create_task(found_at(server))
        await until(lambda: server.counters[SENT] == 3)
        server.faults.hang_up(600)
        told = await looking
        assert "✗ Messages: the check ended early: " in told
        assert "✗ Messages: #fullet-check could not be deleted: " in told
        assert "→ delete it by hand" in told


async def test_a_boosted_server_takes_more_and_a_channel_left_behind_is_deleted() -> None:
    world = default_world(2, bot=BOT)
    left = ChannelSpec(name=CHANNEL, topic=TOPIC, id=LONG_AGO)
    guild = replace(world.guilds[0], premium_tier=2, channels=(*world.guilds[0].channels, left))
    async with discord_server(replace(world, guilds=(guild,)), rate_limits=False) as server:
        told = await found_at(server)
        assert "✓ #fullet-check, left by an earlier check, is deleted" in told
        assert (
            "✓ a file of 10485761 bytes is accepted (POST 200, DELETE 204, the limit of this server is"
            in told
        )
        assert "• Messages: Discord's answers lack X-RateLimit-Limit" in told  # switched off there
        assert CHANNEL not in names(server)


async def test_what_comes_back_changed_is_told_and_what_follows_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genuine = Message.payload

    def changed(self: Message, *arguments: Any, **options: Any) -> dict[str, Any]:
        shown = genuine(self, *arguments, **options)
        renamed = [{"filename": "image.png", "url": "x"}]
        return {**shown, "components": [], "attachments": renamed, "mention_everyone": True}

    monkeypatch.setattr(Message, "payload", changed)
    async with discord_server(default_world(2, bot=BOT), rate_limits=False) as server:
        told = await found_at(server)
    result = next(line for line in told.splitlines() if "✗ Messages: a result is posted" in line)
    assert "its buttons are []; its files are image.png; it pings everyone" in result
    assert "✗ Messages: a status message is found again as after a crash: the search does not find it" in told
    assert "→ after a crash it would be posted again; please report this line to the project" in told


async def test_without_a_token_nothing_is_tried(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = await check.try_discord(tmp_path / ".env", guild_id=None, as_json=False)
    told = capfdbinary.readouterr().out.decode()
    assert "✗ Settings: DISCORD_TOKEN: missing" in told
    assert code == 1
