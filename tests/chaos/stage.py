"""What a bot meets in a chaos run: an embedded Discord, embedded GPUs, and its settings in a file."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.guilds import Message
from modules.demo.discord_server.state.world import default_world
from modules.demo.users import components_of, text_of
from tests.chaos.crowd import POISON
from tests.comfy_v2 import Platform, proxy
from tests.discord_wiring import openapi_file

QUICK = Timing(load=0.05, step=0.03, row=0.01, noise=0.3)

_ENDING = re.compile(r"\*\*#(\d+)\*\* (?:could not be made|was cancelled)")

_RESULT = re.compile(r"\d+-([0-9a-f]{32})\.\w+")


Kind = Literal["none", "proxy", "deployment", "cloud"]
"""What speaks Comfy API v2 beside the GPUs, if anything does: see `tests.comfy_v2`."""


@dataclass
class Bought:
    """An address of Comfy API v2, and the GPU behind it."""

    gpu: ComfyServer
    url: str
    key: str

    def runs(self) -> Counter[str]:
        """How often each graph was run there to its end, whatever its file is called."""
        records = [record.as_dict() for record in self.gpu.core.queue.history.values()]
        return Counter(
            json.dumps([node for name, node in record["prompt"][2].items() if name != "fullet_save"])
            for record in records
            if record["status"]["status_str"] == "success"
        )


@dataclass
class Stage:
    """Embedded servers, and the file that leads a bot to them."""

    discord: DiscordServer
    gpus: tuple[ComfyServer, ...]
    env_file: Path
    elastic: Bought | None = None

    def write(self, **values: str) -> None:
        """The settings of the bots to come."""
        settings = {
            "DISCORD_TOKEN": self.discord.token,
            "ALLOWED_GUILD_ID": str(self.discord.guild.id),
            "COMFY_URLS": ",".join([*(gpu.url for gpu in self.gpus), *self._elastic_urls()]),
            "COMFY_API_KEYS": f"{self.elastic.url}={self.elastic.key}" if self.elastic else "",
            "DISCORD_API_BASE": self.discord.api_url,
            "DISCORD_GATEWAY_URL": self.discord.gateway_url,
            "MAX_JOBS_PER_USER": "5",
            "OUTPUT_FORMAT": "jpeg",
            **values,
        }
        text = "".join(f"{name}='{value}'\n" for name, value in settings.items())
        self.env_file.write_text(text, encoding="utf-8")

    def _elastic_urls(self) -> list[str]:
        models = "models=flux+z-image+flux_edit"
        return [f"comfy+{self.elastic.url}?jobs=3&after=0&{models}"] if self.elastic else []

    @property
    def connected(self) -> int:
        """How often a bot has come to the gateway so far."""
        return self.discord.gateway.counters["identify"]

    def everything(self) -> list[Message]:
        """What stands in all channels, direct ones included; of ephemeral messages nothing."""
        return [
            message for channel in self.discord.hub.channels.values() for message in channel.messages.values()
        ]

    def results(self) -> Mapping[str, list[Message]]:
        """The messages that hold the picture of each job."""
        found: dict[str, list[Message]] = defaultdict(list)
        for message in self.everything():
            for attachment in message.attachments:
                if (match := _RESULT.fullmatch(attachment.filename)) is not None:
                    found[match[1]].append(message)
        return found

    def buttons(self, what: str) -> Mapping[str, list[Message]]:
        """The messages without a picture that have a certain button about a job."""
        found: dict[str, list[Message]] = defaultdict(list)
        for message in self.everything():
            for item in components_of({"components": message.components}) if not is_result(message) else ():
                name, _, job_id = str(item.get("custom_id", "")).rpartition(":")
                if name == f"fullet:{what}":
                    found[job_id].append(message)
        return found

    def endings(self) -> frozenset[int]:
        """The numbers of the jobs of which a message says that they failed or were cancelled."""
        return frozenset(
            int(number) for message in self.everything() for number in _ENDING.findall(said(message))
        )


def said(message: Message) -> str:
    """What it says."""
    return text_of({"content": message.content, "components": message.components})


def is_result(message: Message) -> bool:
    """Whether it shows a finished picture."""
    return any(_RESULT.fullmatch(attachment.filename) for attachment in message.attachments)


@asynccontextmanager
async def open_stage(
    folder: Path, *, users: int, gpus: int = 2, timing: Timing = QUICK, elastic: Kind = "none"
) -> AsyncIterator[Stage]:
    """A Discord and some GPUs in this process; nothing that the bot did wrong there goes unnoticed. With
    ``elastic`` the last GPU stands behind Comfy API v2."""
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(
            DiscordServer(default_world(users), openapi=openapi_file(), rate_limits=False)
        )
        made = [
            ComfyServer(profile=ServerProfile(cache_lru=100), timing=timing, drawing="plain", seed=number)
            for number in range(gpus)
        ]
        for gpu in made:
            gpu.faults.set(poison=POISON)
            await stack.enter_async_context(gpu)
        bought = None
        if elastic == "proxy":
            bought = Bought(
                gpu := made.pop(), await stack.enter_async_context(proxy(gpu, token="t0ken")), "t0ken"
            )
        elif elastic != "none":
            platform = Platform(gpus=[gpu := made.pop()], keeps_labels=elastic == "deployment")
            await stack.enter_async_context(platform.open())
            bought = Bought(gpu, platform.url, platform.key)
        yield Stage(discord, tuple(made), folder / ".env", bought)
        assert discord.violations == []
