"""The embedded Discord's gateway keeps the protocol: close codes, intents, replay by sequence."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modules.demo.discord_server import BotSpec, DiscordServer, default_world
from modules.demo.discord_server.gateway import (
    GUILD_MEMBERS,
    GUILD_MESSAGES,
    GUILD_PRESENCES,
    GUILDS,
    MESSAGE_CONTENT,
)
from tests.embedded_discord import GatewaySocket, Rest, gateway

BASIC = GUILDS | GUILD_MESSAGES


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    world = default_world(2, bot=BotSpec(members_intent=False, message_content_intent=False))
    async with DiscordServer(world) as server:
        yield server


async def ready(socket: GatewaySocket, server: DiscordServer, intents: int = BASIC) -> dict[str, Any]:
    await socket.identify(server.token, intents)
    data = await socket.until("READY")
    if intents & GUILDS:
        await socket.until("GUILD_CREATE")
    return data


async def test_ready_names_unavailable_guilds_that_then_arrive(server: DiscordServer) -> None:
    async with gateway(server) as socket:
        await socket.identify(server.token, BASIC)
        data = await socket.until("READY")
        assert data["guilds"] == [{"id": str(server.guild.id), "unavailable": True}]
        assert data["resume_gateway_url"] == server.gateway_url
        guild = await socket.until("GUILD_CREATE")
        assert guild["unavailable"] is False, "a join is one without it"
        assert [member["user"]["id"] for member in guild["members"]] == [str(server.bot.id)]
        assert {channel["name"] for channel in guild["channels"]} >= {"general", "moderators"}
        await socket.quiet()


async def test_guilds_may_come_later_at_the_start_and_after_each_new_identify(server: DiscordServer) -> None:
    server.gateway.guild_delay = 30.0
    general = server.channel("general").id
    for _ in range(2):
        async with gateway(server) as socket, Rest(server) as rest:
            await socket.identify(server.token, BASIC)
            assert (await socket.until("READY"))["guilds"][0]["unavailable"] is True
            await rest.say(general, "meanwhile")
            assert (await socket.receive())["t"] == "MESSAGE_CREATE"
            server.advance(29)
            await socket.quiet()
            server.advance(1)
            guild = await socket.receive()
            assert (guild["t"], guild["d"]["unavailable"]) == ("GUILD_CREATE", False)
            await server.gateway.drop(resumable=False)


async def test_a_guild_that_the_bot_has_left_meanwhile_does_not_come(server: DiscordServer) -> None:
    server.gateway.guild_delay = 30.0
    async with gateway(server) as socket:
        await socket.identify(server.token, BASIC)
        await socket.until("READY")
        server.kick_bot(server.guild)
        assert (await socket.receive())["t"] == "GUILD_DELETE"
        server.advance(30)
        await socket.quiet()


@pytest.mark.parametrize(
    ("op", "data", "code"),
    [
        (2, {"token": "wrong", "intents": BASIC}, 4004),
        (2, {"token": "{token}", "intents": BASIC | GUILD_MEMBERS}, 4014),
        (2, {"token": "{token}", "intents": BASIC | MESSAGE_CONTENT}, 4014),
        (2, {"token": "{token}", "intents": BASIC | GUILD_PRESENCES}, 4014),
        (2, {"token": "{token}", "intents": 1 << 40}, 4013),
        (2, {"token": "{token}"}, 4013),
        (8, {"guild_id": "1"}, 4003),
        (3, {}, 4003),
        (42, {}, 4001),
        (2, ["token"], 4002),
        (6, {"token": "wrong", "session_id": "x", "seq": 1}, 4004),
    ],
)
async def test_a_broken_rule_closes_with_its_code(
    server: DiscordServer, op: int, data: Any, code: int
) -> None:
    filled = json.loads(json.dumps(data).replace("{token}", server.token))
    async with gateway(server) as socket:
        await socket.send(op, filled)
        assert await socket.close_code() == code


async def test_a_heartbeat_is_not_answered_quicker_than_by_any_network(server: DiscordServer) -> None:
    async with gateway(server) as socket:
        await ready(socket, server)
        sent = time.perf_counter()
        await socket.quiet()
        assert time.perf_counter() - sent >= 0.02


async def test_identifying_twice_garbage_and_a_flood_close_the_connection(server: DiscordServer) -> None:
    async with gateway(server) as socket:
        await ready(socket, server)
        await socket.identify(server.token, BASIC)
        assert await socket.close_code() == 4005
    async with gateway(server) as socket:
        await socket.socket.send_str("not json")
        assert await socket.close_code() == 4002
    async with gateway(server) as socket:
        await ready(socket, server)
        for _ in range(121):
            await socket.send(1, None)
        assert await socket.close_code() == 4008


async def test_a_client_without_heartbeats_is_given_up(server: DiscordServer) -> None:
    server.gateway.heartbeat_seconds = 0.05
    async with gateway(server) as socket:
        await socket.identify(server.token, BASIC)
        assert await socket.close_code() == 4009


async def test_resume_replays_exactly_what_was_missed(server: DiscordServer) -> None:
    general = server.channel("general").id
    async with Rest(server) as rest:
        async with gateway(server) as socket:
            session = (await ready(socket, server))["session_id"]
            await rest.say(general, "seen")
            assert (await socket.until("MESSAGE_CREATE"))["content"] == "seen"
            seen = socket.sequence
            await server.gateway.drop()
        for n in range(3):
            await rest.say(general, f"missed {n}")
        resume = {"token": server.token, "session_id": session, "seq": seen}
        async with gateway(server) as socket:
            await socket.send(6, resume)
            frames = [await socket.receive() for _ in range(4)]
            assert [f["t"] for f in frames] == ["MESSAGE_CREATE"] * 3 + ["RESUMED"]
            assert [f["d"]["content"] for f in frames[:3]] == [f"missed {n}" for n in range(3)]
            assert [f["s"] for f in frames] == [seen + 1, seen + 2, seen + 3, seen + 4]
            await socket.quiet()


async def test_sessions_that_are_over_cannot_be_resumed(server: DiscordServer) -> None:
    async def session() -> dict[str, Any]:
        async with gateway(server) as socket:
            data = await ready(socket, server)
            found = {"token": server.token, "session_id": data["session_id"], "seq": socket.sequence}
            await server.gateway.drop()
            return found

    async with gateway(server) as socket:
        await socket.send(6, {"token": server.token, "session_id": "unknown", "seq": 1})
        frame = await socket.receive()
        assert (frame["op"], frame["d"]) == (9, False)
        await ready(socket, server)
    late = await session()
    server.advance(301)
    async with gateway(server) as socket:
        await socket.send(6, late)
        assert (await socket.receive())["op"] == 9
    ahead = await session()
    async with gateway(server) as socket:
        await socket.send(6, {**ahead, "seq": 99})
        assert await socket.close_code() == 4007


async def test_events_come_by_intent_and_only_from_channels_that_the_bot_sees(server: DiscordServer) -> None:
    person = server.user("member-1")
    async with gateway(server) as messages, gateway(server) as guilds, Rest(server) as rest:
        await ready(messages, server, GUILD_MESSAGES)
        await ready(guilds, server, GUILDS)
        await rest.say(server.channel("general").id, "hello")
        assert (await messages.until("MESSAGE_CREATE"))["content"] == "hello", (
            "its own content is never hidden"
        )
        await guilds.quiet()
        server.member_leaves(person)
        server.delete_channel(server.channel("gallery"))
        assert (await guilds.until("CHANNEL_DELETE"))["name"] == "gallery"
        await messages.quiet()
        await guilds.quiet()


async def test_a_full_list_of_members_needs_the_intent(server: DiscordServer) -> None:
    async with gateway(server) as socket:
        await ready(socket, server)
        query = {"guild_id": str(server.guild.id), "query": "mem", "limit": 5, "nonce": "n"}
        await socket.send(8, query)
        chunk = await socket.until("GUILD_MEMBERS_CHUNK")
        assert ([m["user"]["username"] for m in chunk["members"]], chunk["nonce"]) == (["member-1"], "n")
        await socket.send(8, {"guild_id": str(server.guild.id), "query": "", "limit": 0})
        assert await socket.close_code() == 4014


async def test_the_client_can_be_asked_to_reconnect(server: DiscordServer) -> None:
    async with gateway(server) as socket:
        await ready(socket, server)
        server.gateway.ask_to_reconnect()
        assert (await socket.receive())["op"] == 7
