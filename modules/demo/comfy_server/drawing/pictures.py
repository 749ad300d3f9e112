"""Draws the pictures that the embedded server makes: a landscape that follows from all that made it, with
the prompt as legible text, so that a wrong delivery can be seen."""

from __future__ import annotations

import random
import re

from PIL import Image, ImageDraw, ImageOps

from modules.demo.comfy_server.drawing.lettering import write
from modules.demo.comfy_server.drawing.marks import mark_of, mark_of_making, stamp
from modules.demo.comfy_server.drawing.scenes import colour_of, gradient, landscape

_LORA = re.compile(r" > LoraLoader\w*\(lora_name=\W*([^'\\]+)[^)]*?strength_model=(-?[0-9.]+)\)")
"""A LoRA in the words of ``making``: its file and its strength."""


def picture_of(
    prompt: str, seed: int, size: tuple[int, int], source: Image.Image | None = None, *, making: str = ""
) -> Image.Image:
    """The picture that ``prompt``, ``seed`` and ``making`` (all else that made it) give, always the same;
    ``size`` is width and height in pixels.

    With a ``source`` it is an edit: the source hangs in it, framed, under the new prompt's text. A LoRA turns
    its colours, the further the stronger it is.
    """
    whose, how = mark_of(prompt, seed), mark_of_making(making)
    rng = random.Random(whose << 32 | mark_of_making(_LORA.sub("", making)))
    image = _edited(source, size, rng) if source is not None else landscape(size, rng)
    turns = [
        float(strength) * (0.15 + 0.2 * mark_of_making(file) / 2**32)
        for file, strength in _LORA.findall(making)
    ]
    image = _turned(image, sum(turns)) if turns else image
    write(image, prompt, seed)
    stamp(image, whose, how)
    return image


def preview_of(image: Image.Image, marks: tuple[int, int], done: float) -> Image.Image:
    """``image`` at no more than 256 pixels as it looks when ``done`` (0…1) of the steps are done."""
    small = image.copy()
    small.thumbnail((256, 256))
    cells = max(4, round(max(small.size) * min(1.0, done) ** 2 / 2))
    if done < 1:
        coarse = small.resize(
            (cells, max(1, round(cells * small.height / small.width))), Image.Resampling.BOX
        )
        small = coarse.resize(small.size, Image.Resampling.BICUBIC)
    if min(small.size) >= 40:
        stamp(small, *marks)
    return small


def _turned(image: Image.Image, turn: float) -> Image.Image:
    """``image`` with all hues turned; 1 is once around."""
    hue, *others = image.convert("HSV").split()
    shifted = hue.point([(level + round(turn * 256)) % 256 for level in range(256)])
    return Image.merge("HSV", (shifted, *others)).convert("RGB")


def _edited(source: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """The source, small and framed, before a coloured haze of itself; the top is left to the text."""
    width, height = size
    plain = source.convert("RGB")
    haze = plain.resize((8, 8), Image.Resampling.BOX).resize(size, Image.Resampling.BICUBIC)
    tint = gradient(size, colour_of(rng.random(), 0.7, 0.6), colour_of(rng.random(), 0.6, 0.9))
    image = Image.blend(haze, tint, 0.5)
    inset = ImageOps.contain(plain, (max(8, width * 8 // 10), max(8, height * 64 // 100)))
    left, top = (width - inset.width) // 2, height * 92 // 100 - inset.height
    frame = max(2, min(size) // 90)
    edge = (left - frame, top - frame, left + inset.width + frame - 1, top + inset.height + frame - 1)
    ImageDraw.Draw(image).rectangle(edge, fill=colour_of(rng.random(), 0.25, 1.0))
    image.paste(inset, (left, top))
    return image
