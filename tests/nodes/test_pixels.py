"""From tensors to files and rough colours, without anything but the picture in them."""

from __future__ import annotations

import io
import struct
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

from fullet_nodes.latents import latent_to_rgb  # noqa: E402
from fullet_nodes.pixels import encode, picture_to_tensor  # noqa: E402
from PIL import Image  # noqa: E402


def image(channels: int = 3) -> torch.Tensor:
    return torch.rand((20, 30, channels), generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1


def png_chunks(content: bytes) -> list[str]:
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append(content[at + 4 : at + 8].decode())
        at += 12 + length
    assert at == len(content), "nothing stands after the last chunk"
    return chunks


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_holds_the_stock_nodes_pixels_and_nothing_else(channels: int) -> None:
    tensor = image(channels)
    content = encode(tensor, "png", 90)
    stock = np.clip(255.0 * tensor.numpy(), 0, 255).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), stock.squeeze())
    assert set(png_chunks(content)) == {"IHDR", "IDAT", "IEND"}


@pytest.mark.parametrize(("kind", "channels"), [("webp", 3), ("webp", 4), ("jpeg", 3), ("jpeg", 4)])
def test_smaller_formats_hold_no_metadata(kind: str, channels: int) -> None:
    small, big = (encode(image(channels), kind, quality) for quality in (10, 95))
    with Image.open(io.BytesIO(small)) as opened:
        assert opened.format == kind.upper()
        assert opened.size == (30, 20)
        assert not opened.getexif()
        assert not {"exif", "xmp", "icc_profile", "comment"} & set(opened.info)
    assert len(small) < len(big)


def test_numbers_that_are_none_become_black() -> None:
    content = encode(torch.full((2, 2, 3), float("nan")), "png", 90)
    assert Image.open(io.BytesIO(content)).getpixel((0, 0)) == (0, 0, 0)


def test_a_picture_comes_back_as_it_went() -> None:
    tensor = picture_to_tensor(Image.open(io.BytesIO(encode(image().clamp(0, 1), "png", 90))))
    assert tensor.shape == (1, 20, 30, 3)
    assert (tensor[0] - image().clamp(0, 1)).abs().max() <= 1 / 255


def test_rough_colours_are_each_rows_own() -> None:
    latent = torch.randn((3, 4, 5, 6))
    factors = [[0.1, 0.2, 0.3], [0.0, 0.1, 0.0], [0.2, 0.0, 0.1], [0.0, 0.0, 0.5]]
    form = SimpleNamespace(latent_rgb_factors=factors, latent_rgb_factors_bias=[0.1, 0.0, -0.1])
    colours = latent_to_rgb(latent, form)
    assert colours.shape == (3, 5, 6, 3)
    assert colours.dtype == torch.uint8
    assert torch.equal(colours[1:2], latent_to_rgb(latent[1:2], form))
    expected = (latent[0, :, 2, 3] @ torch.tensor(factors) + torch.tensor([0.1, 0.0, -0.1]) + 1) * 127.5
    assert (colours[0, 2, 3] - expected.clamp(0, 255)).abs().max() <= 1
