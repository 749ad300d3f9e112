"""The life of the process: signals, standing by, starting again after an outage, shutting down cleanly."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import discord

from modules import VERSION
from modules.app.compose import Product, compose
from modules.discord.bot import ImageBot
from modules.queue_manager.backoff import Backoff
from modules.queue_manager.errors import BadSettings, LeaseLost, StartupError, StoreUnavailable
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import JobListener
from modules.utils.database.lease import Lease
from modules.utils.monitoring.health_server import HealthServer, View
from modules.utils.monitoring.log import configure
from modules.utils.settings.inspection import unreadable_list
from modules.utils.settings.settings import Settings, read, read_file, unknown_names

log = logging.getLogger("bot")

AUTHENTICATION_FAILED = 4004
"""The gateway's close code for a token that is not valid (Discord docs, Opcodes and Status Codes)."""

REFUSED = "Discord does not accept it; reset it in the developer portal: Bot → Reset Token"

REFUSED_SECONDS = 900.0
"""Seconds to wait after a refusal that does not say for how long: more tries would make a ban longer."""


class DiscordRefuses(ConnectionError):
    """Discord takes nothing from this IP address for a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__("Discord refuses this IP address for now (too many requests, or a block)")
        self.seconds = seconds


def until_signalled(work: Coroutine[None, None, int]) -> int:
    """Run ``work`` to its end, or until SIGTERM or Ctrl-C cancels it; a second one shortens the shutdown.

    Ends the process with one line if it cannot start.
    """

    async def guarded() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        # the last two come when a terminal closes, or a console of Windows
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup
            try:
                loop.add_signal_handler(number, task.cancel)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(task.cancel))
        try:
            return await task
        except asyncio.CancelledError:
            return 0

    try:
        return asyncio.run(guarded())
    except StartupError as error:
        sys.exit(str(error))


async def live(*, env_file: Path, models: Path) -> int:
    """Serve with the settings of the file and the environment; the status page is there from the first
    moment. Raises `StartupError`."""
    written = read_file(env_file)
    try:
        settings = read(os.environ, written)
    except BadSettings as error:
        if written or "DISCORD_TOKEN" in os.environ:
            raise
        setup = "python3 bot.py setup asks for what the bot needs and writes it"
        raise BadSettings(f"{error}\n{env_file.name} has no settings yet: {setup}") from None
    configure(level=settings.log_level, style=settings.log_format, secrets=settings.secrets())
    log.info("Starting FuLLet %s with Python %s", VERSION, platform.python_version())
    for problem in (*unknown_names(written), *unreadable_list(settings)):
        log.warning("%s", problem)
    health_server = HealthServer()
    async with AsyncExitStack() as stack:
        if port := settings.metrics_port:
            await stack.enter_async_context(health_server.serving(host=settings.metrics_host, port=port))
        else:
            log.info("There is no status page, because METRICS_PORT is not set")
        return await keep_serving(settings, health_server, env_file=env_file, models=models)
    raise AssertionError("no part swallows an error")


async def keep_serving(
    settings: Settings, health_server: HealthServer, *, env_file: Path, models: Path
) -> int:
    """Serve; start again when Discord or the database cannot be reached, Discord refuses an intent, or
    another process took over."""
    start = partial(serve, settings, health_server, env_file=env_file, models=models)
    backoff, message_content, patience = Backoff(first=1.0, longest=60.0), True, 30.0
    while True:
        try:
            return await start(message_content=message_content, database_patience=patience)
        except discord.PrivilegedIntentsRequired:
            log.warning(
                "The Message Content Intent is off, so ! commands need a mention of the bot; to change "
                "that, switch it on in the developer portal: Bot → Privileged Gateway Intents"
            )
            message_content = False
        except LeaseLost as error:
            patience = float("inf")  # the database worked before, so we wait for it
            log.warning("Standing by: %s", error)
        except (ConnectionError, StoreUnavailable) as error:
            if isinstance(error, StoreUnavailable):
                patience = float("inf")  # as above
            pause = error.seconds if isinstance(error, DiscordRefuses) else backoff.pause()
            log.warning("%s; trying again in %.0f s", error, pause)
            with health_server.showing(View(unready=partial(str, error))):
                await asyncio.sleep(pause)


async def serve(
    settings: Settings,
    health_server: HealthServer,
    *,
    env_file: Path,
    models: Path,
    message_content: bool = True,
    database_patience: float = 30.0,
    meanwhile: Callable[[], Awaitable[int]] | None = None,
    listener: JobListener | None = None,
) -> int:
    """Serve until one of its tasks ends (``meanwhile`` is one of them); what is under way is finished before
    it returns. ``listener`` hears of the jobs, too."""
    composed = compose(
        settings,
        env_file=env_file,
        models=models,
        message_content=message_content,
        database_patience=database_patience,
    )
    async with composed as product, AsyncExitStack() as stack:
        lease, queue = product.database.lease, product.queue
        view = View(
            unready=partial(unready, product),
            metrics=product.metrics.text,
            status=product.status_history.snapshot,
        )
        stack.enter_context(health_server.showing(view))
        if listener is not None:
            queue.subscribe(listener)
        queue.close("standby")
        await stack.enter_async_context(lease.hold())
        queue.open()
        # Winding down closes the connection last, so that people are answered until then.
        connection = asyncio.ensure_future(_stay_connected(product.client, settings.discord_token))
        stack.push_async_callback(_cancelled, connection)
        work = asyncio.ensure_future(_work(product))
        stack.push_async_callback(_wind_down, product, work, time.monotonic())
        return await _first_to_end(
            asyncio.shield(connection),
            asyncio.shield(work),
            _until_lost(lease, queue),
            product.addresses.run(),
            product.environment.watch(),
            product.model_folder.watch(),
            *([meanwhile()] if meanwhile else []),
        )
    raise AssertionError("no part swallows an error")


async def _work(product: Product) -> int:
    """When the guild is there, log once what the bot works with; then work."""
    await product.home_guild.serving.wait()
    log.info("Models: %s", ", ".join(offer.name for offer in product.model_folder.offers) or "none")
    log.info("Servers: %s", ", ".join(product.settings.comfy_urls))
    log.info("Database: %s", product.database.connections.shown)
    return await product.work()


async def _stay_connected(bot: ImageBot, token: str) -> int:
    """Stay in Discord until the bot closes itself. Raises ConnectionError if Discord cannot be reached, and
    `StartupError` if it does not accept the bot."""
    try:
        await bot.login(token)
    except discord.LoginFailure:
        raise BadSettings(f"DISCORD_TOKEN: {REFUSED}") from None
    except (OSError, aiohttp.ClientError, discord.DiscordServerError) as error:
        raise ConnectionError(f"Discord cannot be reached ({error})") from error
    except discord.HTTPException as error:
        if error.status not in (403, 429):
            raise
        raise DiscordRefuses(_told_to_wait(error)) from error
    try:
        await bot.connect()
    except discord.ConnectionClosed as error:
        if error.code == AUTHENTICATION_FAILED:
            raise BadSettings(f"DISCORD_TOKEN: {REFUSED}") from error
        why = f"Discord closed the connection and refuses a new one (code {error.code})"
        raise StartupError(f"{why}; look for a newer version of this bot") from error
    return 0


def _told_to_wait(error: discord.HTTPException) -> float:
    """For how many seconds Discord, or Cloudflare in front of it, wants to hear nothing from this address."""
    told = error.response.headers.get("Retry-After", "")
    return float(told) if told.isdigit() and int(told) else REFUSED_SECONDS


async def _until_lost(lease: Lease, queue: QueueManager) -> int:
    """Raise `LeaseLost` once this process must stop: another one has taken over the database, or may do so at
    any moment, because the lease could not be renewed."""
    lost = asyncio.ensure_future(_first_to_end(lease.lost.wait(), queue.store_lost.wait()))
    try:
        while lease.safe() and not lost.done():
            await asyncio.wait([lost], timeout=0.25)
    finally:
        await _cancelled(lost)
    if lease.lost.is_set() or queue.store_lost.is_set():
        raise LeaseLost("another process uses this database now")
    raise LeaseLost("the database does not answer, and another process may use it by now")


async def _cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks, and return when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _first_to_end(*works: Awaitable[int | None]) -> int:
    """The result of the first of ``works`` to end, 0 for None; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result() or 0
    finally:
        await _cancelled(*tasks)


async def _wind_down(product: Product, work: asyncio.Future[int], began: float) -> None:
    """Take nothing new, let running pictures finish and be sent, tell those who still wait that their place
    is kept. ``began``: when the work began, by `time.monotonic`."""
    queue, fleet = product.queue, product.fleet
    queue.close("shutting-down")
    try:
        if product.database.lease.safe():
            await fleet.aclose(product.settings.shutdown_grace_seconds)
            await queue.settle(10)
            await product.status_messages.say_goodbye()
            log.info("%s", _summary(product, time.monotonic() - began))
        await _cancelled(work)
        await product.disconnect()  # at once if the lease is lost: another process may be about to connect
    finally:
        await _cancelled(work)
        await fleet.aclose(0)
        await queue.aclose()
        await product.disconnect()


def _summary(product: Product, seconds: float) -> str:
    """The last line of the log."""
    made, left = int(product.metrics.figures()["made"]), product.queue.status().unfinished
    after = f"Stopped after {timedelta(seconds=round(seconds))}, {made} picture{'s' * (made != 1)} made"
    if not left:
        return f"{after}; no picture is waiting"
    return f"{after}; {left} still waiting, and will be made after the next start"


def unready(product: Product) -> str | None:
    """Why no picture can be made right now, or None."""
    if not product.database.lease.safe():
        return "standby"
    if not product.client.is_ready():
        return "not connected to Discord"
    status = product.queue.status()
    if status.closed_because is not None:
        return f"the queue is closed: {status.closed_because}"
    if status.paused:
        return "paused by an administrator"
    absent = all(engine.state in ("starting", "down", "draining") for engine in product.fleet.engines())
    if absent and not product.cold_start.may_come():
        return "no ComfyUI answers"
    return None
