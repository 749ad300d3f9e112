"""Acknowledges interactions before anything else: Discord gives three seconds, however many there are.

While some are still to be acknowledged, work on the others waits. Few go at the same time, so that they
share connections: a thousand at once would each begin with a handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
import discord

from modules.discord.interactions.replies import ALREADY_ACKNOWLEDGED
from modules.discord.requests.requester import Requester, Requesters
from modules.queue_manager.backports import timeout

AT_ONCE = 100
"""Acknowledgements sent at the same time."""

TIME_LIMIT = 3.0
"""Seconds for one acknowledgement; later ones are not taken (Discord docs, Receiving and Responding)."""

PAUSE = 0.2
"""Seconds before an acknowledgement that was cut off is sent again."""

REMEMBERED = 5000
"""Interactions that are known to have come."""

STAND_BACK = 2.0
"""Seconds for which work waits for other acknowledgements at most."""


@dataclass(kw_only=True, eq=False)
class Deferrals:
    """One for the whole bot, so that its limit holds for all acknowledgements together. ``until_home`` waits
    for the channels and roles of the guild that is served."""

    requesters: Requesters
    until_home: Callable[[], Awaitable[None]]

    def __post_init__(self) -> None:
        self._doors = asyncio.Semaphore(AT_ONCE)
        self._pending = 0
        self._seen: dict[int, None] = {}
        self._calm = asyncio.Event()
        self._calm.set()

    async def defer(self, interaction: discord.Interaction, *, update: bool = False) -> None:
        """Acknowledge: "thinking", for this person alone, or, for a click that changes the message it is
        on (``update``), nothing visible. Returns once the guild is known. Raises what discord.py does,
        asyncio.TimeoutError, `GuildAway`, or discord.InteractionResponded for one that came before."""
        if interaction.id in self._seen:
            raise discord.InteractionResponded(interaction)  # Discord sent it twice
        self._seen[interaction.id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._pending += 1
        self._calm.clear()
        try:
            async with self._doors, timeout(TIME_LIMIT):
                await self._acknowledge(interaction, update)
        finally:
            self._pending -= 1
            if not self._pending:
                self._calm.set()
        with suppress(asyncio.TimeoutError):
            async with timeout(STAND_BACK):
                await self._calm.wait()
        await self.until_home()

    @staticmethod
    async def _acknowledge(interaction: discord.Interaction, update: bool) -> None:
        """Try again where the answer is lost; that it is acknowledged already means that the first try was
        carried out."""
        response = interaction.response
        while True:
            try:
                if update:
                    await response.defer()
                else:
                    await response.defer(ephemeral=True, thinking=True)
            except discord.HTTPException as error:
                if error.code != ALREADY_ACKNOWLEDGED:
                    raise
                kinds = discord.InteractionResponseType
                done = kinds.deferred_message_update if update else kinds.deferred_channel_message
                response._response_type = done
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(PAUSE)
                continue
            return

    async def begin(self, interaction: discord.Interaction, *, update: bool = False) -> Requester:
        """Acknowledge, and tell who asks. Raises `NotAMember` or what `defer` raises."""
        await self.defer(interaction, update=update)
        return await self.requesters.of(interaction)
