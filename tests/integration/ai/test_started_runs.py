"""Start pictures and masks through a whole engine: fused as alone, and what the mask leaves stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from modules.queue_manager.jobs import Batch
from modules.utils.images.masks import with_seam
from tests.integration.comfy_rig import Rig, ask, comfy_rig, heard, opened, pictures

SIZE = (128, 128)


async def made(rig: Rig, *batches: Batch) -> list[bytes]:
    """The pixels of everybody's pictures."""
    engine, found = rig.engine(), []
    for batch in batches:
        run = await engine.submit(batch)
        await heard(run)
        found += [opened(picture).convert("RGB").tobytes() for picture in await pictures(run)]
    return found


@pytest.mark.parametrize(
    ("model", "masked"),
    [("flux", False), ("z-image", False), ("flux", True), ("z-image", True), ("flux_edit", True)],
)
async def test_each_gets_what_they_get_alone(model: str, masked: bool) -> None:
    hole = Image.new("L", SIZE)
    hole.paste(255, (30, 30, 80, 80))
    mask = with_seam(hole)
    async with comfy_rig(drawing="full") as rig:
        starts = [Image.linear_gradient("L").rotate(90 * i).resize(SIZE).convert("RGB") for i in range(2)]
        how: dict[str, Any] = {"kind": "edit"} if model == "flux_edit" else {}
        how |= {"mask": rig.upload(mask)} if masked else {"strength": 0.4}
        people = [
            ask(f"fox {i}", i, model=model, sources=(rig.upload(start),), **how)
            for i, start in enumerate(starts)
        ]
        fused = await made(rig, rig.batch(*people))
        alone = await made(rig, *[replace(rig.batch(person), fused=False) for person in people])
        assert fused == alone
        assert fused[0] != fused[1]
        black = mask.point(lambda grey: 0 if grey else 255)
        for start, pixels in zip(starts, fused, strict=True):
            shown = Image.frombytes("RGB", SIZE, pixels)
            nothing = Image.new("RGB", SIZE)
            kept = [Image.composite(each, nothing, black).tobytes() for each in (shown, start)]
            assert (kept[0] == kept[1]) == masked
        if not masked:
            others = [replace(person, strength=0.8) for person in people]
            assert (await made(rig, rig.batch(*others)))[0] != fused[0]
