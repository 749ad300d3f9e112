"""What administrators can do: the answers to both ``!`` commands and ``/admin``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import discord

from modules.discord.delivery.availability import Availability
from modules.discord.delivery.result_message import made_by
from modules.discord.delivery.status_text import countdown, hindrance_text
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.queue_view import counts_text
from modules.discord.interactions.replies import TEXT_LIMIT
from modules.discord.rejections import NoSuchGpu, PictureForgotten
from modules.discord.requests.limits import Limits
from modules.discord.requests.requester import Requester
from modules.discord.transport.command_sync import CommandSync
from modules.discord.transport.rate_limiter import Traffic
from modules.discord.ui.formatting import (
    bar,
    date,
    fitting,
    is_whole,
    message_ids,
    moment,
    one_decimal,
    quoted,
    seconds,
)
from modules.discord.ui.layout import Part, container, layout, separator, small, text
from modules.discord.ui.translations import FALLBACK, Translations
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import UnknownJob
from modules.queue_manager.jobs import FusionCheck
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.offers import ModelChange
from modules.queue_manager.ports import Clock
from modules.queue_manager.status import EngineStatus
from modules.queue_manager.workers.fleet import Fleet
from modules.utils.database.stores.history import History
from modules.utils.database.stores.members import Members
from modules.utils.inspection import MARKS, Section, of_level

GPUS_SHOWN = 20
CHECK_SECONDS = 20.0
LINES = 5
CHECK_LENGTH, GPU_LENGTH, GPUS_LENGTH = 900, 1500, 2600
"""Characters of what the check found, of one GPU and of all, so that a message holds them."""

Reload = Callable[[], Awaitable[Sequence[str]]]
"""Reads the settings again and gives the fleet its addresses; says what has changed and what has not."""

ReloadModels = Callable[[], Awaitable[Sequence[ModelChange]]]
"""Reads the folder of models again; says what has changed, and what is faulty."""

Inspect = Callable[[], Awaitable[Sequence[Section]]]
"""Looks at everything that can be wrong, as ``bot.py check`` does."""


@dataclass(kw_only=True, eq=False)
class Administration:
    """A method for each command: it answers ``person`` in their language."""

    queue: QueueManager
    fleet: Fleet
    availability: Availability
    members: Members
    history: History
    jobs: JobLookup
    messages: Translations
    registration: CommandSync
    rules: Limits
    cooldown_seconds: float
    traffic: Traffic
    clock: Clock
    reload_settings: Reload
    reload_models: ReloadModels
    inspect: Inspect

    def __post_init__(self) -> None:
        self._started_at = self.clock.unix()

    def _text(self, locale: str, key: str, **fields: str | int | float) -> str:
        return self.messages.text(locale, key, **fields)

    # ── commands and guild ──────────────────────────────────────────────────────────────────────

    async def sync(self, person: Requester) -> str:
        """Register the slash commands, changed or not."""
        count = await self.registration.sync(person.guild_id)
        return self._text(person.locale, "admin-synced", count=count)

    async def clearall(self, person: Requester) -> str:
        """Remove this bot's slash commands everywhere."""
        await self.registration.clear(person.guild_id)
        return self._text(person.locale, "admin-cleared")

    async def getid(self, person: Requester) -> str:
        """The id for ``ALLOWED_GUILD_ID``."""
        return self._text(person.locale, "admin-guild-id", id=str(person.guild_id))

    # ── queue and GPUs ──────────────────────────────────────────────────────────────────────────

    async def pause(self, person: Requester) -> str:
        """Start no more pictures."""
        self.queue.pause()
        return self._text(person.locale, "admin-paused")

    async def resume(self, person: Requester) -> str:
        """Start pictures again."""
        self.queue.resume()
        return self._text(person.locale, "admin-resumed")

    async def drain(self, person: Requester, gpu: str) -> str:
        """Let a GPU finish and give it nothing more. Raises `NoSuchGpu`."""
        called = {engine.name: self._called(person, n) for n, engine in enumerate(self.fleet.engines())}
        name = next((name for name, label in called.items() if gpu in (name, label)), gpu)
        if not await self.fleet.drain(name):
            raise NoSuchGpu(names=", ".join(called.values()) or "–")
        return self._text(person.locale, "admin-draining", gpu=gpu)

    async def reload(self, person: Requester) -> str:
        """Read the GPUs' addresses and the models again; a drained GPU comes back."""
        lines = [f"-# {quoted(line, 250)}" for line in (await self.reload_settings())[:LINES]]
        for change in await self.reload_models():
            what = quoted(change.what, 250)
            lines.append(
                "-# " + self._text(person.locale, "admin-reloaded-model", turn=change.turn, what=what)
            )
        names = [
            self._called(person, n)
            for n, engine in enumerate(self.fleet.engines())
            if engine.state != "draining"
        ]
        names_text = ", ".join(names) or "–"
        return fitting([self._text(person.locale, "admin-reloaded", names=names_text), *lines], TEXT_LIMIT)

    def engine_names(self) -> list[str]:
        """The names that ``drain`` takes."""
        return [engine.name for engine in self.fleet.engines()]

    async def gpus(self, person: Requester) -> discord.ui.LayoutView:
        """A part for each GPU, as many as fit."""
        return layout(container(*self._gpus(person, with_downloads=True)))

    async def status(self, person: Requester) -> discord.ui.LayoutView:
        """The queue, the GPUs, Discord and the check."""
        locale = person.locale
        counts = counts_text(self.messages, self.queue.status(), locale)
        hindrance, expected_at = self.availability.hindrance(), self.queue.last_expected_at()
        if hindrance is not None:
            counts += "\n" + hindrance_text(self.messages, locale, hindrance)
        elif expected_at is not None:
            when = countdown(expected_at, self.clock.unix())
            counts += "\n" + self._text(locale, "admin-status-expected", when=when)
        requests, refused = self.traffic.requests, self.traffic.refused
        sent = self._text(locale, "admin-status-requests", requests=requests, refused=refused)
        return layout(
            container(
                text(f"### {self._text(locale, 'admin-status-title')}"),
                text(f"**{self._text(locale, 'admin-status-queue')}**\n{counts}"),
                separator(),
                *self._gpus(person),
                separator(),
                text(f"**{self._text(locale, 'admin-status-discord')}**\n{sent}"),
                text(f"**{self._text(locale, 'admin-status-check')}**\n{await self._check(person)}"),
            )
        )

    async def _check(self, person: Requester) -> str:
        """What ``bot.py check`` says, in short: what is wrong, and how much is not."""
        locale = person.locale
        try:
            async with timeout(CHECK_SECONDS):
                sections = await self.inspect()
        except asyncio.TimeoutError:
            return self._text(locale, "admin-status-check-slow")
        found = {level: of_level(sections, level) for level in MARKS}
        counts = {level: len(findings) for level, findings in found.items()}
        lines = [self._text(locale, "admin-status-check-counts", **counts)]
        if self._reads_english(locale) and not person.overheard:
            lines += [
                f"-# {MARKS[finding.level]} {quoted(str(finding), 250)}"
                for finding in (*found["fault"], *found["hint"])
            ]
        elif counts["fault"] or counts["hint"]:
            lines += self._areas(sections, locale)
            lines.append("-# " + self._text(locale, "admin-status-check-where"))
        return fitting(lines, CHECK_LENGTH)

    def _reads_english(self, locale: str) -> bool:
        """Whether texts for operators, which are in English like the log, can be shown."""
        return self.messages.language(locale) == FALLBACK

    def _areas(self, sections: Sequence[Section], locale: str) -> Iterator[str]:
        """The number of warnings and problems in each area of ``bot.py check``."""
        for section in sections:
            fault, hint = (len(of_level([section], level)) for level in ("fault", "hint"))
            if fault or hint:
                yield f"-# {MARKS['fault' if fault else 'hint']} " + self._text(
                    locale, "admin-status-check-area", area=section.title, hint=hint, fault=fault
                )

    def _gpus(self, person: Requester, *, with_downloads: bool = False) -> list[Part]:
        """A text for each GPU. Addresses and errors are for administrators alone."""
        locale, length = person.locale, 0
        parts: list[Part] = []
        for n, engine in enumerate(self.fleet.engines()[:GPUS_SHOWN]):
            shown = fitting(self._gpu(person, n, engine, with_downloads=with_downloads), GPU_LENGTH)
            length += len(shown)
            if length > GPUS_LENGTH:
                break
            parts.append(text(shown))
        if not parts:
            return [text(self._text(locale, "admin-no-gpus"))]
        about = [self._text(locale, "admin-gpu-busy")]
        if person.overheard:
            about.append(self._text(locale, "admin-gpu-private"))
        return [*parts, small(" ".join(about))]

    def _gpu(self, person: Requester, n: int, engine: EngineStatus, *, with_downloads: bool) -> Iterator[str]:
        locale, share = person.locale, self._busy_share(engine)
        yield self._text(
            locale,
            "admin-gpu-line",
            name=self._called(person, n),
            state=engine.state,
            pictures=engine.pictures,
            each=seconds(engine.busy_seconds / engine.pictures) if engine.pictures else 0,
        )
        yield self._text(
            locale, "admin-gpu-share", bar=bar(round(100 * share), 100), share=round(100 * share)
        )
        if engine.elastic is not None:
            terms = {"slots": engine.elastic.slots, "after": round(engine.elastic.after)}
            yield "-# " + self._text(locale, "admin-gpu-elastic", **terms)
        if engine.models:
            labels = [
                self._checked(offer.label, engine.checks.get(offer.id), locale)
                for offer in self.queue.offers
                if offer.id in engine.models
            ]
            yield "-# " + self._text(locale, "admin-gpu-models", models=", ".join(labels))
        if person.overheard:
            return
        for name, fetch in engine.missing_files.items() if with_downloads else ():
            missing = self._text(locale, "admin-gpu-missing", name=quoted(name, 100))
            yield f"-# {missing}\n```sh\n{fetch}\n```" if fetch else f"-# {missing}"
        if self._reads_english(locale):
            yield from (f"-# {quoted(note, 300)}" for note in engine.notes)
        elif engine.notes:
            yield "-# " + self._text(locale, "admin-gpu-notes", count=len(engine.notes))
        if engine.last_error:
            yield "-# " + self._text(locale, "admin-gpu-error", error=quoted(engine.last_error, 200))

    def _called(self, person: Requester, n: int) -> str:
        """What the answer calls the GPU at this place: its address, or a number where others read too."""
        return f"GPU-{n + 1}" if person.overheard else self.fleet.engines()[n].name

    def _checked(self, label: str, check: FusionCheck | None, locale: str) -> str:
        """A model, and what ``check --fusion`` found."""
        if check is None:
            return label
        return self._text(
            locale,
            "admin-gpu-checked",
            model=label,
            when=date(check.checked_at),
            gain=one_decimal(check.gain),
            rows=check.rows if check.why_alone is None else -1,
        )

    def _busy_share(self, engine: EngineStatus) -> float:
        return engine.busy_share(self.clock.unix() - self._started_at)

    # ── people and pictures ─────────────────────────────────────────────────────────────────────

    async def block(self, person: Requester, user: discord.User) -> str:
        """Take nothing more from somebody, and cancel what they have in the queue."""
        await self.members.block(user.id, by=person.user_id)
        cancelled = await self.queue.cancel_user(user.id, by=person.user_id)
        return self._text(person.locale, "admin-blocked", user=f"<@{user.id}>", count=len(cancelled))

    async def unblock(self, person: Requester, user: discord.User) -> str:
        """Take requests from somebody again."""
        await self.members.unblock(user.id)
        return self._text(person.locale, "admin-unblocked", user=f"<@{user.id}>")

    async def limits(self, person: Requester) -> str:
        """The rules, and who is blocked."""
        rules, locale = self.rules, person.locale
        daily = rules.pictures_a_day or 0
        lines = [self._text(locale, "admin-limits-everybody", jobs=rules.jobs, daily=daily)]
        if self.cooldown_seconds > 0:
            lines.append(self._text(locale, "admin-limits-cooldown", seconds=self.cooldown_seconds))
        blocked = await self.members.blocked()
        users = ", ".join(f"<@{user_id}>" for user_id in blocked[:50])
        key = "admin-limits-blocked" if users else "admin-limits-nobody-blocked"
        lines.append(self._text(locale, key, users=users))
        # last: there may be more of these than fit
        lines += [
            self._text(
                locale,
                "admin-limits-role",
                role=f"<@&{role}>",
                jobs=rule.jobs,
                daily=rule.pictures_a_day or 0,
                tier=rule.tier,
            )
            for role, rule in rules.roles
        ]
        return fitting(lines, TEXT_LIMIT)

    async def cancel(self, person: Requester, job: str) -> str:
        """Cancel anybody's job by its number. Raises `UnknownJob`."""
        number = job.strip().lstrip("#")
        record = await self.history.by_number(int(number)) if is_whole(number) and len(number) < 19 else None
        if record is None:
            raise UnknownJob(number[:40])
        cancelled = await self.queue.cancel(record.job_id, by=person.user_id)
        user = f"<@{cancelled.request.user_id}>"
        return self._text(person.locale, "admin-cancelled", number=str(cancelled.number), user=user)

    async def find(self, person: Requester, message: str) -> str:
        """Who made the picture of a message (a link or an id), and from what."""
        ids = message_ids(message)
        record = await self.jobs.record_of_message(*ids) if ids else None
        if record is None:
            raise PictureForgotten
        request, locale = record.request, person.locale
        found = self._text(
            locale,
            "admin-found",
            number=str(record.number),
            user=f"<@{request.user_id}>",
            when=moment(record.queued_at),
            model=made_by(self.messages, locale, self.queue.offers, request),
            size="none" if record.size is None else str(record.size),
            seed=str(request.maker.seed),
        )
        return found + "\n" + self._text(locale, "prompt-line", prompt=quoted(request.prompt, 1500))
