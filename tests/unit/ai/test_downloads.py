"""The command that fetches a model file is made of foreign text, and must do nothing but that."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.ai.workflows.cards import BadCard, read_card
from modules.ai.workflows.downloads import ModelDownload
from tests.workflow_graphs import SHIPPED

GOOD = ModelDownload(
    name="z_image-bf16.safetensors",
    url="https://huggingface.co/Comfy-Org/z_image/resolve/main/z_image-bf16.safetensors?download=true",
    folder="diffusion_models",
)


def test_the_line_fetches_the_file_into_its_folder() -> None:
    assert GOOD.fetch_line == (
        "curl -fgL --create-dirs -o ComfyUI/models/diffusion_models/z_image-bf16.safetensors "
        "'https://huggingface.co/Comfy-Org/z_image/resolve/main/z_image-bf16.safetensors?download=true'"
    )
    assert (
        "'ComfyUI/models/loras/a b/c (1).safetensors'"
        in replace(GOOD, folder="loras", name="a b/c (1).safetensors").fetch_line
    )


@pytest.mark.parametrize(
    "spoilt",
    [
        {"name": "../../.bashrc"},
        {"name": "/etc/passwd"},
        {"name": "a/../../b.safetensors"},
        {"name": "a\\..\\b.safetensors"},
        {"name": "-o.safetensors"},
        {"name": "a\nrm -rf.safetensors"},
        {"name": "$(id).safetensors"},
        {"name": "`id`.safetensors"},
        {"name": "it's.safetensors"},
        {"name": ""},
        {"name": "C:evil.safetensors"},
        {"folder": ".."},
        {"folder": ""},
        {"folder": "/etc"},
        {"url": "file:///etc/passwd"},
        {"url": "ftp://example.org/a"},
        {"url": "https://"},
        {"url": "https://example.org/a'; id; '"},
        {"url": "https://example.org/a b"},
        {"url": "https://example.org/a\nb"},
        {"url": "https://example.org/```@everyone"},
        {"url": "https://[example.org/a"},
        {"url": "https://example.org/" + "a" * 1000},
    ],
)
def test_what_would_lead_elsewhere_has_no_line(spoilt: dict[str, str]) -> None:
    assert replace(GOOD, **spoilt).fetch_line == ""


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=60))
def test_whatever_a_file_says_the_line_is_one_command_below_the_models(
    name: str, folder: str, rest: str
) -> None:
    line = ModelDownload(name=name, url=f"https://example.org/{rest}", folder=folder).fetch_line
    if line:
        assert "`" not in line
        assert len(line.splitlines()) == 1
        words = shlex.split(line)
        assert words[:4] == ["curl", "-fgL", "--create-dirs", "-o"]
        assert words[4] == f"ComfyUI/models/{folder}/{name}"
        assert ".." not in words[4].split("/")
        assert words[5:] == [f"https://example.org/{rest}"]


def test_a_model_fetches_a_file_by_the_name_that_its_graph_has_for_it() -> None:
    template = replace(SHIPPED["flux"], downloads=(GOOD, replace(GOOD, name="other.safetensors")))
    assert "diffusion_models/sub/z_image-bf16" in template.fetch_line("sub\\z_image-bf16.safetensors")
    assert template.fetch_line("image-bf16.safetensors") == ""
    twice = replace(template, downloads=(GOOD, replace(GOOD, folder="loras")))
    assert twice.fetch_line(GOOD.name) == ""  # nobody can tell which


def test_a_card_may_say_where_files_come_from() -> None:
    fields = {
        "label": "Up",
        "kind": "upscale",
        "roles": {"sources": "1.image", "output": "4.images"},
        "downloads": [{"name": GOOD.name, "url": GOOD.url, "folder": GOOD.folder}],
        "estimate": {"download_gb": 12.3, "vram_gb": 16},
    }
    card = read_card(fields)
    assert card.downloads == (GOOD,)
    assert card.estimate is not None
    assert card.estimate.download_gb == 12.3
    for faulty, words in (
        ([{"name": "a"}], "downloads.0.url is missing"),
        (["a"], "name, url and folder are needed"),
        ([{"name": "a", "url": "b", "folder": "c", "size": 1}], "downloads.0.size: no such field"),
    ):
        with pytest.raises(BadCard, match=words):
            read_card({**fields, "downloads": faulty})
