# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges encoded prompts into one batch with their true lengths and lays them out (torch only)."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import torch

from .inputs import Refused

LENGTHS = "fullet_lengths"  # in a conditioning's options: name -> (dimension, each row's true size there)
GUARD = "fullet_guard"  # in a conditioning's model_conds: refuses to be sampled without FusedModel
WHOLE = frozenset({"additional_models", "control", "hooks", "model_conds", "uuid"})  # of a conditioning
_NODE = "JoinRows"
_JOINED = "fullet_joined"  # on a control net: (the control nets that were joined, the result)
TEXT = "cross_attn"  # the text itself under LENGTHS, named as ComfyUI names it once converted
REFERENCES = "reference_latents"  # a list of tensors, each with one row per prompt
SECOND_TEXT = "conditioning_llama3"  # HiDream's, [rows, layers, tokens, D]
SIZES = "fullet_sizes"  # in a conditioning's options: of each of its REFERENCES, every row's true h and w
PLAIN_NUMBERS = frozenset({"t5xxl_ids", "t5xxl_weights"})  # one dimension: one number per token, no rows

Lengths = dict[str, tuple[int, tuple[int, ...]]]


def merge(encoded: Sequence[tuple[Any, Mapping[str, Any]]]) -> tuple[Any, dict[str, Any]]:
    """One conditioning [N, longest, D] of N encoded prompts [1, L_i, D] and their extras.

    Texts of unequal length are filled with zeros at their end; LENGTHS holds the true lengths of all, and
    also those of whatever else is unequal in one dimension. A text may be None in all rows.
    """
    texts, lengths = [each[0] for each in encoded], {}
    names = encoded[0][1].keys()
    if any(each[1].keys() != names for each in encoded):
        raise Refused(_NODE, "row0", "its extras differ between people, and cannot be merged.")
    text = None
    if any(each is not None for each in texts):
        if not all(isinstance(each, torch.Tensor) for each in texts):
            raise Refused(_NODE, "row0", "it is not a text tensor for each person.")
        text = _counted(TEXT, texts, lengths)
    extras = {name: _merge_extra(name, [each[1][name] for each in encoded], lengths) for name in names}
    sizes = _unequal_sizes([each[1].get(REFERENCES, ()) for each in encoded])
    return text, {**extras, LENGTHS: lengths, **({SIZES: sizes} if sizes else {})}


def text_lengths(options: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The true token lengths that JoinRows wrote, or None for a conditioning that it did not make."""
    return options.get(LENGTHS, {}).get(TEXT, (1, None))[1]


def uneven(options: Mapping[str, Any]) -> bool:
    """Whether merged rows must not be sampled as they are."""
    lengths: Lengths = options[LENGTHS]
    unequal = any(len(set(sizes)) > 1 for _, sizes in lengths.values())
    return unequal or SIZES in options or not PLAIN_NUMBERS.isdisjoint(lengths)


def left_zeros(text: torch.Tensor, lengths: Sequence[int], rows: Sequence[int]) -> torch.Tensor:
    """[N, max(rows), D]: row i's text ends at rows[i]; zeros before it and, up to the longest, after it."""
    out = text.new_zeros((len(rows), max(rows), text.shape[2]))
    for i, (length, end) in enumerate(zip(lengths, rows, strict=True)):
        out[i, end - length : end] = text[i, :length]
    return out


def repeated(text: torch.Tensor, lengths: Sequence[int], total: int) -> torch.Tensor:
    """[N, total, D]: each row's own tokens again and again; `total` is a multiple of every length."""
    return torch.stack([text[i, :length].repeat(total // length, 1) for i, length in enumerate(lengths)])


def valid(
    lengths: Sequence[int] | torch.Tensor, total: int, device: torch.device | str | None = None
) -> torch.Tensor:
    """bool [N, total]: True on each row's first lengths[i] tokens."""
    counts = torch.as_tensor(lengths, device=device)
    return torch.arange(total, device=device)[None, :] < counts[:, None]


def key_mask(lengths: Sequence[int] | torch.Tensor, text: int, keys: int, like: torch.Tensor) -> torch.Tensor:
    """Additive [N, 1, keys], in dtype and device as `like`: hides text tokens from lengths[i] up to `text`.

    The keys after the text (the image's) are all seen. The lowest finite number stands for minus
    infinity: some attention kernels turn a real infinity into NaN.
    """
    seen = torch.ones((len(lengths), keys), dtype=torch.bool, device=like.device)
    seen[:, :text] = valid(lengths, text, like.device)
    mask = torch.zeros((len(lengths), 1, keys), dtype=like.dtype, device=like.device)
    return mask.masked_fill_(~seen[:, None, :], torch.finfo(like.dtype).min)


def rows_of(kind: str, options: Mapping[str, Any], rows: Sequence[int], batch: int) -> dict[str, Any]:
    """A converted conditioning for some rows of a batch, each merged tensor cut to those rows' true size.

    Rows must be of equal true sizes. A tensor holds one row for each of the batch, or one for all. Anything
    else that is not plain data has no known rows and is refused, except what belongs to the conditioning as a
    whole (WHOLE), which stays as it is.
    """
    out = {
        name: value if name in WHOLE else _rows(kind, name, value, rows, batch)
        for name, value in options.items()
        if name not in (LENGTHS, SIZES)
    }
    for i, sizes in enumerate(options.get(SIZES, ())):
        height, width = sizes[rows[0]] if len(sizes) == batch else sizes[0]
        out[REFERENCES][i] = out[REFERENCES][i][..., :height, :width]
    for name, (dim, sizes) in options.get(LENGTHS, {}).items():
        if out.get(name) is not None:
            size = sizes[rows[0]] if len(sizes) == batch else sizes[0]
            out[name] = out[name].narrow(dim, 0, size)
    for name in PLAIN_NUMBERS & out.keys():
        out[name] = out[name][0] if len(rows) == 1 and out[name].ndim == 2 else out[name]
    return out


def _rows(kind: str, name: str, value: Any, rows: Sequence[int], batch: int) -> Any:
    if isinstance(value, torch.Tensor):
        # A tensor of one dimension has no rows; a mask of two dimensions is one for all rows.
        if value.ndim < 2 or (name == "mask" and value.ndim == 2) or value.shape[0] == 1:
            return value
        if value.shape[0] != batch:
            raise Refused(
                "FusedModel", kind, f"its '{name}' has {value.shape[0]} rows for a batch of {batch}."
            )
        return value[list(rows)]
    if isinstance(value, (list, tuple)):
        found = [_rows(kind, name, each, rows, batch) for each in value]
        return found if isinstance(value, list) else tuple(found)
    if isinstance(value, dict):
        return {key: _rows(kind, name, each, rows, batch) for key, each in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise Refused("FusedModel", kind, f"its '{name}' ({type(value).__name__}) cannot be told apart by rows.")


_PLAIN = (bool, int, float, str, bytes, Enum, torch.device, torch.dtype)


def alike(a: Any, b: Any) -> bool:
    """Whether two values are one object, or equal plain data, tensors among them."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(alike(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    return isinstance(a, _PLAIN) and a == b


def joined_tensors(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """[N, …] of rows [1, …], which must be of one size."""
    if len({tuple(row.shape[1:]) for row in rows}) > 1:
        raise ValueError("The pictures of a batch have unequal sizes, which cannot run together.")
    return torch.cat(list(rows)) if len(rows) > 1 else rows[0]


def _merge_extra(name: str, values: list[Any], lengths: Lengths) -> Any:
    if name in PLAIN_NUMBERS and len(values) > 1:
        return _counted(name, [value[None] for value in values], lengths)
    first = values[0]
    if name == "control":
        return _control(values)
    if name == REFERENCES:
        return _merge_references(values)
    if all(isinstance(value, torch.Tensor) for value in values):
        if name == "mask" and first.ndim == 2:
            values = [value[None] for value in values]
        return _batch(name, values, lengths)
    if not all(alike(value, first) for value in values):
        raise Refused(_NODE, "row0", f"its '{name}' differs between people, and cannot be merged.")
    if any(isinstance(part, torch.Tensor) for part in _parts(first)) and len(values) > 1:
        raise Refused(_NODE, "row0", f"its '{name}' is not known to go with each row.")
    return first


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _parts(each)
    else:
        yield value


# What a control net holds of a picture; the rest must be the same for everybody.
_HINTS = frozenset({"cond_hint_original", "extra_concat_orig", "previous_controlnet", _JOINED})


def _control(controls: list[Any]) -> Any:
    """A control net, and those before it, with everybody's hints. What positive and negative share, they go
    on sharing: they may run stacked."""
    first = controls[0]
    if len(controls) == 1 or all(control is None for control in controls):
        return first
    former, joined = getattr(first, _JOINED, ((), None))
    if len(former) == len(controls) and all(map(operator.is_, former, controls)):
        return joined
    kept = [_but_hints(control) for control in controls]
    if not all(alike(each, kept[0]) for each in kept):
        raise Refused(_NODE, "row0", "its control nets differ between people by more than their pictures.")
    joined = copy.copy(first)
    joined.cond_hint_original = joined_tensors([_hint(control.cond_hint_original) for control in controls])
    concats = zip(*(control.extra_concat_orig for control in controls), strict=True)
    joined.extra_concat_orig = [joined_tensors([_hint(each) for each in column]) for column in concats]
    joined.previous_controlnet = _control([control.previous_controlnet for control in controls])
    setattr(first, _JOINED, (controls, joined))
    return joined


def _but_hints(control: Any) -> tuple[type, dict[str, Any]]:
    held = {} if control is None else vars(control)
    return type(control), {name: value for name, value in held.items() if name not in _HINTS}


def _hint(hint: Any) -> torch.Tensor:
    if not isinstance(hint, torch.Tensor) or hint.shape[0] != 1:
        raise Refused(_NODE, "row0", "a control net does not have exactly one picture for each person.")
    return hint


def _counted(name: str, values: list[torch.Tensor], lengths: Lengths) -> torch.Tensor:
    """Like _batch, but the sizes are in `lengths` even if they are equal."""
    batch = _batch(name, values, lengths)
    lengths.setdefault(name, (1, tuple(value.shape[1] for value in values)))
    return batch


def _merge_references(values: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """Row i of each is prompt i's reference, filled with zeros below and on the right."""
    if len({tuple(each.shape[1:-2] for each in references) for references in values}) > 1:
        raise ValueError("The people of a batch have different numbers of reference pictures.")
    if len(values) > 1 and any(each.shape[0] != 1 for references in values for each in references):
        raise Refused(_NODE, "row0", "a person refers to several pictures at once.")
    batches = []
    for each in zip(*values, strict=True):
        height, width = (max(one.shape[d] for one in each) for d in (-2, -1))
        fill = [(0, width - one.shape[-1], 0, height - one.shape[-2]) for one in each]
        batches.append(
            torch.cat([torch.nn.functional.pad(one, by) for one, by in zip(each, fill, strict=True)])
        )
    return batches


def _unequal_sizes(values: list[Sequence[torch.Tensor]]) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Of each reference, every row's height and width; empty if no reference differs between rows."""
    sizes = tuple(tuple((one.shape[-2], one.shape[-1]) for one in each) for each in zip(*values, strict=True))
    return sizes if any(len(set(each)) > 1 for each in sizes) else ()


def _batch(name: str, values: list[torch.Tensor], lengths: Lengths) -> torch.Tensor:
    shapes = {tuple(value.shape) for value in values}
    if any(not shape or shape[0] != 1 for shape in shapes) and len(values) > 1:
        raise Refused(_NODE, "row0", f"its '{name}' is not one row for each person, and cannot be merged.")
    if len(shapes) == 1:
        return torch.cat(values) if len(values) > 1 else values[0]
    dim = _only_unequal_dimension(name, shapes)
    sizes = tuple(value.shape[dim] for value in values)
    lengths[name] = (dim, sizes)
    return torch.cat([_filled(value, dim, max(sizes)) for value in values])


def _only_unequal_dimension(name: str, shapes: set[tuple[int, ...]]) -> int:
    ranks = {len(shape) for shape in shapes}
    unequal = [d for d in range(min(ranks)) if len({shape[d] for shape in shapes}) > 1]
    if len(ranks) != 1 or len(unequal) != 1:
        raise ValueError(f"The people of a batch have unequal sizes of '{name}': {sorted(shapes)}.")
    return unequal[0]


def _filled(value: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    shape = list(value.shape)
    shape[dim] = size - shape[dim]
    return torch.cat([value, value.new_zeros(shape)], dim=dim)
