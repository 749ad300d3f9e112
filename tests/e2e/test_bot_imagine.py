"""/imagine from typing to the picture, as its owner sees it, and as the others do not."""

from __future__ import annotations

from pathlib import Path

from modules.demo.users import is_ephemeral
from tests.discord_stand import colour_of, pixel, whole_room


def has_picture(message: dict[str, object]) -> bool:
    """Whether a message carries a result."""
    return bool(message["attachments"]) and "preview" not in str(message["attachments"])


async def test_a_prompt_becomes_a_picture_in_ones_own_channel(tmp_path: Path) -> None:
    async with whole_room(tmp_path) as stand:
        ana, ben = await stand.person("member-1"), await stand.person("member-2")
        asked = await ana.command("imagine", stand.general, model="flux", prompt="a red fox", seed=7)
        reply = await asked.reply()
        assert is_ephemeral(reply)
        assert "#1" in reply["content"]
        channel = await ana.wait_for_channel(lambda c: c["name"].startswith("art-"))
        assert f"<#{channel['id']}>" in reply["content"]
        result = await ana.wait_for_message(has_picture, channel=channel["id"])
        assert "a red fox" in result["content"]
        assert "seed `7`" in result["content"]
        data = await ana.download(result["attachments"][0]["url"])
        assert pixel(data) == colour_of("a red fox", 7)
        assert channel["id"] not in ben.channels
        assert await ana.until(lambda: len(ana.messages(channel["id"])) == 1)
