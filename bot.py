"""The bot's command line, and the one place that knows every room: it builds the parts and closes them.

    python bot.py            run the bot, in this environment, with the settings in .env
    python bot.py check      go through what can be wrong before a user meets it
    python3 bot.py demo      see it work, without a token or a GPU (makes .venv first)
    python3 bot.py test      run the tests (makes .venv first)
    python3 bot.py lint      format, lint, types, import direction, known faults (makes .venv first)
    python3 bot.py bench     measure it (makes .venv first)
    python3 bot.py pictures  take the documentation's pictures anew (makes .venv first)

The syntax of this file stays old enough for an old Python to read as far as the sentence that it is too old.
"""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from argparse import ArgumentParser, Namespace
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

    import aiohttp

    from modules.ai.workflows.templates import WorkflowTemplate
    from modules.discord.bot import ImageBot
    from modules.discord.inspection import Ask
    from modules.discord.interactions.administration import Reload
    from modules.queue_manager.jobs import ModelOffer
    from modules.queue_manager.manager import QueueManager
    from modules.queue_manager.ports import Clock, JobListener
    from modules.queue_manager.workers.fleet import Fleet
    from modules.utils.database.engine import Database
    from modules.utils.database.lease import Lease
    from modules.utils.images.cleaner import PictureCleaner
    from modules.utils.inspection import Finding, Section
    from modules.utils.monitoring.health_server import HealthServer
    from modules.utils.settings.settings import Settings

OLDEST = (3, 10)
ROOT = Path(__file__).resolve().parent
RUNNING = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
LOGGER = "bot"
UNAVAILABLE = 69  # the exit code, as in sysexits.h, when an environment cannot be made
INTERRUPTED = 130  # the exit code, as of shells, after Ctrl-C


def main(arguments: "Sequence[str]") -> int:
    """Do what the command line says; the exit code."""
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:2])
        sys.exit("FuLLet needs Python 3.10 or newer, and this is " + version + ": call it by a newer one")
    for stream in (sys.stdout, sys.stderr):  # a console that lacks a character shows another one instead
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(__doc__)
        return 0
    named = bool(arguments) and not arguments[0].startswith("-")
    command, rest = (arguments[0], arguments[1:]) if named else ("run", arguments)
    if command not in COMMANDS:
        sys.exit(f"There is no command {command!r}; there are {', '.join(COMMANDS)}")
    try:
        return COMMANDS[command](rest)
    except KeyboardInterrupt:  # before the bot itself listens for it, such as while pip installs
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "modules").partition(".")[0] == "modules":
            raise
        install = f"{sys.executable} -m pip install -r {RUNNING}"
        sys.exit(f"The package {error.name} is missing from this Python; install all by: {install}")


# ── running the bot ─────────────────────────────────────────────────────────────────────────────


def _run(arguments: "Sequence[str]") -> int:
    options = _settings_options("run", "Run the bot.").parse_args(arguments)
    from modules.queue_manager.errors import StartupError
    from modules.utils.monitoring import log
    from modules.utils.settings import settings

    try:
        written = settings.read_file(options.env_file)
        given = settings.read(os.environ, written)
        log.configure(level=given.log_level, style=given.log_format, secrets=given.secrets())
        _warn(settings.unknown_names(written))
        return _until_signalled(_live(given, options.env_file))
    except StartupError as error:
        sys.exit(str(error))


def _until_signalled(work: "Coroutine[None, None, int]") -> int:
    """Run ``work`` to its end, or until SIGTERM or Ctrl-C cancel it; a second one cuts its end short."""
    import asyncio
    import signal

    async def guarded() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        # the last two when a terminal closes, and a console of Windows
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

    return asyncio.run(guarded())


async def _live(settings: "Settings", env_file: Path) -> int:
    """Serve, seen by the operator from the first moment on."""
    from modules.utils.monitoring.health_server import HealthServer

    health_server, port = HealthServer(), settings.metrics_port
    if not port:
        return await _keep_serving(settings, env_file, health_server)
    async with health_server.serving(host=settings.metrics_host, port=port):
        return await _keep_serving(settings, env_file, health_server)
    raise AssertionError("no part swallows an error")


async def _keep_serving(settings: "Settings", env_file: Path, health_server: "HealthServer") -> int:
    """Serve; begin anew when Discord or the database is away, Discord forbids something, or another process
    took over."""
    import asyncio
    from functools import partial

    import discord

    from modules.queue_manager.errors import LeaseLost, StoreUnavailable
    from modules.utils.monitoring.health_server import View

    message_content, pause, patience = True, 1.0, 30.0
    while True:
        try:
            return await _serve(
                settings,
                env_file,
                health_server,
                message_content=message_content,
                database_patience=patience,
            )
        except discord.PrivilegedIntentsRequired:
            _warn(
                [
                    "The Message Content Intent is off, so ! commands need a mention of the bot; to change "
                    "that, switch it on in the developer portal: Bot → Privileged Gateway Intents"
                ]
            )
            message_content = False
        except LeaseLost as error:
            patience = float("inf")  # it worked before, so it is waited for
            _warn([f"Standing by: {error}"])
        except (ConnectionError, StoreUnavailable) as error:
            if isinstance(error, StoreUnavailable):
                patience = float("inf")  # as above
            _warn([f"{error}; trying again in {pause:.0f} s"])
            with health_server.showing(View(unready=partial(str, error))):
                await asyncio.sleep(pause)
            pause = min(pause * 2, 60)


async def _serve(
    settings: "Settings",
    env_file: Path,
    health_server: "HealthServer",
    *,
    message_content: bool = True,
    database_patience: float = 30.0,
    meanwhile: "Callable[[], Awaitable[int]] | None" = None,
) -> int:
    """Build every part, serve until something ends (or ``meanwhile`` does), close in the reverse order."""
    import asyncio
    from contextlib import AsyncExitStack

    import aiohttp

    from modules.ai.comfy.client import ComfyClient
    from modules.ai.engines import ComfyEngine
    from modules.ai.models.loading import load_templates, offers
    from modules.queue_manager.clock import LoopClock
    from modules.queue_manager.workers.fleet import Fleet
    from modules.utils.images.cleaner import PictureCleaner
    from modules.utils.monitoring.health_server import View
    from modules.utils.monitoring.metrics import JobMetrics
    from modules.utils.monitoring.status_history import StatusHistory
    from modules.utils.settings.env_file import EnvironmentFile
    from modules.utils.settings.server_discovery import ServerDiscovery

    clock, templates = LoopClock(), load_templates(ROOT / "flujos")
    metrics = JobMetrics(
        clock=clock,
        queue=lambda: queue.status(),  # noqa: PLW0108 - the queue comes later, and so for the others
        engines=lambda: fleet.engines(),  # noqa: PLW0108
        place=lambda job_id: queue.place(job_id),  # noqa: PLW0108
        requests=lambda: {str(status): count for status, count in bot.traffic.answers.items()},
    )

    status_history = StatusHistory(
        clock=clock,
        queue=lambda: queue.status(),  # noqa: PLW0108
        engines=lambda: fleet.engines(),  # noqa: PLW0108
        figures=metrics.figures,
    )

    def make_engine(url: str) -> ComfyEngine:
        return ComfyEngine(
            client=ComfyClient(session=session, url=url, api_key=settings.comfy_api_key or None),
            templates=templates,
            read_source=database.jobs.source,
            clock=clock,
            max_batch=addresses.batch_size(url),
            picture_format=settings.output_format,
        )

    async def begin() -> None:
        await queue.recover()
        await addresses.set(settings.comfy_urls, settings.max_batch_size)

    async def take(new: "Settings") -> None:
        fleet.recall()  # the operator asks for all of them; looking a name up again asks for no drained one
        await addresses.set(new.comfy_urls, new.max_batch_size)

    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            _database(settings, metrics.journal.observe, patience=database_patience)
        )
        lease = database.lease
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[_submissions_of(lease)])
        )
        cleaner = PictureCleaner()
        stack.push_async_callback(cleaner.aclose)
        queue = _queue(settings, offers(templates.values()), database, clock, [metrics, status_history])
        fleet = Fleet(runs=queue.runs, make_engine=make_engine, clock=clock)
        addresses = ServerDiscovery(on_urls=fleet.set_urls, clock=clock)
        environment = EnvironmentFile(
            path=env_file, environ=os.environ, now=settings, on_change=take, clock=clock
        )
        bot = _image_bot(
            settings,
            queue=queue,
            fleet=fleet,
            database=database,
            cleaner=cleaner,
            session=session,
            clock=clock,
            begin=begin,
            reload=environment.reload,
            message_content=message_content,
        )
        view = View(
            unready=lambda: _unready(bot, queue, fleet, lease),
            metrics=metrics.text,
            status=status_history.snapshot,
        )
        stack.enter_context(health_server.showing(view))
        await _stand_by(lease, queue, stack)
        # Winding down closes the connection last, so that people are answered until then.
        connection = asyncio.ensure_future(_stay_connected(bot, settings.discord_token))
        stack.push_async_callback(_cancelled, connection)
        stack.push_async_callback(_wind_down, queue, fleet, bot, lease, settings.shutdown_grace_seconds)
        return await _first_to_end(
            asyncio.shield(connection),
            _until_lost(lease, queue),
            addresses.run(),
            environment.watch(),
            *([meanwhile()] if meanwhile else []),
        )
    raise AssertionError("no part swallows an error")


def _database(
    settings: "Settings", note_seconds: "Callable[[float], None]", *, patience: float
) -> "AbstractAsyncContextManager[Database]":
    """The database of ``settings``, to be entered; ``note_seconds`` hears how long each commit took."""
    from modules.utils.database.engine import Database
    from modules.utils.database.rows import Retention

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


def _queue(
    settings: "Settings",
    offers: "Sequence[ModelOffer]",
    database: "Database",
    clock: "Clock",
    listeners: "Sequence[JobListener]",
) -> "QueueManager":
    """The queue by the rules of ``settings``."""
    from modules.queue_manager.manager import QueueManager

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


def _image_bot(
    settings: "Settings",
    *,
    queue: "QueueManager",
    fleet: "Fleet",
    database: "Database",
    cleaner: "PictureCleaner",
    session: "aiohttp.ClientSession",
    clock: "Clock",
    begin: "Callable[[], Awaitable[None]]",
    reload: "Reload",
    message_content: bool,
) -> "ImageBot":
    """The bot as ``settings`` want it, towards the Discord that they name."""
    from modules.discord.bot import ImageBot
    from modules.discord.inspection import asking_by
    from modules.discord.requests.limits import Limits
    from modules.discord.transport.api_address import redirect

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
        inspect=lambda: _inspect(settings, asking_by(bot.http)),
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


async def _stand_by(lease: "Lease", queue: "QueueManager", stack: "AsyncExitStack") -> None:
    """Return once this process is the one that works; it is until ``stack`` ends."""
    queue.close("standby")
    await stack.enter_async_context(lease.hold())
    queue.open()


def _submissions_of(lease: "Lease") -> "aiohttp.TraceConfig":
    """Asks at the last moment before anything is changed at a server whether this process still may."""
    import aiohttp

    async def begins(_session: object, _context: object, params: "aiohttp.TraceRequestStartParams") -> None:
        if params.method == "POST":
            lease.ensure_safe()

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begins)
    return trace


async def _stay_connected(bot: "ImageBot", token: str) -> int:
    """Be in Discord until the bot closes itself. Raises ConnectionError when Discord cannot be reached."""
    import aiohttp
    import discord

    from modules.queue_manager.errors import BadSettings

    try:
        await bot.login(token)
    except discord.LoginFailure:
        raise BadSettings(
            "DISCORD_TOKEN: Discord does not know it; reset it in the developer portal: Bot → Reset Token"
        ) from None
    except (OSError, aiohttp.ClientError, discord.DiscordServerError) as error:
        raise ConnectionError(f"Discord cannot be reached ({error})") from error
    await bot.connect()
    if bot.failure is not None:
        raise bot.failure
    return 0


async def _until_lost(lease: "Lease", queue: "QueueManager") -> int:
    """Return never; raise `LeaseLost` once this process may not speak any more: the database is another
    process's, or the lease could not be renewed, so that it may be at any moment."""
    import asyncio

    from modules.queue_manager.errors import LeaseLost

    while lease.safe():
        waiting = [asyncio.ensure_future(event.wait()) for event in (lease.lost, queue.store_lost)]
        try:
            done, _ = await asyncio.wait(waiting, timeout=0.25, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if done:
            break
    if lease.lost.is_set() or queue.store_lost.is_set():
        raise LeaseLost("another process works on this database now")
    raise LeaseLost("the database does not answer, and another process may work on it by now")


async def _cancelled(task: "asyncio.Future[int]") -> None:
    """Return when ``task`` has ended, which it is told to do now."""
    import asyncio

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _first_to_end(*works: "Awaitable[int | None]") -> int:
    """What the first of ``works`` to end comes to; the others are cancelled."""
    import asyncio

    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result() or 0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _wind_down(
    queue: "QueueManager", fleet: "Fleet", bot: "ImageBot", lease: "Lease", grace_seconds: float
) -> None:
    """Take nothing new, let what runs finish and arrive, say to the others that their place is kept."""
    queue.close("shutting-down")
    try:
        if lease.safe():
            await fleet.aclose(grace_seconds)
            await queue.settle(10)
            await bot.say_goodbye()
        else:
            await bot.close()  # first of all: another process may be about to connect
    finally:
        await fleet.aclose(0)
        await queue.aclose()
        await bot.close()


def _unready(bot: "ImageBot", queue: "QueueManager", fleet: "Fleet", lease: "Lease") -> "str | None":
    """Why no picture could be made now."""
    if not lease.safe():
        return "standby"
    if not bot.is_ready():
        return "not connected to Discord"
    status = queue.status()
    if status.closed_because is not None:
        return f"the queue is closed: {status.closed_because}"
    if status.paused:
        return "paused by an administrator"
    if all(engine.state in ("starting", "down", "draining") for engine in fleet.engines()):
        return "no ComfyUI answers"
    return None


def _warn(lines: "Sequence[str]") -> None:
    import logging

    for line in lines:
        logging.getLogger(LOGGER).warning("%s", line)


def _settings_options(command: str, about: str) -> "ArgumentParser":
    from argparse import ArgumentParser

    parser = ArgumentParser(prog=f"bot.py {command}", description=about)
    parser.add_argument("--env-file", type=Path, default=ROOT / ".env", help="where the settings are")
    return parser


# ── looking at everything before a user does ────────────────────────────────────────────────────


def _check(arguments: "Sequence[str]") -> int:
    import asyncio

    parser = _settings_options("check", "Go through what can be wrong before a user meets it.")
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args(arguments)
    from modules.utils.inspection import Section, as_json, as_text, sound
    from modules.utils.monitoring import log
    from modules.utils.settings.inspection import inspect_settings

    given, found = inspect_settings(options.env_file, os.environ)
    log.configure(level="CRITICAL", secrets=given.secrets(), stream=sys.stderr)
    sections = [Section(title="Settings", findings=found), *asyncio.run(_inspect(given))]
    told = as_json(sections) if options.json else as_text(sections)
    sys.stdout.buffer.write(log.Redactor(given.secrets())(told).encode() + b"\n")
    return 0 if sound(sections) else 1


async def _inspect(settings: "Settings", ask: "Ask | None" = None) -> "list[Section]":
    """Look at everything outside this process, all at once. ``ask``: the connected bot's way to Discord."""
    import aiohttp

    from modules.ai.inspection import inspect_models
    from modules.queue_manager.backports import gather_or_cancel
    from modules.utils.inspection import Section

    templates, about_models = inspect_models(ROOT / "flujos")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        found = await gather_or_cancel(
            [
                _inspect_discord(settings, session, ask),
                _inspect_database(settings),
                _inspect_servers(settings, session, templates),
            ]
        )
    titles = ("Discord", "Database", "ComfyUI", "Models in flujos/")
    return [
        Section(title=title, findings=findings)
        for title, findings in zip(titles, (*found, about_models), strict=True)
    ]


async def _inspect_discord(
    settings: "Settings", session: "aiohttp.ClientSession", ask: "Ask | None"
) -> "tuple[Finding, ...]":
    from modules.discord.inspection import API_BASE, asking, inspect_discord

    if not settings.discord_token:
        return _not_asked("DISCORD_TOKEN")
    return await inspect_discord(
        ask or asking(session, settings.discord_token, settings.discord_api_base or API_BASE),
        guild_id=settings.allowed_guild_id,
        gallery_channel_id=settings.gallery_channel_id,
        role_ids=dict.fromkeys([*settings.priority_roles, *(role for role, _ in settings.role_limits)]),
    )


def _not_asked(name: str) -> "tuple[Finding, ...]":
    from modules.utils.inspection import Finding

    return (Finding(level="hint", what="nobody could be asked", mend=f"mend {name} first"),)


async def _inspect_database(settings: "Settings") -> "tuple[Finding, ...]":
    from modules.utils.database.inspection import inspect_database

    return await inspect_database(settings.database_url, image_disk_mb=settings.image_disk_mb)


async def _inspect_servers(
    settings: "Settings", session: "aiohttp.ClientSession", templates: "Mapping[str, WorkflowTemplate]"
) -> "tuple[Finding, ...]":
    from modules.ai.comfy.client import ComfyClient
    from modules.ai.inspection import inspect_server
    from modules.queue_manager.backports import gather_or_cancel
    from modules.queue_manager.clock import LoopClock
    from modules.utils.inspection import Finding
    from modules.utils.settings.server_discovery import ServerDiscovery

    urls = []  # type: list[str]

    async def keep(found: "Sequence[str]") -> None:
        urls.extend(found)

    if not settings.comfy_urls:
        return _not_asked("COMFY_URLS")
    addresses = ServerDiscovery(on_urls=keep, clock=LoopClock())
    await addresses.set(settings.comfy_urls, settings.max_batch_size)
    if not urls:
        what = f"no server is found under {', '.join(settings.comfy_urls)}"
        return (Finding(level="fault", what=what, mend="correct the name in COMFY_URLS, or start a server"),)
    clients = [ComfyClient(session=session, url=url, api_key=settings.comfy_api_key or None) for url in urls]
    found = await gather_or_cancel(
        inspect_server(client, templates, max_batch=addresses.batch_size(url))
        for client, url in zip(clients, urls, strict=True)
    )
    return tuple(finding for each in found for finding in each)


# ── commands that make their own environment ────────────────────────────────────────────────────


def _demo(arguments: "Sequence[str]") -> int:
    from modules.app import bootstrap

    python = _environment(RUNNING)
    if not bootstrap.running_in(ROOT):
        # here, not in ROOT: --out means a folder beside the caller
        return bootstrap.hand_over(python, [str(ROOT / "bot.py"), "demo", *arguments], Path.cwd())
    from modules.demo.stage import read_options
    from modules.queue_manager.errors import StartupError

    options = read_options(arguments)
    try:
        return _until_signalled(_demonstrate(options))
    except StartupError as error:
        sys.exit(str(error))


async def _demonstrate(options: "Namespace") -> int:
    """The real bot, between sides of which at least one is simulated."""
    from modules.demo.stage import stage
    from modules.utils.monitoring import log
    from modules.utils.monitoring.health_server import HealthServer
    from modules.utils.settings import settings

    # without a real side, the operator's own settings are nobody's business, whatever state they are in
    real = options.real_discord or options.comfy_urls
    own = {**settings.read_file(ROOT / ".env"), **os.environ} if real else {}
    async with stage(options, own) as set_up:
        given = set_up.settings
        log.configure(level=given.log_level, secrets=given.secrets())
        return await _serve(given, set_up.folder / ".env", HealthServer(), meanwhile=set_up.meanwhile)
    raise AssertionError("no part swallows an error")


def _test(arguments: "Sequence[str]") -> int:
    workers = min((os.cpu_count() or 1) + 1, 8)  # most tests wait for a clock or a socket most of the time
    return _go_on(_environment(DEVELOPMENT), ["-m", "pytest", "-n", str(workers), *arguments])


def _bench(arguments: "Sequence[str]") -> int:
    return _go_on(_environment(DEVELOPMENT), ["-m", "tests.benchmarks", *arguments])


def _pictures(arguments: "Sequence[str]") -> int:
    return _go_on(_environment(DEVELOPMENT), ["-m", "tests.pictures", *arguments])


def _test_nodes(arguments: "Sequence[str]") -> int:
    python = _environment("requirements-nodes.txt", ".venv-nodes")
    return _go_on(python, ["-m", "pytest", "tests/nodes", *arguments])


CHECKS = {
    "format": ["-m", "ruff", "format", "--check", "."],
    "lint": ["-m", "ruff", "check", "."],
    "types": ["-m", "mypy"],
    "imports": ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
    "audit": ["-m", "tests.audit"],
}


def _lint(arguments: "Sequence[str]") -> int:
    from argparse import ArgumentParser

    parser = ArgumentParser(prog="bot.py lint", description="Check the code, and what it depends on.")
    parser.add_argument(
        "names", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}; all if none is named"
    )
    chosen = parser.parse_args(arguments).names or list(CHECKS)
    unknown = [name for name in chosen if name not in CHECKS]
    if unknown:
        parser.error(f"there is no check {unknown[0]!r}")
    python = str(_environment(DEVELOPMENT))
    failed = []
    for name in chosen:
        print(f"── {name}", flush=True)
        if subprocess.call([python, *CHECKS[name]], cwd=str(ROOT)):
            failed.append(name)
    print(f"Not in order: {', '.join(failed)}" if failed else "All in order")
    return 1 if failed else 0


def _environment(requirements: str, folder: str = ".venv") -> Path:
    """The Python of the environment that a command needs, or the end of the process with one line."""
    from modules.app import bootstrap

    try:
        return bootstrap.prepare(ROOT, requirements, folder=folder)
    except bootstrap.BootstrapError as error:
        print(error, file=sys.stderr)
        sys.exit(UNAVAILABLE)


def _go_on(python: Path, arguments: "Sequence[str]") -> int:
    from modules.app import bootstrap

    return bootstrap.hand_over(python, arguments, ROOT)


COMMANDS: "dict[str, Callable[[Sequence[str]], int]]" = {
    "run": _run,
    "check": _check,
    "demo": _demo,
    "test": _test,
    "lint": _lint,
    "bench": _bench,
    "pictures": _pictures,
    "test-nodes": _test_nodes,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
