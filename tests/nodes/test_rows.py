"""JoinRows and TakeRow: each row is what its owner's nodes gave, and what is not known to join is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fullet_nodes.conditioning import GUARD  # noqa: E402
from fullet_nodes.inputs import Refused  # noqa: E402
from fullet_nodes.rows import JoinRows, TakeRow  # noqa: E402


def join(*rows: Any) -> Any:
    """As ComfyUI calls it: each input as a list of what a node gave."""
    return JoinRows().join(**{f"row{i}": [row] for i, row in enumerate(rows)})[0]


def text(length: int, value: float = 1.0, **extras: Any) -> list[list[Any]]:
    return [[torch.full((1, length, 2), value), {"pooled_output": None, **extras}]]


def test_texts_of_unequal_length_refuse_to_be_sampled_without_fused_model() -> None:
    ((_, options),) = join(text(2), text(1))
    with pytest.raises(Refused, match=r"unequal size .*put FusedModel before the sampler"):
        options["model_conds"][GUARD].process_cond(batch_size=2, area=None)
    ((_, options),) = join(text(2), text(2))
    assert "model_conds" not in options


def test_a_conditioning_of_several_parts_is_joined_part_by_part() -> None:
    rows = [[*text(3, 1.0 + i), *text(2, 10.0 + i, area=(8, 8, 0, 0), strength=0.5)] for i in range(2)]
    joined = join(*rows)
    assert [part[0][:, 0, 0].tolist() for part in joined] == [[1, 2], [10, 11]]
    assert joined[1][1]["area"] == (8, 8, 0, 0)
    with pytest.raises(ValueError, match="different numbers of parts"):
        join(rows[0], rows[1][:1])


def latent(value: float, rows: int = 1, **more: Any) -> dict[str, Any]:
    return {"samples": torch.full((rows, 4, 2, 2), value), **more}


def test_a_latent_goes_in_and_comes_out_as_it_was() -> None:
    masks = [torch.rand((1, 1, 16, 16)) for _ in range(2)]
    alone = [latent(i, noise_mask=mask, downscale_ratio_spacial=8) for i, mask in enumerate(masks)]
    joined = join(*alone)
    assert joined["samples"].shape == (2, 4, 2, 2)
    for i, own in enumerate(alone):
        (back,) = TakeRow().take(joined, i)
        assert back.keys() == own.keys()
        assert torch.equal(back["samples"], own["samples"])
        assert torch.equal(back["noise_mask"], own["noise_mask"])
    with pytest.raises(Refused, match="no row 2 in a batch of 2"):
        TakeRow().take(joined, 2)


def test_masks_of_latents_with_frames_are_one_per_picture() -> None:
    samples, mask = torch.zeros((1, 4, 1, 2, 2)), torch.rand((1, 1, 16, 16))
    joined = join(*[{"samples": samples, "noise_mask": mask * i} for i in range(3)])
    assert joined["noise_mask"].shape == (3, 1, 1, 16, 16)
    assert torch.equal(joined["noise_mask"][2, 0], mask[0] * 2)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([latent(0, 4), latent(1, 4)], "each person has 4 latents, of which only the first is delivered"),
        ([latent(0), latent(1, noise_mask=torch.zeros((1, 2, 2)))], "hold different things"),
        ([latent(0, batch_index=[3]), latent(1, batch_index=[3])], "a later picture of a batch"),
        ([latent(0, kind="a"), latent(1, kind="b")], "the latents' kind differs"),
        ([torch.zeros((2, 8, 8, 3))] * 2, "each person has 2 pictures"),
        ([object(), object()], "it cannot join values of type object"),
    ],
)
def test_what_is_not_known_to_join_is_refused(rows: list[Any], why: str) -> None:
    with pytest.raises(Refused, match=f"^JoinRows: input row0: .*{why}"):
        join(*rows)


def test_what_a_node_gives_one_after_another_is_refused() -> None:
    with pytest.raises(Refused, match="several things one after another"):
        JoinRows().join(row0=[1, 2])


def test_values_that_are_no_rows_must_be_equal() -> None:
    sigmas = torch.tensor([14.6, 3.0, 0.0])
    assert join(sigmas, sigmas.clone()) is sigmas
    assert join(64, 64) == 64
    for rows in ((64, 128), (sigmas, sigmas[:2]), (torch.zeros((1, 8, 8, 3)), torch.zeros((1, 8, 9, 3)))):
        with pytest.raises(ValueError, match="unequal sizes") as caught:
            join(*rows)
        assert not isinstance(caught.value, Refused)


class Net(SimpleNamespace):
    """What a control net of ComfyUI's holds."""


NETWORK = object()


def control(hint: Any, before: Any = None, **more: Any) -> Net:
    return Net(**{
        "control_model": NETWORK, "cond_hint_original": hint, "extra_concat_orig": [], "strength": 0.7,
        "extra_args": {}, "previous_controlnet": before, "load_device": torch.device("cpu"), **more,
    })  # fmt: skip


def test_a_control_net_gets_each_persons_hint_and_so_does_the_one_before_it() -> None:
    hints = [torch.rand((1, 3, 8, 8)) for _ in range(4)]
    nets = [control(hints[i], control(hints[2 + i])) for i in range(2)]
    sides = [join(*(text(2, control=net) for net in nets))[0][1]["control"] for _ in range(2)]
    assert sides[0] is sides[1], "positive and negative share it, so that they may run stacked"
    assert torch.equal(sides[0].cond_hint_original, torch.cat(hints[:2]))
    assert torch.equal(sides[0].previous_controlnet.cond_hint_original, torch.cat(hints[2:]))
    assert torch.equal(nets[0].cond_hint_original, hints[0])


@pytest.mark.parametrize(
    "other",
    [
        control(torch.rand((1, 3, 8, 8)), strength=0.8),
        control(torch.rand((1, 3, 8, 8)), control_model=object()),
        control(torch.rand((2, 3, 8, 8))),
        control(torch.rand((1, 3, 8, 8)), control(torch.rand((1, 3, 8, 8)))),
        control(torch.rand((1, 3, 8, 8)), another=1),
        None,
    ],
)
def test_control_nets_that_differ_by_more_than_their_pictures_are_refused(other: Any) -> None:
    with pytest.raises(Refused, match="control net"):
        join(text(2, control=control(torch.rand((1, 3, 8, 8)))), text(2, control=other))


def test_its_types_go_with_every_other() -> None:
    """ComfyUI compares them by ``!=``, what is received first."""
    (given,), taken = JoinRows.RETURN_TYPES, JoinRows.INPUT_TYPES()["optional"]["row63"][0]
    for other in ("LATENT", "CONDITIONING", "INT"):
        assert not given != other  # noqa: SIM202
        assert not other != taken  # noqa: SIM202
    assert json.dumps([given]) == '["*"]'
