"""ImageBot: connects to Discord, guards the guild before anything else, loads the cogs.

How it is put together::

    queue = QueueManager(offers=offers, store=database.jobs, clock=clock, ...)
    fleet = Fleet(runs=queue.runs, make_engine=..., clock=clock)
    bot = ImageBot(queue=queue, fleet=fleet, database=database, cleaner=PictureCleaner(), session=session,
                   clock=clock, guild_id=..., begin=..., ...)   # gives the queue its delivery and listeners
    await bot.start(token)       # discord.py's own: log in and stay connected until closed
    ...
    await bot.say_goodbye()      # the status messages of living jobs say that their place is kept
    await bot.close()

``begin`` is awaited once, when the allowed guild is known to be there: it recovers the queue and hands
the fleet its URLs. While the bot is being set up, or is in other guilds only, it never is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from logging import getLogger
from pathlib import Path
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from modules.discord.cogs.account import Account
from modules.discord.cogs.admin import Admin, AdminSlash
from modules.discord.cogs.commands import Commands
from modules.discord.cogs.sessions import Sessions
from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.delivery.picture_delivery import ChannelDelivery
from modules.discord.delivery.result_message import ResultMessages
from modules.discord.delivery.status_messages import INTERVAL, LiveStatusMessages
from modules.discord.delivery.status_text import Hindrance
from modules.discord.delivery.undelivered import UndeliveredPictures
from modules.discord.interactions.administration import Administration, Inspect, Reload
from modules.discord.interactions.component_router import ComponentRouter
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.desk import Desk
from modules.discord.interactions.job_actions import JobActions
from modules.discord.interactions.replies import fenced, tell_error
from modules.discord.interactions.request_replies import RequestReplies
from modules.discord.requests.banned_words import BannedWords
from modules.discord.requests.guild_guard import GuildGuard
from modules.discord.requests.limits import Cooldown, Limits
from modules.discord.requests.submission import Refunds, Submissions
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.attachments import AttachmentReader
from modules.discord.transport.command_sync import CommandSync
from modules.discord.transport.message_client import DISCORD_ERRORS, MessageClient
from modules.discord.transport.rate_limit_buckets import RateLimitBuckets
from modules.discord.transport.rate_limiter import DiscordRateLimiter, Traffic
from modules.discord.ui.components import TEMPLATE, Component
from modules.discord.ui.translations import Translations
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import RequestRejected, StoreError
from modules.queue_manager.jobs import Job
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock, JobListener
from modules.queue_manager.workers.fleet import Fleet
from modules.utils.database.engine import Database
from modules.utils.images.cleaner import OutputFormat, PictureCleaner

log = getLogger(__name__)

TIME_LIMIT = 30.0

LAST_WORDS = 5.0
"""Seconds for which closing waits for answers that are under way."""

_ABOUT_THE_BOT_ITSELF = frozenset({"guild_join", "guild_remove", "guild_available", "guild_unavailable"})
"""Events of other guilds that the guard itself needs."""


def intents(*, message_content: bool = True, members: bool = False) -> discord.Intents:
    """As little as possible. ``message_content`` (privileged) lets ``!sync`` work without a mention;
    ``members`` (privileged) tells at once when somebody leaves, which is otherwise noticed within a
    minute while they have jobs."""
    wanted = discord.Intents.none()
    wanted.guilds = True
    wanted.guild_messages = True
    wanted.moderation = True  # bans; not privileged
    wanted.message_content = message_content
    wanted.members = members
    return wanted


class GuardedTree(app_commands.CommandTree["ImageBot"]):
    """Slash commands of the allowed guild alone; what goes wrong becomes a sentence here."""

    async def interaction_check(self, interaction: discord.Interaction[ImageBot], /) -> bool:
        """The guard, before anything else."""
        self.client.track()
        return self.client.guard.admits(interaction.guild_id)

    async def on_error(
        self, interaction: discord.Interaction[ImageBot], error: app_commands.AppCommandError, /
    ) -> None:
        """Tell the person what went wrong."""
        await self.client.tell(interaction, error)


class ImageBot(commands.Bot):
    """See the module.

    ``guild_id`` None: set-up mode; ``session`` is used for attachments alone and carries no keys;
    ``attachment_host`` (host:port) is where a simulated Discord keeps files; ``cooldown_seconds`` 0 means
    none; ``may_speak`` (the lease) is asked before every request to Discord, which otherwise fails with
    `LeaseLost`; ``patience`` is for how many seconds a delivery waits for Discord.
    """

    def __init__(
        self,
        *,
        queue: QueueManager,
        fleet: Fleet,
        database: Database,
        cleaner: PictureCleaner,
        session: aiohttp.ClientSession,
        clock: Clock,
        guild_id: int | None,
        begin: Callable[[], Awaitable[None]],
        reload: Reload | None = None,
        inspect: Inspect | None = None,
        limits: Limits | None = None,
        cooldown_seconds: float = 0.0,
        banned_words: Path | None = None,
        session_idle_minutes: float = 30.0,
        gallery_channel_id: int | None = None,
        output_format: OutputFormat = "png",
        with_metadata: bool = True,
        attachment_host: str | None = None,
        may_speak: Callable[[], bool] = lambda: True,
        message_content: bool = True,
        members: bool = False,
        ready_timeout: float = 0.2,
        requests_per_second: float = 48.0,
        status_interval: float = INTERVAL,
        patience: float = 300.0,
        sweep_every: float = 60.0,
    ) -> None:
        self.traffic = Traffic(may_speak)
        self._may_speak = may_speak
        super().__init__(
            command_prefix=commands.when_mentioned_or("!"),
            help_command=None,
            intents=intents(message_content=message_content, members=members),
            tree_cls=GuardedTree,
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=ready_timeout,
            http_trace=self.traffic.trace(),
        )
        self.guard = GuildGuard(guild_id)
        self.messages = Translations.load()
        self.failure: BaseException | None = None
        self._queue, self._fleet, self._database, self._begin = queue, fleet, database, begin
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[Any]] = set()
        self._serving = False
        self._said: str | None = None

        self.pacer = DiscordRateLimiter(clock=clock, per_second=requests_per_second)
        self._buckets = RateLimitBuckets(http=self.http, pacer=self.pacer, clock=clock)
        self.message_client = MessageClient(http=self.http, buckets=self._buckets, clock=clock)
        self.channels = SessionChannels(
            guild=self.get_guild,
            has_jobs=lambda user_id: bool(queue.active_jobs(user_id)),
            locale_of=self._locale_of,
            store=database.sessions,
            message_client=self.message_client,
            messages=self.messages,
            clock=clock,
            idle=session_idle_minutes * 60,
        )
        notes = ResultMessages(
            cleaner=cleaner,
            messages=self.messages,
            offers=queue.offers,
            output_format=output_format,
            with_metadata=with_metadata,
            gallery=gallery_channel_id is not None,
        )
        self.delivery = ChannelDelivery(
            message_client=self.message_client,
            channels=self.channels,
            preferences=database.preferences,
            notes=notes,
            offers=queue.offers,
            clock=clock,
            patience=patience,
        )
        failures = FailureNotices(
            message_client=self.message_client,
            channels=self.channels,
            store=database.status_messages,
            messages=self.messages,
            offers=queue.offers,
        )
        self.progress = LiveStatusMessages(
            message_client=self.message_client,
            store=database.status_messages,
            preferences=database.preferences,
            messages=self.messages,
            clock=clock,
            place=queue.place,
            hindrance=self.hindrance,
            served=self.served,
            tell_elsewhere=failures.tell,
            interval=status_interval,
        )
        self._request_replies = RequestReplies(
            messages=self.messages, place=queue.place, hindrance=self.hindrance
        )
        listeners: list[JobListener] = [self.progress, self._request_replies, Refunds(database.members)]
        queue.deliver_with(self.delivery, listeners)
        limits = limits or Limits()
        desk = self._desk = Desk(
            queue=queue,
            fleet=fleet,
            database=database,
            submissions=Submissions(
                queue=queue,
                channels=self.channels,
                members=database.members,
                history=database.history,
                limits=limits,
                cooldown=Cooldown(clock=clock, seconds=cooldown_seconds),
                banned=BannedWords(banned_words),
                clock=clock,
            ),
            channels=self.channels,
            message_client=self.message_client,
            reader=AttachmentReader(session=lambda: session, extra_host=attachment_host),
            cleaner=cleaner,
            messages=self.messages,
            kept=UndeliveredPictures(
                history=database.history,
                failures=failures,
                channels=self.channels,
                notes=notes,
                offers=queue.offers,
                message_client=self.message_client,
            ),
            failures=failures,
            request_replies=self._request_replies,
            deferrals=Deferrals(),
            hindrance=self.hindrance,
            home=lambda: self.get_guild(guild_id) if guild_id is not None else None,
            gallery_channel_id=gallery_channel_id,
        )
        self.registration = CommandSync(
            client=self, tree=self.tree, messages=self.messages, facts=database.key_values
        )
        administration = Administration(
            desk,
            registration=self.registration,
            limits=limits,
            cooldown_seconds=cooldown_seconds,
            traffic=self.traffic,
            clock=clock,
            reload=reload,
            inspect=inspect,
        )
        actions, account = JobActions(desk), Account(desk)
        self._clicks = ComponentRouter(desk, actions, account)
        self._sessions = Sessions(self, desk, clock=clock, sweep_every=sweep_every)
        self._cogs_to_load: tuple[commands.Cog, ...] = (
            Admin(desk, administration, self.guard),
            AdminSlash(desk, administration),
            self._sessions,
            Commands(self, desk, actions),
            account,
        )

    async def setup_hook(self) -> None:
        """Load the cogs and the buttons; after the log-in, before the first event."""
        self.add_dynamic_items(Component)
        for cog in self._cogs_to_load:
            await self.add_cog(cog)

    def hindrance(self) -> Hindrance | None:
        """Why nothing is being made just now, if so."""
        if self._queue.status().paused:
            return "paused"
        engines = self._fleet.engines()
        if all(engine.state in ("down", "draining") for engine in engines):
            return "no-server"
        return None

    def served(self, job: Job) -> bool:
        """Whether a server that lives can make it."""
        return any(
            engine.state in ("idle", "busy") and job.request.model in engine.models
            for engine in self._fleet.engines()
        )

    async def _locale_of(self, user_id: int) -> str | None:
        """The language that somebody chose, or that of their last picture, if there is one."""
        chosen = (await self._database.preferences.get(user_id)).locale
        if chosen is not None:
            return chosen
        last = await self._database.history.last_picture(user_id)
        return last.request.locale if last is not None else None

    # ── the guard ───────────────────────────────────────────────────────────────────────────────

    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None:
        """Every event passes here: those of other guilds go no further, and none once it is closing."""
        if self.is_closed():  # discord.py's READY comes late, from a task of its own
            return
        guild_id = _guild_of(args)
        foreign = guild_id is not None and not self.guard.admits(guild_id)
        heard = event_name in _ABOUT_THE_BOT_ITSELF or (
            event_name.startswith("message") and self.guard.hears_set_up(guild_id)
        )
        if foreign and not heard and event_name not in ("command", "command_completion", "command_error"):
            return
        super().dispatch(event_name, *args, **kwargs)

    async def on_ready(self) -> None:
        """Connected, and the guilds are known."""
        await self._decide()

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Invited somewhere."""
        await self._decide()

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """A guild came later than the others, or after an outage."""
        if self.is_ready():
            await self._decide()

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Thrown out, or left."""
        await self._decide()

    async def _decide(self) -> None:
        verdict = self.guard.look([guild.id for guild in self.guilds])
        if verdict.mode == "serving":
            if self._queue.status().closed_because in ("set-up", "wrong-guild"):
                self._queue.open()
            self._serve_once()
            for guild_id in verdict.leave:
                await self._leave(guild_id)
            return
        self._queue.close(verdict.mode)
        known = ", ".join(f"{guild.name} ({guild.id})" for guild in self.guilds) or "none"
        if verdict.mode == "wrong-guild":
            wrong = f"ALLOWED_GUILD_ID={self.guard.allowed} is none of this bot's servers"
            line = f"{wrong} ({known}): no job is taken. Correct the id, or invite the bot there."
        else:
            line = f"Set-up mode: write ALLOWED_GUILD_ID into .env. This bot's servers: {known}."
        if line != self._said:
            log.warning("%s", line)
            self._said = line

    async def _leave(self, guild_id: int) -> None:
        guild = self.get_guild(guild_id)
        if guild is None:
            return
        try:
            async with timeout(TIME_LIMIT):
                await guild.leave()
        except DISCORD_ERRORS as error:
            log.warning("server %s cannot be left: %s", guild_id, error)
        else:
            log.info("left server %s: it is not the allowed one", guild_id)

    # ── serving ─────────────────────────────────────────────────────────────────────────────────

    def _serve_once(self) -> None:
        if not self._serving and self.guard.allowed is not None:
            self._serving = True
            log.info("Serving %s as %s", self.get_guild(self.guard.allowed), self.user)
            self._spawn(self._serve(self.guard.allowed), "serve")

    async def _serve(self, guild_id: int) -> None:
        self._spawn(self._register(guild_id), "register commands")
        await self.progress.recall()
        await self._begin()
        await self.progress.mend(self._queue.job, self._database.history.job)
        self._spawn(self.progress.run(), "places")
        self._spawn(self._sessions.run(guild_id), "sessions")

    async def _register(self, guild_id: int) -> None:
        try:
            await self.registration.sync_if_changed(guild_id)
        except (StoreError, *DISCORD_ERRORS) as error:
            log.warning("slash commands were not registered: %s", error)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"discord {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("%s ended, and the bot with it", task.get_name(), exc_info=error)
            self.failure = error
            closing = asyncio.ensure_future(self.close())
            self._tasks.add(closing)
            closing.add_done_callback(self._tasks.discard)

    async def say_goodbye(self) -> None:
        """Let status messages say that the bot is restarting; to be called before `close`."""
        await self.progress.say_goodbye()

    def track(self) -> None:
        """Whoever is being answered by the task that runs now is answered before the bot closes."""
        task = asyncio.current_task()
        if task is not None:
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def close(self) -> None:
        """Disconnect, and end what was started here. May be called twice."""
        current = asyncio.current_task()
        answering = self._answering - {current}
        if answering and self._may_speak():
            await asyncio.wait(answering, timeout=LAST_WORDS)
        ending = (self._tasks | self._answering) - {current}
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self.progress.aclose()
        await self._request_replies.aclose()
        await self._buckets.aclose()
        await super().close()

    # ── clicks, forms, errors ───────────────────────────────────────────────────────────────────

    async def on_component(self, interaction: discord.Interaction, what: str, about: str) -> None:
        """A button or menu of ours was used, here or in direct messages."""
        if self._hears(interaction):
            self.track()
            await fenced(interaction, lambda: self._clicks.component(interaction, what, about), self.tell)
            await self._show_kept(interaction)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Forms are answered here, so that one which was open during a restart is answered too."""
        if interaction.type is not discord.InteractionType.modal_submit or not self._hears(interaction):
            return
        data: dict[str, Any] = dict(interaction.data or {})
        match = TEMPLATE.fullmatch(str(data.get("custom_id", "")))
        if match is not None and match["what"] == "form":
            self.track()
            about = match["about"] or ""
            await fenced(interaction, lambda: self._clicks.form(interaction, about), self.tell)
            await self._show_kept(interaction)

    async def on_app_command_completion(self, interaction: discord.Interaction, _: object) -> None:
        """A command of theirs was answered."""
        self.track()
        await self._show_kept(interaction)

    async def _show_kept(self, interaction: discord.Interaction) -> None:
        """Bring what could be brought nowhere before."""
        try:
            if await self._desk.kept.waits_for(interaction.user.id):
                await self._desk.kept.show(await self._desk.person(interaction))
        except (RequestRejected, StoreError) as error:
            log.info("what is kept for %s was not looked at: %s", interaction.user.id, error)

    def _hears(self, interaction: discord.Interaction) -> bool:
        return interaction.guild_id is None or self.guard.admits(interaction.guild_id)

    async def tell(self, interaction: discord.Interaction, error: Exception) -> None:
        """Say what went wrong, in the language that the person chose."""
        locale = str(interaction.locale)
        try:
            locale = (await self._database.preferences.get(interaction.user.id)).locale or locale
        except StoreError as failure:
            log.info("a language could not be looked up: %s", failure)
        await tell_error(interaction, error, self.messages, locale)

    async def on_message(self, message: discord.Message, /) -> None:
        """Perhaps one of the ``!`` commands."""
        self.track()
        await super().on_message(message)

    async def on_command_error(self, context: commands.Context[Any], error: commands.CommandError, /) -> None:
        """Commands that are not ours are nobody's business; ours are answered by their cog."""
        if not isinstance(error, commands.CommandNotFound) and context.cog is None:
            log.error("a command failed", exc_info=error)


def _guild_of(args: tuple[Any, ...]) -> int | None:
    """The guild that an event is about, as far as its first argument tells."""
    if not args:
        return None
    subject = args[0]
    if isinstance(subject, discord.Guild):
        return subject.id
    guild = getattr(subject, "guild", None)
    found = guild.id if isinstance(guild, discord.Guild) else getattr(subject, "guild_id", None)
    return found if isinstance(found, int) else None
