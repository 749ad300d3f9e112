"""What a message's layout can hold, and what happens to the rest."""

from __future__ import annotations

import pytest

from modules.discord.ui.components import button
from modules.discord.ui.layout import (
    accent_of,
    attached,
    container,
    first_parts,
    gallery,
    layout,
    row,
    section,
    separator,
    small,
    text,
    thumbnail,
)


def test_a_layout_holds_its_parts_in_order_and_leaves_out_those_that_are_not_needed() -> None:
    shown = container(
        text("what happened"),
        gallery([(attached("a.png"), "a fox")]),
        None,
        separator(),
        section("a line", button("Do it", "cancel", "1")),
        section("another", thumbnail(attached("a.png"), "a fox")),
        row(button("One", "again", "1"), button("Two", "vary", "1")),
        accent=accent_of("flux"),
    )
    (body,) = layout(None, shown).to_components()
    assert [part["type"] for part in body["components"]] == [10, 12, 14, 9, 9, 1]
    assert body["accent_color"] == accent_of("flux").value
    assert body["components"][1]["items"] == [
        {"media": {"url": "attachment://a.png"}, "spoiler": False, "description": "a fox"}
    ]
    assert body["components"][3]["accessory"]["custom_id"] == "fullet:cancel:1"


def test_texts_that_are_too_long_together_are_cut_at_the_longest() -> None:
    view = layout(text("headline"), container(text("p" * 5000), small("facts")), text("q" * 1500))
    headline, framed, last = view.to_components()
    prompt, facts = framed["components"]
    assert (headline["content"], facts["content"], last["content"]) == ("headline", "-# facts", "q" * 1500)
    assert prompt["content"].endswith("p…")
    assert view.content_length() == 4000


def test_two_texts_that_are_both_too_long_are_both_cut() -> None:
    assert layout(text("a" * 9000), text("b" * 9000)).content_length() <= 4000


def test_a_long_list_is_cut_where_its_components_no_longer_fit() -> None:
    lines = [section(f"line {number}", button("Cancel", "cancel", number)) for number in range(20)]
    fitting = first_parts(lines, 30)
    assert fitting == lines[:10]  # a section, its text and its button: three each
    layout(container(*fitting), row(button("Next", "page", 2)))
    with pytest.raises(ValueError, match="40"):
        layout(container(*lines[:15]))


def test_a_gallery_holds_ten_pictures_and_short_descriptions() -> None:
    shown = gallery((attached(f"{number}.png"), "x" * 2000) for number in range(12)).to_component_dict()
    assert len(shown["items"]) == 10
    assert len(shown["items"][0]["description"]) == 1000


def test_a_model_has_one_colour_and_two_models_have_two() -> None:
    assert accent_of("flux") == accent_of("flux") != accent_of("sdxl")
