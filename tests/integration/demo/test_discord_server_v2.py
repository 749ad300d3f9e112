"""The embedded Discord and Components V2: what it refuses, where, and what discord.py gets back."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import discord
import pytest
from jsonschema_rs import Draft202012Validator

from modules.demo.discord_server import DiscordServer, default_world
from modules.demo.users import File, InvocationFailed, SimulatedUser
from modules.discord.ui.message_parts import custom_ids_of, files_of
from tests.discord_wiring import openapi_file, running, wired
from tests.embedded_discord import Rest, gateway

V2 = 1 << 15
SHOWN_TEXT = {"type": 10, "content": "text"}
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0"
    b"\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
)


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer(default_world(2), rate_limits=False, openapi=openapi_file()) as server:
        yield server


@pytest.fixture
async def rest(server: DiscordServer) -> AsyncIterator[Rest]:
    async with Rest(server) as rest:
        yield rest


@pytest.fixture
def general(server: DiscordServer) -> int:
    return server.channel("general").id


@pytest.fixture
async def member(server: DiscordServer) -> AsyncIterator[SimulatedUser]:
    async with await SimulatedUser.connect(server.url, server.user("member-1").id) as user:
        yield user


def button(custom_id: str, **more: Any) -> dict[str, Any]:
    return {"type": 2, "style": 2, "label": "x", "custom_id": custom_id, **more}


def row(*children: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(children)}


def container(*children: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": 17, "components": list(children), **more}


def section(accessory: dict[str, Any], *texts: str) -> dict[str, Any]:
    return {
        "type": 9,
        "components": [{"type": 10, "content": each} for each in texts or ("text",)],
        "accessory": accessory,
    }


def gallery(*names: str, **more: Any) -> dict[str, Any]:
    return {"type": 12, "items": [{"media": {"url": f"attachment://{name}"}, **more} for name in names]}


def v2(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"flags": V2, "components": list(components), **more}


def faults(tree: Any, path: str = "") -> dict[str, str]:
    """Each place of an "errors" object with its first code."""
    found = {path: tree["_errors"][0]["code"]} if "_errors" in tree else {}
    for key, inner in tree.items():
        if key != "_errors":
            found.update(faults(inner, f"{path}.{key}".strip(".")))
    return found


@pytest.mark.parametrize(
    ("body", "place", "code"),
    [
        ({"components": [SHOWN_TEXT], "content": "x"}, "components.0", "UNION_TYPE_CHOICES"),
        (v2({"type": 11, "media": {"url": "https://x.y/z"}}), "components.0", "UNION_TYPE_CHOICES"),
        (v2(container(container(SHOWN_TEXT))), "components.0.components.0", "UNION_TYPE_CHOICES"),
        (v2(container(SHOWN_TEXT, accent_color=1 << 24)), "components.0.accent_color", "LESS_THAN_EQUAL"),
        (v2(*[SHOWN_TEXT] * 41), "components", "BASE_TYPE_BAD_LENGTH"),
        (
            v2(container(*[section(button(str(n))) for n in range(13)]), SHOWN_TEXT),
            "components",
            "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED",
        ),
        (
            v2({"type": 10, "content": "y" * 3000}, container({"type": 10, "content": "y" * 1001})),
            "components",
            "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED",
        ),
        (v2({"type": 10, "content": ""}), "components.0.content", "BASE_TYPE_BAD_LENGTH"),
        (
            v2(SHOWN_TEXT, content="x"),
            "content",
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
        ),
        (
            v2(SHOWN_TEXT, embeds=[{"title": "x"}]),
            "embeds",
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
        ),
        (
            v2(SHOWN_TEXT, sticker_ids=["1"]),
            "sticker_ids",
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
        ),
        (v2(SHOWN_TEXT, poll={"question": {"text": "?"}}), "poll", "UNKNOWN_FIELD"),
        (v2(section(button("a"), *"abcd")), "components.0.components", "BASE_TYPE_BAD_LENGTH"),
        (v2({"type": 9, "components": [SHOWN_TEXT]}), "components.0.accessory", "BASE_TYPE_REQUIRED"),
        (
            v2(section(button("a")), row(button("a"))),
            "components.1.components.0.custom_id",
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (v2({**SHOWN_TEXT, "id": 3}, {**SHOWN_TEXT, "id": 3}), "components.1.id", "COMPONENT_ID_DUPLICATED"),
        (v2(row(*[button(str(n)) for n in range(6)])), "components.0.components", "BASE_TYPE_BAD_LENGTH"),
        (v2(row(button("a"), {"type": 5, "custom_id": "b"})), "components.0", "VALUE_ERROR"),
        (v2({"type": 12, "items": []}), "components.0.items", "BASE_TYPE_BAD_LENGTH"),
        (v2(gallery(*["a.png"] * 11)), "components.0.items", "BASE_TYPE_BAD_LENGTH"),
        (
            v2(gallery("a.png", description="d" * 1025)),
            "components.0.items.0.description",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            v2(container(gallery("a.png"), gallery("b.png"))),
            "components.0.components.1.items.0.media.url",
            "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND",
        ),
        (v2(SHOWN_TEXT), "attachments", "MESSAGE_ATTACHMENT_NOT_SHOWN"),
        (
            v2({"type": 13, "file": {"url": "https://x.y/z"}}),
            "components.0.file.url",
            "STRING_PATTERN_MISMATCH",
        ),
        (v2({"type": 14, "spacing": 3}), "components.0.spacing", "LITERAL_ERROR"),
        (v2({"type": 18, "label": "x", "component": button("a")}), "components.0", "UNION_TYPE_CHOICES"),
    ],
)  # fmt: skip
async def test_a_malformed_layout_is_refused_with_the_place_of_its_fault(
    body: dict[str, Any], place: str, code: str
) -> None:
    async with DiscordServer(default_world(2), rate_limits=False) as server, Rest(server) as rest:
        path = f"/channels/{server.channel('general').id}/messages"
        with_file = "UNFURLED" in code or "NOT_SHOWN" in code
        answer = await rest("POST", path, body, files={"a.png": PNG} if with_file else None)
        assert (answer.status, answer.code) == (400, 50035)
        assert faults(answer.body["errors"]).get(place) == code, answer.body
        assert server.messages(server.channel("general").id) == []
        assert server.hub.files.hashes() == {}, "the files of a refused message are gone"


@pytest.mark.parametrize(
    ("body", "is_right"),
    [
        (v2(container(SHOWN_TEXT, section(button("a")), row(button("b")), accent_color=1)), True),
        (v2(section({"type": 11, "media": {"url": "https://x.y/z"}}, "a", "b", "c"), {"type": 14}), True),
        (v2(SHOWN_TEXT, content="x"), False),
        (v2(section(button("a")), row(button("a"))), False),
        (v2({**SHOWN_TEXT, "id": 3}, {**SHOWN_TEXT, "id": 3}), False),
        (v2(container(*[section(button(str(n))) for n in range(13)]), SHOWN_TEXT), False),
        (v2({"type": 10, "content": "y" * 3000}, {"type": 10, "content": "y" * 1001}), False),
        (v2(container(container(SHOWN_TEXT))), False),
        (v2(row(button("a"), {"type": 5, "custom_id": "b"})), False),
        ({"components": [SHOWN_TEXT]}, False),
    ],
)
async def test_an_independent_simulation_judges_layouts_alike(
    rest: Rest, general: int, body: dict[str, Any], is_right: bool
) -> None:
    simcord = pytest.importorskip("simcord.components", reason="simcord needs Python 3.11")
    answer = await rest("POST", f"/channels/{general}/messages", body)
    assert (answer.status == 200) is is_right
    state = {"flags": body.get("flags", 0), "content": body.get("content"), "embeds": []}
    with nullcontext() if is_right else pytest.raises(simcord.ComponentValidationError):
        simcord.validate_message_state(body["components"], **state)


async def test_what_is_posted_comes_back_as_the_openapi_file_says(
    server: DiscordServer, rest: Rest, general: int
) -> None:
    thumbnail = {"type": 11, "media": {"url": "attachment://a.png"}, "description": "a dot"}
    select = {"type": 3, "custom_id": "s", "options": [{"label": "One", "value": "1"}]}
    body = v2(
        container(
            section(thumbnail, "# Title", "-# small"),
            {"type": 14},
            gallery("b.png", description="another dot"),
            {"type": 12, "items": [{"media": {"url": "https://example.org/c.png"}}]},
            {"type": 13, "file": {"url": "attachment://notes.txt"}},
            row(button("a"), {"type": 2, "style": 5, "label": "x", "url": "https://example.org/"}),
            row(select),
        ),
        SHOWN_TEXT,
    )
    path = f"/channels/{general}/messages"
    files = {"a.png": PNG, "b.png": PNG, "notes.txt": b"notes"}
    sent = (await rest("POST", path, body, files=files)).body
    assert (sent["flags"], sent["content"], sent["attachments"]) == (V2, "", [])
    inner = sent["components"][0]["components"]
    assert [inner[1][key] for key in ("spacing", "divider")] == [1, True]
    item = inner[2]["items"][0]
    assert (item["description"], item["media"]["width"]) == ("another dot", 1)
    assert item["media"]["content_type"] == "image/png"
    assert (inner[4]["name"], inner[4]["size"]) == ("notes.txt", 5)
    assert (await rest("GET", path)).body[0]["components"] == sent["components"]
    assert server.violations == []
    if (openapi := openapi_file()) is not None:
        document = json.loads(openapi.read_text(encoding="utf-8"))
        schema = document["components"]["schemas"]["BasicMessageResponse"]["properties"]["components"]
        Draft202012Validator({**document, **schema}).validate(sent["components"])


async def test_an_edit_may_add_the_flag_and_cannot_take_it_back(
    server: DiscordServer, rest: Rest, general: int
) -> None:
    old = (await rest.say(general, components=[row(button("a"))])).body
    path = f"/channels/{general}/messages/{old['id']}"
    kept = await rest("PATCH", path, v2(SHOWN_TEXT))
    assert faults(kept.body["errors"]) == {"content": "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"}
    changed = (await rest("PATCH", path, v2(SHOWN_TEXT, content=None, embeds=[]))).body
    assert (changed["flags"], changed["content"]) == (V2, "")
    again = await rest("PATCH", path, {"components": [container(SHOWN_TEXT)]})
    assert again.body["components"][0]["type"] == 17, "the flag need not be repeated"
    taken = await rest("PATCH", path, {"flags": 0, "content": "x", "components": []})
    assert faults(taken.body["errors"]) == {"flags": "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG"}
    wrong = await rest("PATCH", path, {"content": "x"})
    assert faults(wrong.body["errors"]) == {"content": "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"}
    now = (await rest("GET", path)).body
    assert (now["flags"], now["content"], now["components"][0]["type"]) == (V2, "", 17)
    assert server.violations == []


async def test_an_edit_keeps_drops_and_replaces_shown_files(
    server: DiscordServer, rest: Rest, general: int
) -> None:
    path = f"/channels/{general}/messages"
    sent = (await rest("POST", path, v2(gallery("a.png")), files={"a.png": PNG})).body
    path = f"{path}/{sent['id']}"
    media = sent["components"][0]["items"][0]["media"]
    kept = {"id": media["attachment_id"]}

    words = await rest("PATCH", path, {"components": [SHOWN_TEXT, gallery("a.png")]})
    assert words.body["components"][1]["items"][0]["media"]["attachment_id"] == kept["id"]
    by_address = {"type": 12, "items": [{"media": {"url": media["url"]}}]}
    same = await rest("PATCH", path, {"components": [by_address]})
    assert same.body["components"][0]["items"][0]["media"]["attachment_id"] == kept["id"]
    nameless = await rest("PATCH", path, {"components": [gallery("a.png")], "attachments": [kept]})
    assert "UNFURLED" in next(iter(faults(nameless.body["errors"]).values()))
    second = {
        "components": [gallery("a.png", "b.png")],
        "attachments": [{**kept, "filename": "a.png"}, {"id": 0}],
    }
    assert len((await rest("PATCH", path, second, files={"b.png": PNG})).body["components"][0]["items"]) == 2
    hidden = await rest("PATCH", path, {"components": [gallery("b.png")]})
    assert faults(hidden.body["errors"]) == {"attachments": "MESSAGE_ATTACHMENT_NOT_SHOWN"}
    assert (await rest("PATCH", path, {"components": [SHOWN_TEXT], "attachments": []})).status == 200
    assert server.hub.files.hashes() == {}


async def test_texts_mention_whom_allowed_mentions_names(
    server: DiscordServer, rest: Rest, general: int
) -> None:
    person = str(server.user("member-1").id)
    told = v2(container({"type": 10, "content": f"for <@{person}>"}))
    path = f"/channels/{general}/messages"
    assert [m["id"] for m in (await rest("POST", path, told)).body["mentions"]] == [person]
    silent = await rest("POST", path, {**told, "allowed_mentions": {"parse": []}})
    assert silent.body["mentions"] == []


class Layout(discord.ui.LayoutView):
    """What a bot would post: everything in a container, a button beside the text and one in a row."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        beside = discord.ui.Button[Any](label="Beside", custom_id="beside")
        again = discord.ui.Button[Any](label="Again", custom_id="again")
        choice = discord.ui.Select[Any](custom_id="choice", options=[discord.SelectOption(label="One")])
        self.add_item(
            discord.ui.Container(
                discord.ui.Section("# A cat", accessory=beside),
                discord.ui.Separator(),
                discord.ui.MediaGallery(
                    discord.MediaGalleryItem("attachment://cat.png", description="a cat")
                ),
                discord.ui.File("attachment://notes.txt"),
                discord.ui.ActionRow(again),
                discord.ui.ActionRow(choice),
                accent_colour=0x5865F2,
            )
        )
        for item in (beside, again, choice):
            item.callback = self.clicked  # type: ignore[method-assign]

    async def clicked(self, interaction: discord.Interaction) -> None:
        assert interaction.data is not None
        if interaction.data["custom_id"] == "again":
            view = discord.ui.LayoutView()
            view.add_item(discord.ui.TextDisplay("made again"))
            await interaction.response.edit_message(view=view, attachments=[])
        else:
            view = discord.ui.LayoutView()
            view.add_item(discord.ui.TextDisplay(f"you used {interaction.data['custom_id']}"))
            if interaction.data["custom_id"] == "choice":
                await interaction.response.defer(ephemeral=True, thinking=True)
                await interaction.edit_original_response(view=view)
            else:
                await interaction.response.send_message(view=view, ephemeral=True)
            followed = await interaction.followup.send(view=view, wait=True, ephemeral=True)
            changed = discord.ui.LayoutView()
            changed.add_item(discord.ui.TextDisplay("edited by webhook"))
            await followed.edit(view=changed)


class Form(discord.ui.Modal, title="Everything"):
    about: discord.ui.TextDisplay[Any] = discord.ui.TextDisplay("Fill in **all**")
    prompt = discord.ui.Label[Any](
        text="Prompt", description="words", component=discord.ui.TextInput(custom_id="prompt")
    )
    files = discord.ui.Label[Any](
        text="Files", component=discord.ui.FileUpload(custom_id="files", max_values=2)
    )
    shape = discord.ui.Label[Any](
        text="Shape",
        component=discord.ui.RadioGroup(
            custom_id="shape",
            options=[
                discord.RadioGroupOption(label="Wide"),
                discord.RadioGroupOption(label="Tall", default=True),
            ],
        ),
    )
    extras = discord.ui.Label[Any](
        text="Extras",
        component=discord.ui.CheckboxGroup(
            custom_id="extras",
            min_values=0,
            required=False,
            options=[discord.CheckboxGroupOption(label="Grain"), discord.CheckboxGroupOption(label="Frame")],
        ),
    )

    def __init__(self) -> None:
        super().__init__(custom_id="everything")
        self.filled: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

    async def on_submit(self, interaction: discord.Interaction) -> None:
        fields = [label.component for label in (self.prompt, self.files, self.shape, self.extras)]
        values = [getattr(each, "values", None) or getattr(each, "value", None) for each in fields]
        self.filled.set_result(tuple(values))
        await interaction.response.send_message("thanks", ephemeral=True)


async def test_discord_py_posts_edits_and_answers_layouts(
    server: DiscordServer, member: SimulatedUser
) -> None:
    client = discord.Client(intents=discord.Intents.default())
    with wired(server):
        async with running(client, server.token):
            channel = client.get_channel(server.channel("general").id)
            assert isinstance(channel, discord.TextChannel)
            files = [discord.File(io.BytesIO(PNG), "cat.png"), discord.File(io.BytesIO(b"n"), "notes.txt")]
            message = await channel.send(view=Layout(), files=files)
            assert message.flags.components_v2
            for shown in (message, await client.http.get_message(channel.id, message.id)):
                assert custom_ids_of(shown) == ["beside", "again", "choice"]
                assert [(file.name, file.content_type) for file in files_of(shown)] == [
                    ("cat.png", "image/png"),
                    ("notes.txt", "text/plain"),
                ]
            seen = await member.wait_for_message(lambda m: m["id"] == str(message.id))
            for name in ("beside", "choice"):
                values = ["One"] if name == "choice" else None
                invocation = await member.click(seen, name, values=values)
                reply = await invocation.reply()
                assert reply["components"][0]["content"] == f"you used {name}"
                assert reply["flags"] == V2 | 1 << 6
                edited = await member.wait_for_message(lambda m: "edited by webhook" in json.dumps(m))
                await member.delete(edited)
            await member.click(seen, "again")
            await member.wait_for_message(lambda m: m["id"] == seen["id"] and "made again" in json.dumps(m))
            fetched = await channel.fetch_message(message.id)
            assert [type(each) for each in fetched.components] == [discord.TextDisplay]
            assert [each.id async for each in channel.history()] == [message.id]
    assert server.violations == []


async def test_a_modal_gives_all_kinds_of_values(server: DiscordServer, member: SimulatedUser) -> None:
    client = discord.Client(intents=discord.Intents.default())
    tree = discord.app_commands.CommandTree(client)
    forms: list[Form] = []

    @tree.command(description="opens the form")
    async def form(interaction: discord.Interaction) -> None:
        forms.append(Form())
        await interaction.response.send_modal(forms[-1])

    with wired(server):
        async with running(client, server.token):
            await tree.sync()
            await member.until(lambda: member.commands)
            modal = await (await member.command("form", server.channel("general").id)).modal()
            file = await member.upload(File(filename="a.png", data=PNG))
            refused = await member.submit_modal(modal, {"prompt": "a cat", "files": []})
            with pytest.raises(InvocationFailed, match="Choose 1 to 2"):
                await refused.reply()
            values = {"prompt": "a cat", "files": [file["id"]], "extras": ["Frame", "Grain"]}
            await (await member.submit_modal(modal, values)).reply()
            prompt, files, shape, extras = await asyncio.wait_for(forms[0].filled, 5)
            assert (prompt, shape, sorted(extras)) == ("a cat", "Tall", ["Frame", "Grain"])
            assert [(each.filename, await each.read()) for each in files] == [("a.png", PNG)]
    assert server.violations == []


@pytest.mark.parametrize(
    ("component", "place"),
    [
        (
            {"type": 3, "custom_id": "s", "options": [{"label": "x", "value": "x"}], "disabled": True},
            "disabled",
        ),
        ({"type": 3, "custom_id": "s", "options": [{"label": "x", "value": "x"}] * 2}, "options.1.value"),
        ({"type": 19, "custom_id": "s", "min_values": 0}, "min_values"),
        ({"type": 19, "custom_id": "s", "max_values": 11}, "max_values"),
        ({"type": 21, "custom_id": "s", "options": [{"label": "x", "value": "x"}]}, "options"),
        ({"type": 22, "custom_id": "s", "options": []}, "options"),
    ],
)
async def test_a_malformed_modal_is_refused(component: dict[str, Any], place: str) -> None:
    async with (
        DiscordServer(default_world(2), rate_limits=False) as server,
        Rest(server) as rest,
        gateway(server) as socket,
        await SimulatedUser.connect(server.url, server.user("member-1").id) as member,
    ):
        await socket.identify(server.token, 1)
        message = (await rest.say(server.channel("general").id, components=[row(button("a"))])).body
        await member.click(await member.wait_for_message(lambda m: m["id"] == message["id"]), "a")
        interaction = await socket.until("INTERACTION_CREATE")
        path = f"/interactions/{interaction['id']}/{interaction['token']}/callback"
        data = {"custom_id": "m", "title": "x"}
        for components, where in (
            ([{"type": 18, "label": "x", "component": component}], f"data.components.0.component.{place}"),
            ([SHOWN_TEXT] * 6, "data.components"),
        ):
            answer = await rest("POST", path, {"type": 9, "data": {**data, "components": components}})
            assert list(faults(answer.body["errors"])) == [where]
