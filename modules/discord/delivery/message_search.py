"""Finds the messages that a former process left in a channel: a result by its file's name or its controls, a
status message by its mark. A channel's history does not hold nonces."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from weakref import WeakValueDictionary

import discord

from modules.discord.transport.message_client import PAGE_SIZE, MessageClient, Posted
from modules.discord.ui.components import MORE, TEMPLATE, custom_id, status_mark
from modules.discord.ui.message_parts import components_of, custom_ids_of, files_of
from modules.queue_manager.jobs import Job, JobId
from modules.queue_manager.ports import Clock

_NUMBER = re.compile(r"\*\*#(\d+)\*\*")
CONTAINER = discord.ComponentType.container.value

PAGES = 20
"""How many pages are read at most, forward from the earliest moment at which the message can have been
posted."""

CLOCKS_APART = 300.0
"""Seconds by which our clock may be ahead of Discord's."""

_RESULT = (*MORE, "delete")
"""What only results have: a menu; before there were layouts, a Delete button."""

LOOK_SECONDS = 5.0
"""How many seconds the messages read from a channel serve every search for a status message there."""


async def find_result(
    message_client: MessageClient, channel_id: int, job_id: JobId, *, since: float
) -> int | None:
    """The id of the message with a job's picture, if one was posted after ``since`` (Unix seconds)."""
    async with aclosing(messages_since(message_client, channel_id, since)) as messages:
        async for message in messages:
            if shows(message, job_id):
                return int(message["id"])
    return None


def shows(message: Mapping[str, Any], job_id: JobId) -> bool:
    """Whether this is the result of a job, by its file's name or, if it has no file, its menu."""
    named = any(job_id in file.name for file in files_of(message))
    return named or not {custom_id(what, job_id) for what in _RESULT}.isdisjoint(custom_ids_of(message))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What was read at ``at``: the ids of the status messages that were posted after ``since``, by mark, or
    by the job's number with a minus sign."""

    at: float
    since: float
    found: Mapping[int, int]


class StatusMessageSearch:
    """Finds status messages; one look serves all who search in a channel at about the same time."""

    def __init__(self, *, message_client: MessageClient, clock: Clock) -> None:
        self._message_client, self._clock = message_client, clock
        self._looking: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._looks: dict[int, _Look] = {}

    async def find(self, job: Job) -> Posted | None:
        """Where the job's status message is, if there is one. Raises a `MessageError`."""
        channel_id = job.request.channel_id
        async with self._looking.setdefault(channel_id, asyncio.Lock()):
            look, now = self._looks.get(channel_id), self._clock.now()
            if look is None or now - look.at > LOOK_SECONDS or look.since > job.queued_at:
                look = _Look(at=now, since=job.queued_at, found=await self._read(channel_id, job.queued_at))
                fresh = {key: other for key, other in self._looks.items() if now - other.at <= LOOK_SECONDS}
                self._looks = {**fresh, channel_id: look}
        message_id = look.found.get(status_mark(job.group)) or look.found.get(-job.number)
        return None if message_id is None else Posted(channel_id=channel_id, message_id=message_id)

    def forget(self, channel_id: int) -> None:
        """Look again next time: something may have been posted since."""
        self._looks.pop(channel_id, None)

    async def _read(self, channel_id: int, since: float) -> dict[int, int]:
        found: dict[int, int] = {}
        async with aclosing(messages_since(self._message_client, channel_id, since)) as messages:
            async for message in messages:
                for mark in _marks(message):
                    found.setdefault(mark, int(message["id"]))
        return found


def _marks(message: Mapping[str, Any]) -> Iterator[int]:
    """The marks of a status message: that of its container. A message from before there were layouts is
    recognised by the job that its buttons name (Cancel, or Again without Delete), or by the job's number in a
    bot's text."""
    frames = (part for part in components_of(message) if part.get("type") == CONTAINER)
    yield from (int(frame.get("id") or 0) for frame in frames)
    buttons = [match for match in map(TEMPLATE.fullmatch, custom_ids_of(message)) if match is not None]
    about = {match["what"]: match["about"] for match in buttons}
    job_id = about.get("cancel") or (about.get("again") if about.keys().isdisjoint(_RESULT) else None)
    if job_id is not None:
        yield status_mark(job_id)
    named = _NUMBER.search(message.get("content") or "") if message.get("author", {}).get("bot") else None
    if named is not None and all(file.name.startswith("preview") for file in files_of(message)):
        yield -int(named[1])


async def messages_since(
    message_client: MessageClient, channel_id: int, since: float
) -> AsyncGenerator[Mapping[str, Any], None]:
    """The channel's last page, then those from ``since`` on until the two meet, `PAGES` at most."""
    earliest = datetime.fromtimestamp(since - CLOCKS_APART, tz=timezone.utc)
    read_to = max(0, discord.utils.time_snowflake(earliest))  # an id below those of all later messages
    page = await message_client.page(channel_id)
    known_from = min(_ids(page), default=0)
    for message in page:
        yield message
    for _ in range(PAGES):
        if len(page) < PAGE_SIZE or read_to >= known_from:
            return
        page = await message_client.page(channel_id, after=read_to)
        for message in page:
            yield message
        read_to = max(_ids(page), default=known_from)


def _ids(page: Sequence[Mapping[str, Any]]) -> list[int]:
    return [int(message["id"]) for message in page]
