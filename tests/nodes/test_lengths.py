"""Plans: which way a family's prompts of unequal length share one run."""

from __future__ import annotations

import random

import pytest
from fullet_nodes.lengths import family_of, plan, stacks


@pytest.mark.parametrize(
    ("base", "network", "family"),
    [
        ("Flux", "Flux", "hidden"),
        ("Flux2", "Flux", "flux2"),
        ("Krea2", "SingleStreamDiT", "hidden"),
        ("LongCatImage", "Flux", "hidden"),
        ("Chroma", "Chroma", "hidden"),
        ("SD3", "OpenAISignatureMMDITWrapper", "hidden"),
        ("Lumina2", "NextDiT", "zimage"),
        ("QwenImage", "QwenImageTransformer2DModel", "own_mask"),
        ("MageFlow", "MageFlowTransformer2DModel", "own_mask"),
        ("BaseModel", "UNetModel", "unet"),
        ("SDXL", "UNetModel", "unet"),
        ("Anima", "Anima", "other"),
        ("Flux", "QwenImageTransformer2DModel", "other"),
        ("Kandinsky5", "Kandinsky5", "other"),
    ],
)
def test_only_what_is_known_has_a_way_of_its_own(base: str, network: str, family: str) -> None:
    assert family_of(base, network) == family


@pytest.mark.parametrize(
    ("family", "lengths", "kind", "rows", "total"),
    [
        ("hidden", (256, 256), "plain", (256, 256), 256),
        ("hidden", (256, 489), "key_mask", (256, 489), 489),
        ("flux2", (512, 512), "plain", (512, 512), 512),
        ("flux2", (512, 742), "key_mask", (512, 742), 742),
        ("flux2", (40, 77, 200), "left_zeros", (512, 512, 512), 512),
        ("flux2", (40, 742), "key_mask", (512, 742), 742),
        ("zimage", (8, 14, 30), "bucket", (8, 14, 30), 30),
        ("zimage", (8, 14, 30, 54), "masked_layout", (8, 14, 30, 54), 54),
        ("zimage", (32, 33), "masked_layout", (32, 33), 33),
        ("own_mask", (20, 33, 50), "own_mask", (20, 33, 50), 50),
        ("unet", (77, 154), "repeat", (154, 154), 154),
        ("unet", (77, 154, 231), "repeat", (462, 462, 462), 462),
        ("unet", (77 * 5, 77 * 7, 77 * 9), "split", (385, 539, 693), 693),
        ("other", (7, 9), "split", (7, 9), 9),
        ("other", (9, 9), "plain", (9, 9), 9),
    ],
)
def test_each_family_takes_its_exact_way(
    family: str, lengths: tuple[int, ...], kind: str, rows: tuple[int, ...], total: int
) -> None:
    chosen = plan(family, lengths, pad_multiple=32)
    assert (chosen.kind, chosen.rows, chosen.total) == (kind, rows, total)


def test_the_fused_text_is_as_long_as_its_longest_prompt() -> None:
    dice = random.Random(4)
    for _ in range(1000):
        lengths = [dice.randint(1, 900) for _ in range(dice.randint(1, 8))]
        for family in ("hidden", "zimage", "own_mask", "other"):
            assert plan(family, lengths, pad_multiple=32).total == max(lengths)
        assert plan("flux2", lengths).total in (max(lengths), 512)


def test_whatever_else_is_unequal_makes_sub_batches() -> None:
    assert plan("hidden", (256, 256), alone=True).kind == "split"


@pytest.mark.parametrize(
    ("base", "network", "together"),
    [
        ("Flux", "Flux", True), ("SDXL", "UNetModel", True), ("Anima", "Anima", True),
        ("SeedVR2", "NaDiT", True), ("WAN21", "WanModel", False), ("Flux", "SomebodysNetwork", False),
    ],
)  # fmt: skip
def test_a_network_that_was_never_measured_is_called_for_each_person(
    base: str, network: str, together: bool
) -> None:
    assert stacks(base, network) == together
