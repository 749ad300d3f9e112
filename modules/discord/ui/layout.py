"""The parts of a message's layout (Discord's Components V2), and how much of them one message can hold.

Such a message has no other text: its order is the order in which a screen reader reads it.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Iterable
from typing import Any

import discord

TEXT_LIMIT = 4000
"""Characters of all texts of a message together (Discord docs, Component Reference)."""

GALLERY_LIMIT = 10
"""Pictures in one gallery."""

ALT_LIMIT = 1000
"""Characters of a picture's description; Discord takes 1024."""

Part = discord.ui.Item[Any]


def layout(*parts: Part | None) -> discord.ui.LayoutView:
    """A message of these parts; None stands for a part that is not needed. Of texts that are too long
    together, the longest is cut. Raises ValueError for more than 40 components: see `first_parts`."""
    view = discord.ui.LayoutView(timeout=None)
    for part in parts:
        if part is not None:
            view.add_item(part)
    texts = [part for part in view.walk_children() if isinstance(part, discord.ui.TextDisplay)]
    while (excess := sum(len(part.content) for part in texts) - TEXT_LIMIT) > 0:
        longest = max(texts, key=lambda part: len(part.content))
        longest.content = longest.content[: max(0, len(longest.content) - excess - 1)].rstrip() + "…"
    return view


def first_parts(parts: Iterable[Part], limit: int) -> list[Part]:
    """The first parts, as many as have at most ``limit`` components together, their own parts included."""
    fitting: list[Part] = []
    for part in parts:
        limit -= part._total_count
        if limit < 0:
            break
        fitting.append(part)
    return fitting


def container(
    *parts: Part | None, accent: discord.Colour | None = None, mark: int | None = None
) -> discord.ui.Container[Any]:
    """A frame around parts; ``accent`` colours its edge, which must not mean anything by itself. ``mark``: a
    number of 31 bits, not small, that nobody sees and by which the message is found."""
    return discord.ui.Container(*[part for part in parts if part is not None], accent_colour=accent, id=mark)


def text(markdown: str) -> discord.ui.TextDisplay[Any]:
    """A text of its own."""
    return discord.ui.TextDisplay(markdown)


SMALL = "-# "
"""What small print begins with."""


def small(line: str, *, mark: int | None = None) -> discord.ui.TextDisplay[Any]:
    """Small print; ``mark`` as in `container`."""
    return discord.ui.TextDisplay(f"{SMALL}{line}", id=mark)


def gallery(pictures: Iterable[tuple[str, str]]) -> discord.ui.MediaGallery[Any]:
    """The first `GALLERY_LIMIT` pictures, each an address and what it shows, for those who cannot see it. The
    address of a file of the message is `attached`."""
    items = [discord.MediaGalleryItem(url, description=alt[:ALT_LIMIT] or None) for url, alt in pictures]
    return discord.ui.MediaGallery(*items[:GALLERY_LIMIT])


def thumbnail(url: str, alt: str) -> discord.ui.Thumbnail[Any]:
    """A small picture beside a `section`."""
    return discord.ui.Thumbnail(url, description=alt[:ALT_LIMIT] or None)


def attached(file_name: str) -> str:
    """The address of a file of the same message."""
    return f"attachment://{file_name}"


def section(markdown: str, accessory: Part) -> discord.ui.Section[Any]:
    """A text with a button or a `thumbnail` beside it."""
    return discord.ui.Section(text(markdown), accessory=accessory)


def separator(*, line: bool = True) -> discord.ui.Separator[Any]:
    """Space between two parts, with a line or without."""
    return discord.ui.Separator(visible=line)


def row(*components: Part) -> discord.ui.ActionRow[Any]:
    """One menu, or up to five buttons."""
    return discord.ui.ActionRow(*components)


def accent_of(name: str) -> discord.Colour:
    """The colour of a model: always the same one for a name."""
    red, green, blue = colorsys.hsv_to_rgb(zlib.crc32(name.encode()) % 360 / 360, 0.55, 0.9)
    return discord.Colour.from_rgb(round(red * 255), round(green * 255), round(blue * 255))
