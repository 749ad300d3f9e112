"""The file that is posted: in the community's format, and never larger than its server takes."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from PIL import Image

from modules.demo.users import files_of, text_of
from modules.discord.delivery import picture_delivery as delivery
from modules.queue_manager.jobs import Batch, Picture, Size
from tests.discord_stand import (
    OFFERS,
    PaintingEngine,
    PaintingRun,
    make_engine,
    result_for,
    whole_room,
)
from tests.fakes import FakeRun, offer

NOISE = Size(width=1920, height=1920)
GRAIN = offer("grain", sizes=(NOISE,), default_size=NOISE)


class NoisyRun(PaintingRun):
    """Pictures that no format makes much smaller: 11 MB as PNG."""

    async def fetch(self, index: int) -> Picture:
        noise = random.Random(index).randbytes(3 * NOISE.width * NOISE.height)
        out = io.BytesIO()
        Image.frombytes("RGB", (NOISE.width, NOISE.height), noise).save(out, "PNG", compress_level=0)
        return Picture(data=out.getvalue(), media_type="image/png", size=NOISE)


class NoisyEngine(PaintingEngine):
    """See `NoisyRun`."""

    async def submit(self, batch: Batch) -> FakeRun:
        self.submitted.append(batch)
        run = self.known[batch.id] = NoisyRun(self, batch)
        return run


def noisy() -> NoisyEngine:
    """A GPU of such pictures."""
    made = make_engine()
    return NoisyEngine(name=made.name, clock=made.clock, fixed=0.05, each=0.0, limits={"grain": 1})


@pytest.mark.parametrize("claimed", [None, 50 * 1024 * 1024], ids=["known", "learned"])
async def test_what_is_over_the_limit_is_made_smaller_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimed: int | None
) -> None:
    """Known beforehand, or learned from Discord's refusal."""
    async with whole_room(tmp_path, engine=noisy(), offers=(*OFFERS, GRAIN)) as stand:
        if claimed is not None:
            monkeypatch.setattr(stand.product.channels, "file_limit", lambda _: claimed)
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="grain", prompt="sand")
        result = await result_for(ana, "sand", timeout=60)
        (file,) = files_of(result)
        assert file["filename"].endswith(".webp")
        assert "Compressed to fit" in text_of(result)
        data = await ana.download(file["url"])
        assert len(data) <= delivery.FILE_LIMIT
        with Image.open(io.BytesIO(data)) as seen:
            assert seen.format == "WEBP"
        assert stand.server.counters["code 40005"] == (0 if claimed is None else 1)


@pytest.mark.parametrize(("wanted", "ending", "kind"), [("webp", ".webp", "WEBP"), ("jpeg", ".jpg", "JPEG")])
async def test_the_format_is_the_one_that_was_set(
    tmp_path: Path, wanted: str, ending: str, kind: str
) -> None:
    async with whole_room(tmp_path, output_format=wanted) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a dune")
        result = await result_for(ana, "a dune")
        (file,) = files_of(result)
        assert file["filename"].endswith(ending)
        assert file["description"] == "a dune"
        assert "Made smaller" not in text_of(result)
        with Image.open(io.BytesIO(await ana.download(file["url"]))) as seen:
            assert seen.format == kind
