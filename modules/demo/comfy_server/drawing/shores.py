"""Scenes by the water: a sea with islands, and a city that the water mirrors."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from modules.demo.comfy_server.drawing import light
from modules.demo.comfy_server.drawing.canvas import Canvas
from modules.demo.comfy_server.drawing.land import land, ridge
from modules.demo.comfy_server.drawing.light import Point, mix, shape


def _water(canvas: Canvas, level: float, calm: float) -> None:
    """A mirror of all that is above ``level`` (0…1), broken by waves that grow towards you."""
    image, free = canvas.image, canvas.free
    width, height = image.size
    top = round(level * height)
    deep = height - top
    if deep < 4:
        return
    mirror = image.crop((0, max(0, top - deep), width, top)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirror = mirror.resize((width, deep), Image.Resampling.BILINEAR)
    depth = light.gradient(
        (width, deep), (mix(canvas.palette.sky[2], canvas.palette.near, 0.3), canvas.palette.near)
    )
    mirror = Image.composite(depth, mirror, light.fading((width, deep), lambda y: 0.22 + 0.5 * y))
    y, phase = 0, free.random() * 10
    while y < deep:
        far = y / deep
        thick = max(1, round(far * height / 160))
        shift = (math.sin(phase) + free.uniform(-0.6, 0.6)) * (0.15 + far) * width * 0.012 * (1 - calm)
        strip = mirror.crop((0, y, width, min(deep, y + thick)))
        image.paste(strip, (0, top + y))
        image.paste(strip, (round(shift), top + y))
        phase += 0.9
        y += thick
    _glitter(canvas, top)


def _glitter(canvas: Canvas, top: int) -> None:
    """The light's path on the water."""
    width, height = canvas.image.size
    deep, free = height - top, canvas.free

    def draw(drawn: ImageDraw.ImageDraw, k: float) -> None:
        for _ in range(min(260, width)):
            far = free.random() ** 1.4
            x = canvas.sun[0] + free.gauss(0, 1) * width * (0.02 + 0.07 * far)
            long, y = width * (0.006 + 0.03 * far) * free.uniform(0.4, 1.2), far * deep
            thick = 0.3 + far * height * 0.0022
            drawn.ellipse(
                ((x - long) * k, (y - thick) * k, (x + long) * k, (y + thick) * k),
                fill=round(230 - 130 * far),
            )

    canvas.image.paste(canvas.palette.sun, (0, top), shape((width, deep), draw))


def sea(canvas: Canvas) -> None:
    for layer in range(2):
        line = ridge(canvas.plan, canvas.horizon - 0.015 + layer * 0.012, 0.07 - layer * 0.02, 0.5)
        sunk = [y + 0.10 * layer * (1 - abs(x / 64 - 1)) for x, y in enumerate(line)]  # open in the middle
        tone = canvas.tone(0.12 + layer * 0.2)
        land(canvas, sunk, tone, mix(tone, canvas.palette.horizon, 0.4))
    _water(canvas, canvas.horizon, 0.35)


def city(canvas: Canvas) -> None:
    quay = canvas.horizon + 0.08
    for layer in range(4):
        _houses(canvas, layer, quay)
    _water(canvas, quay, 0.1)


def _houses(canvas: Canvas, layer: int, quay: float) -> None:
    width, height = canvas.image.size
    plan, near = canvas.plan, 0.16 + layer * 0.24
    tone, ground = canvas.tone(near), quay * height
    dark = canvas.palette.night or sum(canvas.palette.sky[1]) < 330
    x, boxes = -0.03, []
    while x < 1:
        wide = plan.uniform(0.035, 0.075) * (0.8 + layer * 0.15)
        middle = 1 - abs(x - 0.5) * 1.1  # taller in the middle
        tall = (0.10 + 0.30 * plan.random() ** 1.6 * middle) * (1.12 - layer * 0.2)
        boxes.append((x, quay - tall, x + wide))
        x += wide * plan.uniform(0.9, 1.25)

    outlines: list[list[Point]] = []
    for left, roof, right in boxes:
        west, east, top = left * width, right * width, roof * height
        style, thin, step = plan.random(), width * 0.002, (east - west) * 0.2
        if style < 0.22:  # a spire
            middle = (west + east) / 2
            outlines.append([(middle, top - height * 0.07), (middle + thin, top), (middle - thin, top)])
        elif style < 0.45:  # a stepped top
            roofs = [(west + step, top - step), (east - step, top - step)]
            outlines.append([(west + step, top), *roofs, (east - step, top)])
        outlines.append([(west, ground), (west, top), (east, top), (east, ground)])
    flat = [quay] * 129
    land(canvas, flat, tone, mix(tone, canvas.palette.horizon, 0.3 * (1 - near)), outlines)
    if not dark and layer < 2:
        return
    draw, free = ImageDraw.Draw(canvas.image), canvas.free
    step = max(2.0, height / 105 * (0.7 + near * 0.5))
    lamps = (
        (255, 214, 140),
        (255, 236, 190),
        (255, 180, 110),
        mix(canvas.palette.sun, canvas.palette.horizon, 0.5),
    )
    for left, roof, right in boxes:
        share, lamp = free.uniform(0.1, 0.6), free.choice(lamps)
        fill = mix(tone, lamp, 0.35 + 0.6 * near)
        y = roof * height + step
        while y < ground - step:
            x = left * width + step * 0.6
            while x < right * width - step:
                if free.random() < share:
                    draw.rectangle((x, y, x + step * 0.4, y + step * 0.5), fill=fill)
                x += step
            y += step * 1.25
