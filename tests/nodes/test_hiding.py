"""Texts of unequal length in one call of a network, by masks and positions, against each text alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fullet_nodes.hiding import hidden  # noqa: E402
from fullet_nodes.layouts import Layout  # noqa: E402
from torch import nn  # noqa: E402

WIDTH, IMAGE = 16, 7
LENGTHS = (3, 12, 7)  # one is as long as the image


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, mask: object = None) -> torch.Tensor:
    scores = q @ k.mT / WIDTH**0.5
    return (scores if mask is None else scores + mask).softmax(-1) @ v


class Block(nn.Module):
    """Attends as ComfyUI's blocks do: an override of attention gets the function and its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x: torch.Tensor, other: object = None, *, transformer_options: object = None) -> object:
        both = x if other is None else torch.cat([x, other], dim=1)
        override = (transformer_options or {}).get("optimized_attention_override")
        q, k, v = self.mix(both).chunk(3, dim=-1)
        out = both + (override(plain, q, k, v, 1) if override else plain(q, k, v, 1))
        return out if other is None else (out[:, : x.shape[1]], out[:, x.shape[1] :])


class Masked(Block):
    def forward(self, x: torch.Tensor, *, attention_mask: object = None) -> object:
        q, k, v = self.mix(x).chunk(3, dim=-1)
        return x + plain(q, k, v, 1, attention_mask)


class Network(nn.Module):
    """Refines the text, then attends to text and image together; a third block sees the image only."""

    def __init__(self, *, last: bool = False, times: int = 1, block: type[nn.Module] = Block) -> None:
        super().__init__()
        self.last, self.times = last, times
        self.refiner, self.layers = nn.ModuleList([Block()]), nn.ModuleList([block(), block()])
        self.inner = nn.ModuleDict({"positions": nn.Identity()})
        self.of_image = Block()

    def forward(self, image: torch.Tensor, text: torch.Tensor, options: dict[str, object]) -> torch.Tensor:
        text = self.refiner[0](text, transformer_options=options)
        image = self.of_image(image, transformer_options=options)
        length = text.shape[1]
        ids = torch.zeros((1, length + IMAGE, 2))
        ids[:, :length, 0] = torch.arange(length)
        ids[:, length:, 0] = length
        ids[:, length:, 1] = torch.arange(IMAGE)
        ids = ids.roll(-length, dims=1) if self.last else ids
        ids = self.inner["positions"](ids)
        texts = [text] * self.times
        x = torch.cat([image, *texts] if self.last else [text, image], dim=1)
        if self.times == 1:
            x = x + (ids @ torch.tensor([1.0, 0.3]))[:, :, None].sin()
        for layer in self.layers:
            x = layer(x, **({} if isinstance(layer, Masked) else {"transformer_options": options}))
        return x[:, :IMAGE] if self.last else x[:, length:]


@pytest.mark.parametrize(
    ("how", "layout"),
    [
        ({}, Layout(text=("refiner",), joint=("layers",), positions="inner.positions", axes=(0,))),
        (
            {"last": True, "block": Masked},
            Layout(
                joint=("layers",), last=True, mask="attention_mask", positions="inner.positions", axes=(0,)
            ),
        ),
        ({"last": True, "times": 2}, Layout(text=("refiner",), joint=("layers",), last=True, times=2)),
    ],
)
def test_each_text_is_as_if_alone(how: dict[str, object], layout: Layout) -> None:
    torch.manual_seed(5)
    network = Network(**how).double().eval()  # type: ignore[arg-type]
    if not layout.text:
        network.refiner[0] = nn.Identity()  # type: ignore[assignment]
        network.refiner[0].forward = lambda text, **_: text
    torch.set_default_dtype(torch.float64)
    try:
        image = torch.randn((len(LENGTHS), IMAGE, WIDTH))
        text = torch.randn((len(LENGTHS), max(LENGTHS), WIDTH))
        alone = [network(image[[i]], text[[i], :n], {}) for i, n in enumerate(LENGTHS)]
        before = network(image, text, {})
        with hidden(network, layout, torch.tensor(LENGTHS), max(LENGTHS), {}):
            together = network(image, text, {})
        after = network(image, text, {})
    finally:
        torch.set_default_dtype(torch.float32)
    assert (together - torch.cat(alone)).abs().max() < 1e-12
    assert (before - torch.cat(alone)).abs().max() > 1e-2
    assert torch.equal(before, after)  # nothing stays behind


def test_an_override_of_the_users_still_gets_its_say() -> None:
    torch.manual_seed(6)
    network, calls = Network(), []

    def theirs(function: object, *args: object, **more: object) -> object:
        calls.append(more["mask"] is not None)
        return function(*args, **more)  # type: ignore[operator]

    layout = Layout(text=("refiner",), joint=("layers",))
    with hidden(network, layout, torch.tensor([2, 5]), 5, {}):
        image, text = torch.randn((2, IMAGE, WIDTH)), torch.randn((2, 5, WIDTH))
        network(
            image,
            text,
            {"optimized_attention_override": lambda f, *a, mask=None, **k: theirs(f, *a, mask=mask)},
        )
    assert calls == [True, False, True, True]  # the image's own attention has no mask


def test_a_blocks_attention_to_the_image_alone_is_left_as_it_is() -> None:
    class Both(Block):
        def forward(
            self, x: torch.Tensor, other: torch.Tensor, *, transformer_options: object = None
        ) -> object:
            x, other = super().forward(x, other, transformer_options=transformer_options)
            return x, Block.forward(self, other, transformer_options=transformer_options)

    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([Both(), Both()])

        def forward(self, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                text, image = block(text, image, transformer_options={})
            return image

    torch.manual_seed(7)
    network = Pairs().double()
    text, image = torch.randn((2, 9, WIDTH)).double(), torch.randn((2, IMAGE, WIDTH)).double()
    alone = torch.cat([network(text[:1, :4], image[:1]), network(text[1:], image[1:])])
    with hidden(network, Layout(joint=("blocks",), pair=True), torch.tensor([4, 9]), 9, {}):
        assert (network(text, image) - alone).abs().max() < 1e-12


def test_a_rope_option_that_says_where_the_image_stands_is_obeyed() -> None:
    network = Network()
    seen = []
    network.inner["positions"].register_forward_hook(lambda _m, args, _out: seen.append(args[0]))
    layout = Layout(positions="inner.positions", axes=(0,), unless="shift_y")
    image, text = torch.randn((2, IMAGE, WIDTH)), torch.randn((2, 5, WIDTH))
    for options in ({}, {"rope_options": {"shift_y": 3.0}}):
        with hidden(network, layout, torch.tensor([2, 5]), 5, options):
            network(image, text, {})
    own, given = seen
    assert own[:, 5:, 0].unique(dim=1).tolist() == [[2.0], [5.0]]
    assert given[:, 5:, 0].unique(dim=1).tolist() == [[5.0]]
