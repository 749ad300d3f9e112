"""The embedded Discord refuses what Discord refuses, with its codes: messages, channels, limits."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modules.demo.discord_server import (
    BotSpec,
    ChannelSpec,
    DiscordServer,
    GuildSpec,
    ServerClock,
    UserSpec,
    WorldSpec,
    default_world,
)
from modules.demo.discord_server.bodies.messages import CreateMessage
from modules.demo.discord_server.state import permissions as p
from modules.demo.discord_server.state.faults import Block
from modules.demo.discord_server.state.messages import create_message
from modules.demo.discord_server.state.world import DEFAULT_CHANNELS
from tests.discord_wiring import openapi_file
from tests.embedded_discord import Rest

MIB = 1 << 20


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    world = default_world(bot=BotSpec(permissions=p.BOT_MODERATOR))
    async with DiscordServer(world, rate_limits=False) as server:
        yield server


@pytest.fixture
async def rest(server: DiscordServer) -> AsyncIterator[Rest]:
    async with Rest(server) as rest:
        yield rest


@pytest.fixture
def general(server: DiscordServer) -> int:
    return server.channel("general").id


def row(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": [{"type": 2, "style": 1, "label": "x", **b} for b in buttons]}


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"content": "x" * 2001}, ["content"], "BASE_TYPE_BAD_LENGTH"),
        ({"content": "x", "colour": 1}, ["colour"], "UNKNOWN_FIELD"),
        ({"embeds": [{"title": "x" * 257}]}, ["embeds", "0", "title"], "BASE_TYPE_BAD_LENGTH"),
        ({"embeds": [{"description": "x" * 4096}] * 2}, ["embeds"], "MAX_EMBED_SIZE_EXCEEDED"),
        (
            {"embeds": [{"fields": [{"name": "", "value": "x"}]}]},
            ["embeds", "0", "fields", "0", "name"],
            None,
        ),
        ({"embeds": [{"title": "x"}] * 11}, ["embeds"], "BASE_TYPE_BAD_LENGTH"),
        (
            {"content": "x", "components": [row({"custom_id": "a"}, {"custom_id": "a"})]},
            ["components", "0", "components", "1", "custom_id"],
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (
            {"content": "x", "components": [row({"custom_id": str(n)}) for n in range(6)]},
            ["components"],
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            {"content": "x", "components": [row({"custom_id": "c" * 101})]},
            ["components", "0", "components", "0", "custom_id"],
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            {"content": "x", "flags": 1 << 15, "components": [{"type": 10, "content": "y"}]},
            ["content"],
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
        ),
        ({"flags": 1 << 15, "components": [{"type": 10, "content": "y" * 3000}] * 2}, ["components"], None),
        ({"content": "x", "nonce": "n" * 26}, ["nonce"], None),
        (
            {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
            ["allowed_mentions", "users"],
            "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
        ),
        ({"content": "x", "attachments": [{"id": 7}]}, ["attachments", "0", "id"], None),
    ],
)
async def test_a_malformed_message_is_refused_with_the_place_of_its_fault(
    rest: Rest, general: int, body: dict[str, Any], path: list[str], code: str | None
) -> None:
    answer = await rest("POST", f"/channels/{general}/messages", body)
    assert (answer.status, answer.code) == (400, 50035)
    node = answer.body["errors"]
    for step in path:
        node = node[step]
    assert "_errors" in node or code is None
    assert code in (None, *[each["code"] for each in node.get("_errors", [])])
    assert rest.server.messages(general) == []


@pytest.mark.parametrize(
    ("request_line", "body", "refusal"),
    [
        ("POST /channels/{general}/messages", {"content": ""}, (400, 50006)),
        ("POST /channels/1/messages", {"content": "x"}, (404, 10003)),
        ("POST /channels/{category}/messages", {"content": "x"}, (400, 50008)),
        ("POST /channels/{moderators}/messages", {"content": "x"}, (403, 50001)),
        ("GET /channels/{moderators}", None, (403, 50001)),
        ("GET /channels/abc", None, (400, 50035)),
        ("GET /channels/{general}/messages?limit=101", None, (400, 50035)),
        ("GET /channels/{general}/messages?before=x", None, (400, 50035)),
        ("GET /channels/{general}/messages/1", None, (404, 10008)),
        ("PATCH /channels/{general}/messages/1", {"content": "x"}, (404, 10008)),
        ("DELETE /channels/{general}/messages/1", None, (404, 10008)),
        ("POST /channels/{general}/messages/bulk-delete", {"messages": ["1"]}, (400, 50016)),
        ("DELETE /channels/{general}/permissions/1", None, (404, 10009)),
        ("PUT /channels/{general}/permissions/1", {"type": 1, "allow": "1024"}, (404, 10013)),
        ("POST /guilds/1/channels", {"name": "x"}, (404, 10004)),
        ("POST /guilds/{guild}/channels", {"name": "x", "type": 2}, (400, 50035)),
        ("GET /guilds/{guild}/members/1", None, (404, 10013)),
        ("GET /users/1", None, (404, 10013)),
        ("POST /interactions/1/token/callback", {"type": 5}, (404, 10062)),
        ("POST /webhooks/{bot}/token", {"content": "x"}, (404, 10015)),
        ("DELETE /applications/{bot}/guilds/{guild}/commands/1", None, (404, 10063)),
    ],
)
async def test_each_refusal_has_discords_code(
    rest: Rest, server: DiscordServer, request_line: str, body: Any, refusal: tuple[int, int]
) -> None:
    names = {"guild": server.guild.id, "bot": server.bot.id, "category": server.channel("Text channels").id}
    names |= {name: server.channel(name).id for name in ("general", "moderators")}
    method, path = request_line.format_map(names).split(" ")
    answer = await rest(method, path, body)
    assert (answer.status, answer.code) == refusal
    assert server.violations == []


async def test_tokens_broken_json_and_unknown_routes(rest: Rest, server: DiscordServer, general: int) -> None:
    assert (await rest("GET", "/users/@me", token="wrong")).status == 401
    assert (await rest("PUT", f"/channels/{general}/pins/1")).status == 404
    assert server.violations == [f"unknown route: PUT /api/v10/channels/{general}/pins/1"]
    assert (await rest("GET", "/users/@me")).headers["Content-Type"] == "application/json"


async def test_files_over_the_guilds_limit_and_requests_over_25_mib_are_too_large(
    rest: Rest, server: DiscordServer, general: int
) -> None:
    path = f"/channels/{general}/messages"
    fits = await rest("POST", path, files={"a.png": bytes(10 * MIB)})
    assert fits.body["attachments"][0]["size"] == 10 * MIB
    assert (await rest("POST", path, files={"a.png": bytes(10 * MIB + 1)})).code == 40005
    many = await rest("POST", path, files={f"{n}.png": bytes(9 * MIB) for n in range(3)})
    assert (many.status, many.code) == (413, 40005)
    assert len(server.messages(general)) == 1


async def test_only_hashes_are_kept_on_request() -> None:
    async with DiscordServer(rate_limits=False, keep_attachments=False) as server, Rest(server) as rest:
        general = server.channel("general").id
        await rest("POST", f"/channels/{general}/messages", files={"a.png": b"picture"})
        [attachment] = server.messages(general)[0].attachments
        assert attachment.data is None
        assert attachment.sha256 == hashlib.sha256(b"picture").hexdigest()


async def test_a_nonce_makes_one_message_and_none_after_its_deletion(
    rest: Rest, server: DiscordServer, general: int
) -> None:
    body = {"nonce": "job-1", "enforce_nonce": True}
    first = await rest.say(general, **body)
    again = await rest.say(general, "changed", **body)
    assert (again.status, again.body["id"], again.body["nonce"]) == (200, first.body["id"], "job-1")
    elsewhere = await rest.say(server.channel("gallery").id, **body)
    assert elsewhere.body["channel_id"] == str(general), "a nonce is unique per author, not per channel"
    assert "nonce" not in (await rest("GET", f"/channels/{general}/messages")).body[0]
    assert (await rest.say(general, nonce="job-1")).body["id"] != first.body["id"], "not enforced"

    await rest("DELETE", f"/channels/{general}/messages/{first.body['id']}")
    gone = await rest.say(general, **body)
    assert (gone.status, gone.code) == (404, 10008)
    server.advance(600)
    assert (await rest.say(general, **body)).status == 200, "forgotten after a few minutes"


async def test_an_answer_lost_after_the_deed_is_fixed_by_the_nonce(
    rest: Rest, server: DiscordServer, general: int
) -> None:
    server.faults.lose_answers()
    body = {"nonce": "job-2", "enforce_nonce": True}
    assert (await rest.say(general, **body)).status == 502
    assert (await rest.say(general, **body)).status == 200
    assert len(server.messages(general)) == 1


async def test_faults_on_demand(rest: Rest, server: DiscordServer, general: int) -> None:
    server.faults.refuse(30)
    assert (await rest.say(general)).status == 503
    server.advance(31)
    assert (await rest.say(general)).status == 200
    server.faults.forbid(general)
    assert (await rest.say(general)).code == 50001
    server.faults.allow(general)
    server.faults.slow(0.05, 60)
    before = asyncio.get_running_loop().time()
    await rest.say(general)
    assert asyncio.get_running_loop().time() - before >= 0.05
    server.faults.write_limited_channels.add(general)
    limited = await rest("PATCH", f"/channels/{general}", {"topic": "x"})
    assert (limited.status, limited.code) == (429, 20028)


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [("cloudflare", 429, "1015"), ("global", 429, "You are being rate limited."), ("denied", 403, "1020")],
)
async def test_a_blocked_address_is_refused_at_the_login_already(
    rest: Rest, server: DiscordServer, how: Block, status: int, words: str
) -> None:
    server.faults.block(how, 1800)
    answer = await rest("GET", "/users/@me")
    assert answer.status == status
    assert words in str(answer.body)
    assert (answer.headers["Content-Type"] == "application/json") == (how == "global")
    assert ("Via" in answer.headers) == (how == "global"), "discord.py waits only where it is"
    if how == "global":
        assert answer.body["global"] is True
        assert answer.body["retry_after"] == pytest.approx(1800, abs=5)
    if status == 429:
        assert float(answer.headers["Retry-After"]) == pytest.approx(1800, abs=5)
    server.advance(1801)
    assert (await rest("GET", "/users/@me")).status == 200


async def test_the_bot_forwards_what_it_can_read(rest: Rest, server: DiscordServer, general: int) -> None:
    first = (await rest.say(general, "look")).body
    reference = {"type": 1, "message_id": first["id"], "channel_id": str(general)}
    gallery = server.channel("gallery").id
    forward = (await rest("POST", f"/channels/{gallery}/messages", {"message_reference": reference})).body
    assert forward["message_reference"] == {**reference, "type": 1}
    assert [each["message"]["content"] for each in forward["message_snapshots"]] == ["look"]
    reference["message_id"] = "1"
    assert (
        await rest("POST", f"/channels/{gallery}/messages", {"message_reference": reference})
    ).code == 10008


async def test_channels_are_named_as_discord_names_them_and_counted(
    rest: Rest, server: DiscordServer
) -> None:
    path = f"/guilds/{server.guild.id}/channels"
    category = (await rest("POST", path, {"name": "Sessions", "type": 4})).body
    assert category["name"] == "Sessions"
    made = await asyncio.gather(
        *(rest("POST", path, {"name": f"My  Room {n}", "parent_id": category["id"]}) for n in range(51))
    )
    assert sum(answer.status == 201 for answer in made) == 50
    [refused] = [answer for answer in made if answer.status != 201]
    [fault] = refused.body["errors"]["parent_id"]["_errors"]
    assert fault["code"] == "CHANNEL_PARENT_MAX_CHANNELS"
    assert {a.body["name"] for a in made if a.status == 201} <= {f"my-room-{n}" for n in range(51)}

    while len(server.guild.channels) < 500:
        await rest("POST", path, {"name": "filler", "type": 4})
    full = await rest("POST", path, {"name": "one too many"})
    assert (full.status, full.code) == (400, 30013)
    await rest("DELETE", f"/channels/{category['id']}")
    assert (await rest("GET", f"/channels/{made[0].body['id']}")).body["parent_id"] is None


async def test_only_own_permissions_may_be_named_and_hiding_everyone_hides_the_bot(
    rest: Rest, server: DiscordServer
) -> None:
    guild, bot = server.guild.id, server.bot.id
    path = f"/guilds/{guild}/channels"
    hidden = {"id": str(guild), "type": 0, "deny": str(p.VIEW_CHANNEL)}
    for foreign in (p.BAN_MEMBERS, p.MANAGE_ROLES):
        overwrite = {"id": str(bot), "type": 1, "allow": str(foreign)}
        body = {"name": "x", "permission_overwrites": [overwrite]}
        assert (await rest("POST", path, body)).code == 50013
    lost = (await rest("POST", path, {"name": "lost", "permission_overwrites": [hidden]})).body
    assert (await rest.say(int(lost["id"]))).code == 50001
    assert (await rest("DELETE", f"/channels/{lost['id']}")).code == 50001

    mine = {"id": str(bot), "type": 1, "allow": str(p.VIEW_CHANNEL | p.SEND_MESSAGES)}
    kept = (await rest("POST", path, {"name": "kept", "permission_overwrites": [hidden, mine]})).body
    assert (await rest.say(int(kept["id"]))).status == 200
    overwrite = f"/channels/{kept['id']}/permissions/{server.user('member-1').id}"
    allow = {"type": 1, "allow": str(p.VIEW_CHANNEL)}
    assert (await rest("PUT", overwrite, allow)).status == 204
    assert (await rest("PUT", overwrite, {"type": 1, "allow": str(p.MENTION_EVERYONE)})).code == 50013
    seen_by = server.hub.viewers(server.hub.channels[int(kept["id"])])
    assert seen_by == {bot, server.user("admin").id, server.user("member-1").id}
    assert (await rest("DELETE", overwrite)).status == 204


@pytest.mark.parametrize(
    ("without", "method", "path", "body"),
    [
        (p.SEND_MESSAGES, "POST", "/channels/{general}/messages", {"content": "x"}),
        (p.READ_MESSAGE_HISTORY, "GET", "/channels/{general}/messages/1", None),
        (p.MANAGE_MESSAGES, "POST", "/channels/{general}/messages/bulk-delete", {"messages": ["1", "2"]}),
        (p.MANAGE_CHANNELS, "PATCH", "/channels/{general}", {"topic": "x"}),
        (p.MANAGE_CHANNELS, "DELETE", "/channels/{general}", None),
        (p.MANAGE_CHANNELS, "POST", "/guilds/{guild}/channels", {"name": "x"}),
        (p.MANAGE_ROLES, "PUT", "/channels/{general}/permissions/{guild}", {"type": 0}),
    ],
)
async def test_each_deed_needs_its_permission(without: int, method: str, path: str, body: Any) -> None:
    world = default_world(bot=BotSpec(permissions=p.BOT_MODERATOR & ~without))
    async with DiscordServer(world) as server, Rest(server) as rest:
        place = path.format(general=server.channel("general").id, guild=server.guild.id)
        answer = await rest(method, place, body)
        assert (answer.status, answer.code) == (403, 50013)
        server.set_bot_permissions(p.BOT_MODERATOR)
        allowed = await rest(method, place, body)
        assert allowed.status != 403


async def test_people_may_not_be_impersonated_and_old_messages_are_kept(
    rest: Rest, server: DiscordServer, general: int
) -> None:
    theirs = create_message(
        server.hub, server.channel("general"), server.user("admin"), CreateMessage(content="mine")
    )
    place = f"/channels/{general}/messages/{theirs.id}"
    assert (await rest("PATCH", place, {"content": "yours"})).code == 50005
    own = await rest.say(general)
    server.advance(15 * 86_400)
    both = {"messages": [own.body["id"], str(theirs.id)]}
    assert (await rest("POST", f"/channels/{general}/messages/bulk-delete", both)).code == 50034
    assert (await rest("DELETE", place)).status == 204


async def test_automod_blocks_messages_with_its_words() -> None:
    guild = GuildSpec(channels=DEFAULT_CHANNELS, automod_words=("forbidden",))
    world = WorldSpec(users=(UserSpec(name="admin", administrator=True),), guilds=(guild,))
    async with DiscordServer(world) as server, Rest(server) as rest:
        general = server.channel("general").id
        assert (await rest.say(general, "a Forbidden word")).code == 200000
        message = (await rest.say(general)).body["id"]
        edit = await rest("PATCH", f"/channels/{general}/messages/{message}", {"content": "forbidden"})
        assert edit.code == 200000
        assert server.messages(general)[0].content == "hello"


async def test_guilds_without_the_bot_are_out_of_reach() -> None:
    guilds = tuple(
        GuildSpec(name=name, channels=(ChannelSpec(name="hall"),), has_bot=name == "in")
        for name in ("in", "out")
    )
    world = WorldSpec(users=(UserSpec(name="admin", administrator=True),), guilds=guilds)
    async with DiscordServer(world) as server, Rest(server) as rest:
        inside, outside = server.hub.guilds.values()
        assert [g["id"] for g in (await rest("GET", "/users/@me/guilds")).body] == [str(inside.id)]
        assert (await rest("GET", f"/guilds/{outside.id}")).code == 50001
        assert (await rest.say(server.channel("hall", outside).id)).code == 10003
        assert (await rest("DELETE", f"/users/@me/guilds/{inside.id}")).status == 204
        assert (await rest("GET", "/users/@me/guilds")).body == []


async def test_components_v2_show_pictures_that_are_attached(rest: Rest, general: int) -> None:
    def body(name: str) -> dict[str, Any]:
        gallery = {"type": 12, "items": [{"media": {"url": f"attachment://{name}"}}]}
        return {
            "flags": 1 << 15,
            "components": [{"type": 17, "components": [gallery, row({"custom_id": "a"})]}],
        }

    path = f"/channels/{general}/messages"
    sent = await rest("POST", path, body("a.png"), files={"a.png": b"picture"})
    media = sent.body["components"][0]["components"][0]["items"][0]["media"]
    assert media["url"].startswith(rest.server.url)
    missing = await rest("POST", path, body("b.png"), files={"a.png": b"picture"})
    assert missing.code == 50035


async def test_commands_are_registered_once_and_two_hundred_a_day(rest: Rest, server: DiscordServer) -> None:
    path = f"/applications/{server.bot.id}/guilds/{server.guild.id}/commands"

    def named(*names: str) -> list[dict[str, Any]]:
        return [{"name": name, "description": "x"} for name in names]

    first = (await rest("PUT", path, named("one", "two"))).body
    again = (await rest("PUT", path, named("two", "one"))).body
    assert {c["id"] for c in first} == {c["id"] for c in again}
    assert server.counters["command creations"] == 2
    twice = await rest("PUT", path, named("one", "one"))
    assert twice.body["errors"]["1"]["name"]["_errors"][0]["code"] == "APPLICATION_COMMANDS_DUPLICATE_NAME"
    for start in (0, 99):
        await rest("PUT", path, named(*(f"n{n}" for n in range(start, start + 99))))
    refused = await rest("PUT", path, named("n197", "fresh"))
    assert (refused.status, refused.code) == (429, 30034)
    server.advance(86_401)
    assert (await rest("PUT", path, named("fresh"))).status == 200
    assert (await rest("POST", path, named("late")[0])).status == 201
    assert (await rest("DELETE", f"{path}/{(await rest('GET', path)).body[0]['id']}")).status == 204
    assert (await rest("PUT", path.replace(f"/guilds/{server.guild.id}", ""), [])).body == []


@pytest.mark.parametrize(
    "command",
    [
        {"name": "Upper", "description": "x"},
        {"name": "two words", "description": "x"},
        {"name": "x" * 33, "description": "x"},
        {"name": "x", "description": ""},
        {"name": "x", "description": "x" * 101},
        {"name": "x", "description": "x", "name_localizations": {"es": "x"}},
        {"name": "x", "description": "x", "name_localizations": {"es-ES": "Mal"}},
        {"name": "Menu", "type": 3, "description": "not allowed"},
        {"name": "x", "description": "x", "options": [{"type": 3, "name": "o", "description": "o"}] * 2},
        {
            "name": "x",
            "description": "x",
            "options": [
                {"type": 3, "name": "a", "description": "o"},
                {"type": 3, "name": "b", "description": "o", "required": True},
            ],
        },
        {
            "name": "x",
            "description": "x",
            "options": [
                {
                    "type": 3,
                    "name": "a",
                    "description": "o",
                    "choices": [{"name": str(n), "value": "x"} for n in range(26)],
                }
            ],
        },
        {
            "name": "x",
            "description": "x",
            "options": [
                {
                    "type": 3,
                    "name": f"o{n}",
                    "description": "d" * 100,
                    "choices": [{"name": "n" * 100, "value": "v" * 100}] * 2,
                }
                for n in range(20)
            ],
        },
        {
            "name": "x",
            "description": "x",
            "options": [
                {
                    "type": 3,
                    "name": f"o{n}",
                    "description": "d" * 100,
                    "choices": [{"name": "n", "name_localizations": {"es-ES": "n" * 100}, "value": "v" * 100}]
                    * 2,
                }
                for n in range(20)
            ],
        },
    ],
)
async def test_commands_that_break_a_naming_rule_or_a_limit_are_refused(
    rest: Rest, server: DiscordServer, command: dict[str, Any]
) -> None:
    path = f"/applications/{server.bot.id}/commands"
    assert (await rest("PUT", path, [command])).code == 50035
    assert (await rest("GET", path)).body == []


async def test_buckets_tell_their_state_and_the_sixth_message_waits() -> None:
    async with DiscordServer() as server, Rest(server) as rest:
        general, gallery = server.channel("general").id, server.channel("gallery").id
        answers = [await rest.say(general) for _ in range(6)]
        assert [answer.status for answer in answers] == [200] * 5 + [429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers[:5]] == list("43210")
        last = answers[-1]
        assert last.body["global"] is False
        assert 0 < last.body["retry_after"] <= 5
        assert "Via" in last.headers
        assert (await rest.say(gallery)).status == 200, "another channel has its own bucket"
        place = f"/channels/{general}/messages/{answers[0].body['id']}"
        assert (await rest("PATCH", place, {"content": "edit"})).status == 200, "edits have their own"
        server.advance(5.01)
        assert (await rest.say(general)).status == 200
        assert server.counters["429"] == server.counters["invalid requests"] == 1


async def test_the_bot_has_fifty_requests_a_second_and_interactions_are_free_of_it() -> None:
    stands_still = ServerClock(scale=1e-6)
    async with DiscordServer(clock=stands_still) as server, Rest(server) as rest:
        places = ("/users/@me", f"/guilds/{server.guild.id}")
        answers = [await rest("GET", places[n % 2]) for n in range(51)]
        assert [answer.status for answer in answers] == [200] * 50 + [429]
        assert answers[-1].body["global"] is True
        assert answers[-1].headers["X-RateLimit-Scope"] == "global"
        assert (await rest("POST", "/interactions/1/x/callback", {"type": 5})).code == 10062
        server.advance(1.01)
        assert (await rest("GET", "/users/@me")).status == 200


async def test_names_change_twice_in_ten_minutes_and_old_messages_seldom() -> None:
    async with DiscordServer() as server, Rest(server) as rest:
        general = server.channel("general").id
        place = f"/channels/{general}"
        changes = [await rest("PATCH", place, {"topic": str(n)}) for n in range(3)]
        assert [answer.status for answer in changes] == [200, 200, 429]
        assert changes[2].body["retry_after"] > 500
        message = (await rest.say(general)).body["id"]
        server.advance(3601)
        edits = [await rest("PATCH", f"{place}/messages/{message}", {"content": str(n)}) for n in range(4)]
        assert [answer.status for answer in edits] == [200, 200, 200, 429]
        assert edits[3].code == 30046
        assert (await rest("PATCH", place, {"topic": "later"})).status == 200


async def test_the_openapi_file_is_a_second_opinion() -> None:
    path = openapi_file()
    if path is None:
        pytest.skip("DISCORD_OPENAPI names no file")
    async with DiscordServer(openapi=path) as server, Rest(server) as rest:
        general = server.channel("general").id
        assert (await rest.say(general, embeds=[{"title": "x", "flags": 0}])).status == 200
        assert server.violations == []
        refused = await rest.say(general, components=[{"type": 1, "components": [{"type": 2, "style": 9}]}])
        assert refused.code == 50035
        [violation] = server.violations
        assert violation.startswith(
            "POST /channels/{channel_id}/messages: components/0/components/0/style: 9 "
        )
