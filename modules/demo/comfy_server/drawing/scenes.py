"""Landscapes drawn from random numbers: mountains, a sea, dunes or a city, by day or by night."""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]


def landscape(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A scene of this size that follows from ``rng`` alone."""
    hue = rng.random()
    night = rng.random() < 0.35
    top = colour_of(hue, 0.7, 0.22 if night else 0.75)
    low = colour_of(hue + rng.uniform(0.08, 0.3), 0.55, 0.5 if night else 0.98)
    image = gradient(size, top, low)
    _sun(image, rng, night)
    scene: Callable[[Image.Image, random.Random, float], None] = rng.choice((_mountains, _sea, _city, _dunes))
    scene(image, rng, hue)
    return image


def _mountains(image: Image.Image, rng: random.Random, hue: float) -> None:
    for layer in range(5):
        colour = colour_of(hue + 0.5 + layer * 0.02, 0.25 + layer * 0.1, 0.72 - layer * 0.13)
        _ridge(image, rng, 0.45 + layer * 0.11, 0.16 - layer * 0.015, colour, rough=True)


def _dunes(image: Image.Image, rng: random.Random, hue: float) -> None:
    for layer in range(6):
        colour = colour_of(hue + 0.06 * layer, 0.55, 0.92 - layer * 0.12)
        _ridge(image, rng, 0.5 + layer * 0.09, 0.06, colour, rough=False)


def _sea(image: Image.Image, rng: random.Random, hue: float) -> None:
    width, height = image.size
    _ridge(image, rng, 0.5, 0.08, colour_of(hue + 0.5, 0.3, 0.45), rough=True)
    water = gradient(
        (width, height - height * 6 // 10), colour_of(hue + 0.45, 0.6, 0.7), colour_of(hue + 0.5, 0.8, 0.25)
    )
    image.paste(water, (0, height * 6 // 10))
    draw = ImageDraw.Draw(image)
    for _ in range(140):
        y = height * (0.6 + 0.4 * rng.random() ** 1.6)
        reach = width * 0.02 * (0.3 + (y / height - 0.6) * 8)
        x = rng.random() * width
        draw.line(
            (x - reach, y, x + reach, y), fill=colour_of(hue + 0.4, 0.25, 0.95), width=max(1, height // 400)
        )


def _city(image: Image.Image, rng: random.Random, hue: float) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(3):
        colour = colour_of(hue + 0.55, 0.4, 0.5 - layer * 0.16)
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
    tone = (255, 250, 235) if night else colour_of(rng.uniform(0.02, 0.14), 0.35, 1.0)
    image.paste(tone, (round(x - glow_side / 2), round(y - glow_side / 2)), glow)
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)


def gradient(size: tuple[int, int], top: Colour, low: Colour) -> Image.Image:
    """From ``top`` above to ``low`` below."""
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, low), Image.new("RGB", size, top), ramp)


def colour_of(hue: float, saturation: float, value: float) -> Colour:
    """Red, green and blue of a hue that may go round more than once."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(1, saturation), min(1, max(0, value)))
    return round(red * 255), round(green * 255), round(blue * 255)
