"""Words that a community does not allow, found even where letters are replaced by look-alikes."""

from __future__ import annotations

import asyncio
import unicodedata
from logging import getLogger
from pathlib import Path

from modules.queue_manager.errors import BannedWord

log = getLogger(__name__)

# Letters of other scripts, digits and signs that pass for Latin letters. The pair i/l and what
# resembles them share one letter, since nobody can tell them apart.
_LOOKS_LIKE = str.maketrans(
    {
        **dict(zip("авсԁеһіјкӏмпорԛѕтцѵшхуʏґзѡ", "abcdehijkimnopqstuvwxyyg3w", strict=True)),
        **dict(zip("αβγδεζηικλνορστυχω", "abydezniklvopotuxw", strict=True)),
        **dict(zip("0134578@$€£¥", "oieastbaseiy", strict=True)),
        "l": "i",
        "ı": "i",
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ł": "i",
    }
)


def skeleton(text: str) -> tuple[str, ...]:
    """The words of ``text`` as they look: runs of single letters joined, repeated letters dropped.

    >>> skeleton("B.а.d  wооо0rd!")
    ('bad', 'word')
    """
    return tuple(_once(word) for word, _ in _joined(_words(text)))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFD", plain)
        if unicodedata.category(letter) not in ("Mn", "Cf")
    ).translate(_LOOKS_LIKE)
    return "".join(letter if letter.isalnum() else " " for letter in plain).split()


def _joined(words: list[str]) -> list[tuple[str, bool]]:
    """The words, each run of single letters joined into one; and whether each is such a run."""
    joined: list[tuple[str, bool]] = []
    for word in words:
        single = len(word) == 1
        if single and joined and joined[-1][1]:
            joined[-1] = (joined[-1][0] + word, True)
        else:
            joined.append((word, single))
    return joined


def _once(word: str) -> str:
    return "".join(letter for at, letter in enumerate(word) if at == 0 or word[at - 1] != letter)


def holds(prompt: str, banned: frozenset[tuple[str, ...]]) -> bool:
    """Whether one of the banned words or phrases stands in ``prompt`` as whole words, or spelt letter by
    letter (where an article may have run into it: ``a b.a.d``)."""
    joined = _joined(_words(prompt))
    words = tuple(_once(word) for word, _ in joined)
    lengths = {len(phrase) for phrase in banned}
    whole = any(
        words[at : at + length] in banned for length in lengths for at in range(len(words) - length + 1)
    )
    spelt = [_once(word) for word, is_spelt in joined if is_spelt]
    return whole or any("".join(phrase) in run for phrase in banned for run in spelt)


class BannedWords:
    """The list in a file, one word or phrase a line (``#`` begins a comment), read again when it changes.

    A list that cannot be read lets nothing through.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._banned: frozenset[tuple[str, ...]] = frozenset()

    async def check(self, *prompts: str) -> None:
        """Raises `BannedWord`."""
        if self._path is None:
            return
        try:
            await asyncio.to_thread(self._refresh, self._path)
        except (OSError, UnicodeDecodeError) as error:
            log.exception("the list of banned words cannot be read: every prompt is refused")
            self._seen = None
            raise BannedWord from error
        if any(holds(prompt, self._banned) for prompt in prompts if prompt):
            raise BannedWord

    def _refresh(self, path: Path) -> None:
        stat = path.stat()
        if (stat.st_mtime_ns, stat.st_size) == self._seen:
            return
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        phrases = (skeleton(line.partition("#")[0]) for line in lines)
        self._banned = frozenset(phrase for phrase in phrases if phrase)
        self._seen = (stat.st_mtime_ns, stat.st_size)
