"""Draws the pictures that the embedded server makes: a scene that follows from the prompt's words and all
else that made it, with the prompt as a small caption and a mark that cannot be seen."""

from __future__ import annotations

import random
import re

from PIL import Image, ImageChops, ImageEnhance, ImageOps

from modules.demo.comfy_server.drawing import scenes
from modules.demo.comfy_server.drawing.lettering import caption
from modules.demo.comfy_server.drawing.light import Colour, fading, gradient
from modules.demo.comfy_server.drawing.marks import mark_of, mark_of_making, stamp
from modules.demo.comfy_server.drawing.subjects import subject_of, time_of, weather_of

_LORA = re.compile(r" > LoraLoader\w*\(lora_name=\W*([^'\\]+)[^)]*?strength_model=(-?[0-9.]+)\)")
"""A LoRA in the words of ``making``: its file and its strength."""


def picture_of(
    prompt: str,
    seed: int,
    size: tuple[int, int],
    source: Image.Image | None = None,
    start: tuple[Image.Image, float] | None = None,
    *,
    making: str = "",
) -> Image.Image:
    """The picture that ``prompt``, ``seed`` and ``making`` (all else that made it) give, always the same;
    ``size`` is width and height in pixels.

    With a ``source`` it is an edit: the source in another light, or in the weather that the prompt names. A
    LoRA turns the colours, the further the stronger it is. With a ``start`` and its strength, that much of
    the start is painted over.
    """
    whose, how = mark_of(prompt, seed), mark_of_making(making)
    unstyled = mark_of_making(_LORA.sub("", making))
    plan = random.Random(mark_of(prompt, seed % 2**64))  # a variation keeps the plan
    free = random.Random(whose << 32 | unstyled)
    if source is not None:
        above = (0, 0, source.width, max(1, round(source.height * 0.955)))  # what is below is its own caption
        image = _edited(ImageOps.fit(source.convert("RGB").crop(above), size), prompt, free)
    else:
        image = scenes.scene(size, subject_of(prompt, plan), plan, free)
        image = ImageEnhance.Color(image).enhance(0.94 + 0.12 * (unstyled % 101) / 100)
    turns = [
        float(strength) * (0.15 + 0.2 * mark_of_making(file) / 2**32)
        for file, strength in _LORA.findall(making)
    ]
    image = _turned(image, sum(turns)) if turns else image
    if start is not None:
        image = Image.blend(start[0].resize(size), image, start[1])
    caption(image, prompt)
    return stamp(image, whose, how)


def preview_of(image: Image.Image, marks: tuple[int, int], done: float) -> Image.Image:
    """``image`` at no more than 256 pixels as it looks when ``done`` (0…1) of the steps are done: it forms
    out of noise, the large shapes first."""
    small = image.copy()
    small.thumbnail((256, 256))
    if done < 1:
        cells = max(4, round(max(small.size) * max(0.0, done) ** 2 / 2))
        coarse = small.resize(
            (cells, max(1, round(cells * small.height / small.width))), Image.Resampling.BOX
        )
        formed = coarse.resize(small.size, Image.Resampling.BICUBIC)
        grains = (max(1, small.width // 2), max(1, small.height // 2))
        free = random.Random(marks[0] << 32 | marks[1])
        dust = Image.frombytes("RGB", grains, free.randbytes(grains[0] * grains[1] * 3))
        small = Image.blend(
            formed, dust.resize(small.size, Image.Resampling.BILINEAR), 0.75 * (1 - done) ** 1.5
        )
    return stamp(small, *marks) if min(small.size) >= 40 else small


_COLOURS = {
    ("blue", "azul"): (50, 110, 255), ("red", "rojo", "roja"): (255, 60, 50),
    ("green", "verde"): (50, 220, 120), ("pink", "rosa"): (255, 120, 190),
    ("purple", "violet", "morado", "violeta"): (150, 80, 255), ("gold", "golden", "dorado"): (255, 200, 80),
}  # fmt: skip
_LIGHTS: dict[str, tuple[Colour, Colour]] = {
    "night": ((16, 22, 66), (70, 84, 140)),
    "neon": ((70, 10, 130), (255, 120, 190)),
    "sunset": ((150, 60, 120), (255, 190, 120)),
    "dawn": ((180, 170, 220), (255, 226, 190)),
    "day": ((150, 200, 255), (255, 250, 230)),
    "aurora": ((10, 60, 80), (70, 220, 160)),
    "red": ((150, 60, 30), (255, 180, 120)),
}


def _turned(image: Image.Image, turn: float) -> Image.Image:
    """``image`` with all hues turned; 1 is once around."""
    hue, *others = image.convert("HSV").split()
    shifted = hue.point([(level + round(turn * 256)) % 256 for level in range(256)])
    return Image.merge("HSV", (shifted, *others)).convert("RGB")


def _edited(image: Image.Image, prompt: str, free: random.Random) -> Image.Image:
    """The source in the light, colour and weather that ``prompt`` names; if it names none, in a random colour
    from above."""
    weather, time = weather_of(prompt), time_of(prompt)
    words = set(prompt.lower().split())
    colour = next((colour for names, colour in _COLOURS.items() if words & set(names)), None)
    if time:
        image = ImageChops.multiply(image, gradient(image.size, _LIGHTS[time]))
        image = ImageEnhance.Brightness(image).enhance(1.15)
    elif colour is not None or not weather:
        shade = colour or (free.randrange(256), free.randrange(256), free.randrange(256))
        image.paste(shade, (0, 0), fading(image.size, lambda y: max(0.0, 0.55 - y)))
    if weather == "snow":
        image.paste((226, 236, 250), (0, 0), fading(image.size, lambda y: 0.18 + 0.3 * y**3))
        scenes.snow(image, free)
    elif weather == "rain":
        image = ImageEnhance.Brightness(ImageEnhance.Color(image).enhance(0.55)).enhance(0.8)
        scenes.rain(image, free)
    elif weather == "fog":
        scenes.fog(image, free, (226, 230, 236))
    return image
