"""Acknowledges each interaction within the three seconds that Discord allows, even if many come at once.

A quick answer is itself the acknowledgement, which saves a request; what takes longer is deferred. If many
come at the same time, all are deferred before any work begins. Only a few are sent at a time, so that they
share connections: a thousand at once would each need a handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import discord

from modules.discord.requests.requester import Requester, Requesters
from modules.queue_manager.backports import timeout

AT_ONCE = 100
"""Acknowledgements sent at the same time."""

HOLD = 1.2
"""Seconds after which an interaction without an answer is deferred."""

CROWD = 10
"""How many interactions may wait for their answers; if there are more, they are deferred at once."""

SETTLE = 0.02
"""Seconds to wait before counting how many interactions have come. A busy bot wakes up later than that, when
more of them have come."""

TIME_LIMIT = 3.0
"""Seconds for one acknowledgement; later ones are not taken (Discord docs, Receiving and Responding)."""

PAUSE = 0.2
"""Seconds before an acknowledgement that was cut off is sent again."""

REMEMBERED = 5000
"""How many interactions are remembered, to notice one that Discord sends twice."""

STAND_BACK = 2.0
"""Seconds for which work waits for other acknowledgements at most."""

ALREADY_ACKNOWLEDGED = 40060

ResponseKind = discord.InteractionResponseType
_RECEIVED, _WAITING = "received", "waiting"


def note_received(interaction: discord.Interaction) -> None:
    """Note that it came now; work on it may begin much later when there is much to do."""
    interaction.extras[_RECEIVED] = asyncio.get_running_loop().time()


@dataclass(kw_only=True, eq=False)
class Deferrals:
    """One for the whole bot, so that its limit holds for all acknowledgements together. ``until_home`` waits
    for the channels and roles of the guild that is served."""

    requesters: Requesters
    until_home: Callable[[], Awaitable[None]]
    _waiting: set[_Waiting] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._doors = asyncio.Semaphore(AT_ONCE)
        self._pending = 0
        self._seen: dict[int, None] = {}
        self._calm = asyncio.Event()
        self._calm.set()

    async def defer(self, interaction: discord.Interaction, *, update: bool = False) -> None:
        """See to it that it is acknowledged in time: by `respond`, else by "thinking", for this person alone,
        or, for a click that changes the message it is on (``update``), by nothing visible. Returns once the
        guild is known. Raises what discord.py does, asyncio.TimeoutError, `GuildAway`, or
        discord.InteractionResponded for one that came before."""
        if interaction.id in self._seen:
            raise discord.InteractionResponded(interaction)  # Discord sent it twice
        self._seen[interaction.id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        clock = asyncio.get_running_loop().time
        defer_at = interaction.extras.get(_RECEIVED, clock()) + HOLD
        waiting = _Waiting(self, interaction, update=update)
        interaction.extras[_WAITING] = waiting
        self._waiting.add(waiting)
        await asyncio.sleep(SETTLE)
        if len(self._waiting) <= CROWD and self._calm.is_set():
            waiting.defer_in(defer_at - clock())
        else:
            await waiting.defer_now()
            with suppress(asyncio.TimeoutError):
                async with timeout(STAND_BACK):
                    await self._calm.wait()
        await self.until_home()

    async def begin(self, interaction: discord.Interaction, *, update: bool = False) -> Requester:
        """The same, and tell who asks. Raises `NotAMember` or what `defer` raises."""
        await self.defer(interaction, update=update)
        return await self.requesters.of(interaction)

    async def _defer(self, waiting: _Waiting) -> None:
        response = waiting.interaction.response
        self._pending += 1
        self._calm.clear()
        try:
            if waiting.update:
                await self._send(waiting, response.defer, ResponseKind.deferred_message_update)
            else:
                await self._send(
                    waiting,
                    lambda: response.defer(ephemeral=True, thinking=True),
                    ResponseKind.deferred_channel_message,
                )
        finally:
            self._pending -= 1
            if not self._pending:
                self._calm.set()

    async def _send(
        self, waiting: _Waiting, send: Callable[[], Awaitable[object]], kind: ResponseKind
    ) -> None:
        """Try again where the answer is lost; that it is acknowledged already means that the first try was
        carried out."""
        self._waiting.discard(waiting)
        async with self._doors, timeout(TIME_LIMIT):
            while True:
                try:
                    await send()
                except discord.HTTPException as error:
                    if error.code != ALREADY_ACKNOWLEDGED:
                        raise
                    waiting.interaction.response._response_type = kind
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(PAUSE)
                    continue
                return


class _Waiting:
    """An interaction that is acknowledged by its answer or by being deferred, whichever comes first."""

    def __init__(self, deferrals: Deferrals, interaction: discord.Interaction, *, update: bool) -> None:
        self.interaction, self.update = interaction, update
        self._deferrals = deferrals
        self._deferring: asyncio.Task[None] | None = None
        self._begun = False

    async def defer_now(self) -> None:
        """Raises what `Deferrals.defer` does."""
        self._begun = True
        await self._deferrals._defer(self)

    def defer_in(self, seconds: float) -> None:
        self._deferring = asyncio.create_task(self._later(seconds), name="deferral")
        # Its error is for the one who answers, if anybody still does.
        self._deferring.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _later(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
        await self.defer_now()

    async def respond(self, send: Callable[[], Awaitable[object]], kind: ResponseKind) -> bool:
        """See `respond`."""
        if not self._begun:
            self._begun = True
            if self._deferring is not None:
                self._deferring.cancel()
        elif self._deferring is not None:
            await asyncio.wait([self._deferring])
            if not self._deferring.cancelled():
                self._deferring.result()
        if self.interaction.response.is_done():
            return False
        await self._deferrals._send(self, send, kind)
        return True


def changes_its_message(interaction: discord.Interaction) -> bool:
    """Whether it was deferred so that its answer replaces the message it is on."""
    waiting = interaction.extras.get(_WAITING)
    return waiting is not None and waiting.update


async def respond(
    interaction: discord.Interaction, send: Callable[[], Awaitable[object]], kind: ResponseKind
) -> bool:
    """Acknowledge with the answer itself: ``send`` responds with a ``kind``, and is repeated if what comes
    back is lost. False if the interaction was acknowledged before: then the answer must be an edit or a
    followup. Raises what discord.py does and asyncio.TimeoutError."""
    waiting: _Waiting | None = interaction.extras.get(_WAITING)
    if waiting is not None:
        return await waiting.respond(send, kind)
    if interaction.response.is_done():
        return False
    await send()
    return True
