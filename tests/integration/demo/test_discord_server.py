"""The embedded Discord serves an unmodified discord.py, and people see what they would see at Discord."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands
from discord.ext import commands

from modules.demo.discord_server import (
    BotSpec,
    ChannelSpec,
    DiscordServer,
    GuildSpec,
    UserSpec,
    default_world,
)
from modules.demo.discord_server.state.faults import Block
from modules.demo.discord_server.state.permissions import BOT_MODERATOR
from modules.demo.users import File, InvocationFailed, SimulatedUser, is_ephemeral
from tests.discord_wiring import openapi_file, running, wired

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (64).to_bytes(4, "big") + (32).to_bytes(4, "big") + bytes(40)
VIEW = discord.PermissionOverwrite(view_channel=True, send_messages=True)
HIDDEN = discord.PermissionOverwrite(view_channel=False)


class FormModal(discord.ui.Modal, title="Prompt"):
    prompt: discord.ui.TextInput[Any] = discord.ui.TextInput(label="Your prompt", custom_id="prompt")

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(f"modal: {self.prompt.value}", ephemeral=True)


class Buttons(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Again", custom_id="again")
    async def again(self, interaction: discord.Interaction[Any], _button: discord.ui.Button[Any]) -> None:
        await interaction.response.edit_message(content=f"again by {interaction.user.name}")

    @discord.ui.button(label="Later", custom_id="later")
    async def later(self, interaction: discord.Interaction[Any], _button: discord.ui.Button[Any]) -> None:
        await interaction.response.defer()
        await interaction.followup.send("a followup", ephemeral=True)

    @discord.ui.button(label="Form", custom_id="form")
    async def form(self, interaction: discord.Interaction[Any], _button: discord.ui.Button[Any]) -> None:
        await interaction.response.send_modal(FormModal())

    @discord.ui.select(
        custom_id="pick",
        placeholder="Pick",
        options=[discord.SelectOption(label="One", value="1"), discord.SelectOption(label="Two", value="2")],
    )
    async def pick(self, interaction: discord.Interaction[Any], select: discord.ui.Select[Any]) -> None:
        await interaction.response.send_message(f"picked {select.values[0]}", ephemeral=True)


class TestBot(commands.Bot):
    """Answers each kind of interaction in the plainest way."""

    __test__ = False

    def __init__(self, guild_id: int, intents: discord.Intents | None = None) -> None:
        if intents is None:
            intents = discord.Intents.default()
            intents.members = intents.message_content = True
        super().__init__(
            "!", intents=intents, allowed_mentions=discord.AllowedMentions.none(), guild_ready_timeout=0.02
        )
        self.home = discord.Object(guild_id)
        self.heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.never = asyncio.Event()

    async def heard_of(self, event: str) -> Any:
        async def find() -> Any:
            while True:
                name, value = await self.heard.get()
                if name == event:
                    return value

        return await asyncio.wait_for(find(), 5)

    async def setup_hook(self) -> None:
        tree, home = self.tree, self.home

        @tree.command(guild=home, description="Make a picture")
        @app_commands.describe(model="which", prompt="what", image="a picture")
        async def imagine(
            interaction: discord.Interaction[Any],
            model: str,
            prompt: str,
            image: discord.Attachment | None = None,
            count: app_commands.Range[int, 1, 4] = 1,
        ) -> None:
            await interaction.response.defer(ephemeral=True)
            size = f" {image.width}x{image.height} {len(await image.read())}B" if image else ""
            await interaction.followup.send(f"{model} {prompt} {count}{size} {interaction.locale}")

        @imagine.autocomplete("model")
        async def models(_: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=n, value=n) for n in ("flux", "z-image") if n.startswith(typed)]

        @tree.command(guild=home, description="Show buttons")
        async def buttons(interaction: discord.Interaction[Any]) -> None:
            await interaction.response.send_message("press", view=Buttons())

        @tree.command(guild=home, description="Answer never")
        async def silence(_: discord.Interaction[Any]) -> None:
            self.heard.put_nowait(("silence", None))
            await self.never.wait()

        @tree.command(guild=home, description="Think for ever")
        async def think(interaction: discord.Interaction[Any]) -> None:
            await interaction.response.defer()
            self.heard.put_nowait(("interaction", interaction))

        @tree.command(guild=home, description="Only for administrators")
        @app_commands.default_permissions(administrator=True)
        async def secret(interaction: discord.Interaction[Any]) -> None:
            await interaction.response.send_message("a secret", ephemeral=True)

        @tree.context_menu(name="Edit picture", guild=home)
        async def edit_picture(interaction: discord.Interaction[Any], message: discord.Message) -> None:
            await interaction.response.send_message(f"of {message.content}", ephemeral=True)

        @tree.context_menu(name="Wave", guild=home)
        async def wave(interaction: discord.Interaction[Any], user: discord.User) -> None:
            await interaction.response.send_message(f"hello {user.name}", ephemeral=True)

        await tree.sync(guild=home)

    async def on_message(self, message: discord.Message) -> None:
        self.heard.put_nowait(("message", message))

    async def on_message_delete(self, message: discord.Message) -> None:
        self.heard.put_nowait(("message_delete", message))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        self.heard.put_nowait(("guild_join", guild))

    async def on_guild_available(self, guild: discord.Guild) -> None:
        self.heard.put_nowait(("guild_available", guild))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self.heard.put_nowait(("guild_remove", guild))

    async def on_member_remove(self, member: discord.Member) -> None:
        self.heard.put_nowait(("member_remove", member))

    async def on_member_ban(self, _guild: discord.Guild, user: discord.User) -> None:
        self.heard.put_nowait(("member_ban", user))

    async def on_member_update(self, _before: discord.Member, after: discord.Member) -> None:
        self.heard.put_nowait(("member_update", after))

    async def on_user_update(self, _before: discord.User, after: discord.User) -> None:
        self.heard.put_nowait(("user_update", after))

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        self.heard.put_nowait(("channel_delete", channel))


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer(
        default_world(4, bot=BotSpec(permissions=BOT_MODERATOR)), openapi=openapi_file()
    ) as server:
        yield server
        assert server.violations == []


@pytest.fixture
async def bot(server: DiscordServer) -> AsyncIterator[TestBot]:
    bot = TestBot(server.guild.id)
    with wired(server):
        async with running(bot, server.token):
            yield bot


@pytest.fixture
async def member(server: DiscordServer, bot: TestBot) -> AsyncIterator[SimulatedUser]:
    async with await SimulatedUser.connect(server.url, server.user("member-1").id) as user:
        yield user


@pytest.fixture
async def other(server: DiscordServer, bot: TestBot) -> AsyncIterator[SimulatedUser]:
    async with await SimulatedUser.connect(server.url, server.user("member-2").id) as user:
        yield user


def general(user: SimulatedUser) -> str:
    channel = user.channel("general")
    assert channel is not None
    return str(channel["id"])


async def test_a_command_is_deferred_and_its_followup_fills_the_answer_for_its_user_alone(
    member: SimulatedUser, other: SimulatedUser
) -> None:
    await member.set_locale("es-ES")
    invocation = await member.command(
        "imagine", general(member), model="flux", prompt="a cat", image=File(filename="in.png", data=PNG)
    )
    assert await invocation.acknowledged() < 3
    reply = await invocation.reply()
    assert reply["content"] == f"flux a cat 1 64x32 {len(PNG)}B es-ES"
    assert is_ephemeral(reply)
    assert reply["edited_timestamp"] is None
    await member.say(general(member), "done")
    await other.wait_for_message(lambda m: m["content"] == "done")
    assert [m["content"] for m in other.messages(general(other))] == ["done"]


async def test_autocomplete_offers_choices_and_any_text_may_be_sent_all_the_same(
    member: SimulatedUser,
) -> None:
    assert await member.autocomplete("imagine", general(member), "model", model="z") == [
        {"name": "z-image", "value": "z-image"}
    ]
    invocation = await member.command("imagine", general(member), model="no such", prompt="x")
    assert (await invocation.reply())["content"].startswith("no such x")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "flux"}, "Required: prompt"),
        ({"model": "flux", "prompt": "x", "count": 5}, "count must be between 1 and 4"),
        ({"model": "flux", "prompt": "x" * 6001}, "prompt is too short or too long"),
        ({"model": "flux", "prompt": "x", "colour": "red"}, "There is no option colour"),
    ],
)
async def test_a_command_that_the_client_would_not_send_never_reaches_the_bot(
    member: SimulatedUser, server: DiscordServer, options: dict[str, Any], told: str
) -> None:
    invocation = await member.command("imagine", general(member), **options)
    assert await invocation.failure() == told
    assert server.counters["interactions"] == 0


async def test_administrator_commands_are_offered_to_administrators_alone(
    server: DiscordServer, member: SimulatedUser
) -> None:
    assert "secret" not in {c["name"] for c in member.commands}
    assert "no command secret" in await (await member.command("secret", general(member))).failure()
    async with await SimulatedUser.connect(server.url) as admin:
        assert (await (await admin.command("secret", general(admin))).reply())["content"] == "a secret"


async def test_buttons_selects_and_modals(member: SimulatedUser, other: SimulatedUser) -> None:
    invocation = await member.command("buttons", general(member))
    message = await invocation.reply()
    public = await other.wait_for_message(lambda m: m["id"] == message["id"])

    await (await other.click(public, "Again")).acknowledged()
    await member.wait_for_message(lambda m: m["content"] == "again by member-2")
    later = await member.click(message, "later")
    assert is_ephemeral(await member.wait_for_message(lambda m: m["content"] == "a followup"))
    assert later.state == "updated"
    picked = await (await member.click(message, "Pick", values=["2"])).reply()
    assert picked["content"] == "picked 2"
    assert "not one of the choices" in await (await member.click(message, "Pick", values=["3"])).failure()

    modal = await (await member.click(message, "Form")).modal()
    assert modal["title"] == "Prompt"
    assert (await (await member.submit_modal(modal, prompt="a fox")).reply())["content"] == "modal: a fox"
    assert "not open" in await (await member.submit_modal(modal, prompt="twice")).failure()


async def test_context_menus_bring_the_message_and_the_user(
    member: SimulatedUser, server: DiscordServer
) -> None:
    await member.say(general(member), "a picture")
    said = await member.wait_for_message(lambda m: m["content"] == "a picture")
    edited = await (await member.context("Edit picture", general(member), said)).reply()
    assert edited["content"] == "of a picture"
    waved = await (await member.context("Wave", general(member), server.user("member-2").id)).reply()
    assert waved["content"] == "hello member-2"


async def test_without_an_answer_in_three_seconds_the_user_is_told(
    bot: TestBot, member: SimulatedUser, server: DiscordServer
) -> None:
    invocation = await member.command("silence", general(member))
    await bot.heard_of("silence")
    server.advance(2.9)
    assert invocation.error is None
    server.advance(0.2)
    assert await invocation.failure() == "The application did not respond"
    with pytest.raises(InvocationFailed):
        await invocation.reply()


async def test_a_token_lives_fifteen_minutes(
    bot: TestBot, member: SimulatedUser, server: DiscordServer
) -> None:
    invocation = await member.command("think", general(member))
    await invocation.acknowledged()
    interaction = await bot.heard_of("interaction")
    with pytest.raises(discord.InteractionResponded):
        await interaction.response.defer()
    server.advance(15 * 60 - 1)
    await interaction.edit_original_response(content="in time")
    assert (await invocation.reply())["content"] == "in time"
    server.advance(2)
    with pytest.raises(discord.HTTPException) as refused:
        await interaction.edit_original_response(content="too late")
    assert refused.value.code == 50027
    with pytest.raises(discord.HTTPException) as refused:
        await interaction.followup.send("too late")
    assert refused.value.code == 50027


async def test_a_private_channel_is_seen_by_its_user_alone(
    bot: TestBot, member: SimulatedUser, other: SimulatedUser, server: DiscordServer
) -> None:
    guild = bot.get_guild(server.guild.id)
    assert guild is not None
    person = guild.get_member(member.id)
    assert person is not None
    overwrites = {guild.default_role: HIDDEN, guild.me: VIEW}
    category = await guild.create_category("Sessions", overwrites=overwrites)
    channel = await guild.create_text_channel(
        "My Room", category=category, topic=str(member.id), overwrites={**overwrites, person: VIEW}
    )
    seen = await member.wait_for_channel(lambda c: c["id"] == str(channel.id))
    assert seen["name"] == "my-room"
    assert member.channel("Sessions") is not None, "a category is shown with what is visible in it"
    await channel.send("for you")
    await member.wait_for_message(lambda m: m["content"] == "for you")

    await channel.set_permissions(person, overwrite=None)
    await member.until(lambda: str(channel.id) not in member.channels)
    assert member.channel("Sessions") is None
    await member.say(channel.id, "let me in")
    await member.until(lambda: "There is no such channel" in member.errors)
    assert other.channel("my-room") is None
    assert other.messages(channel.id) == []


async def test_files_travel_both_ways_with_addresses_that_expire(
    bot: TestBot, member: SimulatedUser, server: DiscordServer
) -> None:
    channel: Any = bot.get_channel(int(general(member)))
    file = discord.File(io.BytesIO(PNG), "picture one.png", description="a cat")
    await channel.send("here", file=file)
    message = await member.wait_for_message(lambda m: m["content"] == "here")
    [attachment] = message["attachments"]
    assert (attachment["filename"], attachment["description"]) == ("picture_one.png", "a cat")
    assert (attachment["width"], attachment["height"], attachment["content_type"]) == (64, 32, "image/png")
    assert await member.download(attachment["url"]) == PNG
    with pytest.raises(aiohttp.ClientResponseError):
        await member.download(attachment["url"].replace("hm=", "hm=0"))
    server.advance(24 * 3600 + 1)
    with pytest.raises(aiohttp.ClientResponseError):
        await member.download(attachment["url"])
    [fresh] = (await member.history(general(member)))[-1]["attachments"]
    assert await member.download(fresh["url"]) == PNG

    await member.say(general(member), "mine", File(filename="cat.png", data=PNG))
    while (heard := await bot.heard_of("message")).content != "mine":
        pass
    assert await heard.attachments[0].read() == PNG
    await member.delete(await member.wait_for_message(lambda m: m["content"] == "mine"))
    assert (await bot.heard_of("message_delete")).id == heard.id


async def test_an_embed_takes_its_picture_out_of_the_attachments_and_an_edit_replaces_it(
    bot: TestBot, member: SimulatedUser
) -> None:
    channel: Any = bot.get_channel(int(general(member)))
    embed = discord.Embed(title="one").set_image(url="attachment://a.png")
    sent = await channel.send(embed=embed, file=discord.File(io.BytesIO(PNG), "a.png"))
    message = await member.wait_for_message(lambda m: m["embeds"])
    assert message["attachments"] == []
    first = message["embeds"][0]["image"]["url"]
    assert await member.download(first) == PNG
    other = discord.Embed(title="two").set_image(url="attachment://b.png")
    await sent.edit(embed=other, attachments=[discord.File(io.BytesIO(PNG + b"b"), "b.png")])
    message = await member.wait_for_message(lambda m: m["embeds"] and m["embeds"][0]["title"] == "two")
    assert await member.download(message["embeds"][0]["image"]["url"]) == PNG + b"b"
    assert message["edited_timestamp"] is not None
    with pytest.raises(aiohttp.ClientResponseError):
        await member.download(first)


async def test_only_allowed_mentions_ping(bot: TestBot, member: SimulatedUser, server: DiscordServer) -> None:
    channel: Any = bot.get_channel(int(general(member)))
    others = server.user("member-2").id
    text = f"<@{member.id}> <@{others}> @everyone"
    await channel.send(text)
    await channel.send(text, allowed_mentions=discord.AllowedMentions(users=[discord.Object(member.id)]))
    await channel.send(text, allowed_mentions=discord.AllowedMentions.all())
    await member.until(lambda: len(member.messages(general(member))) == 3)
    pinged = [[int(u["id"]) for u in m["mentions"]] for m in member.messages(general(member))]
    assert pinged == [[], [member.id], [member.id, others]]
    assert not any(m["mention_everyone"] for m in member.messages(general(member))), "it has no such right"


async def test_direct_messages_and_people_who_refuse_them(
    bot: TestBot, member: SimulatedUser, server: DiscordServer
) -> None:
    user = await bot.fetch_user(member.id)
    sent = await user.send("psst")
    message = await member.wait_for_message(lambda m: m["content"] == "psst")
    assert member.channels[message["channel_id"]]["type"] == 1
    await member.say(sent.channel.id, "yes?")
    while (heard := await bot.heard_of("message")).content != "yes?":
        pass
    assert isinstance(heard.channel, discord.DMChannel)
    await user.send("press", view=Buttons())
    buttons = await member.wait_for_message(lambda m: m["content"] == "press")
    await (await member.click(buttons, "Again")).acknowledged()
    await member.wait_for_message(lambda m: m["content"] == "again by member-1")
    server.hub.users[member.id].accepts_dms = False
    with pytest.raises(discord.Forbidden) as refused:
        await user.send("again")
    assert refused.value.code == 50007


async def test_prefix_commands_bulk_deletion_and_history(bot: TestBot, member: SimulatedUser) -> None:
    channel: Any = bot.get_channel(int(general(member)))
    sent = [await channel.send(f"number {n}") for n in range(3)]
    assert [m.content async for m in channel.history(limit=2)] == ["number 2", "number 1"]
    assert [m.content async for m in channel.history(before=sent[2], oldest_first=True)] == [
        "number 0",
        "number 1",
    ]
    assert [m.content async for m in channel.history(after=sent[1])] == ["number 2"]
    await channel.delete_messages(sent[:2])
    await member.until(lambda: [m["content"] for m in member.messages(channel.id)] == ["number 2"])
    await sent[2].reply("an answer")
    reply = await member.wait_for_message(lambda m: m["content"] == "an answer")
    assert reply["message_reference"]["message_id"] == str(sent[2].id)
    with pytest.raises(discord.NotFound):
        await channel.fetch_message(sent[0].id)


async def test_people_come_go_and_change_their_names(
    bot: TestBot, server: DiscordServer, other: SimulatedUser
) -> None:
    person = server.user("member-2")
    server.rename(person, name="another", display_name="Another")
    assert (await bot.heard_of("user_update")).name == "another"
    server.member_leaves(person, banned=True)
    assert (await bot.heard_of("member_ban")).id == person.id
    assert (await bot.heard_of("member_remove")).id == person.id
    await other.until(lambda: not other.channels)
    with pytest.raises(discord.NotFound):
        await bot.get_guild(server.guild.id).fetch_member(person.id)  # type: ignore[union-attr]


async def test_channels_deleted_by_hand_and_guilds_joined_and_left(
    bot: TestBot, server: DiscordServer, member: SimulatedUser
) -> None:
    place = server.channel("gallery")
    server.delete_channel(place)
    assert (await bot.heard_of("channel_delete")).id == place.id
    await member.until(lambda: str(place.id) not in member.channels)
    second = server.add_guild(GuildSpec(name="Second", channels=(ChannelSpec(name="lobby"),)))
    joined = await bot.heard_of("guild_join")
    assert (joined.id, joined.name) == (second.id, "Second")
    await joined.leave()
    assert (await bot.heard_of("guild_remove")).id == second.id
    assert not second.has_bot


async def test_a_dropped_gateway_is_resumed_and_what_happened_meanwhile_is_replayed(
    bot: TestBot, member: SimulatedUser, server: DiscordServer
) -> None:
    await server.gateway.drop()
    await member.say(general(member), "while you were away")
    while (heard := await bot.heard_of("message")).content != "while you were away":
        pass
    assert heard.author.id == member.id
    assert server.gateway.counters["resume"] == 1
    assert server.gateway.counters["identify"] == 1


async def test_members_are_chunked_on_request(bot: TestBot, server: DiscordServer) -> None:
    guild = bot.get_guild(server.guild.id)
    assert guild is not None
    assert {m.name for m in await guild.chunk()} == {"admin", "member-1", "member-2", "member-3", "FuLLet"}
    assert [m.name for m in await guild.query_members("member-2")] == ["member-2"]
    assert {m.id async for m in guild.fetch_members()} == set(server.guild.members)


async def test_a_wrong_token_and_a_switched_off_intent_end_the_client() -> None:
    world = default_world(2, bot=BotSpec(message_content_intent=False))
    async with DiscordServer(world) as server:
        with wired(server):
            with pytest.raises(discord.LoginFailure):
                async with running(TestBot(server.guild.id), "wrong"):
                    pass
            with pytest.raises(discord.PrivilegedIntentsRequired):
                async with running(TestBot(server.guild.id), server.token):
                    pass


@pytest.mark.parametrize(("how", "error"), [("cloudflare", 429), ("denied", 403)])
async def test_a_blocked_address_ends_the_login_without_a_word_of_how_long(how: Block, error: int) -> None:
    async with DiscordServer() as server:
        server.faults.block(how, 1800)
        with wired(server), pytest.raises(discord.HTTPException) as refused:
            async with running(TestBot(server.guild.id), server.token):
                pass
        assert refused.value.status == error
        assert server.counters["rest"] == 1


async def test_a_guild_that_comes_late_is_known_but_empty_until_then() -> None:
    async with DiscordServer() as server:
        server.gateway.guild_delay = 60.0
        bot = TestBot(server.guild.id)
        with wired(server):
            async with running(bot, server.token):
                guild = bot.get_guild(server.guild.id)
                assert guild is not None
                assert (guild.unavailable, list(guild.channels)) == (True, [])
                server.advance(60)
                await bot.heard_of("guild_available")
                assert not guild.unavailable
                assert guild.get_channel(server.channel("general").id) is not None


async def test_message_content_is_hidden_without_the_intent_but_not_in_mentions() -> None:
    world = default_world(2, bot=BotSpec(message_content_intent=False))
    async with DiscordServer(world) as server:
        bot = TestBot(server.guild.id, discord.Intents(guilds=True, guild_messages=True))
        with wired(server):
            async with running(bot, server.token), await SimulatedUser.connect(server.url) as admin:
                await admin.say(general(admin), "nothing to see")
                await admin.say(general(admin), f"<@{server.bot.id}> hello")
                assert (await bot.heard_of("message")).content == ""
                assert (await bot.heard_of("message")).content == f"<@{server.bot.id}> hello"


async def test_fifty_people_at_once_are_all_answered(server: DiscordServer, bot: TestBot) -> None:
    people = [server.add_user(UserSpec(name=f"crowd-{n}")) for n in range(50)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        crowd = await asyncio.gather(
            *(SimulatedUser.connect(server.url, p.id, session=session) for p in people)
        )
        invocations = await asyncio.gather(
            *(user.command("imagine", general(user), model="flux", prompt=str(user.id)) for user in crowd)
        )
        replies = await asyncio.gather(*(invocation.reply() for invocation in invocations))
        assert [r["content"].split()[1] for r in replies] == [str(user.id) for user in crowd]
        await asyncio.gather(*(user.aclose() for user in crowd))
    assert server.counters["429"] == 0, "interactions are outside the global limit"
