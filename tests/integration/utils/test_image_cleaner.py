"""Uploads and results through the worker process: broken files, bombs, rotations, and what it leaves out."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import random
import signal
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from modules.queue_manager.errors import BadMask, BadSourceImage, NoOutput
from modules.queue_manager.jobs import Picture, Size
from modules.utils.images import worker
from modules.utils.images.cleaner import PictureCleaner
from modules.utils.images.metadata import OwnMetadata, chunk
from tests.examples import examples

GPS = "SECRET-PLACE"
SIZE = Size(width=400, height=300)
OWN = OwnMetadata(prompt="a fox", seed=3, model="flux")


@pytest.fixture
async def cleaner() -> AsyncIterator[PictureCleaner]:
    opened = PictureCleaner(seconds=8.0)
    yield opened
    await opened.aclose()


def photo(width: int = 400, height: int = 300, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right, with grain."""
    picture = Image.new("RGB", (width, height), "blue")
    picture.paste("red", (0, 0, width // 2, height))
    grain = Image.frombytes("L", (64, 64), random.Random(2).randbytes(4096)).resize((width, height))
    return Image.blend(picture, grain.convert("RGB"), 0.1).convert(mode)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture


def png_header(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG that claims a size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def with_chunks(*extra: bytes, picture: bytes | None = None) -> bytes:
    """A PNG with more chunks after its header."""
    whole = picture or encoded(photo(), "PNG")
    return whole[:33] + b"".join(extra) + whole[33:]


def swapping_profile() -> bytes:
    """A profile by which red is shown as green and green as red."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = plain.replace(b"rXYZ", b"tmp ", 1).replace(b"gXYZ", b"rXYZ", 1)
    return swapped.replace(b"tmp ", b"gXYZ", 1)


async def problem(cleaner: PictureCleaner, data: bytes) -> str:
    with pytest.raises(BadSourceImage) as caught:
        await cleaner.clean(data)
    return str(caught.value.fields["problem"])


# ── uploads ─────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_no_picture_is_told_what_it_is(cleaner: PictureCleaner) -> None:
    whole = encoded(photo(), "PNG")
    assert await problem(cleaner, b"hello, I am text") == "not-image"
    assert await problem(cleaner, b"") == "not-image"
    assert await problem(cleaner, b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "not-image"
    assert await problem(cleaner, whole[: len(whole) // 2]) == "truncated"
    assert await problem(cleaner, encoded(photo(), "JPEG")[:2000]) == "truncated"
    assert await problem(cleaner, whole[:20]) == "truncated"
    assert await problem(cleaner, bytes(20_000_000)) == "too-many-bytes"
    assert await problem(cleaner, png_header(30_000, 30_000)) == "too-many-pixels"
    assert (await cleaner.clean(whole)).size == SIZE


async def test_a_bomb_is_refused_without_being_unpacked(cleaner: PictureCleaner) -> None:
    rows = b"\0" * 3 * 7000
    await problem(cleaner, png_header(7000, 7000, rows))  # fewer rows than it claims
    text = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(80_000_000), 1))
    bomb = encoded(photo(), "PNG")
    bomb = bomb[:33] + text + bomb[33:]
    assert len(bomb) < 1_000_000
    assert (await cleaner.clean(bomb)).size == SIZE  # the text is dropped as it is
    profile = chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(80_000_000), 1))
    assert (await cleaner.clean(with_chunks(profile))).size == SIZE  # so is the profile
    assert (await cleaner.clean(encoded(photo(), "PNG"))).size == SIZE


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
async def test_a_workers_memory_is_bounded() -> None:
    cleaner = PictureCleaner(memory_mb=250, keep_pixels=10**9)
    try:
        big = encoded(Image.new("L", (7000, 7000)), "PNG", compress_level=1)
        assert await problem(cleaner, big) == "too-many-pixels"
        assert (await cleaner.clean(encoded(photo(), "PNG"))).size == SIZE
    finally:
        await cleaner.aclose()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP there")
async def test_one_that_takes_too_long_is_given_up_and_the_next_is_served() -> None:
    cleaner = PictureCleaner(seconds=3.0, processes=1)
    try:
        picture = encoded(photo(), "PNG")
        await cleaner.clean(picture)
        (worker,) = cleaner._free
        worker._process.send_signal(signal.SIGSTOP)
        assert await problem(cleaner, picture) == "took-too-long"
        assert not worker.alive
        assert (await cleaner.clean(picture)).size == SIZE
    finally:
        await cleaner.aclose()


async def test_a_worker_that_is_killed_is_replaced(cleaner: PictureCleaner) -> None:
    picture = encoded(photo(), "PNG")
    await cleaner.clean(picture)
    (worker,) = cleaner._free
    worker._process.kill()
    assert (await cleaner.clean(picture)).size == SIZE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_a_photo_comes_upright_and_without_its_place(cleaner: PictureCleaner, kind: str) -> None:
    for orientation, upright in (
        (6, photo().transpose(Image.Transpose.ROTATE_90)),
        (8, photo().transpose(Image.Transpose.ROTATE_270)),
        (3, photo().transpose(Image.Transpose.ROTATE_180)),
        (2, photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = GPS
        exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 29: GPS}
        data = encoded(upright, kind, exif=exif) + GPS.encode()
        clean = await cleaner.clean(data)
        assert clean.size == SIZE
        shown = opened(clean.data)
        assert not shown.getexif()
        assert GPS.encode() not in clean.data
        red, _, blue = shown.convert("RGB").getpixel((20, 150))  # type: ignore[misc]
        assert red > blue + 100
        assert opened(data).getexif()


async def test_only_pixels_are_left(cleaner: PictureCleaner) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", GPS)
    for data in (
        encoded(photo(), "PNG", pnginfo=info),
        encoded(photo(), "JPEG", comment=GPS, xmp=GPS.encode()),
        encoded(photo(), "WEBP", xmp=GPS.encode()),
        encoded(photo(), "GIF", comment=GPS),
    ):
        assert GPS.encode() in data
        clean = await cleaner.clean(data)
        assert GPS.encode() not in clean.data
        allowed = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
        assert set(opened(clean.data).info) <= allowed


async def test_an_animation_becomes_its_first_frame(cleaner: PictureCleaner) -> None:
    frames = {"save_all": True, "append_images": [Image.new("RGB", (400, 300), "green")] * 3}
    for kind in ("GIF", "WEBP", "PNG"):
        clean = await cleaner.clean(encoded(photo(), kind, **frames))
        assert (clean.media_type, clean.size) == ("image/png", SIZE)
        red, _, _ = opened(clean.data).convert("RGB").getpixel((20, 150))  # type: ignore[misc]
        assert red > 150


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
async def test_every_kind_of_pixels_becomes_plain_colour(cleaner: PictureCleaner, mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    picture = photo(mode="L").convert("I;16").point(lambda v: v * 256) if mode == "I;16" else photo(mode=mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.new("L", picture.size, 0))
    clean = await cleaner.clean(encoded(picture, kind))
    shown = opened(clean.data)
    assert shown.mode == "RGB"
    if mode in ("RGBA", "LA"):
        assert shown.getpixel((20, 20)) == (255, 255, 255)  # what was hidden stays hidden
    elif mode not in ("1", "P"):
        expected = photo(mode="L" if mode == "I;16" else mode).convert("RGB").getpixel((20, 20))
        assert max(abs(a - b) for a, b in zip(shown.getpixel((20, 20)), expected, strict=True)) < 12  # type: ignore[arg-type]


async def test_colours_of_another_profile_are_converted(cleaner: PictureCleaner) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for broken in (profile, b"not a profile"):
        clean = await cleaner.clean(encoded(photo(), "JPEG", icc_profile=broken))
        assert "icc_profile" not in opened(clean.data).info


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
async def test_a_profile_counts_in_every_mode(cleaner: PictureCleaner, mode: str) -> None:
    clear = [True, False] if mode == "RGBA" else [False]
    for see_through in clear:
        picture = Image.new("RGB", (8, 8), (250, 0, 0)).convert(mode)
        if see_through:
            picture.putpixel((7, 7), (0, 0, 0, 0))
        clean = opened((await cleaner.clean(encoded(picture, "PNG", icc_profile=swapping_profile()))).data)
        red, green, blue = clean.getpixel((1, 1))  # type: ignore[misc]
        assert green > 200
        assert max(red, blue) < 50
        if see_through:
            assert clean.getpixel((7, 7)) == (255, 255, 255)


async def test_nothing_beside_the_pixels_makes_a_picture_unreadable(cleaner: PictureCleaner) -> None:
    """Profiles of displays, notes of programs, and what is damaged: all of it shows nothing."""
    big = random.Random(5).randbytes(500_000)
    profile = swapping_profile()
    deflated = zlib.compress(profile + big + bytes(1_500_000))
    damaged = chunk(b"tIME", bytes(7))[:-4] + b"oops"
    for extra in (
        chunk(b"iCCP", b"display\0\0" + deflated),
        chunk(b"iCCP", b"display\0\0" + b"not deflated"),
        chunk(b"iCCP", b""),
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(1_500_000))),
        chunk(b"zTXt", b"prompt\0\0 not deflated"),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + bytes(2_000_000)),
        chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12"),
        chunk(b"eXIf", b"nonsense"),
        chunk(b"gAMA", b""),
        chunk(b"pHYs", b"1"),
        chunk(b"acTL", bytes(8)),
        damaged,
    ):
        clean = await cleaner.clean(with_chunks(extra))
        assert clean.size == SIZE
        assert opened(clean.data).info.keys() <= {"dpi", "gamma"}
    for kind in ("WEBP", "JPEG"):
        data = encoded(photo(), kind, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01")
        assert (await cleaner.clean(data)).size == SIZE


async def test_a_larger_picture_is_brought_to_what_is_kept() -> None:
    cleaner = PictureCleaner(keep_pixels=100_000, keep_bytes=50_000)
    try:
        for kind in ("PNG", "JPEG"):
            clean = await cleaner.clean(encoded(photo(1600, 1200), kind))
            assert clean.size.width * clean.size.height <= 100_000
            assert abs(clean.size.width / clean.size.height - 4 / 3) < 0.01
            assert opened(clean.data).size == (clean.size.width, clean.size.height)
        grainy = Image.frombytes("RGB", (300, 300), random.Random(1).randbytes(270_000))
        assert (await cleaner.clean(encoded(grainy, "PNG"))).media_type == "image/jpeg"
    finally:
        await cleaner.aclose()


async def test_the_same_upload_gives_the_same_bytes(cleaner: PictureCleaner) -> None:
    data = encoded(photo(), "JPEG")
    assert (await cleaner.clean(data)).data == (await cleaner.clean(data)).data


async def test_many_damaged_files_are_refused_or_cleaned(cleaner: PictureCleaner) -> None:
    chance = random.Random(7)
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        whole = encoded(photo(64, 48), kind)
        for _ in range(25):
            broken = bytearray(whole)
            for _ in range(chance.randint(1, 6)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            try:
                clean = await cleaner.clean(bytes(broken[: chance.randint(1, 2 * len(broken))]))
            except BadSourceImage:
                continue
            assert clean.size.width * clean.size.height <= 50_000_000


# ── results ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_result_in_the_wanted_format_needs_no_worker(cleaner: PictureCleaner) -> None:
    for kind in ("png", "webp", "jpeg"):
        data = encoded(photo(), kind)
        made = Picture(data=data, media_type="application/octet-stream", size=SIZE)
        shown = await cleaner.present(made, metadata=OWN, output_format=kind, max_bytes=10**7)  # type: ignore[arg-type]
        assert (shown.media_type, shown.size) == (f"image/{kind}", SIZE)
        assert opened(shown.data).tobytes() == opened(data).tobytes()
    assert cleaner._free == []


async def test_a_result_is_encoded_in_the_wanted_format(cleaner: PictureCleaner) -> None:
    made = Picture(data=encoded(photo(), "PNG"), media_type="image/png", size=SIZE)
    for kind in ("webp", "jpeg"):
        shown = await cleaner.present(made, metadata=OWN, output_format=kind, max_bytes=10**7)  # type: ignore[arg-type]
        assert (shown.media_type, shown.size) == (f"image/{kind}", SIZE)
        assert opened(shown.data).getexif()[0x010E].startswith('{"software": "FuLLet", "prompt": "a fox"')


async def test_a_result_that_is_too_large_is_made_to_fit(cleaner: PictureCleaner) -> None:
    grainy = Image.frombytes("RGB", (600, 600), random.Random(1).randbytes(1_080_000))
    made = Picture(data=encoded(grainy, "PNG"), media_type="image/png", size=Size(width=600, height=600))
    for limit, smaller in ((400_000, False), (60_000, True)):
        for metadata in (None, OWN):
            shown = await cleaner.present(made, metadata=metadata, output_format="png", max_bytes=limit)
            assert len(shown.data) <= limit
            assert shown.media_type == "image/webp"
            assert (shown.size.width < 600) == smaller
            if metadata:  # what the file says about itself is so
                said = json.loads(opened(shown.data).getexif()[0x010E])
                assert (said["width"], said["height"]) == opened(shown.data).size


async def test_a_servers_nonsense_is_no_output(cleaner: PictureCleaner) -> None:
    for data in (b"<html>", b"", png_header(60_000, 60_000)[:40], encoded(photo(), "PNG")[:500]):
        made = Picture(data=data, media_type="image/png", size=SIZE)
        with pytest.raises(NoOutput):
            await cleaner.present(made, metadata=None, output_format="png", max_bytes=10**7)


# ── the process ─────────────────────────────────────────────────────────────────────────────────


async def test_workers_start_late_and_end_when_idle() -> None:
    cleaner = PictureCleaner(idle_seconds=0.2, processes=2)
    assert cleaner._free == []
    picture = encoded(photo(), "PNG")
    await asyncio.gather(*(cleaner.clean(picture) for _ in range(5)))
    workers = list(cleaner._free)
    assert 1 <= len(workers) <= 2
    for _ in range(100):
        if not any(worker.alive for worker in workers):
            break
        await asyncio.sleep(0.05)
    assert not any(worker.alive for worker in workers)
    assert (await cleaner.clean(picture)).size == SIZE
    await cleaner.aclose()
    gc.collect()


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
async def test_a_worker_knows_no_secrets(cleaner: PictureCleaner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "the-token")
    await cleaner.clean(encoded(photo(), "PNG"))
    (worker,) = cleaner._free
    known = await asyncio.to_thread(Path(f"/proc/{worker._process.pid}/environ").read_bytes)
    assert b"PATH=" in known
    assert b"the-token" not in known


# ── masks and room to paint in ──────────────────────────────────────────────────────────────────


def holed(box: tuple[int, int, int, int]) -> bytes:
    picture = photo()
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, box)
    picture.putalpha(alpha)
    return encoded(picture, "PNG")


async def test_a_transparent_part_becomes_a_mask_and_the_rest_keeps_its_pixels(
    cleaner: PictureCleaner,
) -> None:
    data = holed((100, 80, 200, 160))
    assert (await cleaner.clean(data)).holed
    assert not (await cleaner.clean(encoded(photo(), "PNG"))).holed
    picture, mask = await cleaner.cut(data)
    assert mask is not None
    assert (picture.size, mask.size, mask.media_type) == (SIZE, SIZE, "image/png")
    white = opened(mask.data)
    assert (white.mode, white.getpixel((150, 120)), white.getpixel((90, 120))) == ("L", 255, 0)
    inner = (0, 0, 90, 300)
    assert opened(picture.data).crop(inner).tobytes() == photo().crop(inner).tobytes()
    assert (await cleaner.cut(encoded(photo(), "PNG")))[1] is None


@pytest.mark.parametrize("turn", [1, 6])
async def test_a_mask_of_its_own_is_as_large_as_the_picture_looks(cleaner: PictureCleaner, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = encoded(photo(), "JPEG", exif=exif.tobytes())
    size = (400, 300) if turn == 1 else (300, 400)
    mask = Image.new("L", size)
    mask.paste(255, (10, 10, 60, 60))
    _, found = await cleaner.cut(picture, encoded(mask, "PNG"))
    assert found is not None
    assert (found.size.width, found.size.height) == size
    with pytest.raises(BadMask) as refused:
        await cleaner.cut(picture, encoded(mask.transpose(Image.Transpose.ROTATE_90), "PNG"))
    assert refused.value.fields == {"problem": "size"}


async def test_masks_that_say_nothing_are_refused(cleaner: PictureCleaner) -> None:
    for grey, problem in ((0, "nothing"), (255, "everything")):
        with pytest.raises(BadMask) as refused:
            await cleaner.cut(encoded(photo(), "PNG"), encoded(Image.new("L", (400, 300), grey), "PNG"))
        assert refused.value.fields == {"problem": problem}
    with pytest.raises(BadMask):
        await cleaner.cut(holed((0, 0, 400, 300)))
    with pytest.raises(BadSourceImage):
        await cleaner.cut(encoded(photo(), "PNG"), b"no picture")


def marked(mode: str, around: Any, within: Any) -> Image.Image:
    mask = Image.new(mode, (400, 300), around)
    mask.paste(within, (100, 80, 200, 160))
    return mask


@pytest.mark.parametrize(
    ("kind", "mask"),
    [
        ("PNG", marked("RGBA", "black", "white")),
        ("PNG", marked("LA", (0, 255), (255, 255))),
        ("PNG", marked("RGBA", "black", (0, 0, 0, 0))),
        ("PNG", marked("RGBA", "purple", (255, 255, 255, 0))),
        ("PNG", marked("L", 0, 255).convert("P")),
        ("PNG", marked("1", 0, 1)),
        ("PNG", marked("I;16", 0, 65535)),
        ("JPEG", marked("CMYK", (0, 0, 0, 255), (0, 0, 0, 0))),
        ("WEBP", marked("RGBA", "black", "white")),
    ],
)
async def test_what_is_white_or_transparent_in_a_mask_is_painted(
    cleaner: PictureCleaner, kind: str, mask: Image.Image
) -> None:
    _, found = await cleaner.cut(encoded(photo(), "PNG"), encoded(mask, kind))
    assert found is not None
    shown = opened(found.data)
    assert [shown.getpixel(at) for at in ((150, 120), (90, 120), (210, 120))] == [255, 0, 0]


async def test_a_mask_of_white_strokes_on_nothing_is_not_turned_inside_out(cleaner: PictureCleaner) -> None:
    strokes = marked("RGBA", (0, 0, 0, 0), "white")
    with pytest.raises(BadMask) as refused:
        await cleaner.cut(encoded(photo(), "PNG"), encoded(strokes, "PNG"))
    assert refused.value.fields == {"problem": "everything"}


@pytest.mark.parametrize(
    ("box", "problem"), [((0, 0, 40, 300), "outside"), ((50, 0, 350, 300), "everything")]
)
async def test_a_mask_of_which_nothing_is_left_in_the_size_of_the_result_is_refused(
    cleaner: PictureCleaner, box: tuple[int, int, int, int], problem: str
) -> None:
    picture, mask = await cleaner.cut(holed(box))
    with pytest.raises(BadMask) as refused:
        await cleaner.fit(picture, mask, Size(width=256, height=256))
    assert refused.value.fields == {"problem": problem}


@settings(max_examples=examples(40), deadline=None)
@example(size=(16, 17), how="up")
@given(
    size=st.tuples(st.integers(16, 400), st.integers(16, 400)),
    how=st.sampled_from([1.5, 2.0, "left", "up", "right", "down"]),
)
def test_room_to_paint_in_leaves_something_of_every_picture_or_is_refused(
    size: tuple[int, int], how: Any
) -> None:
    picture = Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3))
    try:
        frame, mask = worker._extended([picture], {"how": how, "keep_pixels": 4096 * 4096})
    except worker.Refused:
        frame, mask = picture, None
    if mask is None:
        assert max(size) > 10 * min(size)
    else:
        assert (frame.size, mask.size) == (size, size)
        assert mask.getextrema()[0] < 128 <= mask.getextrema()[1]


async def test_a_picture_and_its_mask_are_brought_to_a_size_together(cleaner: PictureCleaner) -> None:
    picture, mask = await cleaner.cut(holed((100, 80, 200, 160)))
    square = Size(width=128, height=128)
    small, cut = await cleaner.fit(picture, mask, square)
    assert cut is not None
    assert (small.size, cut.size) == (square, square)
    assert opened(cut.data).getpixel((44, 50)) == 255
    frame, room = await cleaner.extend(picture.data, 2.0)
    assert room is not None
    assert (frame.size, opened(room.data).getpixel((0, 0))) == (SIZE, 255)
