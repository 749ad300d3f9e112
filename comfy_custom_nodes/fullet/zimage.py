# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets one run of Z-Image's network, or Lumina's, hold captions of unequal length (torch only).

Alone, a caption of L embedded tokens is followed by the learned pad token up to B tokens, which is L rounded
up to a multiple of m, at positions 1…B on the first rope axis, and the image stands at B + 1 on that axis. In
a batch the network takes its longest row's B for all. So, while one call runs: the pad token is put after
each row's true length; and, where the rows' B differ, the image's positions are each row's own, and the keys
from a row's B to the batch's are hidden. Nothing but module hooks is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from .conditioning import key_mask, valid


@contextmanager
def own_layout(network: Any, lengths: torch.Tensor) -> Iterator[None]:
    """While open, `network` treats row i's caption as lengths[i] tokens long.

    `lengths` is an int64 tensor with one entry for each row of the call.
    """
    multiple = network.pad_tokens_multiple or 1  # Lumina Image 2.0 has no pad token
    buckets = -(-lengths // multiple) * multiple
    with ExitStack() as hooks:
        if multiple > 1:
            hook = _pad_token_after(network, lengths)
            hooks.callback(network.cap_embedder.register_forward_hook(hook).remove)
        if len(set(buckets.tolist())) > 1:
            hooks.callback(network.rope_embedder.register_forward_pre_hook(_own_positions(buckets)).remove)
            mask = _HiddenKeys(buckets)
            for layer in (*network.context_refiner, *network.layers):
                hooks.callback(layer.register_forward_pre_hook(mask).remove)
        yield


def _pad_token_after(network: Any, lengths: torch.Tensor) -> Any:
    def hook(_module: Any, _args: Any, embedded: torch.Tensor) -> torch.Tensor:
        mine = valid(lengths, embedded.shape[1], embedded.device)[:, :, None]
        token = network.cap_pad_token.to(device=embedded.device, dtype=embedded.dtype)
        return torch.where(mine, embedded, token[None])

    return hook


def _own_positions(buckets: torch.Tensor) -> Any:
    """Gives every row its own ids; the image's, which start after the longest caption, move to the row's."""
    longest = int(buckets.max())

    def hook(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        ids = args[0].expand(len(buckets), -1, -1).clone()
        if float(ids[0, 0, 0]) == longest + 1:
            back = (longest - buckets).to(device=ids.device, dtype=ids.dtype)[:, None]
            on_axis = ids[:, :, 0]
            ids[:, :, 0] = torch.where(on_axis == longest + 1, on_axis - back, on_axis)  # padding stays at 0
        return (ids, *args[1:])

    return hook


class _HiddenKeys:
    """Gives a layer, called as layer(x, mask, …), the mask over the caption's padding."""

    def __init__(self, buckets: torch.Tensor) -> None:
        self._buckets = buckets
        self._longest = int(buckets.max())
        self._masks: dict[int, torch.Tensor] = {}

    def __call__(self, _module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0]
        if x.shape[1] not in self._masks:
            self._masks[x.shape[1]] = key_mask(self._buckets, self._longest, x.shape[1], x)
        return (x, self._masks[x.shape[1]], *args[2:])
