"""The embedded Discord as a process of its own: `python -m modules.demo.discord_server --port 0`.

Prints one line of JSON with its addresses, the bot's token and the ids of users and guilds, then serves
until it is interrupted or terminated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from modules.demo.discord_server.server import DiscordServer
from modules.demo.discord_server.state.world import default_world


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m modules.demo.discord_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--users", type=int, default=3)
    parser.add_argument("--no-rate-limits", action="store_true")
    parser.add_argument("--hashes-only", action="store_true", help="do not keep the bot's attachments")
    parser.add_argument(
        "--simulated-gpus", type=int, metavar="N", help="told on the page: how many stand behind the bot"
    )
    parser.add_argument("--status-page", metavar="URL", help="linked to on the page")
    parser.add_argument("--openapi", type=Path, default=os.environ.get("DISCORD_OPENAPI") or None)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


async def _serve(arguments: argparse.Namespace) -> None:
    server = DiscordServer(
        default_world(arguments.users),
        port=arguments.port,
        rate_limits=not arguments.no_rate_limits,
        openapi=Path(arguments.openapi) if arguments.openapi else None,
        keep_attachments=not arguments.hashes_only,
        simulated_gpus=arguments.simulated_gpus,
        status_page=arguments.status_page,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in the loop
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        told = {
            "url": server.url,
            "api": server.api_url,
            "gateway": server.gateway_url,
            "token": server.token,
            "bot": str(server.bot.id),
            "users": [str(user) for user in server.hub.users],
            "guilds": [str(guild) for guild in server.hub.guilds],
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    main()
