"""Scenes on land: mountains, hills, a forest and dunes, in layers that fade into the air."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from modules.demo.comfy_server.drawing import light
from modules.demo.comfy_server.drawing.canvas import Canvas
from modules.demo.comfy_server.drawing.light import Colour, Point, mix, shape


def ridge(rng: random.Random, level: float, reach: float, rough: float) -> list[float]:
    """A ridge as 129 heights (0 above, 1 below), by midpoints moved ever less; ``rough`` 0.4…0.7."""
    heights = [rng.uniform(-1, 1) * reach for _ in range(4)]
    moved = reach
    while len(heights) < 129:
        moved *= rough
        between = [(a + b) / 2 + rng.uniform(-1, 1) * moved for a, b in pairwise(heights)]
        heights = [x for pair in zip(heights, [*between, 0], strict=True) for x in pair][:-1]
    return [level + each for each in heights[:129]]


def rolling(rng: random.Random, level: float, reach: float) -> list[float]:
    """Rolling land as 129 heights."""
    waves = [(rng.uniform(0.5, 1.1) * turns, rng.random() * math.tau, 1 / turns) for turns in (1, 2, 3.7)]
    return [
        level
        + reach * sum(part * math.sin(x / 128 * math.tau * turns + phase) for turns, phase, part in waves)
        for x in range(129)
    ]


def land(
    canvas: Canvas, line: Sequence[float], top: Colour, low: Colour, extra: Sequence[Sequence[Point]] = ()
) -> None:
    """Fill the ground under ``line``, ``top`` to ``low``; the ``extra`` outlines (in pixels) belong to it."""
    width, height = canvas.image.size
    high = [min(line) * height, *(y for outline in extra for _, y in outline)]
    above = max(0, math.floor(min(high)) - 2)
    if above >= height:
        return
    points = [(x / 128 * width, y * height - above) for x, y in enumerate(line)]

    def draw(canvas: ImageDraw.ImageDraw, k: float) -> None:
        canvas.polygon([(x * k, y * k) for x, y in (*points, (width, height), (0, height))], fill=255)
        for outline in extra:
            canvas.polygon([(x * k, (y - above) * k) for x, y in outline], fill=255)

    filled = light.gradient((width, height - above), (top, low, low))
    deep = min(height - above, max(2, math.ceil(max(line) * height) + 2 - above))
    canvas.image.paste(filled.crop((0, deep, width, height - above)), (0, above + deep))
    canvas.image.paste(filled.crop((0, 0, width, deep)), (0, above), shape((width, deep), draw))


def _faces(canvas: Canvas, line: Sequence[float], tone: Colour, strength: float) -> None:
    """The mountains' sides that look towards the light."""
    width, height = canvas.image.size
    coarse = [(x, line[x]) for x in range(0, 129, 4)]
    outlines: list[list[Point]] = []
    for index in range(1, len(coarse) - 1):
        x, y = coarse[index]
        if not coarse[index - 1][1] > y < coarse[index + 1][1]:
            continue
        way = 1 if canvas.sun[0] > x / 128 * width else -1
        side: list[Point] = [(x, y)]
        at = x
        while (
            0 <= at + way <= 128
            and (line[at + way] <= line[at] + 0.004 or abs(at - x) < 3)
            and abs(at - x) < 14
        ):
            at += way
            side.append((at, line[at]))
        while 0 <= at + way <= 128 and line[at + way] > line[at] and abs(at - x) < 18:
            at += way
            side.append((at, line[at]))
        drop = side[-1][1] - y
        side += [
            (x + way * (canvas.plan.uniform(-0.5, 2.2) + part * 2), y + drop * part)
            for part in (1.25, 0.9, 0.7, 0.45, 0.2)
        ]
        outlines.append([(a / 128 * width, b * height) for a, b in side])
    if not outlines:
        return
    above = max(0, math.floor(min(y for each in outlines for _, y in each)))
    area = (width, max(2, min(height, math.ceil(max(y for each in outlines for _, y in each))) - above))

    def draw(drawn: ImageDraw.ImageDraw, k: float) -> None:
        for each in outlines:
            drawn.polygon([(x * k, (y - above) * k) for x, y in each], fill=255)

    mask = ImageChops.multiply(shape(area, draw), light.fading(area, lambda y: strength * (1 - y * 0.75)))
    canvas.image.paste(tone, (0, above), mask)


def _pines(canvas: Canvas, line: Sequence[float], tall: float, every: float) -> list[list[Point]]:
    """Firs along a ridge, about ``tall`` of the height, ``every`` of the width apart."""
    width, height = canvas.image.size
    trees: list[list[Point]] = []
    x = canvas.plan.uniform(-0.5, 0.5) * every
    while x < 1:
        size = tall * canvas.plan.uniform(0.55, 1.25) * height
        foot = (line[min(128, max(0, round(x * 128)))] + 0.01) * height
        middle, lean = x * width, size * 0.2
        left = [(middle - lean * (step / 5) ** 0.8, foot - size * (1 - step / 5.6)) for step in range(6)]
        saw = [
            point
            for (across, up) in left[1:]
            for point in ((across, up), (middle - (middle - across) * 0.55, up - size * 0.015))
        ]
        half = [(middle, foot - size), *saw, (middle, foot)]
        trees.append(half + [(2 * middle - across, up) for across, up in reversed(half)])
        x += every * canvas.plan.uniform(0.45, 1.4)
    return trees


def mountains(canvas: Canvas) -> None:
    for layer in range(4):
        near = layer / 4.4
        line = ridge(canvas.plan, canvas.horizon - 0.13 + layer * 0.085, 0.17 - layer * 0.025, 0.47)
        tone = canvas.tone(near)
        land(canvas, line, tone, mix(tone, canvas.palette.horizon, 0.55 - near * 0.5))
        _faces(canvas, line, mix(tone, canvas.palette.sun, 0.55 - near * 0.4), 1.0)
    line = rolling(canvas.plan, 0.87, 0.03)
    tone = canvas.tone(0.95)
    land(canvas, line, tone, mix(tone, (0, 0, 0), 0.4), _pines(canvas, line, 0.13, 0.05))


def hills(canvas: Canvas) -> None:
    back = ridge(canvas.plan, canvas.horizon - 0.03, 0.08, 0.5)
    land(canvas, back, canvas.tone(0.08), canvas.palette.horizon)
    for layer in range(5):
        near = 0.15 + layer * 0.19
        line = rolling(canvas.plan, canvas.horizon + 0.02 + layer * 0.075, 0.035)
        tone = canvas.tone(near)
        trees = _pines(canvas, line, 0.02 + layer * 0.014, 0.08) if layer in (1, 2, 3) else []
        some = [tree for tree in trees if canvas.plan.random() < 0.6]
        land(
            canvas,
            line,
            mix(tone, canvas.palette.sun, 0.13 * (1 - near)),
            mix(tone, canvas.palette.horizon, 0.25 - near * 0.2),
            some,
        )


def forest(canvas: Canvas) -> None:
    for layer in range(5):
        near = layer / 4.2
        line = rolling(canvas.plan, canvas.horizon - 0.12 + layer * 0.095, 0.03)
        tone = canvas.tone(near)
        trees = _pines(canvas, line, 0.13 + layer * 0.05, 0.035 + layer * 0.022)
        if layer == 4:  # a clearing in the middle
            trees = [tree for tree in trees if abs(tree[0][0] / canvas.width - 0.5) > 0.26]
        land(canvas, line, tone, mix(tone, canvas.palette.horizon, 0.6 - near * 0.55), trees)
    _rays(canvas)


def _rays(canvas: Canvas) -> None:
    """Shafts of light from the sun."""
    width, height = canvas.image.size
    small = (max(16, width // 4), max(16, height // 4))
    beams = Image.new("L", small)
    draw = ImageDraw.Draw(beams)
    x, y = canvas.sun[0] / 4, canvas.sun[1] / 4
    for _ in range(9):
        turn, wide = canvas.plan.uniform(0.25, math.pi - 0.25), canvas.plan.uniform(0.012, 0.05)
        ends = [
            (x + math.cos(turn + off) * height, y + math.sin(turn + off) * height) for off in (-wide, wide)
        ]
        draw.polygon([(x, y), *ends], fill=canvas.plan.randint(20, 55))
    mask = (
        beams.reduce(2).resize((width, height), Image.Resampling.BICUBIC)
        if min(small) > 32
        else beams.resize((width, height))
    )
    mask = ImageChops.multiply(mask, light.fading((width, height), lambda v: 1.2 - v * 1.2))
    sun = Image.composite(
        Image.new("RGB", (width, height), canvas.palette.sun), Image.new("RGB", (width, height)), mask
    )
    canvas.image.paste(ImageChops.screen(canvas.image, sun))


def dunes(canvas: Canvas) -> None:
    back = ridge(canvas.plan, canvas.horizon - 0.02, 0.07, 0.45)
    land(canvas, back, canvas.tone(0.12), canvas.tone(0.05))
    warm = mix(canvas.palette.horizon, (236, 150, 84), 0.45)
    for layer in range(5):
        near = layer / 5
        line = rolling(canvas.plan, canvas.horizon + 0.03 + layer * 0.085, 0.045)
        lit = mix(mix(warm, canvas.palette.near, near * 0.62), canvas.palette.sun, 0.12)
        land(canvas, line, lit, mix(lit, canvas.palette.near, 0.35))
        crest = canvas.plan.randint(20, 108)  # the side away from the light, behind a sharp edge
        way = -1 if canvas.sun[0] > crest / 128 * canvas.width else 1
        long = canvas.plan.randint(34, 60)
        edge = [
            (at, line[at] if 0 <= at <= 128 else line[crest]) for at in range(crest, crest + way * long, way)
        ]
        bend = [
            (
                at - way * 6 * math.sin(part * math.pi),
                y + 0.085 * math.sin(part * math.pi) ** 0.8 + 0.03 * (1 - part) * part,
            )
            for part, (at, y) in ((1 - index / long, point) for index, point in enumerate(reversed(edge)))
        ]
        outline = [(x / 128 * canvas.width, y * canvas.height) for x, y in (*edge, *bend)]
        above = max(0, math.floor(min(y for _, y in outline)))
        area = (canvas.width, max(2, min(canvas.height, math.ceil(max(y for _, y in outline))) - above))

        def draw(
            drawn: ImageDraw.ImageDraw, k: float, outline: list[Point] = outline, above: int = above
        ) -> None:
            drawn.polygon([(x * k, (y - above) * k) for x, y in outline], fill=150)

        canvas.image.paste(mix(lit, canvas.palette.near, 0.55), (0, above), shape(area, draw))
