"""The requests of a check: several people, with prompts of unequal length, their own source pictures and
negatives."""

from __future__ import annotations

import asyncio
import io
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import GenerationRequest, Size, SourceImage

_SCENE = (
    "a market street at night after rain, paper lanterns in red and green, people with umbrellas, steam from "
    "food stalls, reflections on wet stone, a dog that waits under an awning, the sign of a tea house on the "
    "left, a bicycle against the wall, telephone wires against a dark blue sky, seen from the height of a "
    "child, sharp in front and soft in the distance, in the style of a photograph on slide film"
)
_FAULTS = "text, watermark, frame, low contrast, too many fingers, noise in dark parts"

COMPARED = ("a red fox", " ".join([_SCENE] * 9), "a glass of water", _SCENE)
"""Prompts of the pictures that are compared. FLUX.1 fills a shorter prompt up to 256 tokens and FLUX.2 up to
512, which makes all short prompts equally long; so the second one has more than that."""

COMPARED_NEGATIVES = ("", "blurry", ", ".join([_FAULTS] * 50), _FAULTS)

TIMED = (
    "a red fox",
    "an old lighthouse on a cliff above the sea, heavy rain, oil painting with thick strokes",
    "a glass of water",
    _SCENE,
    "a portrait of a violinist in a green coat, soft window light",
    "mountains",
    "a watercolour of two boats in a harbour at dawn, gulls, fog over the water",
    "a robot reads a newspaper on a park bench in autumn, leaves in the air, warm light, wide angle",
)
"""Prompts of the pictures that are timed, as people write them."""

SOURCE = Size(width=768, height=576)


@dataclass(frozen=True, kw_only=True)
class People:
    """What everybody asks of one model. Each check has other seeds, so that a server cannot answer it with
    results that it kept from an earlier one."""

    template: WorkflowTemplate
    first_seed: int

    def requests(self, count: int, turn: int = 0) -> list[GenerationRequest]:
        """Of the first ``count`` people. In each ``turn`` they ask for something else, so that a server that
        keeps results has to do all the work again. Turn 0 is for comparing, the others are for timing."""
        card, offer = self.template.card, self.template.offer()
        most = card.source_count[1]
        sources = max(card.source_count[0], 1) if most else 0
        size = offer.result_size(SOURCE) if sources else card.default_size
        found: list[GenerationRequest] = []
        for person in range(count):
            seed = self.first_seed + 100 * turn + person
            request = GenerationRequest(
                user_id=0, guild_id=0, channel_id=0, locale="en", kind=card.kind, model=self.template.name,
                prompt=f"{TIMED[person]}, number {turn}" if turn else COMPARED[person],
                negative=self._negative(0 if turn else person), size=size, seed=seed,
                sources=tuple(SourceImage(key=f"check{seed}x{n}", size=SOURCE) for n in range(sources)),
            )  # fmt: skip
            found.append(request)
        return found

    def _negative(self, person: int) -> str:
        if self.template.card.negative == "own":
            return COMPARED_NEGATIVES[person]
        return _FAULTS if self.template.card.negative == "shared" else ""


async def read_source(key: str) -> bytes:
    """The picture of a `SourceImage` of these people."""
    return await asyncio.to_thread(_drawn, key)


def _drawn(seed: str) -> bytes:
    """A picture of coloured shapes, as a PNG."""
    chance = random.Random(seed)  # noqa: S311 - guards no secret
    image = Image.new("RGB", (SOURCE.width, SOURCE.height), _colour(chance))
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        left, top = chance.randrange(SOURCE.width), chance.randrange(SOURCE.height)
        width, height = chance.randrange(20, 300), chance.randrange(20, 300)
        shape = chance.choice((draw.ellipse, draw.rectangle))
        shape((left, top, left + width, top + height), fill=_colour(chance))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)
