"""What administrators can do, as sentences: the same for ``!`` commands and for ``/admin``."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import discord

from modules.discord.delivery.availability import Availability
from modules.discord.delivery.result_message import label_of, made_by
from modules.discord.interactions.charts import bar_chart
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.queue_view import counts_text
from modules.discord.interactions.replies import TEXT_LIMIT
from modules.discord.rejections import NoSuchGpu, PictureForgotten
from modules.discord.requests.limits import Limits
from modules.discord.transport.command_sync import CommandSync
from modules.discord.transport.rate_limiter import Traffic
from modules.discord.ui.formatting import fitting, message_ids, moment, quoted, seconds
from modules.discord.ui.translations import FALLBACK, Translations
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import UnknownJob
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock
from modules.queue_manager.status import EngineStatus
from modules.queue_manager.workers.fleet import Fleet
from modules.utils.database.stores.history import History
from modules.utils.database.stores.members import Members
from modules.utils.inspection import MARKS, Section, of_level

GPUS_SHOWN = 20
CHECK_SECONDS = 20.0
LINES = 5
FIELD = 1024
"""Characters of an embed's field (Discord docs, Embed Limits)."""

Reload = Callable[[], Awaitable[Sequence[str]]]
"""Reads the settings anew and gives the fleet its addresses; sentences on what has changed, and what not."""


Inspect = Callable[[], Awaitable[Sequence[Section]]]
"""Looks at everything that can be wrong, as ``bot.py check`` does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusReport:
    """The answer to ``status``: text in an embed, and a chart (PNG), unless there is nothing to show."""

    embed: discord.Embed
    chart: bytes | None = None

    def files(self) -> list[discord.File]:
        """What goes with the embed."""
        return [] if self.chart is None else [discord.File(io.BytesIO(self.chart), filename="status.png")]


class Administration:
    """Every method answers in the language ``locale``."""

    def __init__(
        self,
        *,
        queue: QueueManager,
        fleet: Fleet,
        availability: Availability,
        members: Members,
        history: History,
        jobs: JobLookup,
        messages: Translations,
        registration: CommandSync,
        limits: Limits,
        cooldown_seconds: float,
        traffic: Traffic,
        clock: Clock,
        reload: Reload,
        inspect: Inspect,
    ) -> None:
        self._inspect = inspect
        self._queue, self._fleet, self._availability = queue, fleet, availability
        self._members, self._history, self._jobs, self._messages = members, history, jobs, messages
        self._registration, self._limits, self._offers = registration, limits, queue.offers
        self._cooldown_seconds, self._traffic, self._reload = cooldown_seconds, traffic, reload
        self._clock = clock
        self._started_at = clock.unix()

    def _text(self, locale: str, key: str, **fields: str | int | float) -> str:
        return self._messages.text(locale, key, **fields)

    # ── commands and guild ──────────────────────────────────────────────────────────────────────

    async def sync(self, guild_id: int, locale: str) -> str:
        """Register the slash commands, changed or not."""
        return self._text(locale, "admin-synced", count=await self._registration.sync(guild_id))

    async def clear_all(self, guild_id: int, locale: str) -> str:
        """Remove this bot's slash commands everywhere."""
        await self._registration.clear(guild_id)
        return self._text(locale, "admin-cleared")

    def guild_id(self, guild_id: int, locale: str) -> str:
        """The id for ``ALLOWED_GUILD_ID``."""
        return self._text(locale, "admin-guild-id", id=str(guild_id))

    # ── queue and GPUs ──────────────────────────────────────────────────────────────────────────

    async def pause(self, locale: str) -> str:
        """Start nothing more."""
        self._queue.pause()
        return self._text(locale, "admin-paused")

    async def resume(self, locale: str) -> str:
        """Go on."""
        self._queue.resume()
        return self._text(locale, "admin-resumed")

    async def drain(self, name: str, locale: str) -> str:
        """Let a GPU finish and give it nothing more. Raises `NoSuchGpu`."""
        if not await self._fleet.drain(name):
            raise NoSuchGpu(names=self._engine_names())
        return self._text(locale, "admin-draining", gpu=name)

    async def reload(self, locale: str) -> str:
        """Read the GPUs' addresses again; a drained one comes back."""
        told = [f"-# {quoted(line, 250)}" for line in (await self._reload())[:LINES]]
        names = [engine.name for engine in self._fleet.engines() if engine.state != "draining"]
        return "\n".join([self._text(locale, "admin-reloaded", names=", ".join(names) or "–"), *told])

    def engine_names(self) -> list[str]:
        """For choices."""
        return [engine.name for engine in self._fleet.engines()]

    def _engine_names(self) -> str:
        return ", ".join(self.engine_names()) or "–"

    async def status(self, locale: str) -> StatusReport:
        """The queue, the GPUs and Discord in one embed."""
        queue, engines = self._queue.status(), self._fleet.engines()
        embed = discord.Embed(title=self._text(locale, "admin-status-title"))
        counts = counts_text(self._messages, queue, locale)
        hindrance, expected_at = self._availability.hindrance(), self._queue.last_expected_at()
        if hindrance is not None:
            counts += "\n" + self._text(locale, f"status-{hindrance}")
        elif expected_at is not None:
            counts += "\n" + self._text(locale, "admin-status-expected", when=moment(expected_at))
        embed.add_field(name=self._text(locale, "admin-status-queue"), value=counts, inline=False)
        embed.add_field(
            name=self._text(locale, "admin-status-gpus"), value=self.gpus(locale, FIELD), inline=False
        )
        embed.add_field(
            name=self._text(locale, "admin-status-discord"),
            value=self._text(
                locale,
                "admin-status-requests",
                requests=self._traffic.requests,
                refused=self._traffic.refused,
            ),
            inline=False,
        )
        embed.add_field(
            name=self._text(locale, "admin-status-check"), value=await self._check(locale), inline=False
        )
        if not engines:
            return StatusReport(embed=embed)
        shares = [self._busy_share(engine) for engine in engines]
        chart = await asyncio.to_thread(bar_chart, shares)
        embed.set_image(url="attachment://status.png")
        embed.set_footer(text=self._text(locale, "admin-status-chart"))
        return StatusReport(embed=embed, chart=chart)

    async def _check(self, locale: str) -> str:
        """What ``bot.py check`` says, in short: how much is in order, and what is not."""
        try:
            async with timeout(CHECK_SECONDS):
                sections = await self._inspect()
        except asyncio.TimeoutError:
            return self._text(locale, "admin-status-check-slow")
        found = {level: of_level(sections, level) for level in MARKS}
        counts = {level: len(findings) for level, findings in found.items()}
        lines = [self._text(locale, "admin-status-check-counts", **counts)]
        if self._reads_english(locale):
            lines += [
                f"-# {MARKS[finding.level]} {quoted(str(finding), 250)}"
                for finding in (*found["fault"], *found["hint"])
            ]
        elif counts["fault"] or counts["hint"]:
            lines += self._areas(sections, locale)
            lines.append("-# " + self._text(locale, "admin-status-check-where"))
        while len(lines) > 1 and len("\n".join(lines)) > FIELD:
            lines.pop()
        return "\n".join(lines)

    def _reads_english(self, locale: str) -> bool:
        """Whether what operators are told, which is in English like the log, can stand in an answer."""
        return self._messages.language(locale) == FALLBACK

    def _areas(self, sections: Sequence[Section], locale: str) -> Iterator[str]:
        """How much is not in order in each area, by the names that ``bot.py check`` gives them."""
        for section in sections:
            fault, hint = (len(of_level([section], level)) for level in ("fault", "hint"))
            if fault or hint:
                yield f"-# {MARKS['fault' if fault else 'hint']} " + self._text(
                    locale, "admin-status-check-area", area=section.title, hint=hint, fault=fault
                )

    def gpus(self, locale: str, limit: int = TEXT_LIMIT) -> str:
        """A line or more for each GPU, as many as fit."""
        lines = []
        for engine in self._fleet.engines()[:GPUS_SHOWN]:
            lines.append(
                self._text(
                    locale,
                    "admin-gpu-line",
                    name=engine.name,
                    state=engine.state,
                    pictures=engine.pictures,
                    each=seconds(engine.busy_seconds / engine.pictures) if engine.pictures else 0,
                    share=round(100 * self._busy_share(engine)),
                )
            )
            if engine.models:
                labels = [label_of(self._offers, name) for name in engine.models]
                lines.append("-# " + self._text(locale, "admin-gpu-models", models=", ".join(labels)))
            if self._reads_english(locale):
                lines += [f"-# {quoted(note, 200)}" for note in engine.notes]
            elif engine.notes:
                lines.append("-# " + self._text(locale, "admin-gpu-notes", count=len(engine.notes)))
            if engine.last_error:
                error = quoted(engine.last_error, 200)
                lines.append("-# " + self._text(locale, "admin-gpu-error", error=error))
        return fitting(lines, limit) or self._text(locale, "admin-no-gpus")

    def _busy_share(self, engine: EngineStatus) -> float:
        return min(1.0, engine.busy_seconds / max(1.0, self._clock.unix() - self._started_at))

    # ── people and pictures ─────────────────────────────────────────────────────────────────────

    async def block(self, user_id: int, by: int, locale: str) -> str:
        """Take nothing more from somebody, and cancel what is queued."""
        await self._members.block(user_id, by=by)
        cancelled = await self._queue.cancel_user(user_id, by=by)
        return self._text(locale, "admin-blocked", user=f"<@{user_id}>", count=len(cancelled))

    async def unblock(self, user_id: int, locale: str) -> str:
        """The reverse."""
        await self._members.unblock(user_id)
        return self._text(locale, "admin-unblocked", user=f"<@{user_id}>")

    async def limits(self, locale: str) -> str:
        """The rules, and who is blocked."""
        rules = self._limits
        lines = [
            self._text(locale, "admin-limits-everybody", jobs=rules.jobs, daily=rules.pictures_a_day or 0)
        ]
        if self._cooldown_seconds > 0:
            lines.append(self._text(locale, "admin-limits-cooldown", seconds=self._cooldown_seconds))
        blocked = await self._members.blocked()
        users = ", ".join(f"<@{user_id}>" for user_id in blocked[:50])
        lines.append(
            self._text(locale, "admin-limits-blocked", users=users)
            if users
            else self._text(locale, "admin-limits-nobody-blocked")
        )
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

    async def cancel(self, number: int, by: int, locale: str) -> str:
        """Cancel anybody's job by its number. Raises `UnknownJob`."""
        record = await self._history.by_number(number)
        if record is None:
            raise UnknownJob(str(number))
        job = await self._queue.cancel(record.job_id, by=by)
        user = f"<@{job.request.user_id}>"
        return self._text(locale, "admin-cancelled", number=str(job.number), user=user)

    async def find(self, message: str, locale: str) -> str:
        """Who made the picture of a message (a link or an id), and from what."""
        ids = message_ids(message)
        record = await self._jobs.record_of_message(*ids) if ids else None
        if record is None:
            raise PictureForgotten
        request = record.request
        lines = [
            self._text(
                locale,
                "admin-found",
                number=str(record.number),
                user=f"<@{request.user_id}>",
                when=moment(record.queued_at),
                model=made_by(self._messages, locale, self._offers, request),
                size="none" if record.size is None else str(record.size),
                seed=str(request.maker.seed),
            ),
            self._text(locale, "prompt-line", prompt=quoted(request.prompt, 1500)),
        ]
        return "\n".join(lines)
