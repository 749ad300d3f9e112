"""Puts a picture together: the sky, the scene, who stands there, and what falls.

``plan`` decides what is where, ``free`` the details; a variation shares the first with its original.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

from PIL import Image, ImageChops, ImageDraw

from modules.demo.comfy_server.drawing import light
from modules.demo.comfy_server.drawing.beyond import flow, space
from modules.demo.comfy_server.drawing.canvas import Canvas, sky
from modules.demo.comfy_server.drawing.figures import lamp_height, stand
from modules.demo.comfy_server.drawing.land import dunes, forest, hills, land, mountains
from modules.demo.comfy_server.drawing.light import Colour, Palette, Point, mix, shape
from modules.demo.comfy_server.drawing.shores import city, sea
from modules.demo.comfy_server.drawing.subjects import Subject

PLACES: Mapping[str, Callable[[Canvas], None]] = {
    "mountains": mountains,
    "hills": hills,
    "forest": forest,
    "dunes": dunes,
    "sea": sea,
    "city": city,
    "space": space,
    "flow": flow,
}


def scene(size: tuple[int, int], subject: Subject, plan: random.Random, free: random.Random) -> Image.Image:
    """A picture of ``subject``."""
    palette = _palette_of(subject, plan)
    low = {"sea": 0.56, "city": 0.66, "forest": 0.72}.get(subject.place, 0.62)
    horizon = low + plan.uniform(-0.03, 0.03)
    side = plan.choice((-1, 1))
    lift = 0.36 if palette.night else {"day": 0.34, "winter": 0.28}.get(subject.time, 0.11)
    sun = (
        size[0] * (0.5 + side * plan.uniform(0.06, 0.24) + free.uniform(-0.02, 0.02)),
        size[1] * (horizon - lift - plan.uniform(0, 0.05)),
    )
    image = Image.new("RGB", size, palette.horizon)
    canvas = Canvas(image=image, palette=palette, plan=plan, free=free, horizon=horizon, sun=sun)
    if subject.place not in ("space", "flow"):
        image.paste(sky(canvas, subject).resize(size, Image.Resampling.BICUBIC))
    PLACES[subject.place](canvas)
    if subject.figure:
        _figure(canvas, subject, side)
    _WEATHERS[subject.weather](canvas)
    return image


def _palette_of(subject: Subject, plan: random.Random) -> Palette:
    """Snow and rain bring their own light except at night, under an aurora and in neon; space and currents
    are never seen by daylight."""
    brought = {"snow": "winter", "rain": "storm"}.get(subject.weather)
    of = brought if brought and subject.time not in ("night", "aurora", "neon") else subject.time
    if subject.place in ("space", "flow") and of in ("day", "dawn", "winter", "storm"):
        of = plan.choice(("sunset", "dusk", "night", "neon"))
    return plan.choice(light.PALETTES[of])


def _figure(canvas: Canvas, subject: Subject, side: int) -> None:
    """Put the figure before the sun: on a rise in the foreground, or on the water if it is a boat or a whale
    at sea. Balloons and rockets, and figures in space or among currents, stand on nothing."""
    width, height = canvas.image.size
    x = canvas.sun[0] / width - side * canvas.plan.uniform(0.0, 0.1)
    tone = mix(canvas.palette.near, (0, 0, 0), 0.25)
    lamp = mix((255, 214, 130), canvas.palette.sun, 0.3)
    foot = 0.84
    if subject.figure in ("boat", "whale") and subject.place == "sea":
        foot = canvas.horizon + 0.17
    elif subject.place not in ("space", "flow") and subject.figure not in ("balloon", "rocket"):
        rise = [foot + 0.35 * (abs(at / 128 - x) ** 1.5) + canvas.plan.uniform(0, 0.002) for at in range(129)]
        land(canvas, rise, tone, mix(tone, (0, 0, 0), 0.5))
    place = (x * width, (foot + 0.005) * height)
    if subject.figure == "lighthouse":
        _beams(canvas, (place[0], place[1] - lamp_height("lighthouse", canvas.image)), lamp)
    stand(canvas.image, subject.figure, place, tone, lamp)


def _beams(canvas: Canvas, lamp: Point, colour: Colour) -> None:
    """Two beams that fade with the distance."""
    width, height = canvas.image.size
    reach, turn = width * 0.75, canvas.plan.uniform(-0.16, 0.16)

    def draw(drawn: ImageDraw.ImageDraw, k: float) -> None:
        for way in (-1, 1):
            for part in range(24, 0, -1):
                far = reach * part / 24
                ends = [
                    (
                        (lamp[0] + way * far * math.cos(turn)) * k,
                        (lamp[1] + far * (math.sin(turn) * way + wide)) * k,
                    )
                    for wide in (-0.09, 0.09)
                ]
                drawn.polygon([(lamp[0] * k, lamp[1] * k), *ends], fill=round(130 * (1 - part / 25) ** 1.6))

    canvas.image.paste(colour, (0, 0), shape((width, height), draw))


def snow(image: Image.Image, free: random.Random) -> None:
    """Falling flakes, the near ones large and soft."""
    width, height = image.size

    def draw(drawn: ImageDraw.ImageDraw, k: float) -> None:
        for _ in range(min(420, width * height // 120)):
            near = free.random() ** 4
            x, y, r = free.random() * width, free.random() * height, (0.0012 + 0.006 * near) * width
            drawn.ellipse(((x - r) * k, (y - r) * k, (x + r) * k, (y + r) * k), fill=round(235 - 130 * near))

    image.paste((250, 252, 255), (0, 0), shape(image.size, draw))


def rain(image: Image.Image, free: random.Random) -> None:
    """Slanting streaks."""
    width, height = image.size

    def draw(drawn: ImageDraw.ImageDraw, k: float) -> None:
        for _ in range(min(300, width * height // 200)):
            x, y, long = (
                free.random() * width * 1.2,
                free.random() * height,
                free.uniform(0.02, 0.06) * height,
            )
            drawn.line((x * k, y * k, (x - long * 0.25) * k, (y + long) * k), fill=free.randint(50, 120))

    image.paste((214, 226, 236), (0, 0), shape(image.size, draw))


def fog(image: Image.Image, free: random.Random, colour: Colour) -> None:
    """Banks of mist over the lower half."""
    veil = light.noise(image.size, free, (2, 7), 4).point(
        [min(225, max(0, round((v - 88) * 2.0))) for v in range(256)]
    )
    veil = ImageChops.multiply(veil, light.fading(image.size, lambda y: max(0.0, 1 - abs(y - 0.66) * 2.1)))
    image.paste(colour, (0, 0), veil)


_WEATHERS: Mapping[str, Callable[[Canvas], None]] = {
    "": lambda canvas: None,
    "snow": lambda canvas: snow(canvas.image, canvas.free),
    "rain": lambda canvas: rain(canvas.image, canvas.free),
    "fog": lambda canvas: fog(canvas.image, canvas.free, mix(canvas.palette.horizon, (255, 255, 255), 0.15)),
}
