"""What is done in the page for each picture: one person's way, with others in the queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from modules.demo.users import SimulatedUser, files_of, text_of
from tests.pictures.camera import DESKTOP, PHONE, Camera
from tests.pictures.film import COLUMN, LANES, Film, Titles, ask

PATIENCE_MS = 90_000


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is typed and looked for in one language."""

    language: str
    locale: str
    prompts: tuple[str, str]
    edit: str
    again: str
    change: str
    form: str
    queued: str
    steps: str
    third_step: str
    history: str
    theirs: tuple[str, str, str]
    film: tuple[str, str]
    titles: Titles


WORDS = (
    Words(
        language="en",
        locale="en-US",
        prompts=("a lighthouse in the fog, oil on canvas", "a fox reading a newspaper"),
        edit="make it snow",
        again="Again",
        change="Edit",
        form="Prompt…",
        queued="is queued",
        steps="of 4",
        third_step="step 3 of 4",
        history="Your pictures",
        theirs=("a market on the moon", "a greenhouse at night", "a tram in the mist"),
        film=("a fox on a hill at sunset", "a castle in the snow at night"),
        titles=Titles(
            people=("One person", "Another one, at the same time"),
            lanes="The bot's status page: both prompts run together on one GPU",
        ),
    ),
    Words(
        language="es",
        locale="es-ES",
        prompts=("un faro en la niebla, óleo sobre lienzo", "un zorro que lee el periódico"),
        edit="que nieve",
        again="Otra vez",
        change="Editar",
        form="Prompt…",
        queued="en la cola",
        steps="de 4",
        third_step="paso 3 de 4",
        history="Tus imágenes",
        theirs=("un mercado en la luna", "un invernadero de noche", "un tranvía en la niebla"),
        film=("un zorro en una colina al atardecer", "un castillo en la nieve de noche"),
        titles=Titles(
            people=("Una persona", "Otra, al mismo tiempo"),
            lanes="La página de estado del bot: los dos prompts se procesan juntos en una GPU",
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Set:
    """Where it is played: the page's address, who is there (the administrator first), and the language."""

    browser: Browser
    url: str
    people: tuple[int, ...]
    words: Words

    @asynccontextmanager
    async def page(
        self, person: int, *, phone: bool = False, size: ViewportSize = DESKTOP
    ) -> AsyncIterator[Page]:
        """The page as one of the people has it."""
        context = await self.browser.new_context(
            viewport=PHONE if phone else size,
            is_mobile=phone,
            has_touch=phone,
            locale=self.words.locale,
            color_scheme="dark",
        )
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(f"sessionStorage.setItem('fullet.user', '{self.people[person]}');")
        try:
            page = await context.new_page()
            await page.goto(self.url)
            await page.wait_for_selector("[data-ready]")
            await expect(page.locator("html")).to_have_attribute("lang", self.words.locale)
            yield page
        finally:
            await context.close()


async def play(browser: Browser, url: str, words: Words, camera: Camera) -> None:
    """All scenes of one language."""
    expect.set_options(timeout=PATIENCE_MS)
    async with await SimulatedUser.connect(url, brief=False) as admin:
        people = tuple(int(user["id"]) for user in admin.users)
    for person in people:
        async with await SimulatedUser.connect(url, person) as user:
            await user.set_locale(words.locale)
    scene = Set(browser=browser, url=url, people=people, words=words)
    await _opened(scene)
    await _film(scene, camera.folder / "film.webp")
    await _ahead(scene)
    async with scene.page(3) as page:
        await _greeted(page, camera)
        await _queued(page, words, camera)
        await _running(page, words, camera)
        await _finished(page, words, camera)
        await _history(page, words, camera)
    await _others(scene)
    async with scene.page(0) as page:
        await _status(page, words, camera)
    async with scene.page(3, phone=True) as page:
        await _phone(page, words, camera)


async def _opened(scene: Set) -> None:
    """The people of the demonstration's opening have their pictures, so that times are known."""
    async with scene.page(0) as page:
        status = await page.get_by_test_id("status-link").get_attribute("href")
        while True:
            told = await (await page.request.get(f"{status}status.json")).json()
            made = sum(engine["pictures"] for engine in told["engines"])
            if made >= 6 and not told["queue"]["waiting"] + told["queue"]["running"]:
                return
            await asyncio.sleep(1)


async def _film(scene: Set, file: Path) -> None:
    """Two people ask while somebody else's picture is made; theirs are made together."""
    words = scene.words
    async with (
        scene.page(3, size=COLUMN) as one,
        scene.page(4, size=COLUMN) as other,
        scene.page(0, size=LANES) as status,
        await SimulatedUser.connect(scene.url, scene.people[2]) as busy,
    ):
        address = await status.get_by_test_id("status-link").get_attribute("href")
        assert address is not None
        await status.goto(address)
        await status.locator("[data-minutes='2']").click()
        film = Film((one, other), status, words.titles)
        channel = busy.channel("general")
        assert channel is not None
        ended = asyncio.Event()
        rolling = asyncio.create_task(film.roll(ended))
        await (await busy.command("imagine", channel["id"], model="flux", prompt=words.theirs[0])).reply()
        await asyncio.gather(
            *(
                ask(page, prompt, _result(page, words, prompt))
                for page, prompt in zip((one, other), words.film, strict=True)
            )
        )
        await asyncio.sleep(2)
        ended.set()
        await rolling
    size = await asyncio.to_thread(film.write, file)
    print(f"{file.parent.name}/{file.name}  {size // 1000} kB", flush=True)


async def _ahead(scene: Set) -> None:
    """Somebody else has a picture in the queue, with a model whose duration the bot knows by then."""
    async with await SimulatedUser.connect(scene.url, scene.people[4]) as other:
        channel = other.channel("general")
        assert channel is not None
        first, second = scene.words.theirs[1:]
        await (await other.command("imagine", channel["id"], model="z-image", prompt=first)).reply()
        await other.wait_for_message(
            lambda message: first in text_of(message) and _has_result(message), timeout=PATIENCE_MS / 1000
        )
        await (await other.command("imagine", channel["id"], model="z-image", prompt=second)).reply()


async def _others(scene: Set) -> None:
    """Somebody else has two pictures in the queue."""
    async with await SimulatedUser.connect(scene.url, scene.people[4]) as other:
        channel = other.channel("general")
        assert channel is not None
        for model, prompt in zip(("flux", "z-image"), scene.words.theirs, strict=False):
            await (await other.command("imagine", channel["id"], model=model, prompt=prompt)).reply()


async def _type(page: Page, command: str, *values: str) -> None:
    """A command with its required options."""
    text = page.get_by_test_id("text")
    await text.fill(f"/{command} ")
    for value in values:
        await page.keyboard.type(value)
        if value != values[-1]:
            await expect(page.get_by_test_id("choice").first).to_contain_text(value)
            await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")


async def _ask(page: Page, command: str, *values: str) -> Locator:
    """Type a command; the bot's answer."""
    await _type(page, command, *values)
    answer = page.get_by_test_id("message").filter(has=page.get_by_test_id("ephemeral")).last
    await answer.wait_for()
    return answer


async def _greeted(page: Page, camera: Camera) -> None:
    """What a newcomer sees, and the status page behind its link."""
    await page.get_by_test_id("channel").filter(has_text="general").click()
    await camera.look(page, "greeting")
    await page.get_by_test_id("text").fill("/")
    await camera.look(page, "commands")
    await page.get_by_test_id("text").fill("")
    async with page.expect_popup() as opening:
        await page.get_by_test_id("status-link").click()
    status = await opening.value
    await status.locator(".batch").first.wait_for(state="attached")
    await camera.look(status, "status-page")
    await status.close()
    await page.mouse.move(0, 0)


async def _queued(page: Page, words: Words, camera: Camera) -> None:
    """At once: queued, and the way to the channel where it is shown."""
    answer = await _ask(page, "imagine", "FLUX", words.prompts[0])
    await expect(answer).to_contain_text(words.queued)
    await camera.take(page, "queued")
    await answer.get_by_test_id("channel-mention").click()


async def _running(page: Page, words: Words, camera: Camera) -> None:
    """The bar, and the picture forming."""
    status = page.get_by_test_id("message").filter(has_text=words.third_step)
    await expect(status.get_by_test_id("picture").locator("img")).to_be_visible()
    await _settle(page)
    await camera.take(page, "running")


async def _finished(page: Page, words: Words, camera: Camera) -> None:
    """The result with its controls, and the form that its menu opens."""
    result = _result(page, words, words.prompts[0])
    await expect(result.get_by_test_id("picture").get_by_role("img")).to_be_visible()
    await expect(page.get_by_test_id("message").filter(has_text=words.steps)).to_have_count(0)
    await _settle(page)
    await camera.take(page, "result")
    await result.get_by_test_id("select").last.click()
    await page.get_by_test_id("select-option").filter(has_text=words.form).click()
    await expect(page.get_by_test_id("modal")).to_be_visible()
    await camera.take(page, "form")
    await page.get_by_test_id("modal-cancel").click()
    await result.get_by_test_id("picture").first.click()
    await camera.look(page, "lightbox")
    await page.keyboard.press("Escape")
    await result.get_by_role("button", name=words.change).click()
    await expect(page.get_by_test_id("modal")).to_be_visible()
    await camera.look(page, "form-edit")
    await page.get_by_test_id("modal-cancel").click()


async def _history(page: Page, words: Words, camera: Camera) -> None:
    """After a second picture and an edit."""
    await _type(page, "imagine", "Z-Image", words.prompts[1])  # in the channel where it is shown: no answer
    await _result(page, words, words.prompts[1]).wait_for()
    await _type(page, "edit", words.edit)
    await _result(page, words, words.edit).wait_for()
    answer = await _ask(page, "history")
    await expect(answer).to_contain_text(words.history)
    await _settle(page)
    await camera.take(page, "history")
    for command in ("settings", "help", "queue"):
        await expect((await _ask(page, command)).get_by_test_id("container")).to_be_visible()
        await _settle(page)
        await camera.take(page, command)


async def _status(page: Page, words: Words, camera: Camera) -> None:
    """The administrator's view of the queue and its GPUs."""
    answer = await _ask(page, "admin status")
    await expect(answer.get_by_test_id("container")).to_be_visible()
    await _settle(page)
    await camera.take(page, "status")


async def _phone(page: Page, words: Words, camera: Camera) -> None:
    """The result again, on a phone."""
    await page.get_by_test_id("drawer-open").click()
    await page.get_by_test_id("channel").filter(has_text="art-").click()
    await _result(page, words, words.edit).get_by_role("button").first.wait_for()
    await _settle(page)
    await camera.take(page, "phone")


def _has_result(message: Mapping[str, Any]) -> bool:
    return any(not file["filename"].startswith("preview") for file in files_of(message))


def _result(page: Page, words: Words, prompt: str) -> Locator:
    """The message with a finished picture."""
    again = page.get_by_role("button", name=words.again)
    return page.get_by_test_id("message").filter(has_text=prompt).filter(has=again)


async def _settle(page: Page) -> None:
    """Every picture is loaded, and the newest message is in view."""
    await page.evaluate(
        """Promise.allSettled([...document.images].map((image) => {
          image.loading = 'eager'; // a lazy one far above would never load, and decode() would wait
          return image.decode();
        }))"""
    )
    await page.get_by_test_id("scroller").evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
    await page.mouse.move(0, 0)
