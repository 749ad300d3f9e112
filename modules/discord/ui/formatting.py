"""Pure: prompts, names and numbers as messages show them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from fluent.runtime.types import FluentFloat

_MARKS = re.compile(r"([\\*_~`|\[<])")
_LINE_MARKS = re.compile(r"^([>#+-])")
_INVITATION = re.compile(r"((?:discord(?:app)?|dsc))(\.(?:gg|gift|me|io|li|com/invite)\b)", re.IGNORECASE)
BROKEN_FENCE = "`\u200b``"
"""Stands in a code block for what would end it."""

_FULL, _EMPTY = "▰", "▱"


def quoted(prompt: str, limit: int = 300) -> str:
    """A prompt on one line, shortened, with nothing in it that Discord would render or ping.

    A zero-width space after each ``@``, in each ``://`` and in each invitation is a second lock, after
    allowed mentions.
    """
    escaped = _LINE_MARKS.sub(r"\\\1", _MARKS.sub(r"\\\1", plain(prompt, limit)))
    broken = escaped.replace("@", "@\u200b").replace("://", ":\u200b//")
    return _INVITATION.sub("\\1\u200b\\2", broken)


def code_block(prompt: str, limit: int = 3000) -> str:
    """A prompt to copy, as it was written; cut if it is longer than ``limit`` characters."""
    shown = prompt if len(prompt) <= limit else prompt[: limit - 1] + "…"
    return "```\n" + shown.replace("```", BROKEN_FENCE) + "\n```"


def plain(prompt: str, limit: int) -> str:
    """A prompt on one line, shortened, for places where nothing is rendered (buttons, alt text)."""
    line = " ".join(prompt.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def in_language(texts: Iterable[tuple[str, str]], language: str) -> str:
    """The text in ``language``, or else the English one."""
    words = dict(texts)
    return words.get(language) or words.get("en", "")


def fitting(lines: Iterable[str], limit: int) -> str:
    """The first lines, as many as fit whole into ``limit`` characters."""
    text = ""
    for line in lines:
        longer = f"{text}\n{line}" if text else line
        if len(longer) > limit:
            break
        text = longer
    return text


def moment(unix: float) -> str:
    """A time that every client shows as a countdown or as how long ago it was."""
    return f"<t:{round(unix)}:R>"


def date(unix: float) -> str:
    """A day as every client writes it."""
    return f"<t:{round(unix)}:d>"


def bar(step: int, steps: int, width: int = 10) -> str:
    """How much is done, as a bar of ``width`` characters."""
    done = 0 if steps <= 0 else max(0, min(width, step * width // steps))
    return _FULL * done + _EMPTY * (width - done)


def seconds(value: float) -> float:
    """Seconds that a sentence shows as its language does, with one decimal below ten: ``0,8``, ``12``."""
    return (
        one_decimal(value)
        if value < 9.95
        else FluentFloat(round(value), minimumFractionDigits=0, maximumFractionDigits=0)
    )


def one_decimal(value: float) -> float:
    """A number that a sentence shows as its language does, with one decimal: ``2,1``."""
    return FluentFloat(round(value, 1), minimumFractionDigits=1, maximumFractionDigits=1)


def nonce(job_id: str, channel_id: int, part: str) -> str:
    """Makes Discord create a message only once: at most 25 characters, different for each destination."""
    return hashlib.sha256(f"{job_id}:{channel_id}:{part}".encode()).hexdigest()[:24]


def channel_name(name: str, fallback: str) -> str:
    """A channel's name made from a person's: lower case, hyphens, at most 90 characters."""
    folded = unicodedata.normalize("NFC", name).casefold().replace("i\u0307", "i")  # from a Turkish İ
    seen = (letter for letter in folded if unicodedata.category(letter) != "Cf")
    kept = (letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" else " " for letter in seen)
    words = "-".join("".join(kept).split())
    return words[:90].strip("-") or fallback


def message_link(guild_id: int, channel_id: int, message_id: int) -> str:
    """The address of a message in Discord's clients."""
    return f"https://discord.com/channels/{guild_id or '@me'}/{channel_id}/{message_id}"


def message_ids(text: str) -> tuple[int | None, int] | None:
    """Channel (if given) and message that a link or an id stands for."""
    match = re.search(r"(?:channels/[\d@me]+/(\d{15,20})/)?(\d{15,20})\s*$", text.strip())
    return (int(match[1]) if match[1] else None, int(match[2])) if match else None


def is_whole(text: str) -> bool:
    """Whether ``text`` is a whole number that is not negative, written in digits."""
    return text.isascii() and text.isdigit() and len(text) <= 30
