"""Skies, glows, clouds and colours, from which the scenes are made."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageOps

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """``sky`` goes from the zenith to the horizon; ``near`` is what stands right before you, against the
    light; ``clouds`` are their lit and their dark side. By ``night`` there are stars and a moon."""

    sky: tuple[Colour, ...]
    sun: Colour
    near: Colour
    clouds: tuple[Colour, Colour]
    night: bool = False

    @property
    def horizon(self) -> Colour:
        """The sky's colour where it meets the land."""
        return self.sky[-1]


def _hex(text: str) -> tuple[Colour, ...]:
    return tuple((int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)) for word in text.split())


def _palette(sky: str, sun: str, near: str, clouds: str, *, night: bool = False) -> Palette:
    lit, dark = _hex(clouds)
    return Palette(sky=_hex(sky), sun=_hex(sun)[0], near=_hex(near)[0], clouds=(lit, dark), night=night)


PALETTES: dict[str, tuple[Palette, ...]] = {
    "sunset": (
        _palette("2b1b54 7a2f78 d8546a ff9a5a ffd58a", "fff1c4", "1c1030", "ffb27a 6a2c6a"),
        _palette("1d2f5f 5a4a8c c86b8e ff9f7c ffe0a8", "fff6d8", "161a34", "ffc4a0 6f4b85"),
        _palette("40123c 96234d e2503c ff9233 ffce5c", "fff3b8", "200a1c", "ff9a58 6b1d42"),
    ),
    "dusk": (
        _palette("0e1638 2c2f6b 6a4c93 c874a4 ffb7a1", "ffe8cf", "0c1026", "c58ab4 3a356e"),
        _palette("0b2239 1c4b66 4f7d8c b59a93 ffc79c", "ffe9c6", "08161f", "d9a995 2f5566"),
    ),
    "dawn": (
        _palette("5b7fb5 94a9cf d9bfd1 ffd2bd fff0d2", "fffbe8", "2c3550", "fff0e4 a9a2c4"),
        _palette("38628f 7da6b8 c4d3bf ffe2b0 fff4d6", "fffbe2", "1d3a44", "fff4dc 8fb0b4"),
    ),
    "day": (
        _palette("1b62b5 3f8fd2 7fc0e8 b9e2f2 e9f6f5", "fffdf0", "12304a", "ffffff a7c6dc"),
        _palette("12739c 3aa3b8 86d0cb c8ead6 f5f7dc", "fffbe0", "0f3d3e", "ffffff 9ccfcf"),
    ),
    "night": (
        _palette("040818 0a1633 12294f 1f4a73 3f7d99", "eef4ff", "03070f", "3f6a94 0e2040", night=True),
        _palette("090519 180d38 2f1d5c 533584 8a5aa5", "fff1e6", "06030f", "6b4a9c 1c1140", night=True),
    ),
    "aurora": (
        _palette("030a18 06192c 0a2f3c 10524f 2f8a72", "e8fff4", "02080c", "2c7a78 0a2236", night=True),
    ),
    "neon": (
        _palette("0a0524 2a0a4e 6a1279 d0238c ff7a9c", "ffd0f0", "080318", "d04aa8 2a0d58", night=True),
        _palette("03081f 0b2050 123f86 1f7fc0 5fe0e6", "d8ffff", "02040f", "3fa0d0 0d2a60", night=True),
    ),
    "red": (_palette("5a2418 9a4426 cf7440 eeaa6c ffdba6", "fff4dc", "2a0f0c", "f0b07c 9a4a30"),),
    "storm": (
        _palette("171d27 2a3442 465564 71818a a9b3ae", "e8efe6", "0a0e14", "8d9aa0 2b3542"),
        _palette("14202a 274048 47656a 7c948f b9c4b0", "eef3df", "08110f", "93a8a2 243c44"),
    ),
    "winter": (
        _palette("5d7fa8 8fabcb bccde0 e3dfe8 fbeee6", "fffaf2", "263a55", "ffffff a8bad2"),
        _palette("2d4470 5f78a8 a3a9cf e0bfd0 ffdfd0", "fff4e8", "1d2c4c", "fbe6ea 7f8dbb"),
    ),
}


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """``share`` of the other colour in the first."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def gradient(size: tuple[int, int], stops: Sequence[Colour]) -> Image.Image:
    """From the first of ``stops`` above to the last below."""
    rows, count = bytearray(), min(64, size[1])
    for row in range(count):
        at = row / max(1, count - 1) * (len(stops) - 1)
        first = min(int(at), len(stops) - 2) if len(stops) > 1 else 0
        rows += bytes(mix(stops[first], stops[min(first + 1, len(stops) - 1)], at - first))
    return _widened(Image.frombytes("RGB", (1, count), bytes(rows)), size)


def fading(size: tuple[int, int], curve: Callable[[float], float]) -> Image.Image:
    """A mask whose strength (0…1) follows ``curve`` of the height (0 above, 1 below)."""
    count = min(64, size[1])
    levels = bytes(min(255, max(0, round(255 * curve(row / max(1, count - 1))))) for row in range(count))
    return _widened(Image.frombytes("L", (1, count), levels), size)


def _widened(column: Image.Image, size: tuple[int, int]) -> Image.Image:
    return column.resize((1, size[1]), Image.Resampling.BICUBIC).resize(size, Image.Resampling.NEAREST)


def noise(size: tuple[int, int], rng: random.Random, cells: tuple[int, int], octaves: int = 4) -> Image.Image:
    """Cloudy noise, around 128, at no more than 256 pixels and then enlarged."""
    small = (min(size[0], 256), min(size[1], 256))
    whole = Image.new("L", small, 128)
    across, down = cells
    for octave in range(octaves):
        count = (min(across << octave, small[0]), min(down << octave, small[1]))
        layer = Image.frombytes("L", count, rng.randbytes(count[0] * count[1]))
        share = 0.5**octave / (2 - 0.5**octave)  # each octave counts half as much as the one before
        whole = Image.blend(whole, layer.resize(small, Image.Resampling.BICUBIC), share)
    return whole.resize(size, Image.Resampling.BICUBIC)


def shape(size: tuple[int, int], draw: Callable[[ImageDraw.ImageDraw, float], None]) -> Image.Image:
    """A mask with smooth edges: ``draw`` is given a canvas of twice the size, and that factor."""
    canvas = Image.new("L", (size[0] * 2, size[1] * 2))
    draw(ImageDraw.Draw(canvas), 2.0)
    return canvas.reduce(2)


_HALO = ImageOps.invert(Image.radial_gradient("L"))


def glow(image: Image.Image, centre: Point, radius: float, colour: Colour, strength: float) -> None:
    """Light around ``centre``, fading out at ``radius``."""
    side = max(4, round(radius * 2))
    mask = _HALO.point([round(strength * 255 * (max(0, level - 75) / 180) ** 2) for level in range(256)])
    box = (round(centre[0] - side / 2), round(centre[1] - side / 2))
    area = (max(0, box[0]), max(0, box[1]), min(image.width, box[0] + side), min(image.height, box[1] + side))
    if area[2] <= area[0] or area[3] <= area[1]:
        return
    mask = mask.resize((side, side), Image.Resampling.BILINEAR)
    part = mask.crop((area[0] - box[0], area[1] - box[1], area[2] - box[0], area[3] - box[1]))
    under = image.crop(area)
    lit = Image.composite(Image.new("RGB", part.size, colour), Image.new("RGB", part.size), part)
    image.paste(ImageChops.screen(under, lit), area[:2])


def disc(image: Image.Image, centre: Point, radius: float, colour: Colour, *, crescent: bool = False) -> None:
    """A round body with smooth edges, or what is left of it in another's shadow."""
    side = max(3, round(radius * 2) + 2)

    def draw(drawn: ImageDraw.ImageDraw, k: float) -> None:
        last = (side - 1) * k
        drawn.ellipse((k, k, last, last), fill=255)
        if crescent:
            drawn.ellipse((side * 0.32 * k, -side * 0.1 * k, side * 1.18 * k, side * 0.76 * k), fill=0)

    mask = shape((side, side), draw)
    image.paste(colour, (round(centre[0] - side / 2), round(centre[1] - side / 2)), mask)


def stars(image: Image.Image, free: random.Random, reach: float, count: int = 260) -> None:
    """Stars down to ``reach`` of the height, the higher the denser, a few of them bright."""
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for _ in range(min(count, width * height // 200)):
        x, y = free.random() * width, free.random() ** 1.5 * height * reach
        bright = free.random() ** 3
        tone = mix((120, 130, 170), (255, 252, 240), bright)
        draw.point((x, y), fill=tone)
        if bright > 0.7 and width > 200:
            glow(image, (x, y), width * 0.008 * bright, tone, 0.8)
            draw.point([(x + 1, y), (x, y + 1), (x + 1, y + 1)], fill=tone)


def clouds(image: Image.Image, free: random.Random, palette: Palette, cover: float, reach: float) -> None:
    """Clouds down to ``reach`` of the height, lit from below; ``cover`` 0…1 is how much of it they take."""
    width, height = image.size
    area = (width, max(8, round(height * reach)))
    raw = noise(area, free, (2, 5), 5)
    floor = 150 - 60 * cover
    body = raw.point([min(225, max(0, round((level - floor) * 3.4))) for level in range(256)])
    body = ImageChops.multiply(body, fading(area, lambda y: min(1.0, 4 * (1 - y)) * (0.45 + 0.55 * y)))
    lift = max(1, round(area[1] * 0.025))
    above = ImageChops.offset(body, 0, -lift)
    above.paste(0, (0, area[1] - lift, width, area[1]))
    lit, dark = palette.clouds
    image.paste(dark, (0, 0), body)
    image.paste(lit, (0, 0), ImageChops.subtract(body, above.point([round(v * 0.8) for v in range(256)])))


def aurora(image: Image.Image, plan: random.Random) -> None:
    """Curtains of green and violet light."""
    width, height = image.size
    small = (max(16, width // 4), max(16, height // 4))
    for colour, base in (((60, 255, 170), 0.42), ((170, 90, 255), 0.32)):
        curtain = Image.new("L", small)
        draw = ImageDraw.Draw(curtain)
        bend, phase = plan.uniform(1.0, 2.2), plan.random() * math.tau
        for x in range(small[0]):
            turn = x / small[0] * math.tau
            foot = base + 0.08 * math.sin(turn * bend + phase) + 0.03 * math.sin(turn * 3.1 + phase)
            power = 0.55 + 0.45 * math.sin(turn * 7 + phase) * math.sin(turn * 2.3)
            for part in range(8):
                top = (foot - 0.32 * (part + 1) / 8) * small[1]
                fill = round(190 * power * (1 - part / 8) ** 1.5)
                draw.line((x, top, x, (foot - 0.32 * part / 8) * small[1]), fill=max(0, fill))
        mask = curtain.resize(image.size, Image.Resampling.BILINEAR)
        lit = Image.composite(Image.new("RGB", image.size, colour), Image.new("RGB", image.size), mask)
        image.paste(ImageChops.screen(image, lit))
