"""Builds the parts, by the values of the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp

from modules.app import check
from modules.discord.bot import ImageBot
from modules.discord.inspection import asking_by
from modules.discord.interactions.administration import Reload
from modules.discord.requests.limits import Limits
from modules.discord.transport.api_address import redirect
from modules.queue_manager.jobs import ModelOffer
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock, JobListener
from modules.queue_manager.workers.fleet import Fleet
from modules.utils.database.engine import Database
from modules.utils.database.rows import Retention
from modules.utils.images.cleaner import PictureCleaner
from modules.utils.settings.settings import Settings


def open_database(
    settings: Settings, note_seconds: Callable[[float], None], *, patience: float
) -> AbstractAsyncContextManager[Database]:
    """The database of ``settings``, to be entered; ``note_seconds`` hears how long each commit took."""
    return Database.open(
        settings.database_url,
        retention=Retention(
            history_days=settings.history_days,
            image_days=settings.image_days,
            image_disk_mb=settings.image_disk_mb,
        ),
        keep_sources=True,  # "Again" and "Vary" on an edit work for days
        on_commit=lambda seconds, changes: note_seconds(seconds),
        patience=patience,
    )


def queue_manager(
    settings: Settings,
    offers: Sequence[ModelOffer],
    database: Database,
    clock: Clock,
    listeners: Sequence[JobListener],
) -> QueueManager:
    """The queue by the rules of ``settings``."""
    return QueueManager(
        offers=offers,
        store=database.jobs,
        clock=clock,
        listeners=listeners,
        max_jobs_per_user=settings.max_jobs_per_user,
        max_key_wait=settings.max_key_wait,
        max_attempts=settings.max_attempts,
        batch_window=settings.batch_window_ms / 1000,
        top_tier=max([int(bool(settings.priority_roles)), *(rule.tier for _, rule in settings.role_limits)]),
    )


def image_bot(
    settings: Settings,
    *,
    queue: QueueManager,
    fleet: Fleet,
    database: Database,
    cleaner: PictureCleaner,
    session: aiohttp.ClientSession,
    clock: Clock,
    begin: Callable[[], Awaitable[None]],
    reload: Reload,
    models: Path,
    message_content: bool,
) -> ImageBot:
    """The bot as ``settings`` want it, towards the Discord that they name."""
    simulated = (
        redirect(api_base=settings.discord_api_base, gateway_url=settings.discord_gateway_url)
        if settings.discord_api_base
        else None
    )
    bot = ImageBot(
        queue=queue,
        fleet=fleet,
        database=database,
        cleaner=cleaner,
        session=session,
        clock=clock,
        guild_id=settings.allowed_guild_id,
        begin=begin,
        reload=reload,
        inspect=lambda: check.inspect(settings, models, asking_by(bot.http)),
        limits=Limits(
            jobs=settings.max_jobs_per_user,
            pictures_a_day=settings.max_pictures_per_day or None,
            roles=settings.role_limits,
            priority_roles=settings.priority_roles,
        ),
        cooldown_seconds=settings.cooldown_seconds,
        banned_words=Path(settings.banned_words_file) if settings.banned_words_file else None,
        session_idle_minutes=settings.session_idle_minutes,
        gallery_channel_id=settings.gallery_channel_id,
        output_format=settings.output_format,
        with_metadata=settings.metadata == "own",
        attachment_host=simulated,
        may_speak=database.lease.safe,
        message_content=message_content,
    )
    return bot
