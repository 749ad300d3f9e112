"""The page's markdown, rendered by Chromium: Discord's forms, and text that would like to be markup."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.e2e.chromium import serving_files

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RENDER = """
const { markdown } = await import('/page/js/markdown.js');
const context = {
  me: '1', user: (id) => ({ 1: 'Ada', 2: 'Bruno' })[id] ?? null,
  channel: (id) => (id === '7' ? 'general' : null),
  role: () => ({ name: 'Makers' }), openChannel: () => {}, runCommand: () => {},
};
const draw = (text) => {
  const box = document.createElement('div');
  box.append(markdown(text, context));
  return box;
};
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with serving_files() as url:
        page = await browser.new_page(locale="en-US", timezone_id="UTC")
        await page.goto(url)
        yield page
        await page.close()


async def evaluate(page: Page, script: str, argument: Any = None) -> Any:
    return await page.evaluate(f"async (given) => {{ {RENDER} {script} }}", argument)


async def html(page: Page, text: str) -> str:
    """The rendered HTML, attributes left out but links' targets."""
    return str(
        await evaluate(
            page,
            """
            const box = draw(given);
            for (const node of box.querySelectorAll('*')) {
              const names = node.getAttributeNames().filter((name) => name !== 'href');
              names.forEach((name) => node.removeAttribute(name));
            }
            return box.innerHTML;""",
            text,
        )
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("**bold** and *slanted*", "<strong>bold</strong> and <em>slanted</em>"),
        ("***both***", "<strong><em>both</em></strong>"),
        ("__under__ _slanted_", "<u>under</u> <em>slanted</em>"),
        ("~~gone~~", "<s>gone</s>"),
        ("**a *b* c**", "<strong>a <em>b</em> c</strong>"),
        ("*a **b** c*", "<em>a <strong>b</strong> c</em>"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("**open", "**open"),
        (r"\*not slanted\* \_nor this\_", "*not slanted* _nor this_"),
        (r"C:\new", r"C:\new"),
        ("`code **stays**`", "<code>code **stays**</code>"),
        ("``a ` tick``", "<code>a ` tick</code>"),
        ("lone ` tick", "lone ` tick"),
        ("||hidden||", "<span><span>hidden</span></span>"),
        ("# One\n## Two\n### Three", "<h2>One</h2><h2>Two</h2><h2>Three</h2>"),
        ("#no heading", "#no heading"),
        ("-# small *print*", "<small>small <em>print</em></small>"),
        ("> said\n> twice\nafter", "<blockquote>said<br>twice</blockquote>after"),
        (">>> all\nthe rest", "<blockquote>all<br>the rest</blockquote>"),
        ("- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("3. x\n4. y", "<ol><li>x</li><li>y</li></ol>"),
        ("-5 degrees", "-5 degrees"),
        ("a\n```py\nx = '**'\n```\nb", "a<br><pre><code>x = '**'</code></pre>b"),
        ("```one line```", "<pre><code>one line</code></pre>"),
        ("line\nbreak", "line<br>break"),
        ("<@1> <@!2> <@9>", "<span>@Ada</span> <span>@Bruno</span> <span>@unknown</span>"),
        ("<#7> <#8>", "<button>#general</button> <span>#unknown</span>"),
        ("<@&5> @everyone", "<span>@Makers</span> <span>@everyone</span>"),
        ("</imagine:12>", "<button>/imagine</button>"),
        ("<:fox:123>", "<span>:fox:</span>"),
        ("https://a.example/b_c_d.", '<a href="https://a.example/b_c_d">https://a.example/b_c_d</a>.'),
        ("(see https://a.example/x)", '(see <a href="https://a.example/x">https://a.example/x</a>)'),
        ("<https://a.example/>", '<a href="https://a.example/">https://a.example/</a>'),
        ("[**go**](https://a.example/x)", '<a href="https://a.example/x"><strong>go</strong></a>'),
        ("[no](javascript:alert(1))", "[no](javascript:alert(1))"),
        ("[no](data:text/html,x)", "[no](data:text/html,x)"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("&lt;b&gt; &amp;", "&amp;lt;b&amp;gt; &amp;amp;"),
        ("<t:0:D>", "<time>January 1, 1970</time>"),
        ("<t:0:t>", "<time>12:00 AM</time>"),
        ("<t:9999999999999:f>", "&lt;t:9999999999999:f&gt;"),
        ("שלום **עולם**", "שלום <strong>עולם</strong>"),
        ("https://discord.com/channels/1/7/9", "<button>#general › ✉</button>"),
        ("[open](https://discord.com/channels/1/7/9)", "<button>open</button>"),
        (
            "https://discord.com/channels/1/8",
            '<a href="https://discord.com/channels/1/8">https://discord.com/channels/1/8</a>',
        ),
    ],
)
async def test_text_is_shown_as_discord_shows_it(page: Page, text: str, expected: str) -> None:
    assert (await html(page, text)).replace("\u202f", " ") == expected


async def test_no_text_becomes_markup_or_a_dangerous_link(page: Page) -> None:
    dice = random.Random(20)
    pieces = [
        *"*_~|`>#-[]()<>\\\n :\"'", "**", "__", "||", "```", "> ", "- ", "1. ", "<@1>", "<#7>", "<t:1:R>",
        "javascript:", "data:", "https://x.example/", "<script>", "<img src=x onerror=alert(1)>", "word",
        "onclick=", "](", "éß漢🙂", "\u202e",
    ]  # fmt: skip
    texts = ["".join(dice.choices(pieces, k=dice.randrange(1, 40))) for _ in range(1500)]
    bad = await evaluate(
        page,
        """
        const tags = `STRONG EM U S CODE PRE BLOCKQUOTE SMALL H2 UL OL LI BR
          SPAN A TIME BUTTON`.split(/\\s+/);
        const attribute = (name) => name.startsWith('on') || name === 'src' || name === 'style';
        const dangerous = (node) => !tags.includes(node.tagName) || node.getAttributeNames().some(attribute)
          || (node.tagName === 'A' && !/^https?:/.test(node.getAttribute('href')));
        return given.filter((text) => [...draw(text).querySelectorAll('*')].some(dangerous));
        """,
        texts,
    )
    assert bad == []


@pytest.mark.parametrize(
    "piece", ["*", "**a", "_ _", "||", "[", "[a](", "> ", "`", "- a\n", "***a*", "<", "~~*__"]
)
async def test_a_wall_of_marks_takes_no_noticeable_time(page: Page, piece: str) -> None:
    text = (piece * 4096)[:4096]
    took = await evaluate(
        page, "const from = performance.now(); draw(given); return performance.now() - from;", text
    )
    assert took < 1000, json.dumps(piece)


async def test_countdowns_move_by_themselves(page: Page) -> None:
    shown = await page.evaluate(
        """async () => {
          const { timeElement, startClock } = await import('/page/js/timestamps.js');
          const node = timeElement(Math.floor(Date.now() / 1000) + 42, 'R');
          document.body.append(node);
          startClock();
          const before = node.textContent;
          const changes = { childList: true, characterData: true, subtree: true };
          await new Promise((resolve) => new MutationObserver(resolve).observe(node, changes));
          return [before, node.textContent];
        }"""
    )
    numbers = [int("".join(filter(str.isdigit, text))) for text in shown]
    assert shown[0].startswith("in 4")
    assert numbers[1] < numbers[0]
