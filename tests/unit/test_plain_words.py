"""Words that read stiffly stay out of what people read. A new one is one line in ``STIFF``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STIFF = {
    r"mend(s|ed|ing)?": "fix",
    r"just now": "right now",
    r"one's own": "your own",
    r"(did|does|do) not suffice": "is not enough",
    r"knows? (no|none)": "does not use, does not have",
    r"whoever": "anyone who",
    r"órdenes": "comandos",
    r"is none of": "is not one of",
    r"nobody's business": "private",
    r"anew": "again",
    r"lest": "so that … not",
    r"hence": "so",
    r"others than": "differ from, everyone but",
    r"present (one|value)s?": "current",
    r"goes on with": "continues",
    r"(what|that) came to nothing": "failed",
    r"what became of": "how it ended",
    r"stands? twice": "appears twice",
    r"knows only": "only knows",
    r"in small letters": "in lower case",
    r"own words stand": "see the output above",
    r"is as it was": "was not changed",
    r"añad\w+": "agregar, adjuntar",
    r"arranc\w+": "iniciar",
    r"en creación": "en proceso",
}
"""What to look for, whatever its case, and what to write instead."""

ANY = re.compile(rf"\b(?:{'|'.join(f'(?:{pattern})' for pattern in STIFF)})\b", re.IGNORECASE)

READ = (
    "modules/discord/locales/*.ftl",
    "modules/utils/monitoring/status_page/*",
    "modules/demo/page/index.html",
    "modules/demo/page/js/words_*.js",
    "README*.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "flujos/README.md",
    ".env.example",
    "bot.py",
    "modules/**/*.py",
    "comfy_custom_nodes/**/*.py",
    "tests/**/*.py",
)
"""Where to look: catalogues, pages, documents, and all code (docstrings, comments, messages and names)."""

FILES = sorted({file for pattern in READ for file in ROOT.glob(pattern)} - {Path(__file__)})


def stiff_words(text: str) -> Iterator[str]:
    """Each stiff word with the number of its line and what to write instead."""
    if ANY.search(text) is None:  # this is so, and found out in a twelfth of the time
        return
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, better in STIFF.items():
            for found in re.finditer(rf"\b(?:{pattern})\b", line, re.IGNORECASE):
                yield f"line {number}: “{found[0]}”; better: {better}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_people_read_is_in_plain_words(file: Path) -> None:
    assert list(stiff_words(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("pattern", READ)
def test_each_place_that_is_read_is_there(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


def test_a_stiff_word_is_found_with_its_line() -> None:
    assert list(stiff_words("All is well.\nWhoever asks")) == ["line 2: “Whoever”; better: anyone who"]
    assert not list(stiff_words("Amendments are recommended."))
