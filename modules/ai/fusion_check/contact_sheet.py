"""One picture that shows a check: a row for each person, what each way made of their request, and where the
largest fused batch that they were in differs from what was made alone."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image, ImageChops, ImageDraw

from modules.ai.fusion_check.trial import ModelTrial

SIDE = 256
GAP = 8
HEADING = 24
BRIGHTER = 16


def contact_sheet(trial: ModelTrial) -> bytes:
    """The sheet as a PNG. Takes a second or so: to be called in a thread."""
    titles = [*trial.columns, f"difference x {BRIGHTER}"]
    people = len(trial.columns["alone"])
    size = (GAP + len(titles) * (SIDE + GAP), HEADING + people * (SIDE + GAP))
    sheet = Image.new("RGB", size, (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((GAP + column * (SIDE + GAP), 6), title, fill=(230, 230, 230))
    for person in range(people):
        row = {title: _opened(files[person]) for title, files in trial.columns.items() if person < len(files)}
        row[titles[-1]] = _difference(row)
        for title, image in row.items():
            image.thumbnail((SIDE, SIDE))
            left, top = GAP + titles.index(title) * (SIDE + GAP), HEADING + person * (SIDE + GAP)
            sheet.paste(image, (left, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _difference(row: Mapping[str, Image.Image]) -> Image.Image:
    """What is not equal in the picture made alone and the last one that was fused, made visible."""
    fused = [image for title, image in row.items() if title.startswith("fused")]
    if not fused or fused[-1].size != row["alone"].size:
        return Image.new("RGB", row["alone"].size, (255, 0, 0))
    table = [min(255, value * BRIGHTER) for value in range(256)] * 3
    return ImageChops.difference(row["alone"], fused[-1]).point(table)


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        rgb: Image.Image = image.convert("RGB")
    return rgb
