"""The simulated people's side of the embedded Discord: the protocol that the page speaks, and its process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modules.demo.discord_server import BotSpec, DiscordServer, default_world
from modules.demo.users import File, InvocationFailed, SimulatedUser
from tests.embedded_discord import GatewaySocket, Rest, gateway

ROOT = Path(__file__).parents[3]
COMMANDS = [
    {
        "name": "imagine",
        "description": "Make",
        "options": [{"type": 3, "name": "prompt", "description": "what", "required": True}],
    },
    {"name": "adult", "description": "Only there", "nsfw": True},
    {"name": "admin", "description": "Rule", "default_member_permissions": "8", "options": [
        {"type": 1, "name": "sync", "description": "now"},
        {"type": 1, "name": "block", "description": "who", "options": [
            {"type": 6, "name": "user", "description": "whom", "required": True}]},
    ]},
]  # fmt: skip


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer(default_world(3), rate_limits=False) as server:
        yield server
        assert server.violations == []


class Bot:
    """A bot of bare HTTP that answers by hand."""

    def __init__(self, server: DiscordServer, socket: GatewaySocket, rest: Rest) -> None:
        self.server, self.socket, self.rest = server, socket, rest

    async def interaction(self) -> dict[str, Any]:
        return await self.socket.until("INTERACTION_CREATE")

    async def answer(self, to: dict[str, Any], kind: int, **data: Any) -> Any:
        path = f"/interactions/{to['id']}/{to['token']}/callback"
        return await self.rest("POST", path, {"type": kind, "data": data})

    def webhook(self, to: dict[str, Any]) -> str:
        return f"/webhooks/{self.server.bot.id}/{to['token']}"


@asynccontextmanager
async def connected(server: DiscordServer) -> AsyncIterator[Bot]:
    async with gateway(server) as socket, Rest(server) as rest:
        await socket.identify(server.token, 1 | 1 << 9 | 1 << 12)
        await socket.until("GUILD_CREATE")
        path = f"/applications/{server.bot.id}/guilds/{server.guild.id}/commands"
        assert (await rest("PUT", path, COMMANDS)).status == 200
        yield Bot(server, socket, rest)


@pytest.fixture
async def bot(server: DiscordServer) -> AsyncIterator[Bot]:
    async with connected(server) as bot:
        yield bot


@pytest.fixture
async def member(server: DiscordServer) -> AsyncIterator[SimulatedUser]:
    async with await SimulatedUser.connect(server.url, server.user("member-1").id) as user:
        yield user


async def test_the_first_user_is_the_administrator_and_ready_tells_what_they_see(
    server: DiscordServer, bot: Bot, member: SimulatedUser
) -> None:
    async with await SimulatedUser.connect(server.url, brief=False) as admin:
        assert admin.user["administrator"] is True
        assert [u["username"] for u in admin.users] == ["admin", "member-1", "member-2"]
        assert admin.channel("moderators") is not None
        assert {c["name"] for c in admin.commands} == {"imagine", "adult", "admin"}
    assert member.channel("moderators") is None
    assert {c["name"] for c in member.commands} == {"imagine", "adult"}
    assert member.guild["owner_id"] != str(member.id)
    await bot.rest("PUT", f"/applications/{bot.server.bot.id}/guilds/{server.guild.id}/commands", [])
    await member.until(lambda: not member.commands)


async def test_answers_are_accepted_once_and_only_of_fitting_types(
    server: DiscordServer, bot: Bot, member: SimulatedUser
) -> None:
    general = server.channel("general").id
    invocation = await member.command("imagine", general, prompt="a cat")
    interaction = await bot.interaction()
    assert interaction["data"]["options"] == [{"name": "prompt", "type": 3, "value": "a cat"}]
    assert interaction["member"]["user"]["id"] == str(member.id)
    assert (await bot.rest("POST", bot.webhook(interaction), {"content": "early"})).code == 10015
    assert (await bot.answer(interaction, 7, content="x")).code == 50035
    assert (await bot.answer(interaction, 5, flags=64, content="more than flags")).code == 50035
    assert (await bot.answer(interaction, 5, flags=64)).status == 204
    assert (await bot.answer(interaction, 5)).code == 40060
    await invocation.acknowledged()
    assert invocation.ephemeral

    first = await bot.rest("POST", bot.webhook(interaction), {"content": "filled", "flags": 0})
    assert first.body["flags"] & 64, "ephemeral cannot change later"
    assert (await invocation.reply())["content"] == "filled"
    second = await bot.rest("POST", bot.webhook(interaction), {"content": "public"})
    assert second.body["id"] in {str(m.id) for m in server.messages(general)}
    path = f"{bot.webhook(interaction)}/messages"
    assert (await bot.rest("GET", f"{path}/@original")).body["id"] == first.body["id"]
    assert (await bot.rest("PATCH", f"{path}/{second.body['id']}", {"content": "edited"})).status == 200
    assert (await bot.rest("DELETE", f"{path}/@original")).status == 204
    assert (await bot.rest("GET", f"{path}/@original")).code == 10008
    await member.until(lambda: [m["content"] for m in member.messages(general)] == ["edited"])
    assert [m["id"] for m in invocation.messages] == [second.body["id"]]


async def test_an_answer_after_three_seconds_is_an_unknown_interaction(
    server: DiscordServer, bot: Bot, member: SimulatedUser
) -> None:
    invocation = await member.command("imagine", server.channel("general").id, prompt="x")
    interaction = await bot.interaction()
    server.advance(3.01)
    assert (await bot.answer(interaction, 5)).code == 10062
    with pytest.raises(InvocationFailed, match="did not respond"):
        await invocation.reply()


async def test_a_deferred_answer_that_is_never_filled_fails_when_the_token_dies(
    server: DiscordServer, bot: Bot, member: SimulatedUser
) -> None:
    invocation = await member.command("imagine", server.channel("general").id, prompt="x")
    interaction = await bot.interaction()
    await bot.answer(interaction, 5)
    server.advance(901)
    assert "did not respond" in await invocation.failure()
    assert (await bot.rest("POST", bot.webhook(interaction), {"content": "late"})).code == 50027


async def test_nothing_answers_while_the_bot_is_away(server: DiscordServer, member: SimulatedUser) -> None:
    async with connected(server):
        await member.until(lambda: member.commands)
    invocation = await member.command("imagine", server.channel("general").id, prompt="x")
    await member.say(server.channel("general").id, "sent after the command")
    await member.wait_for_message(lambda m: m["content"] == "sent after the command")
    server.advance(3.01)
    assert "did not respond" in await invocation.failure()


async def test_subcommands_and_age_restricted_commands(server: DiscordServer, bot: Bot) -> None:
    async with await SimulatedUser.connect(server.url) as admin:
        general = server.channel("general").id
        person = server.user("member-2")
        await admin.command("admin block", general, user=str(person.id))
        data = (await bot.interaction())["data"]
        options = [{"name": "user", "type": 6, "value": str(person.id)}]
        assert data["options"] == [{"name": "block", "type": 1, "options": options}]
        assert data["resolved"]["users"][str(person.id)]["username"] == "member-2"
        assert data["resolved"]["members"][str(person.id)]["roles"]
        assert "age-restricted" in await (await admin.command("adult", general)).failure()
        await admin.command("adult", server.channel("age-restricted").id)
        assert (await bot.interaction())["channel"]["nsfw"] is True


async def test_an_interaction_at_a_dropped_gateway_is_replayed(
    server: DiscordServer, bot: Bot, member: SimulatedUser
) -> None:
    await server.gateway.drop()
    session = next(iter(server.gateway.sessions))
    await member.command("imagine", server.channel("general").id, prompt="patience")
    async with gateway(server) as socket:
        resume = {"token": server.token, "session_id": session, "seq": bot.socket.sequence}
        await socket.send(6, resume)
        interaction = await socket.until("INTERACTION_CREATE")
        assert (await bot.answer(interaction, 4, content="here I am")).status == 204


async def test_history_uploads_and_their_limits(server: DiscordServer, member: SimulatedUser) -> None:
    general = server.channel("general").id
    for n in range(5):
        await member.say(general, f"number {n}")
    await member.wait_for_message(lambda m: m["content"] == "number 4")
    page = await member.history(general, limit=2)
    assert [m["content"] for m in page] == ["number 3", "number 4"]
    older = await member.history(general, limit=2, before=page[0]["id"])
    assert [m["content"] for m in older] == ["number 1", "number 2"]
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await member.upload(File(filename="big.png", data=bytes((10 << 20) + 1)))
    assert refused.value.status == 413
    await member.say(general, "")
    await member.until(lambda: any("50006" in error for error in member.errors))


PIXELS = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_a_message_carries_files_of_several_kinds_in_their_order(
    server: DiscordServer, member: SimulatedUser
) -> None:
    files = [("film.mp4", b"film"), ("cat.png", PIXELS), ("notes.txt", b"words")]
    await member.say(server.channel("general").id, "", *(File(filename=n, data=d) for n, d in files))
    said = await member.wait_for_message(lambda m: m["attachments"])
    kinds = [(each["filename"], each["content_type"]) for each in said["attachments"]]
    assert kinds == [("film.mp4", "video/mp4"), ("cat.png", "image/png"), ("notes.txt", "text/plain")]
    assert [each.get("width") for each in said["attachments"]] == [None, 1, None]


async def test_a_picture_may_stand_in_an_embed_alone(server: DiscordServer, member: SimulatedUser) -> None:
    embed = {"title": "seen elsewhere", "image": {"url": "attachment://cat.png"}}
    await member.say(server.channel("general").id, "", File(filename="cat.png", data=PIXELS), embeds=[embed])
    said = await member.wait_for_message(lambda m: m["embeds"])
    assert said["attachments"] == []
    assert await member.download(said["embeds"][0]["image"]["proxy_url"]) == PIXELS


async def test_a_forward_shows_what_was_written_without_its_author_and_outlives_it(
    server: DiscordServer, member: SimulatedUser
) -> None:
    general, gallery = server.channel("general").id, server.channel("gallery").id
    await member.say(general, "look", File(filename="cat.png", data=PIXELS))
    first = await member.wait_for_message(lambda m: m["content"] == "look")
    await member.forward(first, gallery)
    forward = await member.wait_for_message(lambda m: m["channel_id"] == str(gallery))
    await member.delete(first)
    await member.until(lambda: not member.messages(general))
    assert (forward["content"], forward["attachments"]) == ("", [])
    assert forward["flags"] & 1 << 14
    reference = {"type": 1, "channel_id": str(general), "message_id": first["id"]}
    assert forward["message_reference"] == reference
    (snapshot,) = forward["message_snapshots"]
    assert snapshot["message"]["content"] == "look"
    assert "author" not in snapshot["message"]
    assert await member.download(snapshot["message"]["attachments"][0]["url"]) == PIXELS
    await member.forward(forward, general)
    again = await member.wait_for_message(lambda m: m["channel_id"] == str(general))
    assert again["message_snapshots"][0]["message"]["content"] == "look"


async def test_without_the_intent_a_bot_sees_of_others_messages_that_they_are_there_and_no_more() -> None:
    world = default_world(2, bot=BotSpec(message_content_intent=False))
    async with DiscordServer(world) as server, gateway(server) as socket, Rest(server) as rest:
        general = server.channel("general").id
        await socket.identify(server.token, 1 | 1 << 9)
        async with await SimulatedUser.connect(server.url) as person:
            await person.say(general, "mine", File(filename="a.png", data=PIXELS), embeds=[{"title": "t"}])
            first = await person.wait_for_message(lambda m: m["content"] == "mine")
            heard = [await socket.until("MESSAGE_CREATE")]
            await person.forward(first, general)
            heard.append(await socket.until("MESSAGE_CREATE"))
        heard += [(await rest("GET", f"/channels/{general}/messages/{m['id']}")).body for m in heard]
        heard += [each["message"] for m in heard for each in m.get("message_snapshots", ())]
        assert len(heard) == 6
        for message in heard:
            assert [message[name] for name in ("content", "attachments", "embeds")] == ["", [], []]


async def test_people_delete_what_is_theirs_and_what_only_they_see(
    server: DiscordServer, bot: Bot, member: SimulatedUser
) -> None:
    general = server.channel("general").id
    invocation = await member.command("imagine", general, prompt="x")
    await bot.answer(await bot.interaction(), 4, content="for you", flags=64)
    await member.delete(await invocation.reply())
    await member.until(lambda: not member.messages(general))
    sent = await bot.rest.say(general, "the bot's")
    await member.delete(await member.wait_for_message(lambda m: m["id"] == sent.body["id"]))
    await member.until(lambda: "You may not delete this message" in member.errors)
    async with await SimulatedUser.connect(server.url) as admin:
        await admin.delete((await admin.history(general))[0])
        await member.until(lambda: not member.messages(general))
    assert (await bot.socket.until("MESSAGE_DELETE"))["id"] == sent.body["id"]


async def test_other_pages_of_the_same_browser_are_kept_out(server: DiscordServer) -> None:
    headers = {"Origin": "http://elsewhere.example"}
    async with aiohttp.ClientSession() as session:
        for path in ("/client", "/control"):
            async with session.get(server.url + path, headers=headers) as answer:
                assert answer.status == 403
        async with session.get(server.url, headers={"Host": "elsewhere.example"}) as answer:
            assert answer.status == 403
        async with session.get(server.url, headers={"Origin": server.url}) as answer:
            assert answer.status == 200


async def test_malformed_frames_are_answered_and_harm_nobody(server: DiscordServer) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/client") as socket:
        assert (await socket.receive_json())["t"] == "READY"
        for frame in (
            "nonsense",
            "[]",
            '{"op":"fly"}',
            '{"op":"message"}',
            '{"op":"history","channel_id":"x"}',
        ):
            await socket.send_str(frame)
            assert (await socket.receive_json(timeout=5))["t"] == "ERROR"
        await socket.send_json({"op": "command", "nonce": "n", "channel_id": "1", "name": "x"})
        told = (await socket.receive_json(timeout=5))["d"]
        assert (told["nonce"], told["state"]) == ("n", "failed")


async def test_the_server_runs_as_a_process_of_its_own() -> None:
    command = [
        sys.executable,
        "-m",
        "modules.demo.discord_server",
        "--port",
        "0",
        "--users",
        "2",
        "--simulated-gpus",
        "4",
        "--status-page",
        "http://127.0.0.1:1/",
    ]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "DISCORD_OPENAPI": ""}
    )
    assert process.stdout is not None
    try:
        told = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        async with await SimulatedUser.connect(told["url"], told["users"][1]) as user:
            general = user.channel("general")
            assert general is not None
            await user.say(general["id"], "hello")
            await user.wait_for_message(lambda m: m["content"] == "hello")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{told['url']}/client/info") as answer:
                assert await answer.json() == {"simulated_gpus": 4, "status_page": "http://127.0.0.1:1/"}
            async with session.post(f"{told['url']}/control", json={"do": "refuse", "seconds": 60}) as answer:
                assert answer.status == 200
            headers = {"Authorization": f"Bot {told['token']}"}
            async with session.get(f"{told['api']}/users/@me", headers=headers) as answer:
                assert answer.status == 503
            async with session.get(f"{told['url']}/control") as answer:
                state = await answer.json()
                assert (state["counters"]["messages by users"], state["violations"]) == (1, [])
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
