"""Each picture's noise is what stock sampling gives its seed alone, wherever it stands in the batch."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

from fullet_nodes.inputs import Refused, SeedEntry  # noqa: E402
from fullet_nodes.noise import slerp, start_noise, step_noise  # noqa: E402

SHAPE = (4, 6, 5)
SEEDS = (0, 1, 7, 2**63, 2**64 - 1)


def lone_noise(seed: int) -> torch.Tensor:
    """As ComfyUI draws it for one latent: the global CPU generator, fp32."""
    generator = torch.manual_seed(seed)
    return torch.randn((1, *SHAPE), dtype=torch.float32, generator=generator, device="cpu")


def test_every_order_gives_every_seed_its_lone_noise() -> None:
    for order in itertools.permutations(SEEDS):
        noise = start_noise(SHAPE, torch.float32, [SeedEntry(seed) for seed in order])
        for row, seed in zip(noise, order, strict=True):
            assert torch.equal(row, lone_noise(seed)[0])


def test_noise_takes_the_latents_type_after_it_is_drawn() -> None:
    noise = start_noise(SHAPE, torch.bfloat16, [SeedEntry(5)])
    assert torch.equal(noise, lone_noise(5).to(torch.bfloat16))


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    start_noise(SHAPE, torch.float32, [SeedEntry(9)])
    assert torch.equal(torch.rand(2), expected)


def test_step_noise_is_each_pictures_own_stream() -> None:
    """On a CPU k-diffusion seeds a picture's stream with seed + 1 and draws from it step by step."""
    seeds = (4, 99, 5)
    draw = step_noise(torch.zeros((3, *SHAPE)), [SeedEntry(seed) for seed in seeds])
    steps = [draw(1.0, 0.5), draw(0.5, 0.25), draw(0.25, 0.0)]
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed + 1)
        for step in steps:
            assert torch.equal(step[row : row + 1], torch.randn((1, *SHAPE), generator=generator))


def test_the_last_seed_has_no_step_noise_and_says_so() -> None:
    with pytest.raises(Refused, match="SamplerBatch: input seeds: "):
        step_noise(torch.zeros((1, *SHAPE)), [SeedEntry(2**64 - 1)])


def test_a_variation_lies_on_the_arc_between_two_noises() -> None:
    a, b = lone_noise(1), lone_noise(2)
    assert torch.equal(slerp(a, b, 0.0), a)
    assert torch.equal(slerp(a, b, 1.0), b)
    half = slerp(a, b, 0.5)
    assert float(half.norm()) == pytest.approx(float((a.norm() + b.norm()) / 2), rel=1e-2)
    angles = [torch.arccos(torch.cosine_similarity(x.flatten(), half.flatten(), dim=0)) for x in (a, b)]
    assert float(angles[0]) == pytest.approx(float(angles[1]), rel=5e-2)  # their norms differ a little


def test_a_variation_is_the_same_beside_anyone() -> None:
    entry = SeedEntry(1, 2, 0.3)
    alone = start_noise(SHAPE, torch.float32, [entry])
    beside = start_noise(SHAPE, torch.float32, [SeedEntry(8), entry, SeedEntry(1)])
    assert torch.equal(beside[1], alone[0])
    assert torch.equal(alone[0], slerp(lone_noise(1), lone_noise(2), 0.3)[0])


def test_equal_and_opposite_noises_have_a_finite_mix() -> None:
    a = lone_noise(1)
    assert torch.allclose(slerp(a, a, 0.5), a)
    assert slerp(a, -a, 0.5).isfinite().all()
