"""People who go on asking for pictures, editing and cancelling, whatever becomes of the bot."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from PIL import Image

from modules.demo.users import File, InvocationFailed, SimulatedUser, components_of, text_of

TIME_LIMIT = 6.0

POISON = " with poison"
"""What a server cannot make a picture of: these jobs must end in a sentence."""


@dataclass
class Heard:
    """What the bot said to people."""

    queued: set[int] = field(default_factory=set)
    """Numbers of the jobs of which their owner was told that they are accepted."""
    cancelled: set[int] = field(default_factory=set)
    """Numbers of the jobs whose owner asked that they end."""
    refused: int = 0
    unanswered: int = 0
    asked: int = 0


class Requester:
    """One hand of a person: asks, edits and cancels, one thing after another."""

    def __init__(self, user: SimulatedUser, heard: Heard, seed: int) -> None:
        self._user, self._heard = user, heard
        self._chance = random.Random(seed)
        self._number = 0
        self._poison = ""
        self._photo = _photo(seed)

    async def act(self) -> None:
        """Go on until cancelled."""
        channel = await self._user.wait_for_channel(lambda found: found.get("name") == "general", 30)
        while True:
            with contextlib.suppress(
                InvocationFailed, asyncio.TimeoutError, aiohttp.ClientError, LookupError
            ):
                await self._do_something(str(channel["id"]))
            await asyncio.sleep(self._chance.uniform(0.02, 0.25))

    async def _do_something(self, channel: str) -> None:
        kind = self._chance.random()
        if kind < 0.12 and (offered := list(_cancels(self._user))):
            await self._cancel(*self._chance.choice(offered))
        elif kind < 0.22:
            await self._ask("edit", channel, image=File(filename="photo.png", data=self._photo))
        else:
            model = self._chance.choice(["flux", "flux", "z-image"])
            self._poison = POISON if self._chance.random() < 0.06 else ""
            await self._ask("imagine", channel, model=model, count=self._chance.choice([1, 1, 2]))

    async def _ask(self, command: str, channel: str, **options: Any) -> None:
        self._number += 1
        self._heard.asked += 1
        try:
            invocation = await self._user.command(
                command,
                channel,
                prompt=f"{self._user.user['username']} {self._number}{self._poison}",
                **options,
            )
            reply = await invocation.reply(TIME_LIMIT)
        except (InvocationFailed, asyncio.TimeoutError):
            self._heard.unanswered += 1
            raise
        said = text_of(reply)
        if "queued" in said:
            self._heard.queued.update(int(number) for number in re.findall(r"#(\d+)\b(?!>)", said))
        else:
            self._heard.refused += 1
            await asyncio.sleep(0.3)

    async def _cancel(self, status: dict[str, Any], button: str) -> None:
        for first, last in re.findall(r"#(\d+)(?:–#(\d+))?", text_of(status)):
            self._heard.cancelled.update(range(int(first), int(last or first) + 1))
        await (await self._user.click(status, button)).acknowledged(TIME_LIMIT)


def _cancels(user: SimulatedUser) -> Iterator[tuple[dict[str, Any], str]]:
    """The messages that let one cancel something, each with the button."""
    for message in user.all_messages():
        for component in components_of(message):
            if str(component.get("custom_id", "")).startswith("fullet:cancel"):
                yield message, component["custom_id"]


def _photo(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), (seed * 37 % 256, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


@asynccontextmanager
async def crowd(url: str, users: Sequence[int], heard: Heard, seed: int) -> AsyncIterator[None]:
    """Everybody is busy inside the block, each with two hands."""
    async with contextlib.AsyncExitStack() as stack:
        people = [await stack.enter_async_context(await SimulatedUser.connect(url, user)) for user in users]
        working = [
            asyncio.ensure_future(Requester(user, heard, seed + 10 * number + hand).act())
            for number, user in enumerate(people)
            for hand in range(2)
        ]
        try:
            yield
        finally:
            for task in working:
                task.cancel()
            ends = await asyncio.gather(*working, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, asyncio.CancelledError)] == []
