# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise for each picture of a batch, equal to what its seed gives alone (torch only)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .inputs import MAX_SEED, Refused, SeedEntry


def start_noise(shape: Sequence[int], dtype: torch.dtype, entries: Sequence[SeedEntry]) -> torch.Tensor:
    """[N, *shape] on the CPU: row i is drawn as stock RandomNoise draws for a latent of one picture.

    `shape` is one picture's latent without its batch dimension. Drawn in fp32 on the CPU, then cast.
    """
    return torch.cat([_noise_of(shape, entry).to(dtype) for entry in entries])


def slerp(first: torch.Tensor, second: torch.Tensor, strength: float) -> torch.Tensor:
    """Spherical mix of two noises: 0 gives `first`, 1 gives `second`; the norm stays that of noise."""
    if strength <= 0:
        return first
    if strength >= 1:
        return second
    a, b = first.double().flatten(), second.double().flatten()
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp_min(1e-12)
    angle = torch.arccos(cosine.clamp(-1.0, 1.0))
    if float(angle.sin()) < 1e-6:  # the same or opposite directions: no arc between them
        mixed = torch.lerp(a, b, strength)
    else:
        mixed = (torch.sin((1 - strength) * angle) * a + torch.sin(strength * angle) * b) / torch.sin(angle)
    return mixed.reshape(first.shape).to(first.dtype)


def step_noise(x: torch.Tensor, entries: Sequence[SeedEntry]) -> Callable[..., torch.Tensor]:
    """A noise sampler for x [N, ...]: row i continues its own stream from step to step.

    k-diffusion seeds a lone picture's stream with seed + 1 on a CPU (where the start noise has used the
    seed) and with seed elsewhere; so do we. A variation's stream is its base seed's.
    """
    generators = [_generator(x.device, entry.seed + (x.device.type == "cpu")) for entry in entries]
    row = (1, *x.shape[1:])

    def draw(_sigma: object, _sigma_next: object) -> torch.Tensor:
        rows = [torch.randn(row, dtype=x.dtype, device=x.device, generator=each) for each in generators]
        return torch.cat(rows)

    return draw


def _noise_of(shape: Sequence[int], entry: SeedEntry) -> torch.Tensor:
    noise = _draw(shape, entry.seed)
    if entry.variation_seed is None:
        return noise
    return slerp(noise, _draw(shape, entry.variation_seed), entry.strength)


def _draw(shape: Sequence[int], seed: int) -> torch.Tensor:
    generator = _generator(torch.device("cpu"), seed)
    return torch.randn((1, *shape), dtype=torch.float32, generator=generator, device="cpu")


def _generator(device: torch.device, seed: int) -> torch.Generator:
    if seed > MAX_SEED:
        raise Refused(
            "SamplerBatch",
            "seeds",
            "18446744073709551615 has no following seed for this sampler's step noise.",
        )
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    return generator
