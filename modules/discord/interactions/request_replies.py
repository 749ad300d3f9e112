"""Keeps the answers to accepted requests true until their pictures have ended.

An answer can be changed while its interaction's token is valid, fifteen minutes. After that, and after a
restart, it stays as it is; a click on a Cancel button left there shows what became of the picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from logging import getLogger

import discord

from modules.discord.delivery.outcome_text import told
from modules.discord.delivery.status_text import Hindrance, countdown, standing
from modules.discord.interactions.replies import answer
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import Accepted
from modules.discord.transport.message_client import DISCORD_ERRORS
from modules.discord.ui.components import job_button, rows
from modules.discord.ui.translations import Translations
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import LeaseLost
from modules.queue_manager.jobs import Job, JobId
from modules.queue_manager.ports import Cancelled, Clock, Delivered, Failed, JobEvent
from modules.queue_manager.status import QueuePosition

log = getLogger(__name__)

AT_ONCE = 4
"""Answers that are changed at the same time; posting goes first."""

TIME_LIMIT = 20.0


@dataclass(slots=True, eq=False)
class _Answer:
    """One request's answer: its active jobs, and a line for each picture that has ended."""

    interaction: discord.Interaction
    person: Requester
    channel_id: int
    living: dict[JobId, Job]
    ended: dict[int, str] = field(default_factory=dict)
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(kw_only=True, eq=False)
class RequestReplies:
    """A `JobListener`. ``place``: where a job is in the queue; ``hindrance``: what holds up all jobs."""

    messages: Translations
    place: Callable[[JobId], QueuePosition | None]
    hindrance: Callable[[], Hindrance | None]
    clock: Clock

    _by_job: dict[JobId, _Answer] = field(init=False, default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _leaving: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._doors = asyncio.Semaphore(AT_ONCE)

    async def give(self, interaction: discord.Interaction, person: Requester, accepted: Accepted) -> None:
        """Answer with places and times. The interaction must be deferred. Await nothing else between
        accepting the jobs and this call, so that no end is missed."""
        given = _Answer(
            interaction=interaction,
            person=person,
            channel_id=accepted.channel_id,
            living={job.id: job for job in accepted.jobs},
        )
        self._by_job |= dict.fromkeys(given.living, given)
        async with given.sending:
            await self._send(given)

    async def on_event(self, event: JobEvent) -> None:
        """Note that a picture has ended; a task of its own changes the answer."""
        if not isinstance(event, (Delivered, Failed, Cancelled)):
            return
        given = self._by_job.pop(event.job.id, None)
        if given is None:
            return
        del given.living[event.job.id]
        given.ended[event.job.number] = told(self.messages, given.person.locale, event)
        if self._leaving:
            return  # the bot is closing: answers stay as they are
        task = asyncio.create_task(self._correct(given, len(given.living)), name="an answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Change nothing more."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _correct(self, given: _Answer, living: int) -> None:
        async with given.sending, self._doors:
            if living != len(given.living) or given.interaction.is_expired():
                return  # another picture has ended since, or it is too late
            try:
                async with timeout(TIME_LIMIT):
                    await self._send(given)
            except (LeaseLost, *DISCORD_ERRORS) as error:
                log.info("an answer was not updated: %s", error)

    async def _send(self, given: _Answer) -> None:
        jobs, locale = list(given.living.values()), given.person.locale
        lines = [line for _, line in sorted(given.ended.items())]
        view = None
        if jobs:
            lines += self._queued(given, jobs)
            view = rows(
                job_button(
                    self.messages, locale, job.id, "cancel", f" #{job.number}" if len(jobs) > 1 else ""
                )
                for job in jobs[:25]
            )
        await answer(given.interaction, "\n".join(lines), view=view)

    def _queued(self, given: _Answer, jobs: Sequence[Job]) -> Iterator[str]:
        """The first job's place and expected time, and where all will appear."""
        messages, locale = self.messages, given.person.locale
        place, hindrance = self.place(jobs[0].id), self.hindrance()
        numbers = ", ".join(f"#{job.number}" for job in jobs)
        yield messages.text(locale, "queued", count=len(jobs), numbers=numbers, ahead=standing(place))
        if hindrance is not None:
            yield messages.text(locale, f"queued-{hindrance}")
        elif place is not None and place.expected_at is not None:
            when = countdown(place.expected_at, self.clock.unix())
            yield messages.text(locale, "queued-expected", count=len(jobs), when=when)
        if given.person.preferences.direct_message:
            yield messages.text(locale, "queued-where-direct")
        else:
            yield messages.text(locale, "queued-where", channel=f"<#{given.channel_id}>")
