"""A simulated GPU whose pictures weigh as much as real ones: 1024², 1 MB. A process of its own.

``python -m tests.benchmarks.heavy_gpu`` takes the arguments of ``modules.demo.comfy_server``.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random

from PIL import Image

from modules.demo.comfy_server.__main__ import build, parser, serve

SIDE, SHADES = 1024, 6
"""Six shades a channel at random: 2.6 bits a value that no compression can save."""


def heavy_picture(seed: int = 0) -> bytes:
    """A PNG of about 1 MB."""
    drawn = random.Random(seed)
    pixels = bytes(drawn.choices([40 * shade for shade in range(SHADES)], k=SIDE * SIDE * 3))
    buffer = io.BytesIO()
    Image.frombytes("RGB", (SIDE, SIDE), pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def main() -> None:
    server, picture = build(parser().parse_args()), heavy_picture()
    server.bench._draw = lambda recipe, kind, quality: picture  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(server))


if __name__ == "__main__":
    main()
