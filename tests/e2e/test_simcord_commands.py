"""A second opinion: the bot against an independent simulation of Discord, which replaces discord.py's own
HTTP and gateway. It handles requests one by one, so that races and rate limits are other tests' matter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.ext import commands

from modules.app.compose import Replacements, compose
from modules.discord.ui.message_parts import components_of, custom_ids_of, files_of
from modules.queue_manager.backports import timeout
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.errors import RequestRejected
from modules.queue_manager.manager import QueueManager
from modules.utils.settings.settings import Settings
from tests import fakes
from tests.discord_stand import OFFERS, PaintingEngine, colour_of, make_engine, pixel

simcord = pytest.importorskip("simcord", reason="simcord needs Python 3.11")

GUILD = 1_100_000_000_000_000_000
TOLD = (RequestRejected, commands.CheckFailure)
"""What ends as a sentence to the person; any other error of the bot's ends the test."""


class DeclaredClock(LoopClock):
    """Pauses of the bot's own loops are declared to the simulation, which waits for all else it starts. The
    time is the same for all tasks: what answers an interaction has a time of its own there."""

    env: Any = None

    def now(self) -> float:
        return time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        try:
            await self.env.external_wait(asyncio.sleep(seconds), reason="a pause")
        except simcord.SetupError:  # not one of the bot's own tasks
            await asyncio.sleep(seconds)


@dataclass
class Scene:
    """The simulation, a guild in it, and the bot's real queue behind."""

    env: Any
    guild: Any
    general: Any
    queue: QueueManager
    engine: PaintingEngine

    def person(self, name: str, *, administrator: bool = False) -> Any:
        rights = discord.Permissions(administrator=administrator)
        roles = [self.guild.create_role(f"role of {name}", permissions=rights)]
        return self.guild.add_member(self.env.create_user(name), roles=roles)

    @property
    def private(self) -> Any:
        """The one private channel."""
        (channel,) = (c for name, c in self.guild.channels.items() if name.startswith("art-"))
        return channel

    async def result(self, words: str) -> discord.Message:
        """The message with a picture whose text holds ``words``."""
        async with timeout(60):
            while True:
                for name, channel in self.guild.channels.items():
                    for message in channel.history() if name.startswith("art-") else ():
                        if words in said(message) and files_of(message):
                            return message
                await asyncio.sleep(0.02)

    async def status(self) -> discord.Message:
        """The first message of the private channel."""
        async with timeout(15):
            while True:
                for name, channel in self.guild.channels.items():
                    for message in channel.history() if name.startswith("art-") else ():
                        return message
                await asyncio.sleep(0.02)

    def requests_of(self, name: str) -> list[str]:
        """Which calls the bot made after the last command of this name arrived."""
        lines = self.env.transcript().splitlines()
        start = max(n for n, line in enumerate(lines) if f"command={name!r}" in line)
        return [line for line in lines[start:] if line.startswith("HTTP")]


def said(message: discord.Message) -> str:
    """What a message says, in its layout too."""
    parts = [str(part.content) for part in components_of(message) if hasattr(part, "content")]
    return "\n".join([message.content, *parts])


@asynccontextmanager
async def scene(folder: Path, *, seconds: float = 0.05) -> AsyncIterator[Scene]:
    """Everything running, nobody there yet."""
    clock, engine = DeclaredClock(), make_engine(seconds)
    settings = Settings(
        discord_token="simulated",
        allowed_guild_id=GUILD,
        comfy_urls=("http://127.0.0.1:1",),
        database_url=f"sqlite:///{folder}/bot.db",
        batch_window_ms=10,
    )
    parts = Replacements(
        clock=clock,
        offers=OFFERS,
        make_engine=lambda _: engine,
        may_speak=lambda: True,
        ready_timeout=0.02,
    )
    composed = compose(settings, env_file=folder / ".env", models=folder, instead=parts)
    async with composed as product, simcord.run(product.client) as env:
        clock.env = env
        product.message_client._http = product.client.http  # the simulation has put its own into the client
        guild = env.create_guild("Painters", id=GUILD)
        await env.settle()
        made = Scene(
            env=env,
            guild=guild,
            general=guild.create_text_channel("general"),
            queue=product.queue,
            engine=engine,
        )
        # the test's own work, and not the client's: the simulation would wait for its end
        await product.registration.sync(GUILD)
        await product.queue.recover()
        await _rouse(product.queue, made.general.id)
        await product.fleet.set_urls(["gpu-1"])
        try:
            yield made
        finally:
            await product.fleet.aclose(0)
            await product.queue.aclose()
        told = [getattr(error, "original", error) for error in env.errors]
        assert [error for error in told if not isinstance(error, TOLD)] == []


async def _rouse(queue: QueueManager, channel_id: int) -> None:
    """Let the queue start its tasks for listeners now, in the test's name."""
    stranger = fakes.request(user=5, guild=GUILD, channel=channel_id, size=OFFERS[0].default_size)
    (job,) = await queue.submit([stranger])
    await queue.cancel(job.id, by=None)


async def test_commands_are_registered_for_those_who_may_use_them(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana, admin = on.person("ana"), on.person("boss", administrator=True)
        everybody = {"imagine", "edit", "queue", "cancel", "history", "settings", "forget", "help"}
        assert set(ana.available_commands(on.general)) == everybody
        assert {"admin sync", "admin clearall", "admin getid", "admin pause"} <= set(
            admin.available_commands(on.general)
        )


async def test_what_was_cleared_is_unknown_to_discord_until_it_is_registered_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana, admin = on.person("ana"), on.person("boss", administrator=True)
        await admin.send(on.general, "!clearall")
        assert ana.available_commands(on.general) == ()
        with pytest.raises(simcord.SetupError, match="never synced"):
            await ana.slash(on.general, "imagine", model="flux", prompt="a fox")
        await admin.send(on.general, "!sync")
        assert "imagine" in ana.available_commands(on.general)


async def test_imagine_is_answered_to_its_user_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana = on.person("ana")
        asked = await ana.slash(on.general, "imagine", model="flux", prompt="a fox", seed=7)
        assert asked.response.ephemeral
        assert "queued" in asked.response.content
        requests = on.requests_of("imagine")
        (answered,) = (line for line in requests if "/callback" in line or "/webhooks/" in line)
        assert "'type': 4" in answered
        result = await on.result("seed `7`")
        assert [user.id for user in result.mentions] == [ana.id]
        assert pixel(await result.attachments[0].read()) == colour_of("a fox", 7)


async def test_a_private_channel_is_its_users_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana, ben = on.person("ana"), on.person("ben")
        await ana.slash(on.general, "imagine", model="flux", prompt="a secret")
        await on.result("a secret")
        await ana.send(on.private, "thank you")
        with pytest.raises(simcord.BackendError):
            await ben.send(on.private, "let me see")


async def test_models_are_offered_while_typing(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana = on.person("ana")
        offered = await ana.autocomplete(on.general, "imagine", "model", "z")
        assert [choice["value"] for choice in offered] == ["z-image"]
        offered = await ana.autocomplete(on.general, "edit", "model", "")
        assert [choice["value"] for choice in offered] == ["flux_edit"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": " "}, "Write what the picture should show."),
        ({"prompt": "a", "model": "none such"}, "There is no model called none such."),
        ({"prompt": "a", "count": 3}, "You can have 2 pictures in the queue at once; you asked for 3."),
    ],
)
async def test_what_cannot_be_is_a_sentence(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    async with scene(tmp_path) as on:
        asked = await on.person("ana").slash(on.general, "imagine", **{"model": "flux", **options})
        assert asked.ephemeral
        assert sentence in asked.response.content
        assert not any(name.startswith("art-") for name in on.guild.channels)


async def test_a_button_under_a_result_works_and_a_form_is_filled_in(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana = on.person("ana")
        await ana.slash(on.general, "imagine", model="flux", prompt="a tower", seed=5)
        result = await on.result("seed `5`")
        again = await ana.click(result, label="Again")
        assert again.acknowledged
        await on.result("**#3**")
        menu = next(name for name in custom_ids_of(result) if name.startswith("fullet:more:"))
        shown = await ana.select(result, custom_id=menu, values=["prompt"])
        assert shown.modal is not None
        assert "a tower" in str(shown.modal)
        # the simulation does not send what a menu has chosen by default
        typed = {"prompt": "a tower by the sea", "size": ["64x64"], "model": ["flux"]}
        sent = await ana.submit_modal(shown, typed)
        assert sent.acknowledged
        assert await on.result("a tower by the sea")


async def test_cancelling_is_offered_with_the_status(tmp_path: Path) -> None:
    async with scene(tmp_path, seconds=30) as on:
        ana = on.person("ana")
        await ana.slash(on.general, "imagine", model="flux", prompt="one")
        assert (await ana.click(await on.status(), label="Cancel")).acknowledged
        assert on.queue.active_jobs(ana.id) == ()


async def test_administrators_are_answered_by_prefix_and_by_mention_and_others_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana, admin = on.person("ana"), on.person("boss", administrator=True)
        await admin.send(on.general, "!getid")
        assert str(GUILD) in on.general.last_message.content
        await admin.send(on.general, f"<@{on.guild.me.id}> getid")
        assert str(GUILD) in on.general.last_message.content
        await ana.send(on.general, "!clearall")
        assert "Only administrators" in on.general.last_message.content
        assert "imagine" in ana.available_commands(on.general)


async def test_the_menu_on_a_message_wants_a_picture(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana = on.person("ana")
        words = await ana.send(on.general, "only words")
        told = await ana.context_menu(on.general, "Edit picture", words)
        assert told.ephemeral
        assert "no picture in that message" in told.response.content


async def test_the_queue_is_told_and_help_speaks(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        ana = on.person("ana")
        for name in ("queue", "help", "settings", "history"):
            asked = await ana.slash(on.general, name)
            assert asked.ephemeral, name
            assert asked.response.content or asked.response.components, name
