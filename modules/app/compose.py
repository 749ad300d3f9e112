"""Builds every part in order, each with all that it uses, and closes them in the reverse order.

The client is built before the parts that speak through it, delivery before the queue that delivers, and the
queue before the parts that listen to it or ask it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from pathlib import Path

import aiohttp

from modules.ai.comfy.client import ComfyClient
from modules.ai.engines import ComfyEngine
from modules.ai.models.model_folder import ModelFolder
from modules.ai.workflows.reduced_table import unpacked
from modules.app import check
from modules.app.elastic import elastic_engine
from modules.discord.bot import ImageBot
from modules.discord.cogs.account import Account
from modules.discord.cogs.admin import Admin
from modules.discord.cogs.commands import Commands
from modules.discord.cogs.components import Components
from modules.discord.cogs.home_guild import HomeGuild
from modules.discord.cogs.sessions import Sessions
from modules.discord.delivery.availability import Availability
from modules.discord.delivery.failure_notices import FailureNotices
from modules.discord.delivery.picture_delivery import ChannelDelivery
from modules.discord.delivery.result_message import ResultMessages
from modules.discord.delivery.result_sets import ResultSets
from modules.discord.delivery.status_messages import LiveStatusMessages
from modules.discord.delivery.status_poster import INTERVAL, StatusPoster
from modules.discord.delivery.undelivered import UndeliveredPictures
from modules.discord.inspection import asking_by
from modules.discord.interactions.administration import Administration, Inspect, Reload
from modules.discord.interactions.autocomplete import Choices
from modules.discord.interactions.cancel_menu import CancelMenu
from modules.discord.interactions.component_router import ComponentRouter
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.forget_view import ForgetView
from modules.discord.interactions.gallery import Gallery
from modules.discord.interactions.history_view import HistoryView
from modules.discord.interactions.image_requests import ImageRequests
from modules.discord.interactions.job_actions import JobActions
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.message_menus import MessageMenus
from modules.discord.interactions.prompt_forms import PromptForms
from modules.discord.interactions.queue_view import QueueView
from modules.discord.interactions.replies import ErrorReplies
from modules.discord.interactions.settings_view import SettingsView
from modules.discord.requests.banned_words import BannedWords
from modules.discord.requests.limits import Cooldown, Limits
from modules.discord.requests.requester import Requesters
from modules.discord.requests.source_pictures import SourcePictures
from modules.discord.requests.submission import Submissions
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.api_address import redirect
from modules.discord.transport.attachments import AttachmentReader
from modules.discord.transport.command_sync import CommandSync
from modules.discord.transport.message_client import DISCORD_ERRORS, MessageClient
from modules.discord.transport.rate_limit_buckets import RateLimitBuckets
from modules.discord.transport.rate_limiter import DiscordRateLimiter, Traffic
from modules.discord.ui.translations import Translations
from modules.queue_manager.backports import gather_or_cancel
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.errors import StoreError
from modules.queue_manager.jobs import ModelOffer
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock, EngineFactory, ImageEngine
from modules.queue_manager.workers.cold_start import ColdStart
from modules.queue_manager.workers.fleet import Fleet
from modules.utils.database.engine import Database
from modules.utils.database.lease import Lease
from modules.utils.database.rows import Retention
from modules.utils.images.cleaner import PictureCleaner
from modules.utils.monitoring.metrics import JobMetrics, journal_seconds
from modules.utils.monitoring.status_history import StatusHistory
from modules.utils.settings.elastic import is_elastic, shortest_start
from modules.utils.settings.env_file import EnvironmentFile
from modules.utils.settings.server_discovery import ServerDiscovery
from modules.utils.settings.settings import Settings

log = getLogger(__name__)

NODE_TABLE = "node-table"
"""The database keeps under this name what servers said about their nodes."""

COLD_START = "cold-start-seconds"
"""And under this one how long a server takes to start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacements:
    """What tests use in place of the real parts and times. None: the real part."""

    clock: Clock | None = None
    offers: Sequence[ModelOffer] | None = None
    make_engine: EngineFactory | None = None
    may_speak: Callable[[], bool] | None = None
    reload: Reload | None = None
    inspect: Inspect | None = None
    ready_timeout: float = 0.2
    status_interval: float = INTERVAL
    sweep_every: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Product:
    """The parts that other code runs, watches and closes."""

    settings: Settings
    database: Database
    client: ImageBot
    traffic: Traffic
    message_client: MessageClient
    channels: SessionChannels
    delivery: ChannelDelivery
    queue: QueueManager
    fleet: Fleet
    cold_start: ColdStart
    addresses: ServerDiscovery
    environment: EnvironmentFile
    model_folder: ModelFolder
    metrics: JobMetrics
    status_history: StatusHistory
    status_messages: LiveStatusMessages
    failures: FailureNotices
    undelivered: UndeliveredPictures
    registration: CommandSync
    home_guild: HomeGuild
    sessions: Sessions
    folder_changed: asyncio.Event
    """Set when other models, LoRAs or styles are offered."""
    disconnect: Callable[[], Awaitable[None]]
    """Answer people who wait for an answer, send nothing more, and leave Discord. May be called twice."""

    async def work(self) -> int:
        """Once the allowed guild is there, pick up what an earlier process left; then keep places and private
        channels up to date until cancelled."""
        await self.home_guild.serving.wait()
        guild_id = self.settings.allowed_guild_id
        assert guild_id is not None, "it is known once the bot serves it"
        await gather_or_cancel([self._take_up_and_keep(guild_id), self._register(guild_id)])
        raise AssertionError("it ends by being cancelled")

    async def take_up(self) -> None:
        """Recover the queue, give the fleet its servers, and bring the status messages up to date."""
        await self.status_messages.recall()
        await self.queue.recover()
        await self.addresses.set(self.settings.comfy_urls, self.settings.max_batch_size)
        await self.status_messages.repair(self.queue.job, self.database.history.job)

    async def _take_up_and_keep(self, guild_id: int) -> None:
        await self.take_up()
        await gather_or_cancel(
            [
                self.status_messages.run(),
                self.sessions.run(guild_id),
                self.undelivered.run(),
                self.queue.stranded.watch(),
                self.cold_start.watch(),
            ]
        )

    async def _register(self, guild_id: int) -> None:
        """Register the commands, whose options depend on what is offered."""
        while True:
            self.folder_changed.clear()
            try:
                await self.registration.sync_if_changed(guild_id)
            except (StoreError, *DISCORD_ERRORS) as error:
                log.warning("Slash commands were not registered: %s", error)
            await self.folder_changed.wait()


@asynccontextmanager
async def compose(  # noqa: PLR0915 - one part after the other, in the order in which they need each other
    settings: Settings,
    *,
    env_file: Path,
    models: Path,
    message_content: bool = True,
    database_patience: float = 30.0,
    instead: Replacements = Replacements(),
) -> AsyncIterator[Product]:
    """Every part of the bot, connected to nothing yet but the database.

    ``models`` is the folder of workflow files; ``database_patience``: how many seconds to wait for a database
    that is away. Raises `StartupError` or `StoreUnavailable`.
    """
    clock, messages = instead.clock or LoopClock(), Translations.load()
    simulated = (
        redirect(api_base=settings.discord_api_base, gateway_url=settings.discord_gateway_url)
        if settings.discord_api_base
        else None
    )
    async with AsyncExitStack() as stack:
        journal = journal_seconds()
        database = await stack.enter_async_context(
            Database.open(
                settings.database_url,
                retention=Retention(
                    history_days=settings.history_days,
                    image_days=settings.image_days,
                    image_disk_mb=settings.image_disk_mb,
                ),
                on_commit=lambda seconds, changes: journal.observe(seconds),
                patience=database_patience,
            )
        )
        folder_changed = asyncio.Event()

        def take_folder() -> None:
            fleet.ask_again()
            folder_changed.set()

        model_folder = ModelFolder(
            path=models,
            clock=clock,
            in_use=lambda: queue.models_in_use(),  # noqa: PLW0108 - it is built below
            on_change=take_folder,
            kept_table=unpacked(await database.key_values.get(NODE_TABLE)),
            keep_table=partial(database.key_values.put, NODE_TABLE),
        )
        offers = model_folder.offers
        if instead.offers is None:
            model_folder.load()
        else:
            offers.replace(instead.offers, retired=())
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[_submissions_of(database.lease)]
            )
        )
        cleaner = PictureCleaner()
        stack.push_async_callback(cleaner.aclose)

        traffic = Traffic(instead.may_speak or database.lease.safe)
        errors = ErrorReplies(messages=messages, preferences=database.preferences)
        client = ImageBot(
            guild_id=settings.allowed_guild_id,
            errors=errors,
            traffic=traffic,
            message_content=message_content,
            ready_timeout=instead.ready_timeout,
        )
        connection = await stack.enter_async_context(AsyncExitStack())
        connection.push_async_callback(client.close)
        buckets = RateLimitBuckets(http=client.http, pacer=DiscordRateLimiter(clock=clock), clock=clock)
        connection.push_async_callback(buckets.aclose)
        message_client = MessageClient(http=client.http, buckets=buckets, clock=clock)
        channels = SessionChannels(
            guild=client.get_guild,
            present=client.present,
            store=database.sessions,
            history=database.history,
            preferences=database.preferences,
            message_client=message_client,
            messages=messages,
            clock=clock,
            idle=settings.session_idle_minutes * 60,
        )
        result_messages = ResultMessages(
            cleaner=cleaner,
            messages=messages,
            offers=offers,
            varies=lambda: queue.varies(),  # noqa: PLW0108 - it is built below
            output_format=settings.output_format,
            with_metadata=settings.metadata == "own",
            gallery=settings.gallery_channel_id is not None,
        )
        result_sets = ResultSets(
            message_client=message_client,
            result_messages=result_messages,
            history=database.history,
            clock=clock,
            began=clock.unix(),
        )
        delivery = ChannelDelivery(
            sets=result_sets,
            message_client=message_client,
            channels=channels,
            preferences=database.preferences,
            result_messages=result_messages,
            offers=offers,
            clock=clock,
        )
        failures = FailureNotices(
            message_client=message_client,
            channels=channels,
            store=database.status_messages,
            messages=messages,
            offers=offers,
        )
        queue = QueueManager(
            offers=offers,
            store=database.jobs,
            clock=clock,
            delivery=delivery,
            max_jobs_per_user=settings.max_jobs_per_user,
            max_key_wait=settings.max_key_wait,
            max_attempts=settings.max_attempts,
            fairness=settings.fairness,
            batch_window=settings.batch_window_ms / 1000,
            top_tier=max(
                [int(bool(settings.priority_roles)), *(rule.tier for _, rule in settings.role_limits)]
            ),
        )
        stack.push_async_callback(queue.aclose)

        def engine_at(url: str) -> ImageEngine:
            if is_elastic(url):
                return elastic_engine(
                    url,
                    settings,
                    templates=model_folder.templates,
                    read_source=database.jobs.source,
                    clock=clock,
                    may_post=database.lease.ensure_safe,
                )
            return ComfyEngine(
                client=ComfyClient(session=session, url=url, api_key=settings.comfy_api_key or None),
                templates=model_folder.templates,
                read_source=database.jobs.source,
                clock=clock,
                max_batch=partial(addresses.batch_size, url),
                picture_format=settings.output_format,
                learn=model_folder.learn,
                read_checks=database.fusion_checks.of,
            )

        fleet = Fleet(runs=queue.runs, make_engine=instead.make_engine or engine_at, clock=clock)
        stack.push_async_callback(fleet.aclose, 0)
        addresses = ServerDiscovery(on_urls=fleet.set_urls, clock=clock)

        async def take(new: Settings) -> None:
            fleet.recall()  # the operator wants all servers back, also those that were drained
            await addresses.set(new.comfy_urls, new.max_batch_size)
            fleet.ask_again()
            cold_start.stated = shortest_start(new.comfy_urls)

        environment = EnvironmentFile(
            path=env_file, environ=os.environ, now=settings, on_change=take, clock=clock
        )
        metrics = JobMetrics(
            clock=clock,
            queue=queue.status,
            engines=fleet.engines,
            place=queue.place,
            requests=traffic.by_status,
            journal=journal,
        )
        status_history = StatusHistory(
            clock=clock, queue=queue.status, engines=fleet.engines, figures=metrics.figures
        )
        kept_start = await database.key_values.get(COLD_START)
        cold_start = ColdStart(
            queue=queue.status,
            engines=fleet.engines,
            clock=clock,
            stated=shortest_start(settings.comfy_urls),
            learned=float(kept_start) if kept_start else None,
            keep=lambda seconds: database.key_values.put(COLD_START, f"{seconds:.1f}"),
        )
        availability = Availability(queue=queue, fleet=fleet, cold_start=cold_start)
        status_messages = LiveStatusMessages(
            poster=StatusPoster(
                message_client=message_client,
                store=database.status_messages,
                preferences=database.preferences,
                messages=messages,
                clock=clock,
                tell_elsewhere=failures.tell,
                interval=instead.status_interval,
            ),
            store=database.status_messages,
            clock=clock,
            place=queue.place,
            hindrance=availability.hindrance,
            served=availability.served,
            stranded=availability.stranded,
            together_with=queue.together_with,
        )
        undelivered = UndeliveredPictures(
            history=database.history,
            failures=failures,
            delivery=delivery,
            channels=channels,
            message_client=message_client,
            take_down=status_messages.take_down,
            clock=clock,
        )
        connection.push_async_callback(status_messages.aclose)
        connection.push_async_callback(client.finish_answering)
        for listener in (metrics, status_history, status_messages):
            queue.subscribe(listener)

        limits = Limits(
            jobs=settings.max_jobs_per_user,
            pictures_a_day=settings.max_pictures_per_day or None,
            roles=settings.role_limits,
            priority_roles=settings.priority_roles,
        )
        submissions = Submissions(
            queue=queue,
            channels=channels,
            members=database.members,
            history=database.history,
            limits=limits,
            cooldown=Cooldown(clock=clock, seconds=settings.cooldown_seconds),
            banned=BannedWords(Path(settings.banned_words_file) if settings.banned_words_file else None),
            cleaner=cleaner,
            clock=clock,
        )
        requesters = Requesters(preferences=database.preferences, home=client.home)
        deferrals = Deferrals(requesters=requesters, until_home=client.until_home)
        requests = ImageRequests(
            queue=queue, submissions=submissions, requesters=requesters, messages=messages
        )
        reader = AttachmentReader(session=session, extra_host=simulated)
        pictures = SourcePictures(
            cleaner=cleaner,
            reader=reader,
            message_client=message_client,
            history=database.history,
            jobs=database.jobs,
        )
        jobs = JobLookup(
            queue=queue,
            history=database.history,
            message_client=message_client,
            home=client.home,
            gallery_channel_id=settings.gallery_channel_id,
        )
        forms = PromptForms(history=database.history, reader=reader, messages=messages, offers=offers)
        actions = JobActions(
            queue=queue,
            history=database.history,
            jobs=jobs,
            pictures=pictures,
            forms=forms,
            requesters=requesters,
            deferrals=deferrals,
            requests=requests,
            gallery=Gallery(
                channel_id=settings.gallery_channel_id,
                submissions=submissions,
                facts=database.key_values,
                channels=channels,
                reader=reader,
                message_client=message_client,
                messages=messages,
                offers=offers,
            ),
            result_messages=result_messages,
            result_sets=result_sets,
            message_client=message_client,
            messages=messages,
        )
        message_menus = MessageMenus(
            jobs=jobs,
            actions=actions,
            pictures=pictures,
            history=database.history,
            requesters=requesters,
            deferrals=deferrals,
            requests=requests,
            channels=channels,
            home=client.home,
            offers=offers,
        )
        history_view = HistoryView(
            history=database.history,
            jobs=jobs,
            deferrals=deferrals,
            messages=messages,
            offers=offers,
        )
        settings_view = SettingsView(
            preferences=database.preferences, deferrals=deferrals, messages=messages, offers=offers
        )
        forget_view = ForgetView(
            queue=queue,
            history=database.history,
            channels=channels,
            failures=failures,
            sets=result_sets,
            deferrals=deferrals,
            messages=messages,
        )
        cancel_menu = CancelMenu(queue=queue, deferrals=deferrals, messages=messages)
        queue_view = QueueView(
            queue=queue, availability=availability, deferrals=deferrals, messages=messages, clock=clock
        )
        choices = Choices(
            offers=offers, messages=messages, seconds=queue.durations.alone, has=queue.somebody_has
        )
        registration = CommandSync(
            client=client,
            tree=client.tree,
            messages=messages,
            facts=database.key_values,
            unused=lambda: (
                *(() if offers.loras else ("lora", "lora_strength")),
                *(() if offers.styles else ("style",)),
            ),
        )
        administration = Administration(
            queue=queue,
            fleet=fleet,
            availability=availability,
            members=database.members,
            history=database.history,
            jobs=jobs,
            messages=messages,
            registration=registration,
            rules=limits,
            cooldown_seconds=settings.cooldown_seconds,
            traffic=traffic,
            clock=clock,
            reload_settings=instead.reload or environment.reload,
            reload_models=model_folder.reload,
            inspect=instead.inspect or partial(check.inspect, settings, models, asking_by(client.http)),
        )

        home_guild = HomeGuild(bot=client, queue=queue)
        sessions = Sessions(
            bot=client,
            queue=queue,
            channels=channels,
            store=database.sessions,
            clock=clock,
            sweep_every=instead.sweep_every,
        )
        for cog in (
            home_guild,
            Admin(
                administration=administration,
                guard=client.guard,
                preferences=database.preferences,
                messages=messages,
                deferrals=deferrals,
                requesters=requesters,
            ),
            sessions,
            Commands(
                bot=client,
                requests=requests,
                jobs=jobs,
                pictures=pictures,
                history=database.history,
                requesters=requesters,
                deferrals=deferrals,
                queue_view=queue_view,
                cancel_menu=cancel_menu,
                message_menus=message_menus,
                choices=choices,
                limits=limits,
                messages=messages,
                offers=offers,
            ),
            Account(
                history_view=history_view,
                settings_view=settings_view,
                forget_view=forget_view,
                choices=choices,
                requesters=requesters,
            ),
            Components(
                bot=client,
                router=ComponentRouter(
                    actions=actions,
                    message_menus=message_menus,
                    history=history_view,
                    settings=settings_view,
                    forget=forget_view,
                    cancel=cancel_menu,
                    queue=queue_view,
                ),
                forms=forms,
                errors=errors,
                undelivered=undelivered,
                requesters=requesters,
            ),
        ):
            await client.add_cog(cog)
        product = Product(
            settings=settings,
            database=database,
            client=client,
            traffic=traffic,
            message_client=message_client,
            channels=channels,
            delivery=delivery,
            queue=queue,
            fleet=fleet,
            cold_start=cold_start,
            addresses=addresses,
            environment=environment,
            model_folder=model_folder,
            metrics=metrics,
            status_history=status_history,
            status_messages=status_messages,
            failures=failures,
            undelivered=undelivered,
            registration=registration,
            home_guild=home_guild,
            sessions=sessions,
            folder_changed=folder_changed,
            disconnect=connection.aclose,
        )
        yield product


def _submissions_of(lease: Lease) -> aiohttp.TraceConfig:
    """Asks the lease right before each request that changes something at a server."""

    async def begins(_session: object, _context: object, params: aiohttp.TraceRequestStartParams) -> None:
        if params.method == "POST":
            lease.ensure_safe()

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begins)
    return trace
