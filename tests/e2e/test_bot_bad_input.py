"""What people get who type or upload what they should not: a sentence in their language, and nothing lost."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.demo.comfy_server import Timing, mark_of, read_mark
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.demo.users import File, InvocationFailed, Payload, SimulatedUser, files_of, is_ephemeral, text_of
from modules.utils.images.metadata import chunk
from tests.bot_process import BotProcess
from tests.e2e.operated import TOKEN, Stage, person, result_of, run_bot, staged

PLACE = b"SECRET-PLACE"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    world = default_world(2, bot=BotSpec(token=TOKEN))
    world = replace(world, guilds=(replace(world.guilds[0], premium_tier=2),))  # takes files of 50 MB
    async with staged(tmp_path, world=world, timing=Timing()) as made:
        made.write(MAX_PICTURES_PER_DAY="20")
        yield made


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width: int = 400, height: int = 300) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), "blue")
    picture.paste("red", (0, 0, width // 2, height))
    return picture


async def told(user: SimulatedUser, channel: str, command: str, **options: Any) -> str:
    """The sentence that only this person sees."""
    reply = await (await user.command(command, channel, **options)).reply(60)
    assert is_ephemeral(reply)
    return str(text_of(reply))


async def picture_of(user: SimulatedUser, message: Payload) -> Image.Image:
    return Image.open(io.BytesIO(await user.download(files_of(message)[0]["url"])))


def quiet(bot: BotProcess) -> bool:
    """Whether the operator was bothered with nothing."""
    return not any("Traceback" in line or "ERROR" in line or "WARNING" in line for line in bot.lines)


PROMPTS = [
    "🦊🦊🦊",
    "\u202eשלום עולם مرحبا بالعالم",
    "@everyone @here <@&123456789012345678> look",
    "# title\n> quote\n```py\ncode\n```\n**bold** ||spoiler|| [link](https://example.org)",
    "first line\n\n\nsecond line\r\nthird line\ttabbed",
    'quotes " and \\ backslashes \\n, {braces}, (weights:1.2), <lora:x>, \u200bzero width',
    "x" * 6000,
]


async def test_any_prompt_is_painted_as_it_was_typed_and_pings_nobody(stage: Stage) -> None:
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        for seed, prompt in enumerate(PROMPTS):
            assert "queued" in await told(user, general, "imagine", model="flux", prompt=prompt, seed=seed)
            result = await user.wait_for_message(lambda m, s=seed: f"seed `{s}`" in text_of(m), 30)
            assert not result["mention_everyone"]
            assert result["mention_roles"] == []
            assert [mention["id"] for mention in result["mentions"]] == [str(user.id)]
            assert text_of(result).count("\n") == 2  # the owner, the prompt on one line, the facts
            assert read_mark(await picture_of(user, result)) == mark_of(prompt.strip(), seed)
        assert quiet(bot)


WORDS = {
    "en-US": {
        "empty": "Write what the picture should show.",
        "unknown": "There is no model called {}. Choose one from the list.",
        "text": "That file is not a picture the bot can read. Use PNG, JPEG, WebP or GIF.",
        "cut": "That picture is incomplete or damaged. Please upload it again.",
        "pixels": "That picture is too large: the limit is 50 million pixels.",
        "bytes": "That file is too large: the limit is 16 MB.",
    },
    "es-ES": {
        "empty": "Escribe qué debe mostrar la imagen.",
        "unknown": "No hay ningún modelo llamado {}. Elige uno de la lista.",
        "text": "Ese archivo no es una imagen que el bot pueda leer. Usa PNG, JPEG, WebP o GIF.",
        "cut": "Esa imagen está incompleta o dañada. Súbela otra vez.",
        "pixels": "Esa imagen es demasiado grande: el límite es de 50 millones de píxeles.",
        "bytes": "Ese archivo es demasiado grande: el límite es de 16 MB.",
    },
}


def broken_files() -> dict[str, File]:
    whole = encoded(photo(), "PNG")
    claims = b"\x00\x00\x75\x30\x00\x00\x75\x30\x08\x02\x00\x00\x00"  # 30,000×30,000, 8 bits, RGB
    bomb = whole[:8] + chunk(b"IHDR", claims) + whole[33:]
    return {
        "text": File(filename="photo.png", data=b"only words, whatever the name says"),
        "cut": File(filename="photo.png", data=whole[: len(whole) // 2]),
        "pixels": File(filename="photo.png", data=bomb),
        "bytes": File(filename="photo.png", data=whole + bytes(20_000_000)),
    }


@pytest.mark.parametrize("locale", WORDS)
async def test_what_cannot_be_is_told_in_ones_language_and_costs_nothing(stage: Stage, locale: str) -> None:
    words = WORDS[locale]
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        await user.set_locale(locale)
        assert words["empty"] in await told(user, general, "imagine", model="flux", prompt=" \n ")
        for model in ("nó-such @everyone", "flux_edit", "NÓ-SUCH"):
            said = await told(user, general, "imagine", model=model, prompt="a fox")
            assert words["unknown"].format(model) in said.replace("\u200b", "")
        with pytest.raises(InvocationFailed):  # Discord itself keeps such a prompt back
            await told(user, general, "imagine", model="flux", prompt="x" * 10_000)
        for name, file in broken_files().items():
            assert words[name] in await told(user, general, "edit", prompt="at night", image=file)
        assert not any(channel["name"].startswith("art-") for channel in user.channels.values())
        assert stage.gpus[0].bench.files.names("input") == []

        asked = await user.command("imagine", general, model="flux", prompt="a fox after all")
        await asked.reply()
        await user.wait_for_message(lambda m: "a fox after all" in text_of(m) and files_of(m), 30)
        assert len(stage.gpus[0].sampler_log) == 1
        assert quiet(bot)


async def test_comfyui_gets_an_upload_upright_still_and_without_its_place(stage: Stage) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = PLACE.decode()
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 29: PLACE.decode()}
    sideways = photo().transpose(Image.Transpose.ROTATE_90)
    frames = [Image.new("RGB", (400, 300), "green")] * 3
    uploads = {
        "from a phone": encoded(sideways, "JPEG", exif=exif, comment=PLACE) + PLACE,
        "animated": encoded(photo(), "GIF", save_all=True, append_images=frames, comment=PLACE),
    }
    async with run_bot(stage.env_file) as bot, person(stage) as (user, general):
        files = stage.gpus[0].bench.files
        for prompt, data in uploads.items():
            assert PLACE in data
            before = set(files.names("input"))
            file = File(filename="photo.jpg", data=data)
            assert "queued" in await told(user, general, "edit", prompt=prompt, image=file)
            result = await user.wait_for_message(result_of(prompt), 30)
            (name,) = set(files.names("input")) - before
            got = files.read("input", *name.rpartition("/")[::2])
            assert got is not None
            assert PLACE not in got
            with Image.open(io.BytesIO(got)) as seen:
                assert (seen.size, getattr(seen, "n_frames", 1), dict(seen.getexif())) == ((400, 300), 1, {})
                left, right = (seen.convert("RGB").getpixel((x, 150)) for x in (20, 380))
            assert left[0] > left[2] + 100  # type: ignore[index]
            assert right[2] > right[0] + 100  # type: ignore[index]
            made = await picture_of(user, result)
            assert made.width > made.height
            assert PLACE not in await user.download(files_of(result)[0]["url"])
        assert quiet(bot)
