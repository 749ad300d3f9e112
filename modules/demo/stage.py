"""The set-up of a demonstration: which side is simulated, in words and in settings, and what happens in
it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import webbrowser
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from modules.demo.opening import opening
from modules.demo.run import SimulatedDiscord, simulated_discord, simulated_gpus
from modules.demo.script import Script, Story, commands_are_there, play
from modules.queue_manager.errors import StartupError
from modules.queue_manager.ports import JobListener
from modules.utils.settings import settings
from modules.utils.settings.settings import Settings


def read_options(arguments: Sequence[str]) -> Namespace:
    """What the command line asks for. Ends the process with a line when it is wrong."""
    parser = ArgumentParser(prog="bot.py demo", description="See the bot work, without a token or a GPU.")
    parser.add_argument(
        "--comfy-urls", metavar="URLS", help="use these real ComfyUI servers, separated by commas"
    )
    parser.add_argument(
        "--real-discord", action="store_true", help="use your real Discord, with the token in .env"
    )
    parser.add_argument(
        "--gpus", type=int, default=2, help="how many simulated ComfyUI servers to run (default: 2)"
    )
    parser.add_argument(
        "--seconds-per-image", type=float, metavar="S", help="how long a simulated server takes for a picture"
    )
    parser.add_argument("--port", type=int, default=0, help="port of the page (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument(
        "--log",
        default="WARNING",
        type=str.upper,
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="show the bot's log, from this level up",
    )
    parser.add_argument("--users", type=int, help="how many people are in the simulated Discord")
    parser.add_argument(
        "--script", action="store_true", help="simulated people use the bot by themselves, without a browser"
    )
    parser.add_argument(
        "--jobs", type=int, help="with --script: how many pictures each person asks for (default: 3)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="with --script: write the pictures there (default: a new folder among the temporary files)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="with --script: print what happened as JSON (CONTRIBUTING.md describes it)",
    )
    options = parser.parse_args(arguments)
    if options.script and options.real_discord:
        parser.error("--script needs the simulated Discord")
    if not options.script and (options.out or options.json or options.jobs is not None):
        parser.error("--jobs, --out and --json go with --script")
    if options.jobs is None:
        options.jobs = 3
    if options.users is None:
        options.users = 6 if options.script else 3
    if options.seconds_per_image is None:
        options.seconds_per_image = 1.0 if options.script else 6.0
    if min(options.gpus, options.users, options.jobs) < 1 or not 0 <= options.seconds_per_image <= 3600:
        parser.error(
            "--gpus, --users and --jobs must be at least 1; --seconds-per-image must be from 0 to 3600"
        )
    if not 0 <= options.port <= 65535:
        parser.error("--port must be from 0 to 65535")
    return options


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the bot is started with. ``meanwhile`` runs beside it, and the demo ends with it; ``listener``
    hears of its jobs."""

    settings: Settings
    folder: Path
    meanwhile: Callable[[], Awaitable[int]]
    listener: JobListener | None = None


@asynccontextmanager
async def stage(options: Namespace, own: Mapping[str, str]) -> AsyncIterator[Stage]:
    """Start the simulated sides. ``own`` are the operator's values, of which a real side needs some;
    their database is left alone. Raises `StartupError`.
    """
    if options.port:
        _try_port(options.port)
    if options.script:
        options.out = options.out or Path(tempfile.mkdtemp(prefix="fullet-pictures-"))
        _try_folder(options.out)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fullet-demo-")))
        values = {
            "DATABASE_URL": f"sqlite:///{quote((folder / 'demo.db').as_posix())}",
            "SHUTDOWN_GRACE_SECONDS": "2",
            "LOG_LEVEL": options.log,
        }
        if not options.script:
            values.update(MAX_JOBS_PER_USER="4", METRICS_PORT=str(_free_port()))
        if options.comfy_urls:
            values.update(COMFY_URLS=options.comfy_urls, COMFY_API_KEY=own.get("COMFY_API_KEY", ""))
        else:
            urls = await stack.enter_async_context(
                simulated_gpus(options.gpus, seconds_per_image=options.seconds_per_image)
            )
            values["COMFY_URLS"] = ",".join(urls)
        discord = None
        if options.real_discord:
            values.update({name: own.get(name, "") for name in ("DISCORD_TOKEN", "ALLOWED_GUILD_ID")})
        else:
            discord = await stack.enter_async_context(
                simulated_discord(
                    port=options.port,
                    users=options.users,
                    simulated_gpus=0 if options.comfy_urls else options.gpus,
                    status_page=_status_page(values),
                )
            )
            values.update(_meaning(discord))
        given = settings.read({}, values)
        if not options.script or discord is None:
            yield Stage(settings=given, folder=folder, meanwhile=partial(_show, options, given, discord))
            return
        script = _script(options, given, discord)
        yield Stage(settings=given, folder=folder, meanwhile=partial(play, script), listener=script.story)


def _free_port() -> int:
    """A port that is free now: the status page's address must be known before the bot serves it."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _status_page(values: Mapping[str, str]) -> str | None:
    port = values.get("METRICS_PORT")
    return f"http://127.0.0.1:{port}/" if port else None


def _try_port(port: int) -> None:
    """Raise `StartupError` if the page could not be served there."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartupError(
            f"--port: {port} cannot be used ({reason}); choose another, or leave --port out"
        ) from None


def _try_folder(folder: Path) -> None:
    """Make the folder for the pictures. Raise `StartupError` if nothing could be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartupError(
            f"--out: {folder} cannot be written to ({reason}); choose another folder"
        ) from None


def _meaning(discord: SimulatedDiscord) -> dict[str, str]:
    """The settings that lead the bot to the simulated Discord."""
    return {
        "DISCORD_TOKEN": discord.token,
        "ALLOWED_GUILD_ID": str(discord.guild_id),
        "GALLERY_CHANNEL_ID": str(discord.gallery_channel_id),
        "DISCORD_API_BASE": discord.api_base,
        "DISCORD_GATEWAY_URL": discord.gateway_url,
    }


def _script(options: Namespace, given: Settings, discord: SimulatedDiscord) -> Script:
    gpus = {urlsplit(url).netloc: f"GPU {number}" for number, url in enumerate(given.comfy_urls, 1)}
    return Script(
        page=discord.page,
        users=discord.users,
        jobs=options.jobs,
        signed=not options.comfy_urls,
        limit=given.max_jobs_per_user,
        out=options.out,
        story=Story(gpus={} if options.comfy_urls else gpus, quiet=options.json),
        as_json=options.json,
    )


async def _show(options: Namespace, given: Settings, discord: SimulatedDiscord | None) -> int:
    """Say where to look once the bot can be spoken to; go on until the process is told to end."""
    count = len(given.comfy_urls)
    gpus = (
        ", ".join(given.comfy_urls)
        if options.comfy_urls
        else f"simulated, {count} GPU{'s' if count > 1 else ''}"
    )
    print(f"ComfyUI: {gpus}", flush=True)
    if discord is None:
        print("Discord: the real one, with the token in .env; type /imagine there", flush=True)
    else:
        await commands_are_there(discord.page)
        print(f"Discord: simulated, in your browser at {discord.page}/", flush=True)
        print("         type /imagine there; switch between people at the lower left", flush=True)
        if not options.no_browser and _has_screen():
            await asyncio.to_thread(webbrowser.open, f"{discord.page}/")
    print(f"Status page: http://127.0.0.1:{given.metrics_port}/", flush=True)
    print("Stop it with Ctrl-C. Nothing is kept: the database is temporary.", flush=True)
    if discord is not None and not options.comfy_urls:
        await opening(discord.page, discord.users[1:])
    await asyncio.Event().wait()
    return 0


def _has_screen() -> bool:
    # without one, the browser that is found may be a text browser, which would take over the terminal
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
