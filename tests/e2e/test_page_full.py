"""From `bot.py demo` and typing /imagine in Chromium to the person's picture on the screen."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from modules.demo.comfy_server.drawing.marks import mark_of, read_mark
from modules.queue_manager.backports import timeout
from tests.e2e.chromium import opened
from tests.e2e.demo_command import demo_command
from tests.e2e.page_bot import png

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
ROOT = Path(__file__).parents[2]
PATIENCE_MS = 20_000


@asynccontextmanager
async def demonstration(log: Path) -> AsyncIterator[str]:
    """`python bot.py demo` as a newcomer types it; the address that it says."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *demo_command("--no-browser", "--gpus", "1", "--seconds-per-image", "2"),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    assert process.stdout is not None
    said = ""
    try:
        async with timeout(60):
            while (found := re.search(r"http://127\.0\.0\.1:\d+/\s+type", said)) is None:
                line = await process.stdout.readline()
                assert line, f"the demonstration ended: {said}{await asyncio.to_thread(log.read_text)}"
                said += line.decode()
        yield found[0].split()[0]
        assert process.returncode is None, await asyncio.to_thread(log.read_text)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def product(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Browser, str]]:
    log = tmp_path_factory.mktemp("demo") / "log"
    async with demonstration(log) as url:
        yield browser, url


async def own_picture(message: Locator, prompt: str) -> None:
    """The pixels on the screen are those of this prompt and of the seed that the message tells."""
    picture = message.get_by_test_id("picture").get_by_role("img")
    await expect(picture).to_be_visible(timeout=PATIENCE_MS)
    encoded = await picture.evaluate(
        """async (image) => {
          const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
          return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
        }"""
    )
    seed = re.search(r"seed (\d+)", await message.inner_text())
    assert seed is not None
    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    assert read_mark(image) == mark_of(prompt, int(seed[1]))


def result(page: Page, prompt: str) -> Locator:
    """The message with the finished picture: it has the button that makes another one."""
    return (
        page.get_by_test_id("message")
        .filter(has_text=prompt)
        .filter(has=page.get_by_role("button", name="Again"))
    )


async def test_a_newcomer_makes_a_picture_and_changes_one_of_their_own(product: tuple[Browser, str]) -> None:
    browser, url = product
    async with opened(browser, url) as client:
        page = client.page
        await expect(page.get_by_test_id("greeting")).to_contain_text("a program draws a scene")
        await page.get_by_test_id("try-it").click(timeout=PATIENCE_MS)
        await expect(page.get_by_test_id("choice").first).to_contain_text("FLUX.2 Klein · ")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("field-model")).to_have_value("FLUX.2 Klein")
        await page.get_by_test_id("field-prompt").fill("a lighthouse in the fog")
        await page.keyboard.press("Enter")
        answer = page.get_by_test_id("message").last
        await expect(answer.get_by_test_id("ephemeral")).to_be_visible(timeout=PATIENCE_MS)
        await answer.get_by_test_id("channel-mention").click()
        await expect(page.get_by_test_id("channel-title")).to_have_text("art-admin")
        await expect(page.get_by_text(re.compile(r"step \d of 4"))).to_be_visible(timeout=PATIENCE_MS)
        made = result(page, "a lighthouse in the fog")
        await own_picture(made, "a lighthouse in the fog")
        await expect(made).to_contain_text("1024×1024")

        await page.get_by_test_id("text").fill("/edit ")
        await page.get_by_test_id("field-prompt").fill("make it snow")
        await page.get_by_test_id("add-image").click()
        await page.get_by_test_id("file-image").set_input_files(
            FilePayload(name="mine.png", mimeType="image/png", buffer=png("teal", (512, 512)))
        )
        await page.get_by_test_id("send").click()
        await own_picture(result(page, "make it snow"), "make it snow")

        await page.get_by_test_id("user-switch").click()
        await page.get_by_test_id("user-option").nth(1).click()
        await expect(page.get_by_test_id("me")).to_have_text("Member 1")
        await expect(page.get_by_test_id("channel").filter(has_text="general")).to_be_visible()
        await expect(page.get_by_test_id("channel").filter(has_text="art-admin")).to_have_count(0)
        assert client.troubles == []


async def test_gallery_and_status_page_are_filled_before_anybody_at_the_page_asks(
    product: tuple[Browser, str],
) -> None:
    browser, url = product
    async with opened(browser, url) as client:
        page = client.page
        await page.get_by_test_id("channel").filter(has_text="gallery").click()
        shared = page.get_by_test_id("message").filter(has_text="a castle in the mountains at dawn")
        await expect(shared.get_by_test_id("picture").get_by_role("img")).to_be_visible(timeout=PATIENCE_MS)
        async with page.expect_popup() as opening:
            await page.get_by_test_id("status-link").click()
        status = await opening.value
        await expect(status.locator(".batch").first).to_be_attached(timeout=PATIENCE_MS)
