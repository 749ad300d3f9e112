"""A fused batch gives each person the picture that stock nodes give their prompt and seed alone."""

from __future__ import annotations

import io
import itertools
import random
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest
from PIL import Image

from tests.real_comfy.comfy import Comfy, Latent, largest_difference, pixel_differences, pixels
from tests.real_comfy.conftest import Record
from tests.real_comfy.graphs import FAMILIES, KLEIN, ZIMAGE, Family, ImageRequest, Settings, fused, stock
from tests.real_comfy.report import Measured

LATENT = 2e-5  # fp32, at guidance 1
ANOTHER_PICTURE = 0.1
PIXEL, SHARE = 1, 0.0005
SAMPLERS = ("euler", "res_multistep", "euler_ancestral", "dpmpp_2m_sde", "dpm_2", "uni_pc")
WORD_COUNTS = (1, 3, 14, 35, 60, 120, 300, 590)
BATCHES = ((0, 1, 2, 3, 4, 5, 6, 7), (0, 2, 4, 7), (1, 3))  # which of the requests
WORDS = ("red", "fox", "snow", "under", "blue", "northern", "light", "tall", "pines", "small", "house")

CASES = [
    (family, sampler, guidance)
    for family, sampler, guidance in itertools.product(FAMILIES, SAMPLERS, (1.0, 4.0))
    if "GGUF" not in family.name or sampler in ("euler", "euler_ancestral")
]


def prompt(words: int, start: int) -> str:
    return " ".join(WORDS[(start + 7 * i) % len(WORDS)] for i in range(words))


def tolerance(guidance: float, floor: float | None = None) -> float:
    """The target; guidance multiplies rounding, for stock nodes as well (`floor`: what their batch does).

    test_networks.py shows that in float64 nothing of it is left.
    """
    if guidance == 1:
        return LATENT
    return max(2 * LATENT, 0 if floor is None or floor > ANOTHER_PICTURE else 2 * floor)


def requests(guidance: float, salt: int, references: Sequence[tuple[str, ...]] = ()) -> list[ImageRequest]:
    return [
        ImageRequest(
            prompt=prompt(words, i + salt),
            seed=7919 * salt + i,
            key=uuid.uuid4().hex,
            negative=None if guidance == 1 else prompt((5, 40, 0, 560)[i % 4], i + salt + 3),
            references=references[i] if references else (),
        )
        for i, words in enumerate(WORD_COUNTS[: len(references) or None])
    ]


async def alone(comfy: Comfy, settings: Settings, image_request: ImageRequest) -> tuple[Latent, bytes]:
    outputs = await comfy.run(stock(settings, image_request))
    return await comfy.latent(outputs, "latents"), pixels(await comfy.view(outputs["save"]["images"][0]))


async def stock_batch_difference(
    comfy: Comfy, settings: Settings, people: list[ImageRequest], solos: list[Latent]
) -> float:
    """How far stock nodes are from their own lone pictures when they make four (the first of each four)."""
    worst = 0.0
    for image_request, solo in zip(people, solos, strict=True):
        graph = stock(settings, image_request)
        graph["latent"]["inputs"]["batch_size"] = 4
        batch = await comfy.latent(await comfy.run(graph), "latents")
        worst = max(worst, largest_difference(batch.row(0), solo.row(0)))
        if worst > ANOTHER_PICTURE:  # an ancestral sampler's, for everybody
            break
    return worst


class Worst:
    def __init__(self) -> None:
        self.latent, self.pixel, self.share = 0.0, 0, 0.0

    async def compare(
        self, comfy: Comfy, settings: Settings, batch: list[ImageRequest], solos: list[tuple[Latent, bytes]]
    ) -> Latent:
        batch = [replace(image_request, key=uuid.uuid4().hex) for image_request in batch]
        latents = await comfy.latent(await comfy.run(fused(settings, batch)), "latents")
        for i, (image_request, (latent, picture)) in enumerate(zip(batch, solos, strict=True)):
            self.latent = max(self.latent, largest_difference(latents.row(i), latent.row(0)))
            pixel, share = pixel_differences(pixels(await comfy.picture(image_request.key)), picture)
            self.pixel, self.share = max(self.pixel, pixel), max(self.share, share)
        return latents


@pytest.mark.parametrize(
    ("family", "sampler", "guidance"), CASES, ids=[f"{f.name}-{s}-{g}" for f, s, g in CASES]
)
async def test_each_picture_is_the_one_its_owner_would_get_alone(
    comfy: Comfy, record: Record, family: Family, sampler: str, guidance: float
) -> None:
    if not family.files <= await comfy.models():
        pytest.skip(f"the server does not offer {family.name}")
    record.version = f"ComfyUI {(await comfy.json('/system_stats'))['system']['comfyui_version']}"
    # On a CPU, stock uni_pc writes into a cached schedule: steps of its own keep it from the others' runs.
    settings = Settings(
        family=family, sampler=sampler, guidance=guidance, steps=4 if sampler == "uni_pc" else 3
    )
    people = requests(guidance, 1 + CASES.index((family, sampler, guidance)))
    solos = [await alone(comfy, settings, image_request) for image_request in people]
    four = BATCHES[1]
    floor = await stock_batch_difference(
        comfy, settings, [people[i] for i in four], [solos[i][0] for i in four]
    )
    worst = Worst()
    for chosen in BATCHES:
        latents = await worst.compare(
            comfy, settings, [people[i] for i in chosen], [solos[i] for i in chosen]
        )
    last = BATCHES[-1]
    turned = await worst.compare(
        comfy, settings, [people[i] for i in reversed(last)], [solos[i] for i in reversed(last)]
    )
    single = await worst.compare(comfy, settings, [people[2]], [solos[2]])
    record.fidelity.append(
        Measured(
            model=family.name,
            what=sampler,
            guidance=guidance,
            batches=tuple(map(len, BATCHES)),
            latent=worst.latent,
            floor=floor,
            pixel=worst.pixel,
            share=worst.share,
        )
    )
    assert list(single.row(0)) == list(solos[2][0].row(0)), (
        "a batch of one is the stock picture to the last bit"
    )
    assert worst.latent <= tolerance(guidance, floor)
    assert worst.pixel <= PIXEL
    assert worst.share <= SHARE
    assert [list(turned.row(i)) for i in (1, 0)] == [list(latents.row(i)) for i in (0, 1)], (
        "the order made a difference"
    )


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("family", FAMILIES[:3], ids=lambda family: family.name)
async def test_the_order_of_a_batch_makes_no_difference_at_all(
    comfy: Comfy, family: Family, guidance: float
) -> None:
    if not family.files <= await comfy.models():
        pytest.skip(f"the server does not offer {family.name}")
    settings = Settings(family=family, guidance=guidance, sampler="euler_ancestral", steps=2)
    people = requests(guidance, 200)
    for chosen in BATCHES[:2]:
        seen = []
        for order in (chosen, chosen[::-1], random.Random(7).sample(chosen, len(chosen))):
            batch = [replace(people[i], key=uuid.uuid4().hex) for i in order]
            latents = await comfy.latent(await comfy.run(fused(settings, batch)), "latents")
            seen.append({i: latents.row(row).tobytes() for row, i in enumerate(order)})
        assert seen[0] == seen[1] == seen[2]


EDITS = list(itertools.product((KLEIN, FAMILIES[4], ZIMAGE), (1, 2), (1.0, 4.0)))


@pytest.mark.parametrize(
    ("family", "count", "guidance"), EDITS, ids=[f"{f.name}-{n}-{g}" for f, n, g in EDITS]
)
async def test_an_edit_sees_its_own_references_alone(
    comfy: Comfy, record: Record, family: Family, count: int, guidance: float
) -> None:
    if not family.files <= await comfy.models():
        pytest.skip(f"the server does not offer {family.name}")
    record.version = f"ComfyUI {(await comfy.json('/system_stats'))['system']['comfyui_version']}"
    # Z-Image takes references in whole patches only.
    settings = Settings(family=family, guidance=guidance, resolution_steps=1 if family.flux2 else 16)
    uploads = [await upload(comfy, 10 * i + n) for i in range(4) for n in range(count)]
    names = [tuple(uploads[count * i : count * (i + 1)]) for i in range(4)]
    people = requests(guidance, 100 + count, names)
    solos = [await alone(comfy, settings, image_request) for image_request in people]
    worst = Worst()
    for chosen in ((0, 1, 2, 3), (3, 1)):
        await worst.compare(comfy, settings, [people[i] for i in chosen], [solos[i] for i in chosen])
    record.fidelity.append(
        Measured(
            model=family.name,
            what=f"edit of {count}, euler",
            guidance=guidance,
            batches=(4, 2),
            latent=worst.latent,
            floor=None,
            pixel=worst.pixel,
            share=worst.share,
        )
    )
    assert worst.latent <= tolerance(guidance)
    assert worst.pixel <= PIXEL
    assert worst.share <= SHARE


async def upload(comfy: Comfy, salt: int) -> str:
    """A picture of its own, of one shape but not of one size."""
    side = random.Random(salt).choice((64, 96, 160))
    noise = random.Random(salt).randbytes(side * side * 3)
    picture = Image.frombytes("RGB", (side, side), noise)
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return await comfy.upload(f"reference_{salt}.png", out.getvalue())
