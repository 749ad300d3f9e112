"""A whole bot on a folder of models that changes, with simulated Discord and ComfyUI servers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from modules.demo.discord_server import WorldSpec
from modules.demo.users import SimulatedUser, text_of
from tests.discord_stand import Stand, whole_room
from tests.workflow_graphs import FLUJOS


@dataclass
class Live:
    """A bot that reads a folder of models while people change it, and its ComfyUI servers."""

    stand: Stand
    servers: tuple[ComfyServer, ...]
    flujos: Path

    @property
    def comfy(self) -> ComfyServer:
        """The first server."""
        return self.servers[0]

    async def offered(self, person: SimulatedUser) -> dict[str, str]:
        choices = await person.autocomplete("imagine", self.stand.general, "model")
        return {choice["value"]: choice["name"] for choice in choices}

    async def until_offered(self, person: SimulatedUser, *names: str) -> float:
        """The seconds until these and no others are offered."""
        begun = time.monotonic()
        while set(await self.offered(person)) != set(names):
            assert time.monotonic() - begun < 10
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def says(self, person: SimulatedUser, text: str, words: str) -> str:
        text = self.stand.typed(text)
        await person.say(self.stand.general, text)
        answer = await person.wait_for_message(lambda m: words in text_of(m) and text_of(m) != text)
        return str(text_of(answer))


@contextlib.asynccontextmanager
async def live(
    tmp_path: Path,
    world: WorldSpec | None = None,
    *,
    timing: Timing = Timing(),  # noqa: B008 - frozen
    files: Mapping[str, str] = MappingProxyType({}),
    loras: Sequence[tuple[str, ...]] = ((),),
    **options: Any,
) -> AsyncIterator[Live]:
    """``files``: texts that are put into the folder; ``loras``: the LoRA files of each server; ``options``:
    those of `whole_room`."""
    flujos = shutil.copytree(FLUJOS, tmp_path / "flujos", ignore=shutil.ignore_patterns("library"))
    for name, text in files.items():
        (flujos / name).write_text(text, encoding="utf-8")
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                ComfyServer(
                    profile=ServerProfile(cache_lru=100, extra_models={"loras": own}),
                    drawing="plain",
                    timing=timing,
                )
            )
            for own in loras
        ]
        room = whole_room(
            tmp_path,
            world,
            models=flujos,
            offers=None,
            make_engine=None,
            comfy_urls=tuple(comfy.url for comfy in servers),
            **{"batch_window_ms": 10, **options},
        )
        async with room as stand, stand.database.lease.hold():
            watching = asyncio.create_task(stand.product.model_folder.watch())
            try:
                await stand.until(
                    lambda: (
                        sum(bool(engine.models) for engine in stand.product.fleet.engines()) == len(servers)
                    )
                )
                yield Live(stand, tuple(servers), flujos)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
