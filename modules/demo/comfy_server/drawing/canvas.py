"""What a scene is painted on, and the sky behind it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from modules.demo.comfy_server.drawing import light
from modules.demo.comfy_server.drawing.light import Colour, Palette, Point, mix
from modules.demo.comfy_server.drawing.subjects import Subject


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The picture of a scene, the random numbers and palette for it, and where the light is."""

    image: Image.Image
    palette: Palette
    plan: random.Random
    free: random.Random
    horizon: float
    sun: Point

    @property
    def width(self) -> int:
        """In pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self.image.height

    def tone(self, nearness: float) -> Colour:
        """The colour of something this near (0…1), seen through the air."""
        far = mix(self.palette.horizon, self.palette.sky[2], 0.5)
        return mix(far, self.palette.near, 0.12 + 0.88 * nearness)


def sky(canvas: Canvas, subject: Subject) -> Image.Image:
    """The sky behind everything; it is soft, so half the size is enough for a large picture."""
    palette, part = canvas.palette, 2 if min(canvas.image.size) >= 400 else 1
    image = Image.new("RGB", (canvas.width // part, canvas.height // part), palette.horizon)
    image.paste(
        light.gradient((image.width, max(2, round(image.height * (canvas.horizon + 0.06)))), palette.sky)
    )
    if palette.night:
        light.stars(image, canvas.free, canvas.horizon)
    if subject.time == "aurora":
        light.aurora(image, canvas.plan)
    reach, sun = min(image.size), (canvas.sun[0] / part, canvas.sun[1] / part)
    light.glow(image, sun, reach * 0.75, palette.sun, 0.45)
    light.glow(image, sun, reach * 0.28, palette.sun, 0.8)
    crescent = palette.night and canvas.plan.random() < 0.5
    light.disc(image, sun, reach * canvas.plan.uniform(0.05, 0.085), palette.sun, crescent=crescent)
    cover = 0.75 if subject.weather == "rain" else canvas.plan.uniform(0.15, 0.5)
    light.clouds(image, canvas.free, palette, cover, canvas.horizon)
    return image
