"""The message client over real sockets, with the embedded Discord's rate limits on."""

from __future__ import annotations

import asyncio
import gc
import io
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from discord.http import HTTPClient, Route

from modules.demo.discord_server import DiscordServer, default_world
from modules.discord.transport.message_client import FileUpload, MessageClient, OutgoingMessage, Posted
from modules.discord.transport.rate_limit_buckets import RateLimitBuckets
from modules.discord.transport.rate_limiter import DiscordRateLimiter, Priority, Traffic
from modules.queue_manager.clock import LoopClock
from tests.discord_wiring import wired


@dataclass
class Bot:
    """As much of a bot as speaks by REST."""

    message_client: MessageClient
    http: HTTPClient
    traffic: Traffic
    channels: tuple[int, ...]


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    async with DiscordServer(default_world(2)) as server:
        with wired(server):
            clock, traffic = LoopClock(), Traffic()
            http = HTTPClient(asyncio.get_running_loop(), http_trace=traffic.trace())
            buckets = RateLimitBuckets(http=http, pacer=DiscordRateLimiter(clock=clock), clock=clock)
            await http.static_login(server.token)
            message_client = MessageClient(http=http, buckets=buckets, clock=clock)
            channels = tuple(server.channel(name).id for name in ("general", "gallery"))
            try:
                yield Bot(message_client, http, traffic, channels)
            finally:
                await buckets.aclose()
                await http.close()
        assert server.violations == []


async def edit(bot: Bot, posted: Posted, text: str) -> None:
    async with bot.message_client.turn_to_edit(posted, level=Priority.STATUS):
        await bot.message_client.edit_now(posted, OutgoingMessage(text=text))


async def test_a_channels_messages_and_edits_never_come_too_fast(bot: Bot) -> None:
    async def talk(channel_id: int) -> None:
        posted = await bot.message_client.post(
            channel_id, OutgoingMessage(text="begun"), level=Priority.STATUS
        )
        posts = [
            bot.message_client.post(channel_id, OutgoingMessage(text=f"{n}"), level=Priority.DELIVER)
            for n in range(6)
        ]
        edits = [edit(bot, posted, f"at {n}") for n in range(6)]
        others = [bot.http.send_typing(channel_id) for _ in range(6)]
        await asyncio.gather(*posts, *edits, *others)

    await asyncio.gather(*(talk(channel_id) for channel_id in bot.channels))
    assert bot.traffic.refused == 0
    assert bot.traffic.requests > 2 * 19


async def test_a_result_goes_before_what_waits_in_its_channel_and_is_answered_at_once(bot: Bot) -> None:
    channel_id = bot.channels[0]
    statuses = [
        asyncio.ensure_future(
            bot.message_client.post(channel_id, OutgoingMessage(text=f"{n}"), level=Priority.STATUS)
        )
        for n in range(10)
    ]
    while sum(status.done() for status in statuses) < 4:
        await asyncio.sleep(0.01)
    began = time.monotonic()
    await bot.message_client.post(channel_id, OutgoingMessage(text="result"), level=Priority.DELIVER)
    assert time.monotonic() - began < 2  # the next window opens after five
    assert sum(status.done() for status in statuses) == 4
    for status in statuses:
        status.cancel()
    await asyncio.gather(*statuses, return_exceptions=True)


async def test_a_turn_is_for_one_request_and_no_other(bot: Bot) -> None:
    """What is asked for inside a turn does not take a second one, and what comes after waits again."""
    channel_id = bot.channels[0]
    async with bot.message_client.turn_to_post(channel_id, level=Priority.STATUS):
        posted = await bot.message_client.post_now(channel_id, OutgoingMessage(text="one"))
    bucket = bot.http.get_ratelimit(
        f"{bot.http._bucket_hashes[Route('POST', '/channels/{channel_id}/messages').key]}:{channel_id}"
    )
    assert bucket.remaining == 4
    await edit(bot, posted, "two")
    assert bucket.remaining == 4


async def test_the_bytes_of_what_was_posted_are_let_go_without_a_garbage_collector(bot: Bot) -> None:
    data = bytes(300_000)
    message = OutgoingMessage(text="result", files=(FileUpload(name="result.png", data=data),))
    gc.collect()
    gc.disable()
    try:
        await bot.message_client.post(bot.channels[0], message, level=Priority.DELIVER)
        streams = [thing for thing in gc.get_objects() if isinstance(thing, io.BytesIO) and not thing.closed]
        assert [stream for stream in streams if stream.getvalue() == data] == []
    finally:
        gc.enable()


async def test_deleting_what_is_gone_is_no_error(bot: Bot) -> None:
    posted = await bot.message_client.post(
        bot.channels[0], OutgoingMessage(text="short"), level=Priority.REST
    )
    for _ in range(2):
        await bot.message_client.delete(posted, level=Priority.REST)
    await bot.message_client.delete(Posted(channel_id=posted.channel_id, message_id=1), level=Priority.REST)
    assert bot.traffic.refused == 0
