"""Merging encoded prompts and laying them out, against plain attention over each prompt alone."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")

from fullet_nodes.conditioning import (  # noqa: E402
    LENGTHS,
    REFERENCES,
    SIZES,
    key_mask,
    left_zeros,
    merge,
    repeated,
    rows_of,
    text_lengths,
    uneven,
    valid,
)
from fullet_nodes.inputs import Refused  # noqa: E402

WIDTH = 16


def prompt(length: int, seed: int = 0, **extras: object) -> tuple[torch.Tensor, dict[str, object]]:
    generator = torch.Generator().manual_seed(1000 * length + seed)
    return torch.randn((1, length, WIDTH), generator=generator), {"pooled_output": None, **extras}


def attend(queries: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Softmax attention over keys that are their own values, written out."""
    weights = queries @ keys.transpose(1, 2) / WIDTH**0.5
    return (weights if mask is None else weights + mask).softmax(-1) @ keys


def test_the_batch_is_as_long_as_its_longest_prompt() -> None:
    dice = random.Random(3)
    for _ in range(1000):
        lengths = [dice.randint(1, 700) for _ in range(dice.randint(1, 8))]
        text, options = merge([(torch.zeros((1, length, 1)), {}) for length in lengths])
        assert text.shape == (len(lengths), max(lengths), 1)
        assert text_lengths(options) == tuple(lengths)


def test_a_very_long_prompt_among_four_adds_its_own_share_only() -> None:
    short, long = 60, 1500  # about 6,000 characters
    text, _ = merge([prompt(short, i) for i in range(3)] + [prompt(long)])
    assert text.numel() == 4 * long * WIDTH


def test_rows_hold_their_own_prompt_and_nothing_else() -> None:
    prompts = [prompt(length) for length in (3, 9, 5)]
    text, options = merge(prompts)
    for i, (alone, _) in enumerate(prompts):
        assert torch.equal(text[i, : alone.shape[1]], alone[0])
        assert not text[i, alone.shape[1] :].any()
    assert options["pooled_output"] is None


def test_extras_are_kept_and_those_of_unequal_size_remember_it() -> None:
    mask = [torch.ones((1, length), dtype=torch.long) for length in (3, 5)]
    layers = [torch.randn((1, 2, length, 4)) for length in (7, 6)]
    pooled = [torch.randn((1, 8)) for _ in range(2)]
    encoded = [
        (
            prompt(length)[0],
            {"pooled_output": pooled[i], "attention_mask": mask[i], "layers": layers[i], "n": 1},
        )
        for i, length in enumerate((3, 5))
    ]
    _, options = merge(encoded)
    assert torch.equal(options["pooled_output"], torch.cat(pooled))
    assert options["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert options["layers"].shape == (2, 2, 7, 4)
    assert options["n"] == 1
    assert options[LENGTHS] == {
        "cross_attn": (1, (3, 5)),
        "attention_mask": (1, (3, 5)),
        "layers": (2, (7, 6)),
    }


@pytest.mark.parametrize(
    "extras",
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": object()}, {"a": object()}),
        ({"a": torch.zeros(2, 3)}, {"a": torch.zeros(2, 3)}),
        ({"a": [torch.zeros(1, 3)]}, {"a": [torch.zeros(1, 3)]}),
        ({"reference_latents": [torch.zeros(2, 3)]}, {"reference_latents": [torch.zeros(2, 3)]}),
    ],
)
def test_what_cannot_be_merged_is_refused(extras: tuple[dict[str, object], ...]) -> None:
    with pytest.raises(Refused, match="JoinRows: input row0: "):
        merge([(prompt(4)[0], each) for each in extras])


@pytest.mark.parametrize(
    "extras",
    [
        ({"a": torch.zeros(1, 2, 3)}, {"a": torch.zeros(1, 3, 4)}),
        ({"reference_latents": [torch.zeros(1, 3)]}, {"reference_latents": []}),
    ],
)
def test_sizes_that_do_not_go_together_are_these_peoples_and_no_refusal(
    extras: tuple[dict[str, object], ...],
) -> None:
    sentence = r"^The (people|pictures) of a batch have (unequal|different)"
    with pytest.raises(ValueError, match=sentence) as caught:
        merge([(prompt(4)[0], each) for each in extras])
    assert not isinstance(caught.value, Refused)


def test_each_person_keeps_their_own_references_and_mask() -> None:
    references = [torch.full((1, 4, 2, 2), float(i)) for i in range(6)]
    masks = [torch.rand((2, 3)), torch.rand((2, 3))]
    _, options = merge(
        [
            (prompt(4)[0], {"reference_latents": references[:3], "mask": masks[0]}),
            (prompt(4)[0], {"reference_latents": references[3:], "mask": masks[1]}),
        ]
    )
    assert torch.equal(options["mask"], torch.stack(masks))
    assert [batch[:, 0, 0, 0].tolist() for batch in options["reference_latents"]] == [[0, 3], [1, 4], [2, 5]]
    assert merge([(None, {}), (None, {})]) == (None, {LENGTHS: {}})


def test_hidden_keys_leave_each_row_its_lone_attention() -> None:
    lengths, image = (3, 9, 5), torch.randn((3, 7, WIDTH))
    text, _ = merge([prompt(length) for length in lengths])
    keys = torch.cat([text, image], dim=1)
    fused = attend(image, keys, key_mask(lengths, text.shape[1], keys.shape[1], keys))
    for i, length in enumerate(lengths):
        alone = attend(image[i : i + 1], torch.cat([text[i : i + 1, :length], image[i : i + 1]], dim=1))
        assert torch.allclose(fused[i], alone[0], atol=1e-6)
    assert not torch.allclose(attend(image, keys)[0], fused[0], atol=1e-3), (
        "padding must matter without the mask"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_mask_is_finite_in_every_type(dtype: torch.dtype) -> None:
    mask = key_mask((2, 4), 4, 6, torch.zeros(1, dtype=dtype))
    assert mask.dtype == dtype
    assert mask.isfinite().all()
    assert (mask == 0).tolist() == [[[True, True, False, False, True, True]], [[True] * 6]]


def test_repeated_keys_change_nothing_in_cross_attention() -> None:
    lengths, image = (2, 4), torch.randn((2, 5, WIDTH))
    text, _ = merge([prompt(length) for length in lengths])
    fused = attend(image, repeated(text, lengths, 4))
    for i, length in enumerate(lengths):
        assert torch.allclose(fused[i], attend(image[i : i + 1], text[i : i + 1, :length])[0], atol=1e-6)


def test_zeros_stand_before_the_text_as_the_model_itself_puts_them() -> None:
    text, _ = merge([prompt(length) for length in (3, 9)])
    laid = left_zeros(text, (3, 9), (6, 9))
    alone = torch.nn.functional.pad(text[:1, :3], (0, 0, 3, 0))
    assert torch.equal(laid[:1, :6], alone)
    assert not laid[0, 6:].any()
    assert torch.equal(laid[1], text[1])


def test_a_sub_batch_is_what_a_batch_of_its_own_would_be() -> None:
    lengths = (3, 9, 3)
    prompts = [prompt(length, i, attention_mask=torch.ones((1, length))) for i, length in enumerate(lengths)]
    text, options = merge(prompts)
    shared, references = torch.randn((1, 4)), [torch.randn((3, 2, 2, 2))]
    cond = {**options, "cross_attn": text, "shared": shared, "reference_latents": references, "guidance": 3.5}
    part = rows_of("positive", cond, (0, 2), 3)
    assert torch.equal(part["cross_attn"], torch.cat([prompts[0][0], prompts[2][0]]))
    assert part["attention_mask"].shape == (2, 3)
    assert part["shared"] is shared
    assert torch.equal(part["reference_latents"][0], references[0][[0, 2]])
    assert part["guidance"] == 3.5
    assert LENGTHS not in part


def test_a_sub_batch_has_its_own_rows_of_whatever_a_conditioning_holds() -> None:
    frames = [torch.arange(3.0).reshape(3, 1, 1), torch.zeros((1, 2, 2))]
    cond = {
        "mask": torch.arange(12.0).reshape(3, 2, 2),
        "nested": {"frames": frames, "strengths": [1.0, 0.5]},
        "area": (8, 8, 0, 0),
        "t5xxl_ids": torch.arange(3),
        "hooks": object(),
    }
    part = rows_of("positive", cond, (2, 1), 3)
    assert torch.equal(part["mask"], cond["mask"][[2, 1]])
    assert part["nested"]["frames"][0].flatten().tolist() == [2.0, 1.0]
    assert part["nested"]["frames"][1] is frames[1]
    assert part["nested"]["strengths"] == [1.0, 0.5]
    assert part["area"] == (8, 8, 0, 0)
    assert part["t5xxl_ids"] is cond["t5xxl_ids"]
    assert part["hooks"] is cond["hooks"]


def test_a_mask_of_two_dimensions_is_one_for_all_even_if_it_is_as_high_as_the_batch_is_long() -> None:
    mask = torch.rand((3, 7))
    assert rows_of("positive", {"mask": mask}, (1,), 3)["mask"] is mask


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (torch.zeros((2, 4, 4)), "its 'extra' has 2 rows for a batch of 3"),
        ([torch.zeros((2, 4))], "its 'extra' has 2 rows for a batch of 3"),
        (object(), r"its 'extra' \(object\) cannot be told apart by rows"),
        ({"picture": object()}, r"its 'extra' \(object\) cannot be told apart by rows"),
    ],
)
def test_what_has_no_row_for_each_is_refused(value: object, why: str) -> None:
    with pytest.raises(Refused, match=f"^FusedModel: input negative: {why}"):
        rows_of("negative", {"extra": value}, (0,), 3)


def test_tokens_without_rows_become_rows_and_a_lone_row_is_as_the_encoder_gave_it() -> None:
    """Anima's prompts also come as T5's tokens: one dimension, for one prompt."""
    ids = [torch.arange(3), torch.arange(5) + 10]
    encoded = [prompt(4, i, t5xxl_ids=each, t5xxl_weights=each / 2) for i, each in enumerate(ids)]
    text, options = merge(encoded)
    assert uneven(options)
    assert options["t5xxl_ids"].tolist() == [[0, 1, 2, 0, 0], [10, 11, 12, 13, 14]]
    for row, each in enumerate(ids):
        own = rows_of("positive", {"cross_attn": text, **options}, (row,), 2)
        assert torch.equal(own["t5xxl_ids"], each)
        assert torch.equal(own["t5xxl_weights"], each / 2)
    assert merge([prompt(4, 0, t5xxl_ids=ids[0])])[1]["t5xxl_ids"] is ids[0]
    assert uneven(
        merge([prompt(4, i, t5xxl_ids=ids[0]) for i in range(2)])[1]
    )  # stock would mistake the rows


def test_reference_pictures_are_each_rows_own_whatever_their_size() -> None:
    def picture(height: int, width: int) -> torch.Tensor:
        return torch.randn((1, 16, 1, height, width))

    references = [
        [picture(6, 4), picture(2, 2)],
        [picture(4, 8), picture(2, 2)],
        [picture(6, 4), picture(2, 2)],
    ]
    text, options = merge([prompt(4, i, reference_latents=each) for i, each in enumerate(references)])
    assert [tuple(each.shape) for each in options[REFERENCES]] == [(3, 16, 1, 6, 8), (3, 16, 1, 2, 2)]
    assert uneven(options)
    for row, each in enumerate(references):
        own = rows_of("positive", {"cross_attn": text, **options}, (row,), 3)
        assert all(torch.equal(a, b) for a, b in zip(own[REFERENCES], each, strict=True))
        assert SIZES not in own
    equal = merge([prompt(4, i, reference_latents=references[0]) for i in range(2)])[1]
    assert SIZES not in equal
    assert not uneven(equal)


def test_valid_marks_each_rows_own_tokens() -> None:
    assert valid((1, 3), 3).tolist() == [[True, False, False], [True, True, True]]
