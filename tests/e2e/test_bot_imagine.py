"""/imagine from typing to the picture, as its owner sees it, and as the others do not."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from modules.demo.users import files_of, is_ephemeral, text_of
from modules.discord.requests.limits import Limits
from modules.queue_manager.ports import Finished, Receipt
from tests.discord_stand import (
    colour_of,
    make_engine,
    pixel,
    result_for,
    session_of,
    set_for,
    status_with,
    whole_room,
)


async def test_a_prompt_becomes_a_picture_in_ones_own_channel(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a red fox", seed=7)
        reply = await asked.reply()
        channel = await session_of(ana)
        assert is_ephemeral(reply)
        assert "#1" in text_of(reply)
        assert f"<#{channel}>" in text_of(reply)
        result = await result_for(ana, "a red fox")
        assert result["channel_id"] == channel
        assert "seed `7`" in text_of(result)
        assert f"<@{ana.id}>" in text_of(result)
        data = await ana.download(files_of(result)[0]["url"])
        assert pixel(data) == colour_of("a red fox", 7)
        assert files_of(result)[0]["description"] == "a red fox"
        assert channel not in ben.channels
        await ana.until(lambda: len(ana.messages(channel)) == 1)  # the status message has gone
        assert stand.product.traffic.refused == 0


async def test_each_of_several_people_gets_their_own_picture(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        people = [await stand.person(f"member-{n}") for n in (1, 2, 3)]
        for n, person in enumerate(people):
            await person.command(
                "imagine", stand.general, model="flux", prompt=f"castle {n}", seed=n, count=2
            )
        for n, person in enumerate(people):
            result = await set_for(person, f"castle {n}", 2)
            for file, seed in zip(files_of(result), (n, n + 1), strict=True):
                data = await person.download(file["url"])
                assert pixel(data) == colour_of(f"castle {n}", seed)
            texts = [text_of(m) for m in person.messages(await session_of(person))]
            assert not any(f"castle {other}" in text for other in range(3) if other != n for text in texts)


async def test_shape_and_negative_are_heeded_where_the_model_knows_them(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        await ana.command("imagine", stand.general, model="flux", prompt="a river", aspect="wide")
        result = await result_for(ana, "a river")
        picture = Image.open(io.BytesIO(await ana.download(files_of(result)[0]["url"])))
        assert picture.size == (128, 64)
        await ana.command("imagine", stand.general, model="Z-Image", prompt="a hill", negative="people")
        assert await result_for(ana, "a hill")
        assert stand.engine.submitted[-1].jobs[0].request.negative == "people"


BAD = [
    ({"prompt": "   "}, "Write what the picture should show."),
    ({"prompt": "a", "model": "no such model"}, "There is no model called no such model."),
    ({"prompt": "a", "aspect": "4096x4096"}, "This model cannot make this shape or size: 4096×4096."),
    ({"prompt": "a", "negative": "b"}, "Flux does not use negative prompts."),
    ({"prompt": "a", "count": 3}, "You can have 2 pictures in the queue at once; you asked for 3."),
]


async def test_what_cannot_be_is_told_in_a_sentence_and_makes_no_channel(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person()
        for options, sentence in BAD:
            asked = await ana.command("imagine", stand.general, **{"model": "flux", **options})
            reply = await asked.reply()
            assert is_ephemeral(reply)
            assert sentence in text_of(reply)
        assert stand.queue.status().waiting == 0
        assert not any(channel["name"].startswith("art-") for channel in ana.channels.values())


@pytest.mark.parametrize("locale", ["es-ES", "es-419"])
async def test_a_spanish_client_reads_spanish(tmp_path: Path, locale: str) -> None:
    async with whole_room(tmp_path) as stand:
        ana = await stand.person(locale=locale)
        asked = await ana.command("imagine", stand.general, model="flux", prompt=" ")
        assert text_of(await asked.reply()) == "Escribe qué debe mostrar la imagen."
        asked = await ana.command("imagine", stand.general, model="flux", prompt="un zorro")
        assert "está en la cola" in text_of(await asked.reply())
        assert "semilla" in text_of(await result_for(ana, "un zorro"))


HOSTILE = [
    "@everyone @here look",
    "<@&123456789012345678> <@1> <#2>",
    "# title\n> quote\n```code```\n**bold** ||spoiler|| [link](https://example.org)",
    "\u202eright to left שלום עולם مرحبا",
    "🦊🦊🦊",
]


async def test_prompts_ping_nobody_and_render_nothing(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False) as stand:
        ana = await stand.person()
        for number, prompt in enumerate(HOSTILE):
            asked = await ana.command("imagine", stand.general, model="flux", prompt=prompt, seed=number)
            await asked.reply()
            result = await result_for(ana, f"seed `{number}`")
            assert not result["mention_everyone"]
            assert result["mention_roles"] == []
            assert [user["id"] for user in result["mentions"]] == [str(ana.id)]
            data = await ana.download(files_of(result)[0]["url"])
            assert pixel(data) == colour_of(prompt.strip(), number)
            assert text_of(result).count("\n") == 2  # owner, the prompt on one line, the facts


async def test_over_the_limit_is_refused_and_cancelling_makes_room(tmp_path: Path) -> None:
    async with whole_room(tmp_path, engine=make_engine(seconds=30)) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        first = await ana.command("imagine", stand.general, model="flux", prompt="one", count=2)
        await first.reply()
        refused = await ana.command("imagine", stand.general, model="flux", prompt="three")
        assert "you already have 2" in text_of(await refused.reply())
        other = await ben.command("imagine", stand.general, model="flux", prompt="mine")
        assert await ben.autocomplete("imagine", stand.general, "prompt", prompt="one") == []
        assert "queued" in text_of(await other.reply())
        await status_with(ana, "0 of 2 ready")
        menu = await (await ana.command("cancel", stand.general)).reply()
        select = ana.find_component(menu, "Which pictures do you want to cancel?")
        assert select is not None
        first = [option["value"] for option in select["options"] if option["label"].startswith("#1 ")]
        await (await ana.click(menu, select["custom_id"], values=first)).acknowledged()
        await status_with(ana, "**#1** was cancelled.")
        both = await ana.command("imagine", stand.general, model="flux", prompt="three", count=2)
        assert "you already have one" in text_of(await both.reply())  # all or nothing
        again = await ana.command("imagine", stand.general, model="flux", prompt="three")
        assert "queued" in text_of(await again.reply())
        menu = await (await ana.command("cancel", stand.general)).reply()
        done = await ana.click(menu, "Which pictures do you want to cancel?", values=["all"])
        await done.acknowledged()
        await ana.until(lambda: "Cancelled: #2, #4" in text_of(ana.message(menu["id"]) or menu))
        assert stand.queue.active_jobs(ana.id) == ()
        assert len(stand.queue.active_jobs(ben.id)) == 1


async def test_of_ones_own_pictures_those_are_taken_back_that_one_chooses(tmp_path: Path) -> None:
    async with whole_room(tmp_path, rate_limits=False, limits=Limits(jobs=3)) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2", locale="es-ES")
        nothing = await (await ana.command("cancel", stand.general)).reply()
        assert text_of(nothing) == "You have nothing in the queue."
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="a nest", count=3)).reply()
        await (await ben.command("imagine", stand.general, model="flux", prompt="un nido")).reply()
        menu = await (await ana.command("cancel", stand.general)).reply()
        select = ana.find_component(menu, "Which pictures do you want to cancel?")
        assert select is not None
        assert [option["label"] for option in select["options"]] == [
            "#1 a nest", "#2 a nest", "#3 a nest", "All of them",
        ]  # fmt: skip
        chosen = [option["value"] for option in select["options"] if option["label"][:2] in ("#1", "#3")]
        await (await ana.click(menu, select["custom_id"], values=chosen)).acknowledged()
        await ana.until(lambda: text_of(ana.message(menu["id"]) or menu) == "Cancelled: #1, #3.")
        assert [job.number for job in stand.queue.active_jobs(ana.id)] == [2]
        theirs = await (await ben.command("cancel", stand.general)).reply()
        select = ben.find_component(theirs, "¿Qué imágenes quieres cancelar?")
        assert select is not None
        assert [option["label"] for option in select["options"]] == ["#4 un nido"]


async def test_all_are_taken_back_but_the_one_that_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole_room(tmp_path) as stand:
        ana, may_go, deliver = await stand.person(), asyncio.Event(), stand.product.delivery.deliver
        on_their_way: list[Finished] = []

        async def held_up(finished: Finished) -> Receipt:
            on_their_way.append(finished)
            await may_go.wait()
            return await deliver(finished)

        monkeypatch.setattr(stand.product.delivery, "deliver", held_up)
        await ana.command("imagine", stand.general, model="flux", prompt="early")
        await stand.until(lambda: on_their_way)
        stand.queue.pause()
        await (await ana.command("imagine", stand.general, model="flux", prompt="late")).reply()
        menu = await (await ana.command("cancel", stand.general)).reply()
        done = await ana.click(menu, "Which pictures do you want to cancel?", values=["all"])
        await done.acknowledged()
        await ana.until(lambda: text_of(ana.message(menu["id"]) or menu) == "Cancelled: #2.")
        may_go.set()
        assert await result_for(ana, "early")
