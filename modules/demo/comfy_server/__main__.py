"""One embedded ComfyUI as a process of its own: prints one JSON line with its address, runs until it is told
to end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal

from modules.demo.comfy_server.profile import GIB, ServerProfile, Timing
from modules.demo.comfy_server.server import ComfyServer


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m modules.demo.comfy_server", description=__doc__)
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, default=0, help="0 takes a free one")
    made.add_argument("--seed", type=int, default=0, help="of the noise in durations")
    made.add_argument("--drawing", choices=("full", "plain"), default="full")
    for name in ("load", "step", "row", "decode", "encode", "fetch", "handover", "between", "noise"):
        made.add_argument(
            f"--{name}", type=float, default=0.0, metavar="SECONDS" if name != "noise" else "SHARE"
        )
    made.add_argument("--speed", type=float, default=1.0, help="how many times faster the GPU is")
    made.add_argument("--version", default="0.33.0", help="the ComfyUI version it claims to be")
    made.add_argument("--vram-gib", type=float, default=24.0)
    made.add_argument("--cache-lru", type=int, default=0)
    made.add_argument("--pack", default="2.0.0", help="version of the node pack; none: a plain server")
    made.add_argument("--no-gguf", action="store_true")
    made.add_argument("--api-key")
    made.add_argument("--lora", action="append", default=[], help="a file in its folder of LoRAs")
    made.add_argument("--missing-model", action="append", default=[])
    made.add_argument("--missing-node", action="append", default=[])
    return made


def build(options: argparse.Namespace) -> ComfyServer:
    """The server that the command line describes."""
    profile = ServerProfile(
        version=options.version,
        vram_total=int(options.vram_gib * GIB),
        cache_lru=options.cache_lru,
        pack_version=None if options.pack == "none" else options.pack,
        gguf=not options.no_gguf,
        api_key=options.api_key,
        missing_models=frozenset(options.missing_model),
        missing_nodes=frozenset(options.missing_node),
        extra_models={"loras": tuple(options.lora)},
    )
    timing = Timing(
        load=options.load,
        step=options.step,
        row=options.row,
        decode=options.decode,
        encode=options.encode,
        fetch=options.fetch,
        handover=options.handover,
        between=options.between,
        noise=options.noise,
        speed=options.speed,
    )
    return ComfyServer(
        host=options.host,
        port=options.port,
        profile=profile,
        timing=timing,
        drawing=options.drawing,
        seed=options.seed,
    )


async def serve(server: ComfyServer) -> None:
    """Run until a signal."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers on the loop
            loop.add_signal_handler(number, end.set)
    async with server:
        line = {"url": server.url, "host": server.host, "port": server.port, "pid": os.getpid()}
        print(json.dumps(line), flush=True)
        await end.wait()


def main() -> None:
    """Read the command line and serve."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(build(parser().parse_args())))


if __name__ == "__main__":
    main()
