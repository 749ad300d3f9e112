"""Which prompts a list of banned words refuses, and that ordinary prose is not among them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from modules.discord.requests.banned_words import BannedWords, WordList
from modules.queue_manager.errors import BannedWord, QueueClosed

BAD = WordList(["badword", "very bad"])
WORDS = """ass,ill,kill,nude,god,hell,shell,tit,fag,anal,ano,coño,puta,perra,polla,pussy,niñez,as-hole,ak,
dirty girl,p0rn,1488,плохо"""
LISTED = WordList(WORDS.split(","))

ENGLISH = """
A fox as a knight, an old class portrait, grass and glass, a passing assassin in a cocktail dress. I'll
paint what he'll and she'll see; we're sure it's well lit, and I'd say they'll like it. Henry III and
Elizabeth II at hill no. 5, World War III, "I, Robot", a good book, good food, too loose to lose. He is
as thin as a skill set: a pill, a mill, a title, titanic, a tidy analog analysis, an analyst, canal. No:
a goddess, good light. Use a Ferrari 455, a Galaxy A55, an A380, f/1.8, 4K, 8k, 3D, 50mm, 1:1,
(grass:1.2), [glass]. Vitamin A, B and C; plan A or plan B; U.S. Army, e.g. at 5 p.m. in L.A. A nun, a
dude, a nudge. Hi! Ana! Hello, all!
"""

SPANISH = """
Hace un año, un niño y una niña comieron un cono de helado de piña en la cabaña. Para pulir la perla, el
perro de la pera oyó el canal. Él y ella, sí o no; ¡Hola, Ana! ¿Qué tal? El señor pequeño de la montaña
sueña con la mañana, los años pasan, la polaina y el pollo, una disputa, un diputado, el título.
Ilustración de una silla amarilla, llena de brillos; luz y sombra, a color, a lápiz, a carbón. Mil
castillos, la villa, el kilo y la quilla. Uno a uno, y a ti. Una asa, casas, un as.
"""


@pytest.mark.parametrize("prose", [ENGLISH, SPANISH])
def test_ordinary_prose_passes(prose: str) -> None:
    """The words of this list, and their plurals, do not stand in it."""
    assert not LISTED.holds(prose)


@pytest.mark.parametrize(
    "prompt",
    [
        "a badword here",
        "a BADWORD",
        "b a d w o r d",
        "b.a.d.w.o.r.d",
        "a b a d w o r d",
        "a b.a.d w.o.r.d",
        "b4dw0rd!",
        "bаdwоrd",  # Cyrillic а and о
        "ｂａｄｗｏｒｄ",  # full width
        "bádwórd",
        "baaadwoooord",
        "bad\u200bword",
        "something very, bad",
        "badwords",
        "a badword's end",
        "ba-dwo-rd",
        "bad_word",
        "🅱🅰🅳🆆🅾🆁🅳",
        "🇧🇦🇩🇼🇴🇷🇩",
        "ⓑⓐⓓⓦⓞⓡⓓ",
        "⒝⒜⒟⒲⒪⒭⒟",
        "𝖇𝖆𝖉𝖜𝖔𝖗𝖉",
        "ᴃᴀᴅᴡᴏʀᴅ",
        "ḃąḋẅøŕđ",
    ],
)
def test_look_alikes_are_found(prompt: str) -> None:
    assert BAD.holds(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "k!ll", "k|ll", "ᴋɪʟʟ", "🅺🅸🅻🅻", "k1ll", "kIll", "kiII", "KlLL", "KILL", "ki|l them", "kіll", "κill",
        "kiill", "killl", "k.i.l.l", "kill|maim", "kills", "(kill:1.3)", "kill!", "¡kill!", "Kill'em", "кill",
        "nu-de", "nu_de", "n.u.d.e", "nudes", "n u d e", "nμde", "NUDE",
        "a$$", "@ss", "a|s|s", "asses", "a-s-s", "ASS", "as$",
        "ill", "Ill", "ILL", "the ill", "g0d", "gods", "anos", "coños", "perras", "pussies",
        "niñeces", "puтa",
        "dirty girls", "dirty, girl", "d1rty g1rl", "porn", "p0rn", "1488", "плохо", "as hole", "as-holes",
    ],
)  # fmt: skip
def test_every_way_of_writing_it_is_found(prompt: str) -> None:
    assert LISTED.holds(prompt)


@pytest.mark.parametrize(
    ("listed", "prompt"),
    [
        ("ass", "a fox as a knight"),
        ("ass", "455"),
        ("ass", "a Galaxy A55"),
        ("ill", "I"),
        ("ill", "Henry III"),
        ("ill", "I'll"),
        ("ill", "i’ll go"),
        ("hell", "he'll come"),
        ("god", "a good dog"),
        ("ano", "un año"),
        ("coño", "un cono"),
        ("perra", "una pera"),
        ("anal", "Hola Ana!"),
        ("ak", "4k wallpaper"),
        ("badword", "a bad word"),
        ("badword", "abadword"),
        ("very bad", "bad, very"),
        ("badword", ""),
        ("badword", "🦊🦊"),
        ("badword", "плохо"),
        ("badword", "|||||| !!!! $$$ ....."),
        ("", "anything"),
    ],
)
def test_other_words_pass(listed: str, prompt: str) -> None:
    assert not WordList([listed]).holds(prompt)


def test_the_longest_prompts_are_read_at_once() -> None:
    many = WordList([f"word{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}il" for n in range(2000)])
    for prompt in ("il" * 3000, "i|" * 3000, "i l " * 1500, "w-o-r-d " * 750, "I!l|1 " * 1000):
        begun = time.perf_counter()
        many.holds(prompt)
        assert time.perf_counter() - begun < 1.0


async def test_the_list_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# comment\nfoo # another\n\n", encoding="utf-8")
    words = BannedWords(file)
    await words.check("comment another")
    with pytest.raises(BannedWord):
        await words.check("fine", "f00")
    file.write_text("bar and more", encoding="utf-8")
    await words.check("foo")
    with pytest.raises(BannedWord):
        await words.check("Bar And MORE")


async def test_a_list_that_cannot_be_read_lets_nothing_through(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("coño\n".encode("latin-1"))
    for path in (tmp_path / "missing.txt", tmp_path, tmp_path / "latin.txt"):
        with pytest.raises(QueueClosed, match="word-list"):
            await BannedWords(path).check("anything")


async def test_no_list_lets_everything_through() -> None:
    await BannedWords(None).check("badword")
