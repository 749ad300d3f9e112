"""Words that a community does not allow, found also as plurals, spelt letter by letter, and written with
look-alikes. A listed word stands for itself: ``ass`` does not ban "as"."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from logging import getLogger
from pathlib import Path

from modules.discord.requests.look_alikes import EITHER, letters_of
from modules.queue_manager.errors import BannedWord, QueueClosed

log = getLogger(__name__)

_SPACES = re.compile(r"[\s,;:/\\()\[\]{}<>\"]+")
"""What always separates words. Other signs may stand within one: ``nu-de``, ``k!ll``."""

_CONTRACTED = re.compile(r"['’ʼ‘](?:ll|re|ve|em|d|s|t|m)\b", re.IGNORECASE)
"""English endings: "I'll" is not "ill"."""

_SIGNS = {"@": "a", "$": "s", "€": "e", "£": "l", "+": "t", "!": EITHER, "|": EITHER}
_WITHIN = "!|+¡¿?"
"""Signs that count as letters only between others: at a word's edge they are punctuation."""

_DIGITS = str.maketrans("01345789", f"o{EITHER}eastbg")

_DOUBLED = frozenset("bcdefglmnñoprstz")
"""Letters that English or Spanish words double, so that "good" is not "god"; a run of any other letter counts
as one."""

_CLASSES = {"i": f"[i{EITHER}]", "l": f"[l{EITHER}]", EITHER: f"[il{EITHER}]"}

LONGEST = 60
"""The most characters that a word may have; anything longer does not count as a word."""


class WordList:
    """``phrases``: a word or several each, in any spelling."""

    def __init__(self, phrases: Iterable[str]) -> None:
        listed = {tuple(_spelt_joined(_words(phrase))) for phrase in phrases} - {()}
        self._longest = max(map(len, listed), default=0)
        by_first: dict[str, list[str]] = {}
        for words in listed:
            by_first.setdefault(_outline(words[0]), []).append(_pattern(words))
        self._by_first = {
            outline: re.compile(f"(?:{'|'.join(found)}) ") for outline, found in by_first.items()
        }
        long = {"".join(words) for words in listed if len("".join(words)) > 2}
        self._spelt = [(_outline(word), re.compile(_pattern([word]))) for word in long]

    def holds(self, prompt: str) -> bool:
        """Whether one of the phrases stands in ``prompt``. Where it is spelt letter by letter, an article may
        have run into it: ``a b.a.d``."""
        words = _words(prompt)
        lines = (words, _spelt_joined(words), *([word] for word in _joined(prompt)))
        return any(map(self._stands_in, lines)) or any(map(self._is_spelt_in, _runs(words)))

    def _stands_in(self, words: Sequence[str]) -> bool:
        for at, word in enumerate(words):
            for outline in _outlines(word):
                pattern = self._by_first.get(outline)
                if pattern and pattern.match(" ".join(words[at : at + self._longest]) + " "):
                    return True
        return False

    def _is_spelt_in(self, run: str) -> bool:
        outline = _outline(run)
        return any(part in outline and pattern.search(run) for part, pattern in self._spelt)


def _outline(word: str) -> str:
    """The same for all ways of writing a word, and for some other words: a key to find it by."""
    same = word.replace("l", "i").replace(EITHER, "i")
    return "".join(letter for letter, _ in groupby(same))


def _outlines(word: str) -> Iterator[str]:
    """That of a word, and of those whose plural it may be."""
    whole = _outline(word)
    yield whole
    for ending, singular in (("s", ""), ("es", ""), ("ies", "y"), ("ces", "z")):
        if whole.endswith(ending):
            yield whole.removesuffix(ending) + singular


def _pattern(words: Iterable[str]) -> str:
    """A regular expression for the listed words, each of which may be a plural."""
    return " ".join(map(_word_pattern, words))


def _word_pattern(word: str) -> str:
    stem, last = word[:-1], word[-1]
    if last in ("y", "z") and len(stem) > 1 and stem[-1] != last:
        plural = f"[i{EITHER}]es" if last == "y" else "ces"
        return f"{_letters_pattern(stem)}(?:{_letters_pattern(last)}(?:e?s)?|{plural})"
    return f"{_letters_pattern(word)}(?:e?s)?"


def _letters_pattern(word: str) -> str:
    pattern = ""
    for letter, group in groupby(word):
        count = len(list(group))
        one = _CLASSES.get(letter, re.escape(letter))
        once = count == 1 and letter in _DOUBLED
        pattern += f"(?:{one}|{one}{{3,}})" if once else f"{one}{{{min(count, 3)},}}"
    return pattern


def _tokens(text: str) -> list[str]:
    text = _CONTRACTED.sub("", unicodedata.normalize("NFC", text))
    return [token for token in _SPACES.split(text) if len(token) <= LONGEST]


def _words(text: str) -> list[str]:
    """The words of ``text`` in letters, where every sign separates them."""
    return [_plain(word) for token in _tokens(text) for word in _parts(_read(token, with_signs=False))]


def _joined(text: str) -> Iterator[str]:
    """Neighbouring pieces that signs separate, read as one word; signs that pass for letters are read as
    those letters."""
    for token in _tokens(text):
        parts = _parts(_read(token, with_signs=True))
        for first in range(len(parts)):
            for last in range(first + 1, min(first + 10, len(parts)) + 1):
                yield _plain("".join(parts[first:last]))


def _parts(read: str) -> list[str]:
    return [part for part in read.split(" ") if part]


def _read(token: str, *, with_signs: bool) -> str:
    """A token in letters and digits, with spaces in place of other signs."""
    shown = _capitals_read(token.strip(_WITHIN))
    read = []
    for character in shown:
        letters = _SIGNS.get(character, " ") if with_signs and character in _SIGNS else letters_of(character)
        read += [letter if letter.isalnum() or letter == EITHER else " " for letter in letters]
    return "".join(read)


def _capitals_read(token: str) -> str:
    """A capital I among small letters may be an l, and a small l among capitals an i."""
    others = [letter for letter in token if letter not in "Il" and letter.isalpha()]
    small = sum(letter.islower() for letter in others)
    if small:
        return token.replace("I", EITHER)
    return token.replace("l", EITHER) if len(others) > 1 else token


def _plain(word: str) -> str:
    """Digits read as letters if the word has at least two letters and no fewer letters than digits (a zero
    counts as a letter); a run of one character is cut to three."""
    digits = sum(letter.isdigit() and letter != "0" for letter in word)
    if len(word) - digits >= max(2, digits) and not word.isdigit():
        word = word.translate(_DIGITS)
    return "".join(letter * min(3, len(list(group))) for letter, group in groupby(word))


def _spelt_joined(words: Iterable[str]) -> list[str]:
    """The words, each run of single letters joined into one."""
    found: list[str] = []
    for single, group in groupby(words, lambda word: len(word) == 1):
        run = list(group)
        found += [_plain("".join(run))] if single else run
    return found


def _runs(words: Iterable[str]) -> list[str]:
    """The runs of at least three single letters."""
    runs = ("".join(group) for single, group in groupby(words, lambda word: len(word) == 1) if single)
    return [_plain(run) for run in runs if len(run) > 2]


class BannedWords:
    """The list in a file, one word or phrase a line (``#`` begins a comment), read again when it changes.

    A list that cannot be read lets nothing through.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._banned = WordList(())

    async def check(self, *prompts: str) -> None:
        """Raises `BannedWord`, or `QueueClosed` if the list cannot be read."""
        if self._path is None or not any(prompts):
            return
        try:
            banned = await asyncio.to_thread(self._refreshed, self._path)
        except (OSError, UnicodeDecodeError) as error:
            log.warning("The list of banned words cannot be read, so every prompt is refused: %s", error)
            self._seen = None
            raise QueueClosed("word-list") from error
        for prompt in prompts:
            if await asyncio.to_thread(banned.holds, prompt):
                raise BannedWord

    def _refreshed(self, path: Path) -> WordList:
        stat = path.stat()
        if (stat.st_mtime_ns, stat.st_size) != self._seen:
            self._banned = WordList(read_list(path))
            self._seen = (stat.st_mtime_ns, stat.st_size)
        return self._banned


def read_list(path: Path) -> list[str]:
    """The lines of a list, without comments. Raises OSError or UnicodeDecodeError."""
    return [line.partition("#")[0] for line in path.read_text(encoding="utf-8-sig").splitlines()]
