"""Draws the pictures that the embedded server makes: a landscape that follows from prompt and seed,
with the prompt as legible text, so that a wrong delivery can be seen."""

from __future__ import annotations

import colorsys
import functools
import math
import random
import textwrap
import unicodedata
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from modules.demo.comfy_server.marks import mark_of, stamp

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FONT_NAMES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
    "Arial.ttf",
)
_TEXT_LIMIT = 600


def picture_of(
    prompt: str, seed: int, size: tuple[int, int], source: Image.Image | None = None
) -> Image.Image:
    """The picture that ``prompt`` and ``seed`` give, always the same; ``size`` is width and height in pixels.

    With a ``source`` it is an edit: the source hangs in it, framed, under the new prompt's text.
    """
    rng = random.Random(mark_of(prompt, seed))
    image = _edited(source, size, rng) if source is not None else _landscape(size, rng)
    _write(image, prompt, seed)
    stamp(image, mark_of(prompt, seed))
    return image


def preview_of(image: Image.Image, mark: int, done: float) -> Image.Image:
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
        stamp(small, mark)
    return small


# ── scenes ──────────────────────────────────────────────────────────────────────────────────────


def _landscape(size: tuple[int, int], rng: random.Random) -> Image.Image:
    hue = rng.random()
    night = rng.random() < 0.35
    top = _colour(hue, 0.7, 0.22 if night else 0.75)
    low = _colour(hue + rng.uniform(0.08, 0.3), 0.55, 0.5 if night else 0.98)
    image = _gradient(size, top, low)
    _sun(image, rng, night)
    scene: Callable[[Image.Image, random.Random, float], None] = rng.choice((_mountains, _sea, _city, _dunes))
    scene(image, rng, hue)
    return image


def _mountains(image: Image.Image, rng: random.Random, hue: float) -> None:
    for layer in range(5):
        colour = _colour(hue + 0.5 + layer * 0.02, 0.25 + layer * 0.1, 0.72 - layer * 0.13)
        _ridge(image, rng, 0.45 + layer * 0.11, 0.16 - layer * 0.015, colour, rough=True)


def _dunes(image: Image.Image, rng: random.Random, hue: float) -> None:
    for layer in range(6):
        colour = _colour(hue + 0.06 * layer, 0.55, 0.92 - layer * 0.12)
        _ridge(image, rng, 0.5 + layer * 0.09, 0.06, colour, rough=False)


def _sea(image: Image.Image, rng: random.Random, hue: float) -> None:
    width, height = image.size
    _ridge(image, rng, 0.5, 0.08, _colour(hue + 0.5, 0.3, 0.45), rough=True)
    water = _gradient(
        (width, height - height * 6 // 10), _colour(hue + 0.45, 0.6, 0.7), _colour(hue + 0.5, 0.8, 0.25)
    )
    image.paste(water, (0, height * 6 // 10))
    draw = ImageDraw.Draw(image)
    for _ in range(140):
        y = height * (0.6 + 0.4 * rng.random() ** 1.6)
        reach = width * 0.02 * (0.3 + (y / height - 0.6) * 8)
        x = rng.random() * width
        draw.line(
            (x - reach, y, x + reach, y), fill=_colour(hue + 0.4, 0.25, 0.95), width=max(1, height // 400)
        )


def _city(image: Image.Image, rng: random.Random, hue: float) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(3):
        colour = _colour(hue + 0.55, 0.4, 0.5 - layer * 0.16)
        x = -width * 0.05
        while x < width:
            wide = width * rng.uniform(0.05, 0.11)
            roof = height * (0.42 + layer * 0.12 + rng.uniform(-0.14, 0.14))
            draw.rectangle((x, roof, x + wide, height), fill=colour)
            if layer == 2:
                _windows(draw, rng, (x, roof, x + wide, height), height / 42)
            x += wide * 0.94


def _windows(
    draw: ImageDraw.ImageDraw, rng: random.Random, house: tuple[float, float, float, float], step: float
) -> None:
    left, roof, right, ground = house
    y = roof + step
    while y < ground:
        x = left + step * 0.6
        while x < right - step * 0.8:
            if rng.random() < 0.4:
                draw.rectangle((x, y, x + step * 0.45, y + step * 0.55), fill=(255, 226, 150))
            x += step
        y += step * 1.3


def _ridge(
    image: Image.Image, rng: random.Random, level: float, reach: float, colour: Colour, *, rough: bool
) -> None:
    """One layer of hills: a sum of sines (broken by noise if ``rough``) filled down to the ground."""
    width, height = image.size
    waves = [
        (rng.uniform(0.6, 2.4) * 2**octave, rng.random() * math.tau, 0.55**octave) for octave in range(5)
    ]
    points: list[tuple[float, float]] = [(0, height)]
    count = 96
    for index in range(count + 1):
        at = index / count
        lift = sum(
            part * math.sin(at * turns * math.tau + phase)
            for turns, phase, part in waves[: 5 if rough else 2]
        )
        if rough:
            lift = abs(lift) + rng.uniform(-0.06, 0.06)
        points.append((at * width, height * (level - reach * lift)))
    points.append((width, height))
    ImageDraw.Draw(image).polygon(points, fill=colour)


def _sun(image: Image.Image, rng: random.Random, night: bool) -> None:
    width, height = image.size
    if night:
        draw = ImageDraw.Draw(image)
        for _ in range(160):
            x, y, dot = rng.random() * width, rng.random() * height * 0.6, rng.random() * height / 500
            draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=(250, 245, 230))
    radius = min(width, height) * rng.uniform(0.06, 0.12)
    x, y = width * rng.uniform(0.2, 0.85), height * rng.uniform(0.28, 0.45)
    glow_side = max(2, round(radius * 7))
    glow = (
        ImageChops.invert(Image.radial_gradient("L"))
        .resize((glow_side, glow_side))
        .point(lambda v: max(0, v - 75))
    )
    tone = (255, 250, 235) if night else _colour(rng.uniform(0.02, 0.14), 0.35, 1.0)
    image.paste(tone, (round(x - glow_side / 2), round(y - glow_side / 2)), glow)
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)


def _edited(source: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """The source, small and framed, before a coloured haze of itself; the top is left to the text."""
    width, height = size
    plain = source.convert("RGB")
    haze = plain.resize((8, 8), Image.Resampling.BOX).resize(size, Image.Resampling.BICUBIC)
    tint = _gradient(size, _colour(rng.random(), 0.7, 0.6), _colour(rng.random(), 0.6, 0.9))
    image = Image.blend(haze, tint, 0.5)
    inset = ImageOps.contain(plain, (max(8, width * 8 // 10), max(8, height * 64 // 100)))
    left, top = (width - inset.width) // 2, height * 92 // 100 - inset.height
    frame = max(2, min(size) // 90)
    edge = (left - frame, top - frame, left + inset.width + frame - 1, top + inset.height + frame - 1)
    ImageDraw.Draw(image).rectangle(edge, fill=_colour(rng.random(), 0.25, 1.0))
    image.paste(inset, (left, top))
    return image


def _gradient(size: tuple[int, int], top: Colour, low: Colour) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, low), Image.new("RGB", size, top), ramp)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(1, saturation), min(1, max(0, value)))
    return round(red * 255), round(green * 255), round(blue * 255)


# ── text ────────────────────────────────────────────────────────────────────────────────────────


def _write(image: Image.Image, prompt: str, seed: int) -> None:
    """The prompt and its seed on a dark panel at the top, in letters as large as its length allows."""
    width, height = image.size
    text = " ".join(prompt.split())
    text = text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"
    letters = max(9, round(width / (22 if len(text) < 60 else 32 if len(text) < 200 else 48)))
    font, drawable = _font(letters), _drawable(text)
    columns = max(8, round(width * 0.9 / (letters * 0.56)))
    lines = [*(textwrap.wrap(drawable, columns) or ["(empty)"]), f"seed {seed}"]
    pad, pitch = letters * 0.6, letters * 1.3
    panel = Image.new("L", image.size, 0)
    box = (pad, pad, width - pad, min(height - pad, pad * 2 + pitch * len(lines)))
    if box[2] <= box[0] or box[3] <= box[1]:
        return
    ImageDraw.Draw(panel).rounded_rectangle(box, radius=pad, fill=150)
    image.paste((8, 8, 20), (0, 0), panel)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        tone = (190, 196, 220) if index == len(lines) - 1 else (255, 255, 255)
        draw.text((pad * 1.8, pad * 1.4 + index * pitch), line, font=font, fill=tone)


@functools.lru_cache(maxsize=64)
def _font(letters: int) -> Font:
    name = _font_name()
    return ImageFont.truetype(name, letters) if name else ImageFont.load_default(letters)


@functools.lru_cache(maxsize=1)
def _font_name() -> str | None:
    """A font of the machine's that has accents; Pillow's own has none."""
    for name in _FONT_NAMES:
        try:
            ImageFont.truetype(name, 12)
        except OSError:
            continue
        return name
    return None


def _drawable(text: str) -> str:
    """``text`` as the font at hand can show it: without accents if it is Pillow's own."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    if _font_name() is not None:
        return shown
    plain = unicodedata.normalize("NFKD", shown)
    return "".join(char for char in plain if not unicodedata.combining(char))
