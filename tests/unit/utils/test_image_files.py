"""Files on their way out: only the picture and its owner's own words, whatever lay beside it."""

from __future__ import annotations

import io
import json
import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from modules.queue_manager.jobs import Size, Variation
from modules.utils.images.files import NotRewritable, rewrite
from modules.utils.images.media_types import media_type
from modules.utils.images.metadata import OwnMetadata, chunk, json_text, parameters_text
from tests.examples import examples

FOREIGN = "SOMEBODY-ELSES-PROMPT"
FORMATS = ("PNG", "JPEG", "WEBP")
OWN = OwnMetadata(
    prompt="a lighthouse, 100% ñandú 🦊",
    negative="blurry",
    seed=2**53 - 1,
    model="flux",
    models=("flux", "Upscale ×2"),
    steps=4,
    variation=Variation(seed=7, strength=0.2),
)


SIDES = Size(width=37, height=23)


def canvas(mode: str = "RGB") -> Image.Image:
    return Image.frombytes("RGB", (37, 23), random.Random(1).randbytes(37 * 23 * 3)).convert(mode)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def talkative(kind: str) -> bytes:
    """A file that says ``FOREIGN`` in every place its kind has for words."""
    exif = Image.Exif()
    exif[0x010E] = FOREIGN
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 29: FOREIGN}
    options: dict[str, Any] = {"exif": exif, "icc_profile": FOREIGN.encode(), "xmp": FOREIGN.encode()}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("prompt", FOREIGN)
        info.add_text("workflow", FOREIGN, zip=True)
        info.add_itxt("parameters", FOREIGN)
        options["pnginfo"] = info
        del options["xmp"]
    if kind == "JPEG":
        options["comment"] = FOREIGN
    data = encoded(canvas(), kind, **options)
    if kind == "PNG":
        end = data.rindex(b"IEND") - 4
        data = data[:end] + chunk(b"prVt", FOREIGN.encode()) + data[end:]
    assert FOREIGN.encode() in data
    return data + FOREIGN.encode()


def pixels(data: bytes) -> tuple[str, Size, bytes]:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.mode, Size(width=picture.width, height=picture.height), picture.tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_of_anybody_else_is_left_and_the_pixels_are_the_same(kind: str) -> None:
    data = talkative(kind)
    for metadata in (None, OWN):
        written, size = rewrite(data, metadata)
        assert FOREIGN.encode() not in written
        assert size == Size(width=37, height=23)
        assert pixels(written) == pixels(data)
        with Image.open(io.BytesIO(written)) as picture:
            assert set(picture.info) <= {
                *("parameters", "fullet") * (metadata is not None),
                *("exif",) * (metadata is not None and kind != "PNG"),
                *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "loop", "background"),
                *("timestamp", "duration"),
            }


@pytest.mark.parametrize("kind", FORMATS)
def test_without_metadata_a_file_says_nothing(kind: str) -> None:
    written, _ = rewrite(talkative(kind), None)
    with Image.open(io.BytesIO(written)) as picture:
        assert not picture.getexif()
        assert "parameters" not in picture.info
    assert rewrite(written, None)[0] == written


def read_back(data: bytes) -> tuple[str, dict[str, Any]]:
    """The ``parameters`` text and the JSON, as other programs find them."""
    with Image.open(io.BytesIO(data)) as picture:
        if picture.format == "PNG":
            return picture.info["parameters"], json.loads(picture.info["fullet"])
        exif = picture.getexif()
        comment = exif.get_ifd(0x8769)[0x9286]
        assert comment[:8] == b"UNICODE\0"
        return comment[8:].decode("utf-16-be"), json.loads(exif[0x010E])


@pytest.mark.parametrize("kind", FORMATS)
def test_the_owners_own_words_are_read_back_by_others(kind: str) -> None:
    text, value = read_back(rewrite(encoded(canvas(), kind), OWN)[0])
    assert text == (
        "a lighthouse, 100% ñandú 🦊\nNegative prompt: blurry\n"
        'Steps: 4, Seed: 9007199254740991, Size: 37x23, Model: flux, Models: "flux, Upscale ×2", '
        "Variation seed: 7, Variation seed strength: 0.2, Version: FuLLet"
    )
    assert value == {
        "software": "FuLLet",
        "prompt": OWN.prompt,
        "negative": "blurry",
        "seed": OWN.seed,
        "model": "flux",
        "models": ["flux", "Upscale ×2"],
        "width": 37,
        "height": 23,
        "steps": 4,
        "variation": {"seed": 7, "strength": 0.2},
    }


@settings(max_examples=examples(30), deadline=None)
@given(
    prompt=st.text(st.characters(), max_size=400),
    negative=st.text(st.characters(), max_size=20),
    model=st.text(max_size=10),
    kind=st.sampled_from(FORMATS),
)
def test_any_words_survive_in_any_format(prompt: str, negative: str, model: str, kind: str) -> None:
    own = OwnMetadata(prompt=prompt, negative=negative, seed=1, model=model)
    text, value = read_back(rewrite(encoded(canvas(), kind), own)[0])
    assert text == parameters_text(own, SIDES)
    assert value == json.loads(json_text(own, SIDES))
    assert value["prompt"] == prompt


@pytest.mark.parametrize("kind", FORMATS)
def test_a_prompt_too_long_for_a_segment_is_cut_and_the_picture_is_whole(kind: str) -> None:
    own = OwnMetadata(prompt="🦊" * 40_000, seed=1, model="m")
    data = encoded(canvas(), kind)
    written, _ = rewrite(data, own)
    assert pixels(written) == pixels(data)


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": 3}),
        ("PNG", "L", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "RGB", {"restart_marker_blocks": 2}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGBA", {"quality": 40}),
        ("WEBP", "RGB", {"lossless": True}),
    ],
)
def test_every_kind_of_pixels_survives(kind: str, mode: str, options: dict[str, Any]) -> None:
    picture = canvas().convert(mode)
    if mode == "RGBA":
        picture.putalpha(canvas("L"))
    data = encoded(picture, kind, **options)
    for metadata in (None, OWN):
        assert pixels(rewrite(data, metadata)[0]) == pixels(data)


def test_an_animation_is_not_passed_on_as_it_is() -> None:
    frames = {"save_all": True, "append_images": [Image.new("RGB", (37, 23), "red")]}
    with pytest.raises(NotRewritable):
        rewrite(encoded(canvas(), "WEBP", **frames), None)
    animated = encoded(canvas(), "PNG", **frames)
    with Image.open(io.BytesIO(rewrite(animated, None)[0])) as still:
        assert getattr(still, "n_frames", 1) == 1


@settings(max_examples=examples(70), deadline=None)
@given(data=st.data(), kind=st.sampled_from(FORMATS))
def test_a_damaged_file_is_refused_or_passed_on_and_nothing_else(data: st.DataObject, kind: str) -> None:
    whole = bytearray(talkative(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    for broken in (bytes(whole), bytes(cut)):
        try:
            written, _ = rewrite(broken, OWN)
        except NotRewritable:
            continue
        assert len(written) < len(broken) + 3000


def test_a_webp_without_a_size_is_refused() -> None:
    data = encoded(canvas(), "WEBP")
    sizes = data.index(b"\x9d\x01\x2a") + 3
    for empty in (slice(sizes, sizes + 2), slice(sizes + 2, sizes + 4)):
        broken = bytearray(data)
        broken[empty] = b"\0\0"
        with pytest.raises(NotRewritable):
            rewrite(bytes(broken), OWN)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF" + struct.pack("<I", 60) + b"WEBP"):
        with pytest.raises(NotRewritable):
            rewrite(start + data, None)


def test_kinds_are_told_by_content() -> None:
    for kind in (*FORMATS, "GIF"):
        assert media_type(encoded(canvas(), kind)) == f"image/{kind.lower()}"
    assert media_type(b"GIF-like text") is None
    assert media_type(b"") is None
    assert media_type(b"<svg xmlns='http://www.w3.org/2000/svg'/>") is None
