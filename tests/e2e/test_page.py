"""The page in Chromium, the embedded Discord and a small discord.py bot: what a person does and sees."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Page, expect

from modules.demo.discord_server import DiscordServer, default_world
from tests.e2e.chromium import PHONE, Client, opened
from tests.e2e.page_bot import PageBot, png, running_bot

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
EVIL = '<img src=x onerror="alert(1)"> [go](javascript:alert(2)) <script>alert(3)</script> @everyone'


@dataclass
class QueuePosition:
    browser: Browser
    server: DiscordServer
    bot: PageBot

    def page_of(self, name: str, **how: Any) -> Any:
        return opened(self.browser, f"{self.server.url}/?user={self.server.user(name).id}", **how)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(browser: Browser) -> AsyncIterator[QueuePosition]:
    async with (
        DiscordServer(default_world(4), rate_limits=False) as server,
        running_bot(server) as bot,
    ):
        yield QueuePosition(browser, server, bot)


@pytest_asyncio.fixture(loop_scope="session")
async def member(place: QueuePosition) -> AsyncIterator[Client]:
    async with place.page_of("member-1") as client:
        yield client
        assert client.troubles == []


async def start(page: Page, command: str) -> None:
    """Type the command and take it from the palette by key."""
    await page.get_by_test_id("text").fill(f"/{command}")
    await expect(page.get_by_test_id(f"command-{command}")).to_be_visible()
    await page.keyboard.press("Tab")


async def drop(page: Page, name: str, data: str, says: str = "/edit image") -> None:
    """Drag a file over the window, where the page says what will happen to it, and drop it."""
    dragged = await page.evaluate_handle(
        f"""() => {{
          const transfer = new DataTransfer();
          transfer.items.add(new File([{data}], '{name}', {{ type: 'image/png' }}));
          return transfer;
        }}"""
    )
    await page.dispatch_event("body", "dragover", {"dataTransfer": dragged})
    await expect(page.get_by_test_id("drop-veil")).to_contain_text(says)
    await page.dispatch_event("body", "drop", {"dataTransfer": dragged})


def last(page: Page) -> Any:
    return page.get_by_test_id("message").last


async def test_a_command_is_found_filled_by_keyboard_and_answered_with_a_picture(
    place: QueuePosition, member: Client
) -> None:
    page = member.page
    place.bot.gate.clear()
    await page.keyboard.type("/pa")
    await expect(page.get_by_test_id("command-paint")).to_contain_text("Paint a picture")
    await page.keyboard.press("Enter")
    await page.keyboard.type("z-im")
    await expect(page.get_by_test_id("choice")).to_have_text(["Z-Image Turbo"])
    await page.keyboard.press("Enter")
    await page.keyboard.type("a lighthouse at night")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("thinking")).to_contain_text("FuLLet is thinking")
    await expect(page.get_by_test_id("invocation").last).to_contain_text("/paint")
    place.bot.gate.set()
    await expect(page.get_by_test_id("thinking")).to_have_count(0)
    answer = last(page)
    await expect(answer).to_contain_text(re.compile(r"Queued, ready in (29|30) seconds"))
    await expect(answer.get_by_test_id("ephemeral")).to_contain_text("Only you can see this")
    await answer.get_by_test_id("channel-mention").click()
    await expect(page.get_by_test_id("channel-title")).to_have_text("session-member-1")
    picture = page.get_by_test_id("picture").get_by_role("img")
    await expect(picture).to_have_attribute("alt", "a lighthouse at night")
    assert (
        await picture.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") == 96
    )
    assert place.bot.seen[-1] == {
        "model": "z-image",
        "prompt": "a lighthouse at night",
        "aspect": None,
        "seed": None,
    }


async def test_what_is_missing_or_wrong_is_said_before_anything_is_sent(
    place: QueuePosition, member: Client
) -> None:
    page, before = member.page, len(place.bot.seen)
    await start(page, "paint")
    await page.get_by_test_id("choice").first.click()
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("hint-error")).to_have_text("Fill in: prompt")
    await expect(page.get_by_test_id("field-prompt")).to_be_focused()
    await page.keyboard.type("a cat")
    await page.get_by_test_id("add-seed").click()
    await page.keyboard.type("9999")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("hint-error")).to_have_text("seed must be at most 1000.")
    await page.get_by_test_id("field-seed").fill("7")
    await page.get_by_test_id("add-aspect").click()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    assert len(place.bot.seen) == before
    await page.get_by_test_id("field-aspect").press("Enter")
    await expect(last(page)).to_contain_text("Queued")
    assert place.bot.seen[-1] == {"model": "flux", "prompt": "a cat", "aspect": "wide", "seed": 7}
    await page.keyboard.press("ArrowUp")
    await page.get_by_test_id("field-prompt").press("Enter")
    await expect(page.get_by_text("Queued")).to_have_count(2)
    assert place.bot.seen[-2:] == [place.bot.seen[-1]] * 2


async def test_a_picture_is_uploaded_by_picker_and_by_drop(member: Client) -> None:
    page, data = member.page, png("crimson")
    await start(page, "edit")
    await page.get_by_test_id("file-image").set_input_files(
        FilePayload(name="mine.png", mimeType="image/png", buffer=data)
    )
    await expect(page.get_by_test_id("field-image")).to_have_attribute("data-state", "done")
    await page.get_by_test_id("send").click()
    await expect(last(page)).to_contain_text(f"Got mine.png, {len(data)} bytes")
    await expect(last(page).get_by_test_id("picture")).to_be_visible()
    await start(page, "edit")
    await drop(page, "dropped.png", f"new Uint8Array({list(data)})")
    await page.get_by_test_id("send").click()
    await expect(last(page)).to_contain_text("Got dropped.png")


async def test_a_file_for_a_command_without_files_is_refused_in_words(member: Client) -> None:
    page = member.page
    await start(page, "paint")
    await drop(page, "dropped.png", "new Uint8Array(9)", says="This command takes no file")
    await expect(page.get_by_test_id("toast")).to_have_text("This command takes no file")


async def test_a_file_that_is_too_large_is_refused_in_words(member: Client) -> None:
    page = member.page
    await start(page, "edit")
    await drop(page, "huge.png", "new Uint8Array(11 << 20)")
    await expect(page.get_by_test_id("hint-error")).to_have_text(
        "The file could not be uploaded: it is too large."
    )
    member.troubles.clear()  # the browser itself notes the 413


async def test_buttons_selects_and_embeds_work(place: QueuePosition, member: Client) -> None:
    page = member.page
    await start(page, "panel")
    await page.keyboard.press("Enter")
    panel = page.get_by_test_id("message").filter(has=page.get_by_test_id("embed")).last
    await expect(panel.get_by_test_id("embed")).to_contain_text("2 waiting")
    await expect(panel.get_by_test_id("embed-image").get_by_role("img")).to_have_attribute("alt", "Queue")
    await expect(panel.get_by_role("button", name="Not now")).to_be_disabled()
    await expect(panel.get_by_test_id("link-button")).to_have_attribute("href", "https://example.org/docs")
    await panel.get_by_role("button", name="Again").click()
    await expect(panel).to_contain_text("Pressed 1 times")
    await panel.get_by_role("button", name="Again").click()
    await expect(panel).to_contain_text("Pressed 2 times")
    await panel.get_by_test_id("select").first.click()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(last(page)).to_contain_text("Shape: tall")
    await panel.get_by_test_id("select").last.click()
    for name in ("red", "blue"):
        await page.get_by_role("option", name=name).click()
    await page.get_by_test_id("select-done").click()
    await expect(last(page)).to_contain_text("Colours: blue, red")
    async with place.page_of("member-2") as other:
        await expect(other.page.get_by_test_id("message").filter(has_text="Pressed 2 times")).to_be_visible()
        await expect(other.page.get_by_text("Colours: blue, red")).to_have_count(0)
    await panel.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("Pressed 2 times")).to_have_count(0)


async def test_a_modal_keeps_bad_input_and_sends_good(member: Client) -> None:
    page = member.page
    await page.get_by_test_id("text").fill("something to change")
    await page.keyboard.press("Enter")
    mine = page.get_by_test_id("message").filter(has_text="something to change").last
    await mine.click(button="right")
    await page.get_by_test_id("app-Edit picture").click()
    modal = page.get_by_test_id("modal")
    await expect(modal.get_by_test_id("modal-title")).to_have_text("Change this picture")
    await expect(modal.get_by_role("textbox").last).to_have_value("as before")
    await page.keyboard.type("ab")
    await modal.get_by_test_id("modal-submit").click()
    await expect(modal).to_contain_text("At least 3 characters.")
    await page.keyboard.type("c d")
    await modal.get_by_test_id("modal-submit").click()
    await expect(modal).to_have_count(0)
    await expect(last(page)).to_contain_text("Change: abc d / as before")
    await last(page).get_by_test_id("dismiss").click()
    await expect(page.get_by_text("Change: abc d")).to_have_count(0)


async def test_a_form_takes_choices_and_files(member: Client) -> None:
    page = member.page
    await start(page, "form")
    await page.keyboard.press("Enter")
    modal = page.get_by_test_id("modal")
    await expect(modal).to_contain_text("Which one paints")
    await modal.get_by_role("button", name="FLUX").click()
    await page.get_by_role("option", name="Z-Image").click()
    for names in (("mine.png", "yours.png"), ("third.png", "fourth.png")):
        await modal.locator("input[type=file]").set_input_files(
            [FilePayload(name=name, mimeType="image/png", buffer=png()) for name in names]
        )
    await expect(modal.get_by_test_id("modal-chosen-file")).to_have_text(
        ["mine.png", "yours.png", "third.png"]
    )
    await modal.get_by_role("button", name="Remove yours.png").click()
    await modal.get_by_test_id("modal-submit").click()
    shape = modal.get_by_role("radiogroup", name="Shape")
    await expect(shape).to_have_accessible_description("Of the picture This field is required.")
    await expect(shape.get_by_role("radio").first).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(shape.get_by_role("radio", name="Tall")).to_be_checked()
    extras = modal.get_by_role("group", name="Extras").get_by_role("checkbox")
    for number in range(3):
        await extras.nth(number).check()
    await modal.get_by_test_id("modal-submit").click()
    await expect(modal).to_contain_text("Choose 0 to 2")
    await modal.get_by_role("checkbox", name="Title").uncheck()
    await modal.get_by_role("checkbox", name="Only for me").uncheck()
    await modal.get_by_test_id("modal-submit").click()
    chosen = "Form: z-image ['mine.png', 'third.png'] Tall ['Frame', 'Grain'] False"
    await expect(last(page)).to_contain_text(chosen)


async def test_layout_components_are_laid_out_and_lead_from_picture_to_picture(
    place: QueuePosition, member: Client
) -> None:
    page = member.page
    await start(page, "layout")
    await page.keyboard.type("5")
    await page.keyboard.press("Enter")
    laid = page.get_by_test_id("message").filter(has_text="Laid out").last
    await expect(laid.get_by_role("heading", name="Laid out")).to_be_visible()
    await expect(laid.locator("small")).to_have_text("small print with seed 7")
    await expect(laid.get_by_test_id("container").first).to_have_css("border-left-color", "rgb(35, 120, 76)")
    await expect(laid.get_by_test_id("file").get_by_role("link", name="notes.txt")).to_be_visible()
    await expect(laid.get_by_test_id("thumbnail")).to_have_css("width", "85px")
    boxes = await laid.get_by_test_id("picture").evaluate_all(
        "(all) => all.map((one) => [one.offsetTop, Math.round(one.offsetWidth / 10)])"
    )
    assert [width for _, width in boxes] == [26, 26, 17, 17, 17]
    assert len({top for top, _ in boxes}) == 2, "two above three"
    assert await laid.get_by_role("img", name=re.compile("Wall")).count() == 5

    await laid.get_by_test_id("picture").first.press("Enter")
    shown = page.get_by_test_id("lightbox-picture")
    await expect(shown).to_have_attribute("alt", "Wall 1")
    await page.keyboard.press("ArrowLeft")
    await expect(shown).to_have_attribute("alt", "Wall 5")
    await page.get_by_role("button", name="Next picture").click()
    await expect(page.get_by_test_id("lightbox-count")).to_have_text("1 of 5")
    await page.keyboard.press("Escape")
    await expect(laid.get_by_test_id("picture").first).to_be_focused()

    assert await laid.get_by_test_id("container").last.evaluate("(node) => node.inert")
    await laid.get_by_role("button", name="Spoiler: show").click()
    assert not await laid.get_by_test_id("container").last.evaluate("(node) => node.inert")
    await laid.get_by_role("button", name="Aside").click()
    await expect(last(page)).to_contain_text("Pressed aside")
    await last(page).get_by_test_id("dismiss").click()
    async with place.page_of("member-2", viewport=PHONE, phone=True) as other:
        await expect(other.page.get_by_test_id("gallery").last).to_be_visible()
        assert await _sticking_out(other.page) == []


async def test_subcommands_take_people_and_yes_or_no(member: Client) -> None:
    page = member.page
    await page.get_by_test_id("text").fill("/block")
    await page.get_by_test_id("command-house-block").click()
    await page.keyboard.type("member 2")
    await page.keyboard.press("Enter")
    await page.keyboard.type("tr")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(last(page)).to_contain_text("Blocked member-2, quiet: True")
    await expect(page.get_by_test_id("invocation").last).to_contain_text("/house block")


async def test_another_channels_messages_are_marked_until_read(place: QueuePosition, member: Client) -> None:
    page, gallery = member.page, place.bot.get_channel(place.server.channel("gallery").id)
    channel = page.get_by_test_id("channel").filter(has_text="gallery")
    await gallery.send("for all")  # type: ignore[union-attr]
    await expect(channel).to_have_class(re.compile("unread"))
    await expect(channel.get_by_test_id("ping-badge")).to_have_count(0)
    await gallery.send(f"for <@{place.server.user('member-1').id}>")  # type: ignore[union-attr]
    await expect(channel.get_by_test_id("ping-badge")).to_have_text("1")
    await expect(page).to_have_title(re.compile(r"^\(1\) #general"))
    await channel.click()
    await expect(page.get_by_test_id("unread-line")).to_have_count(1)
    await expect(channel).not_to_have_class(re.compile("unread"))
    async with gallery.typing():  # type: ignore[union-attr]
        await expect(page.get_by_test_id("typing")).to_have_text("FuLLet is typing…")


async def test_a_page_left_open_meets_a_server_with_other_people(place: QueuePosition) -> None:
    async with opened(place.browser, f"{place.server.url}/?user=1") as client:
        await expect(client.page.get_by_test_id("me")).to_have_text("Admin")


async def test_a_private_channel_is_seen_by_its_owner_and_administrators_only(place: QueuePosition) -> None:
    async with place.page_of("member-3") as owner, place.page_of("member-2") as other:
        await start(owner.page, "paint")
        await owner.page.get_by_test_id("choice").first.click()
        await owner.page.keyboard.type("private")
        await owner.page.keyboard.press("Enter")
        channel = owner.page.get_by_test_id("channel").filter(has_text="session-member-3")
        await expect(channel.get_by_test_id("private")).to_have_count(1)
        await expect(channel.get_by_test_id("ping-badge")).to_have_text("1")
        await other.page.get_by_test_id("user-switch").click()
        await expect(other.page.get_by_test_id("user-option")).to_have_count(4)
        await expect(other.page.get_by_test_id("admin-tag")).to_have_count(1)
        mine = other.page.get_by_test_id("user-list").get_by_role("option", selected=True)
        await expect(mine).to_contain_text("Member 2")
        await expect(other.page.get_by_test_id("channel").filter(has_text="session-member-3")).to_have_count(
            0
        )
        await other.page.get_by_test_id("user-option").filter(has_text="Member 3").click()
        await expect(other.page.get_by_test_id("me")).to_have_text("Member 3")
        await other.page.get_by_test_id("channel").filter(has_text="session-member-3").click()
        await expect(last(other.page)).to_contain_text("@Member 3 here it is")
        await expect(last(other.page)).to_have_class(re.compile("pinged"))
        place.server.delete_channel(place.server.channel("session-member-3"))
        await expect(channel).to_have_count(0)
        await expect(other.page.get_by_test_id("channel-title")).to_have_text("general")


async def test_hostile_prompts_stay_text(place: QueuePosition, member: Client) -> None:
    page = member.page
    await start(page, "paint")
    await page.get_by_test_id("choice").first.click()
    await page.get_by_test_id("field-prompt").fill(EVIL)
    await page.keyboard.press("Enter")
    await expect(last(page)).to_contain_text("Queued")
    await last(page).get_by_test_id("channel-mention").click()
    content = last(page).get_by_test_id("content")
    await expect(content).to_contain_text(EVIL)
    assert await content.locator("img, script, a").count() == 0
    await last(page).get_by_test_id("picture").click()
    await expect(page.get_by_test_id("lightbox")).to_contain_text(EVIL)
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("lightbox")).to_have_count(0)


async def test_a_command_without_an_answer_says_so(place: QueuePosition, member: Client) -> None:
    page = member.page
    await start(page, "silent")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("sending")).to_be_visible()
    place.server.advance(3.1)
    await expect(page.get_by_test_id("failed")).to_have_text("The application did not respond")


async def test_the_language_changes_command_names_and_the_page(member: Client) -> None:
    page = member.page
    await page.get_by_test_id("locale").select_option("es-ES")
    await expect(page.get_by_test_id("text")).to_have_attribute(
        "placeholder", re.compile("^Mensaje en #general")
    )
    await page.get_by_test_id("text").fill("/pin")
    await expect(page.get_by_test_id("command-paint")).to_contain_text("/pinta")
    await expect(page.get_by_test_id("command-paint")).to_contain_text("Pinta una imagen")
    await page.keyboard.press("Tab")
    await expect(page.get_by_test_id("command-name")).to_have_text("/pinta")
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("hint-error")).to_have_text("Completa: model, prompt")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("locale").select_option("en-US")
    await expect(page.get_by_test_id("text")).to_have_attribute(
        "placeholder", re.compile("^Message #general")
    )


async def test_who_has_chosen_no_language_has_the_browsers(place: QueuePosition) -> None:
    async with place.page_of("member-3", locale="es-ES") as client:
        page, html = client.page, client.page.locator("html")
        await expect(html).to_have_attribute("lang", "es-ES")
        await page.get_by_test_id("help-open").click()
        await expect(page.get_by_test_id("help")).to_contain_text("Crea tu primera imagen")
        await page.get_by_test_id("help-close").click()
        async with place.page_of("member-3") as other:  # it is what Discord knows of the person, too
            await expect(other.page.locator("html")).to_have_attribute("lang", "es-ES")
        await page.get_by_test_id("locale").select_option("en-US")
        await page.reload()
        await page.wait_for_selector("[data-ready]")
        await expect(html).to_have_attribute("lang", "en-US")


async def test_older_messages_come_on_scrolling_up_without_a_jump(place: QueuePosition) -> None:
    channel = place.bot.get_channel(place.server.channel("gallery").id)
    for number in range(70):
        await channel.send(f"old-{number:02}")  # type: ignore[union-attr]
    async with place.page_of("member-2") as client:
        page = client.page
        await page.get_by_test_id("channel").filter(has_text="gallery").click()
        await expect(last(page)).to_contain_text("old-69")
        await expect(page.get_by_text("old-00", exact=True)).to_have_count(0)
        await page.get_by_test_id("scroller").evaluate("(node) => node.scrollTo(0, 60)")
        await expect(page.get_by_text("old-00", exact=True)).to_have_count(1)
        kept = page.get_by_test_id("message").filter(has_text="old-22")
        await expect(kept).to_be_in_viewport()
        assert client.troubles == []


async def test_the_connection_comes_back_with_what_was_missed(place: QueuePosition, member: Client) -> None:
    page = member.page
    await expect(page.get_by_test_id("channel-title")).to_have_text("general")
    await page.context.set_offline(True)
    await place.server.hub.clients.close()
    await expect(page.get_by_test_id("banner")).to_contain_text("Connection lost")
    channel = place.bot.get_channel(place.server.channel("general").id)
    await channel.send("while you were away")  # type: ignore[union-attr]
    await page.context.set_offline(False)
    await expect(page.get_by_text("while you were away")).to_be_visible()
    await expect(page.get_by_test_id("banner")).to_be_hidden()
    member.troubles.clear()  # the browser notes each failed try


async def test_a_reply_shows_what_it_answers_without_markup(place: QueuePosition, member: Client) -> None:
    channel = place.bot.get_channel(place.server.channel("general").id)
    said = await channel.send("**#4** is in `general`:\n> a *red* boat")  # type: ignore[union-attr]
    await channel.send("done", reference=said)  # type: ignore[union-attr]
    await expect(last(member.page).get_by_role("button", name="Reply to FuLLet")).to_contain_text(
        "#4 is in general: a red boat"
    )


async def test_nothing_is_wider_than_the_sidebar(place: QueuePosition) -> None:
    async with place.page_of("member-1") as client:
        wide = await client.page.get_by_test_id("sidebar").evaluate(
            """(bar) => [...bar.querySelectorAll('*')]
              .filter((node) => node.getBoundingClientRect().right > bar.getBoundingClientRect().right)
              .map((node) => node.className)"""
        )
    assert wide == []


async def test_a_newcomer_on_a_phone_is_helped_and_nothing_sticks_out(place: QueuePosition) -> None:
    async with place.page_of("member-2", viewport=PHONE, phone=True) as client:
        page = client.page
        await page.get_by_test_id("drawer-open").tap()
        await page.get_by_test_id("help-open").tap()
        await expect(page.get_by_test_id("help")).to_contain_text("/imagine")
        await expect(page.get_by_test_id("help")).not_to_contain_text(re.compile("press Tab|click"))
        await expect(page.get_by_test_id("help")).to_contain_text("simulated")
        await page.get_by_test_id("help-close").tap()
        await page.get_by_test_id("channel").filter(has_text="general").tap()
        await expect(page.get_by_test_id("sidebar")).not_to_be_in_viewport()
        await page.get_by_test_id("text").fill("w" * 300)
        await page.get_by_test_id("send").tap()
        await page.get_by_test_id("text").fill("/paint ")
        await page.get_by_test_id("choice").first.tap()
        await page.get_by_test_id("field-prompt").fill("w" * 300)
        for name in ("aspect", "seed"):
            await page.get_by_test_id(f"add-{name}").tap()
        # what is not being written now is one line, so that a keyboard leaves room for what is
        assert await page.get_by_test_id("field-prompt").evaluate("(field) => field.offsetHeight") < 45
        assert await _sticking_out(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await page.reload()
        await expect(page.get_by_test_id("text")).to_be_visible()
        assert client.troubles == []


async def _sticking_out(page: Page) -> Any:
    """What is wider than the window."""
    return await page.evaluate(
        """() => [...document.querySelectorAll('body *')]
          .filter((node) => node.checkVisibility() && node.getBoundingClientRect().right > innerWidth + 1
            && !node.closest('.sidebar, .hint-options'))
          .map((node) => node.className)"""
    )
