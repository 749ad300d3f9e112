"""Which of a message's parts are pictures, and from where they are read."""

from __future__ import annotations

from modules.discord.transport.attachments import CDN_HOSTS, AttachmentReader
from modules.discord.ui.message_parts import pictures_of


async def test_a_picture_that_a_link_leads_to_is_read_from_discords_copy() -> None:
    copy = "https://images-ext-1.discordapp.net/external/x/https/example.org/cat.png"
    embeds = [
        {"type": "video", "video": {"url": "https://example.org/cat.mp4"}},
        {"type": "image", "thumbnail": {"url": "https://example.org/cat.png", "proxy_url": copy, "width": 9}},
    ]
    (picture,) = pictures_of({"attachments": [{"url": "x", "filename": "a.mp4"}], "embeds": embeds})
    assert picture.url == copy
    assert picture.size is None
    assert "images-ext-1.discordapp.net" in CDN_HOSTS
    reader = AttachmentReader(session=None)  # type: ignore[arg-type]
    assert reader._allowed(picture.url) is not None
    assert reader._allowed("https://example.org/cat.png") is None
