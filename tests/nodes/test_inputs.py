"""The nodes' JSON inputs: what is taken, and the sentence that names what is not."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import SimpleNamespace

import pytest
from fullet_nodes.inputs import (
    Refused,
    SeedEntry,
    classes_of,
    keys_of,
    seeds_of,
    verdict,
)
from fullet_nodes.prompt_graph import find_watch
from fullet_nodes.version import too_old

from tests.nodes.conftest import FOLDER

KEY_A, KEY_B = "0123456789abcdef" * 2, "f" * 32


def test_seeds_are_numbers_or_variations() -> None:
    entries = seeds_of("Node", "[0, 18446744073709551615, [1, 2, 0.25], [1, 2, 1]]")
    assert entries == (SeedEntry(0), SeedEntry(2**64 - 1), SeedEntry(1, 2, 0.25), SeedEntry(1, 2, 1.0))


@pytest.mark.parametrize(
    ("parse", "name", "text"),
    [
        (seeds_of, "seeds", "7"),
        (seeds_of, "seeds", "[]"),
        (seeds_of, "seeds", "{}"),
        (seeds_of, "seeds", "[-1]"),
        (seeds_of, "seeds", "[18446744073709551616]"),
        (seeds_of, "seeds", "[1.5]"),
        (seeds_of, "seeds", "[true]"),
        (seeds_of, "seeds", '["1"]'),
        (seeds_of, "seeds", "[[1, 2]]"),
        (seeds_of, "seeds", "[[1, 2, 1.01]]"),
        (seeds_of, "seeds", "[[1, 2, true]]"),
        (keys_of, "keys", '["ABCDEF0123456789ABCDEF0123456789"]'),
        (keys_of, "keys", '["../../../../../../../../etc/passwd"]'),
        (keys_of, "keys", json.dumps([KEY_A, KEY_A])),
        (keys_of, "keys", json.dumps([KEY_A + "\n"])),
    ],
)
def test_a_refusal_names_node_and_input(parse, name: str, text: str) -> None:
    with pytest.raises(Refused, match=f"^Node: input {name}: .+\\.$"):
        parse("Node", text)
    assert str(verdict(parse, "Node", text)).startswith(f"Node: input {name}: ")


def test_a_linked_input_is_judged_when_it_is_there() -> None:
    assert verdict(seeds_of, "Node", None) is True
    assert verdict(seeds_of, "Node", "[1]") is True


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("0.3.76", True),
        ("0.17.9", True),
        ("0.18.0", False),
        ("0.18.1", False),
        ("0.33.0", False),
        ("1.0", False),
    ],
)
def test_an_old_comfyui_is_told_in_words(version: str, old: bool) -> None:
    sentence = too_old(version)
    assert (sentence is not None) == old
    assert sentence is None or version in sentence


def load_pack(version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ComfyUI does: by its folder, with ComfyUI's own module that says its version."""
    told = None if version is None else SimpleNamespace(__version__=version)
    monkeypatch.setitem(sys.modules, "comfyui_version", told)  # None: there is no such module
    spec = importlib.util.spec_from_file_location(
        "old_fullet", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "old_fullet", module)
    spec.loader.exec_module(module)


@pytest.mark.parametrize("version", ["0.17.2", "0.3.40", None])
def test_an_old_comfyui_refuses_the_pack_with_that_sentence(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImportError, match=r"FuLLet \d.* needs ComfyUI 0\.18 or newer; .*Update ComfyUI"):
        load_pack(version, monkeypatch)


def save(keys: list[str], images: list[object], every: int) -> dict[str, object]:
    inputs = {"keys": json.dumps(keys), "images": images, "preview_every": every}
    return {"class_type": "SaveImageBatch", "inputs": inputs}


def test_previews_go_to_the_pictures_behind_the_sampler() -> None:
    graph = {
        "s1": {"class_type": "SamplerCustomAdvanced", "inputs": {}},
        "s2": {"class_type": "SamplerCustomAdvanced", "inputs": {}},
        "d1": {"class_type": "VAEDecode", "inputs": {"samples": ["s1", 0]}},
        "d2": {"class_type": "VAEDecode", "inputs": {"samples": ["s2", 0]}},
        "a": save([KEY_A], ["d1", 0], 1),
        "b": save([KEY_B], ["d2", 0], 2),
    }
    assert find_watch(graph, "s1", 1) == ((KEY_A,), 1)
    assert find_watch(graph, "s2", 1) == ((KEY_B,), 2)
    assert find_watch(graph, "s2", 2) is None
    assert find_watch({**graph, "b": save([KEY_B], ["d2", 0], 0)}, "s2", 1) is None
    assert find_watch({**graph, "b": save(["no key"], ["d2", 0], 1)}, "s2", 1) is None


def test_node_classes_are_an_array_that_may_be_empty() -> None:
    assert classes_of("FusedModel", "[]") == ()
    assert classes_of("FusedModel", '["EasyCache", "Epsilon Scaling"]') == ("EasyCache", "Epsilon Scaling")


@pytest.mark.parametrize("text", ["", "EasyCache", "null", '{"a": 1}', "[1]", '[""]'])
def test_other_than_an_array_of_class_names_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"^FusedModel: input vouched: must be a JSON array of names"):
        classes_of("FusedModel", text)
