"""Captions of unequal length in one call of a network that pads as Z-Image does, against each alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fullet_nodes.zimage import own_layout  # noqa: E402
from torch import nn  # noqa: E402

WIDTH, MULTIPLE, IMAGE = 16, 8, 6


class Layer(nn.Module):
    """Attention whose scores also depend on the tokens' positions."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, angles: torch.Tensor) -> torch.Tensor:
        q, k, v = self.mix(x).chunk(3, dim=-1)
        q, k = (torch.cat([each * angles.cos(), each * angles.sin()], dim=-1) for each in (q, k))
        scores = q @ k.mT / WIDTH**0.5
        weights = scores if mask is None else scores + mask
        return x + weights.softmax(-1) @ v


class Positions(nn.Module):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        frequencies = 0.7 ** torch.arange(WIDTH, dtype=torch.float32)
        return (ids @ torch.tensor([1.0, 0.3, 0.1]))[:, :, None] * frequencies


class Network(nn.Module):
    """Pads the embedded caption with a learned token to a multiple; the image stands after it."""

    pad_tokens_multiple = MULTIPLE

    def __init__(self) -> None:
        super().__init__()
        self.cap_embedder = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH))
        self.cap_pad_token = nn.Parameter(torch.randn((1, WIDTH)))
        self.rope_embedder = Positions()
        self.context_refiner = nn.ModuleList([Layer()])
        self.noise_refiner = nn.ModuleList([Layer()])
        self.layers = nn.ModuleList([Layer(), Layer()])

    def forward(self, image: torch.Tensor, caption: torch.Tensor) -> torch.Tensor:
        batch, caption = len(image), self.cap_embedder(caption)
        missing = -caption.shape[1] % MULTIPLE
        caption = torch.cat([caption, self.cap_pad_token[None].expand(batch, missing, -1)], dim=1)
        length = caption.shape[1]
        ids = torch.zeros((1, length, 3))
        ids[:, :, 0] = torch.arange(length) + 1.0
        caption_angles = self.rope_embedder(ids)
        ids = torch.zeros((1, IMAGE + 2, 3))  # two tokens of image padding at position 0
        ids[:, :IMAGE, 0] = length + 1.0
        ids[:, :IMAGE, 1] = torch.arange(IMAGE)
        image_angles = self.rope_embedder(ids)
        image = nn.functional.pad(image, (0, 0, 0, 2))
        for layer in self.context_refiner:
            caption = layer(caption, None, caption_angles)
        for layer in self.noise_refiner:
            image = layer(image, None, image_angles)
        both = torch.cat([caption, image], dim=1)
        for layer in self.layers:
            both = layer(both, None, torch.cat([caption_angles, image_angles], dim=1))
        return both[:, length : length + IMAGE]


@pytest.mark.parametrize("lengths", [(3, 5, 8), (3, 8, 9), (1, 30, 17, 16), (7, 7)])
def test_each_row_is_as_if_alone(lengths: tuple[int, ...]) -> None:
    torch.manual_seed(5)
    network, images = Network(), torch.randn((len(lengths), IMAGE, WIDTH))
    captions = [torch.randn((1, length, WIDTH)) for length in lengths]
    padded = torch.cat(
        [nn.functional.pad(each, (0, 0, 0, max(lengths) - each.shape[1])) for each in captions]
    )
    with torch.no_grad():
        with own_layout(network, torch.tensor(lengths)):
            fused = network(images, padded)
        for i, caption in enumerate(captions):
            assert torch.allclose(fused[i], network(images[i : i + 1], caption)[0], atol=1e-5)
        if len(set(lengths)) > 1:
            assert not torch.allclose(fused, network(images, padded), atol=1e-2), (
                "padding must matter without it"
            )


def test_the_network_is_itself_again_afterwards() -> None:
    network = Network()
    with pytest.raises(RuntimeError, match="out of memory"), own_layout(network, torch.tensor([3, 30])):
        raise RuntimeError("out of memory")
    hooks = [(m._forward_hooks, m._forward_pre_hooks) for m in network.modules()]
    assert not any(forward or before for forward, before in hooks)
