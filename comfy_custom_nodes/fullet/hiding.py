# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets one call of a network hold texts of unequal length, each as if alone (torch only).

The texts are padded to the length of the longest. While the call runs, what attends to them gets a mask over
each row's padding; and where the image's positions follow the text's, each row has its own. Only module hooks
are used, and ComfyUI's own override of the attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from .conditioning import key_mask
from .layouts import Layout

_OVERRIDE = "optimized_attention_override"


@contextmanager
def hidden(
    network: Any, layout: Layout, rows: torch.Tensor, text: int, options: Mapping[str, Any]
) -> Iterator[None]:
    """While open, row i's text in `network` counts as rows[i] tokens of the `text` that it is padded to.

    `rows` is an int64 tensor with one entry for each row of the call.
    """
    masks = _Masks(rows, text, layout)
    with ExitStack() as hooks:
        for paths, joint in ((layout.text, False), (layout.joint, True)):
            for module in (each for path in paths for each in _modules(network, path)):
                hook = masks.hook(joint=joint)
                hooks.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        if layout.positions is not None and layout.unless not in options.get("rope_options", {}):
            (embedder,) = _modules(network, layout.positions)
            hooks.callback(embedder.register_forward_pre_hook(_own_positions(rows, text, layout)).remove)
        yield


def _modules(network: Any, path: str) -> list[Any]:
    found = [network]
    for name in path.split("."):
        found = [getattr(each, name) for each in found]
        found = [one for each in found for one in (each if isinstance(each, torch.nn.ModuleList) else [each])]
    return found


class _Masks:
    """Gives modules the mask over the padding, made once for each number of keys."""

    def __init__(self, rows: torch.Tensor, text: int, layout: Layout) -> None:
        self._rows, self._text, self._layout = rows, text, layout
        self._made: dict[tuple[Any, ...], torch.Tensor] = {}

    def hook(self, *, joint: bool) -> Any:
        last = joint and self._layout.last

        def give(_module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if self._layout.mask is not None:
                return args, {**kwargs, self._layout.mask: self._over(args[0].shape[1], args[0], last)}
            options = kwargs.get("transformer_options") or {}
            theirs = options.get(_OVERRIDE)

            def attend(  # noqa: PLR0917 - ComfyUI calls it so
                function: Any, q: Any, k: Any, v: Any, heads: int, mask: Any = None, **more: Any
            ) -> Any:
                keys = k.shape[2 if more.get("skip_reshape") else 1]
                if not self._layout.pair or keys == args[0].shape[1] + args[1].shape[1]:
                    padding = self._over(keys, q, last)
                    mask = padding if mask is None else padding + mask
                attention = partial(theirs, function) if theirs else function
                return attention(q, k, v, heads, mask=mask, **more)

            return args, {**kwargs, "transformer_options": {**options, _OVERRIDE: attend}}

        return give

    def _over(self, keys: int, like: torch.Tensor, last: bool) -> torch.Tensor:
        """Additive [rows, 1, keys]."""
        key = (keys, like.dtype, like.device, last)
        if key not in self._made:
            times = self._layout.times if last else 1
            padding = key_mask(self._rows, self._text, self._text, like).repeat(1, 1, times)
            seen = padding.new_zeros((len(padding), 1, keys - padding.shape[2]))
            self._made[key] = torch.cat([seen, padding] if last else [padding, seen], dim=2)
        return self._made[key]


def _own_positions(rows: torch.Tensor, text: int, layout: Layout) -> Any:
    """Moves each row's image back to where its own text ends: ids [1 or B, text and image, axes]."""

    def hook(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        ids = args[0].expand(len(rows), -1, -1).clone()
        image = slice(0, ids.shape[1] - text) if layout.last else slice(text, None)
        back = (text - rows).to(device=ids.device, dtype=ids.dtype)[:, None]
        for axis in layout.axes:
            ids[:, image, axis] -= back
        return (ids, *args[1:])

    return hook
