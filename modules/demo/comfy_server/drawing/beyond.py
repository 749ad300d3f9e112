"""Scenes that are nowhere on earth: a planet, and a field of currents."""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageDraw

from modules.demo.comfy_server.drawing import light
from modules.demo.comfy_server.drawing.canvas import Canvas
from modules.demo.comfy_server.drawing.light import Point, mix, shape


def space(canvas: Canvas) -> None:
    image, plan, palette = canvas.image, canvas.plan, canvas.palette
    width, height = image.size
    part = 2 if min(image.size) >= 400 else 1  # it is soft, as a sky is
    nebula = light.gradient((width // part, height // part), ((4, 4, 14), (10, 8, 28), (5, 6, 18)))
    for colour in (palette.sky[2], palette.sky[3], palette.horizon):
        cloud = light.noise(nebula.size, plan, (2, 2), 5).point(
            [min(150, max(0, round((v - 120) * 1.9))) for v in range(256)]
        )
        lit = Image.composite(Image.new("RGB", nebula.size, colour), Image.new("RGB", nebula.size), cloud)
        nebula = ImageChops.screen(nebula, lit)
    image.paste(nebula.resize(image.size, Image.Resampling.BICUBIC))
    light.stars(image, canvas.free, 1.0, 420)
    radius = min(width, height) * plan.uniform(0.2, 0.28)
    centre = (width * plan.uniform(0.4, 0.62), height * plan.uniform(0.4, 0.56))
    light.glow(image, centre, radius * 1.7, palette.sky[3], 0.7)
    tilt, ringed = plan.uniform(0.16, 0.3), plan.random() < 0.8
    if ringed:
        _ring(canvas, centre, radius, tilt, behind=True)
    _planet(canvas, centre, radius)
    if ringed:
        _ring(canvas, centre, radius, tilt, behind=False)
    moon = (centre[0] - radius * 1.6, centre[1] - radius * 0.9)
    light.disc(image, moon, radius * 0.12, mix(palette.sun, palette.sky[2], 0.3))


def _planet(canvas: Canvas, centre: Point, radius: float) -> None:
    side, palette = max(8, round(radius * 2)), canvas.palette
    bands = [canvas.plan.choice((*palette.sky[1:], *palette.clouds, palette.sun)) for _ in range(11)]
    body = light.gradient((side, side), bands)
    swirl = light.noise((side, side), canvas.plan, (3, 9), 4)
    body = ImageChops.soft_light(body, Image.merge("RGB", (swirl, swirl, swirl)))
    curve = [min(255, max(6, round(330 - v * 2.6))) for v in range(256)]
    lit = Image.radial_gradient("L").resize((side * 2, side * 2)).point(curve)
    shade = lit.crop((round(side * 0.72), round(side * 0.68), round(side * 1.72), round(side * 1.68)))
    body = ImageChops.multiply(body, Image.merge("RGB", (shade, shade, shade)))
    mask = shape((side, side), lambda draw, k: draw.ellipse((0, 0, side * k - 1, side * k - 1), fill=255))
    canvas.image.paste(body, (round(centre[0] - side / 2), round(centre[1] - side / 2)), mask)


def _ring(canvas: Canvas, centre: Point, radius: float, tilt: float, *, behind: bool) -> None:
    reach = round(radius * 2.1)
    box = (round(centre[0]) - reach, round(centre[1]) - reach)

    def draw(drawn: ImageDraw.ImageDraw, k: float) -> None:
        for part, strength in ((1.95, 90), (1.85, 170), (1.72, 110), (1.62, 200), (1.5, 70), (1.42, 0)):
            a, b = radius * part * k, radius * part * tilt * k
            drawn.ellipse((reach * k - a, reach * k - b, reach * k + a, reach * k + b), fill=strength)
        half = (0, reach * k, 2 * reach * k, 2 * reach * k) if behind else (0, 0, 2 * reach * k, reach * k)
        drawn.rectangle(half, fill=0)

    mask = shape((2 * reach, 2 * reach), draw).rotate(18, Image.Resampling.BICUBIC)
    canvas.image.paste(mix(canvas.palette.sun, canvas.palette.sky[3], 0.35), box, mask)


def flow(canvas: Canvas) -> None:
    """Currents that many fine lines follow."""
    image, plan, palette = canvas.image, canvas.plan, canvas.palette
    width, height = image.size
    ground = (mix(palette.sky[0], (0, 0, 0), 0.35), mix(palette.sky[1], palette.near, 0.5))
    large = light.gradient((width * 2, height * 2), ground)
    waves = [(plan.uniform(-5, 5), plan.uniform(-5, 5), plan.random() * math.tau) for _ in range(4)]
    tones = (*palette.sky[1:], palette.sun, *palette.clouds)
    draw = ImageDraw.Draw(large)
    for _ in range(min(400, width * height // 300)):
        x, y = canvas.free.uniform(-0.1, 1.1), canvas.free.uniform(-0.1, 1.1)
        where = sum(math.sin(a * x + b * y + c) for a, b, c in waves) / 4
        tone = mix(
            tones[int((where + 1) / 2 * (len(tones) - 1))], tones[canvas.free.randrange(len(tones))], 0.25
        )
        line: list[Point] = []
        for _ in range(22):
            line.append((x * width * 2, y * height * 2))
            turn = sum(math.sin(a * x + b * y + c) for a, b, c in waves) * 1.7
            x, y = x + math.cos(turn) * 0.014, y + math.sin(turn) * 0.014
        draw.line(
            line,
            fill=tone,
            width=max(1, round(width * canvas.free.choice((1, 1, 2, 2, 4, 9)) / 450)),
            joint="curve",
        )
    image.paste(large.reduce(2))
    light.glow(image, canvas.sun, min(width, height) * 0.7, palette.sun, 0.35)
