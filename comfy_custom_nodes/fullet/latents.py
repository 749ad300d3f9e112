# SPDX-License-Identifier: GPL-3.0-or-later
"""Rough colours of a latent, for previews (torch only)."""

from __future__ import annotations

from typing import Any

import torch


def latent_to_rgb(latent: torch.Tensor, latent_format: Any) -> torch.Tensor:
    """uint8 [N, h, w, 3] on the CPU from [N, C, h, w], by its format's linear factors [C][3] and bias [3]."""
    reshape = getattr(latent_format, "latent_rgb_factors_reshape", None)
    if reshape is not None:
        latent = reshape(latent)
    if latent.ndim == 5:
        latent = latent[:, :, 0]
    factors = torch.tensor(latent_format.latent_rgb_factors, dtype=latent.dtype, device=latent.device)
    colours = latent.movedim(1, -1) @ factors
    bias = getattr(latent_format, "latent_rgb_factors_bias", None)
    if bias is not None:
        colours = colours + torch.tensor(bias, dtype=latent.dtype, device=latent.device)
    return colours.add(1.0).mul(127.5).nan_to_num(0.0).clamp(0.0, 255.0).to(torch.uint8).cpu()
