"""A workflow file as people have it is read, and what cannot be read is told in one sentence."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.ai.workflows.downloads import ModelDownload
from modules.ai.workflows.graph import Link, read_graph
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.workflow_file import WorkflowFile, read_workflow
from modules.queue_manager.errors import BadWorkflow
from tests.examples import examples
from tests.unit.ai.test_editor_format import CASES

API: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a", "images": ["1", 0]}},
}
EDITOR: dict[str, Any] = {
    "version": 0.4,
    "nodes": [
        {
            "id": 1,
            "type": "EmptyImage",
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [5]}],
            "widgets_values": [64, 64, 1, 0],
            "properties": {
                "cnr_id": "comfy-core",
                "ver": "0.3.40",
                "models": [{"name": "a.safetensors", "url": "https://example.org/a", "directory": "vae"}],
            },
        },
        {
            "id": 2,
            "type": "SaveImage",
            "inputs": [{"name": "images", "type": "IMAGE", "link": 5}],
            "widgets_values": ["a"],
        },
    ],
    "links": [[5, 1, 0, 2, 0, "IMAGE"]],
}


def read(file: Path) -> WorkflowFile:
    return read_workflow(file, bundled_table())


def read_json(folder: Path, data: Any) -> WorkflowFile:
    file = folder / "dream.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return read(file)


def inputs(workflow: WorkflowFile) -> dict[str, Any]:
    return {node_id: (node.class_type, dict(node.inputs)) for node_id, node in workflow.graph.items()}


EXPECTED = {
    "1": ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0}),
    "2": ("SaveImage", {"filename_prefix": "a", "images": Link("1", 0)}),
}


@pytest.mark.parametrize(
    "data",
    [
        API,
        EDITOR,
        {"prompt": API, "client_id": "x"},
        {"output": API, "workflow": EDITOR},
        {"4f0c": {"prompt": [3, "4f0c", API, {"extra_pnginfo": {"workflow": EDITOR}}, ["2"]], "outputs": {}}},
        {"workflow": {"prompt": API, "extra_data": {}}},
    ],
    ids=["api", "editor", "request", "graphToPrompt", "history", "job"],
)
def test_the_graph_is_found_wherever_it_is_wrapped(data: Any, tmp_path: Path) -> None:
    assert inputs(read_json(tmp_path, data)) == EXPECTED


def test_downloads_and_origins_are_told(tmp_path: Path) -> None:
    workflow = read_json(tmp_path, {"output": API, "workflow": EDITOR})
    assert workflow.downloads == (
        ModelDownload(name="a.safetensors", url="https://example.org/a", folder="vae"),
    )
    assert workflow.origins == {"EmptyImage": "ComfyUI 0.3.40"}


def png(file: Path, *, prompt: Any = None, workflow: Any = None, packed: bool = False) -> Path:
    info = PngInfo()
    for key, value in (("prompt", prompt), ("workflow", workflow)):
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            info.add_itxt(key, text, zip=True) if packed else info.add_text(key, text)
    Image.new("RGB", (8, 8)).save(file, pnginfo=info)
    return file


@pytest.mark.parametrize("packed", [False, True])
def test_a_png_holds_its_workflow(packed: bool, tmp_path: Path) -> None:
    file = tmp_path / "dream.png"
    assert inputs(read(png(file, prompt=API, workflow=EDITOR, packed=packed))) == EXPECTED
    assert inputs(read(png(file, workflow=EDITOR, packed=packed))) == EXPECTED


def test_a_compressed_text_and_that_of_an_animation_are_read(tmp_path: Path) -> None:
    text = json.dumps(API)
    info = PngInfo()
    info.add_text("prompt", text, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "packed.png", pnginfo=info)
    assert inputs(read(tmp_path / "packed.png")) == EXPECTED
    info = PngInfo()
    info.add(b"comf", b"prompt\0" + text.encode(), after_idat=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "animation.png", pnginfo=info)
    assert inputs(read(tmp_path / "animation.png")) == EXPECTED


def test_a_webp_holds_its_workflow(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8))
    exif = picture.getexif()
    exif[0x0110] = f"prompt:{json.dumps(API)}"
    exif[0x010F] = f"workflow:{json.dumps(EDITOR)}"
    picture.save(tmp_path / "dream.webp", exif=exif)
    assert inputs(read(tmp_path / "dream.webp")) == EXPECTED


def test_what_comfyui_writes_as_nan_is_read(tmp_path: Path) -> None:
    text = json.dumps(API).replace(
        '"class_type": "SaveImage"', '"is_changed": [NaN], "class_type": "SaveImage"'
    )
    assert "NaN" in text
    assert inputs(read(png(tmp_path / "dream.png", prompt=text))) == EXPECTED


def many(count: int) -> dict[str, Any]:
    return {str(n): API["1"] for n in range(count)}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "a number in it is too long"),
        ("[]", "no ComfyUI workflow"),
        ({"a": 1}, "no ComfyUI workflow"),
        (many(10_000), "10000 nodes"),
        ({"nodes": [{"id": n, "type": "Note"} for n in range(10_000)], "links": []}, "10000 nodes"),
        ({"1": API["1"]}, "nothing in it is saved"),
        (
            {
                "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
            },
            "depends on itself",
        ),
        (
            EDITOR
            | {
                "nodes": [{"id": 1, "type": "Reroute", "inputs": [{"link": 6}]}, EDITOR["nodes"][1]],
                "links": [*EDITOR["links"], [6, 1, 0, 1, 0, "IMAGE"]],
            },
            "leads into a loop",
        ),
        (EDITOR | {"links": []}, r"node 2 .* needs images, and nothing is connected there"),
        ([API, API | {"3": API["2"]}], "several workflows"),
    ],
)
def test_what_cannot_be_read_is_told(data: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadWorkflow, match=sentence) as fault:
        read_json(tmp_path, data)
    assert fault.value.reason.startswith("dream.json: ")
    assert "\n" not in fault.value.reason


def test_pictures_without_a_workflow_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadWorkflow, match="no ComfyUI workflow in it"):
        read(png(tmp_path / "dream.png"))
    (tmp_path / "jpeg.png").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    with pytest.raises(BadWorkflow, match="neither a PNG nor a WebP"):
        read(tmp_path / "jpeg.png")


def test_large_files_are_told_without_reading_them(tmp_path: Path) -> None:
    for name in ("large.json", "large.png"):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(50 * 1024 * 1024)
        with pytest.raises(BadWorkflow, match="larger than"):
            read(tmp_path / name)


def test_a_text_that_unpacks_to_much_more_is_told(tmp_path: Path) -> None:
    text = zlib.compress(bytes(64 * 1024 * 1024))
    info = PngInfo()
    info.add(b"zTXt", b"prompt\0\0" + text)
    Image.new("RGB", (8, 8)).save(tmp_path / "bomb.png", pnginfo=info)
    with pytest.raises(BadWorkflow, match="larger than"):
        read(tmp_path / "bomb.png")


UNKNOWN = {
    "id": 3,
    "type": "ImageFoo",
    "title": "My foo",
    "inputs": [{"name": "image", "type": "IMAGE", "link": 5}],
    "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [6]}],
}


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"cnr_id": "comfyui-kjnodes", "ver": "1.2.3"}, "comes from the pack comfyui-kjnodes 1.2.3, which"),
        ({"aux_id": "kijai/ComfyUI-KJNodes"}, "comes from the pack kijai/ComfyUI-KJNodes, which"),
        ({"cnr_id": "comfy-core", "ver": "0.45.2"}, "comes from ComfyUI 0.45.2, and"),
        ({}, "does not say which pack"),
    ],
)
def test_an_unknown_node_is_named_with_its_pack(
    properties: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    nodes = [EDITOR["nodes"][0], UNKNOWN | {"properties": properties}, EDITOR["nodes"][1]]
    nodes[2] = nodes[2] | {"inputs": [{"name": "images", "type": "IMAGE", "link": 6}]}
    links = [*EDITOR["links"], [6, 3, 0, 2, 0, "IMAGE"]]
    with pytest.raises(BadWorkflow, match=r'node 3 "My foo" \(ImageFoo\)') as fault:
        read_json(tmp_path, EDITOR | {"nodes": nodes, "links": links})
    assert sentence in fault.value.reason


def test_the_file_says_at_least_what_saved_it(tmp_path: Path) -> None:
    data = EDITOR | {"nodes": [*EDITOR["nodes"], UNKNOWN], "extra": {"frontendVersion": "1.53.6"}}
    with pytest.raises(BadWorkflow, match=r"saved with ComfyUI's frontend 1\.53\.6"):
        read_json(tmp_path, data | {"links": [*EDITOR["links"], [6, 1, 0, 3, 0, "IMAGE"]]})


def test_a_note_of_an_unknown_pack_is_left_out(tmp_path: Path) -> None:
    note = {"id": 3, "type": "Note Plus", "widgets_values": ["# Read me"]}
    assert inputs(read_json(tmp_path, EDITOR | {"nodes": [*EDITOR["nodes"], note]})) == EXPECTED


def test_api_format_may_have_classes_that_only_some_server_knows(tmp_path: Path) -> None:
    graph = API | {
        "1": {"class_type": "ImageFoo", "inputs": {}},
        "3": {"class_type": "SaveFoo", "inputs": {"images": ["1", 0]}},
    }
    assert read_json(tmp_path, graph).graph == read_graph(graph)


def subgraph(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"id": "11111111-2222-3333-4444-555555555555", "nodes": list(nodes), "links": []}


@pytest.mark.parametrize(
    ("inside", "sentence"),
    [
        ([subgraph({"id": 9, "type": "11111111-2222-3333-4444-555555555555"})], "contains itself"),
        ([], "stands for a subgraph that is not in the file"),
    ],
)
def test_subgraphs_that_cannot_be_unfolded_are_told(inside: list[Any], sentence: str, tmp_path: Path) -> None:
    host = {"id": 1, "type": "11111111-2222-3333-4444-555555555555"}
    data = EDITOR | {"nodes": [host, EDITOR["nodes"][1]], "definitions": {"subgraphs": inside}}
    with pytest.raises(BadWorkflow, match=sentence):
        read_json(tmp_path, data)


def test_subgraphs_that_unfold_to_too_much_are_told_at_once(tmp_path: Path) -> None:
    subgraphs = [
        {"id": f"s{n}", "nodes": [{"id": k, "type": f"s{n + 1}"} for k in range(3)], "links": []}
        for n in range(40)
    ]
    data = {"nodes": [{"id": 1, "type": "s0"}], "links": [], "definitions": {"subgraphs": subgraphs}}
    with pytest.raises(BadWorkflow, match="unfold to more than"):
        read_json(tmp_path, data)


def test_a_value_that_nobody_sets_is_told(tmp_path: Path) -> None:
    getter = {"id": 1, "type": "GetNode", "widgets_values": ["picture"], "outputs": [{"type": "IMAGE"}]}
    with pytest.raises(BadWorkflow, match=r'node 1 \(GetNode\) gets "picture", which no SetNode sets'):
        read_json(tmp_path, EDITOR | {"nodes": [getter, EDITOR["nodes"][1]]})


def test_what_a_node_lacks_takes_only_its_own_output_away(tmp_path: Path) -> None:
    nodes = [
        *EDITOR["nodes"],
        {"id": 3, "type": "PreviewImage", "inputs": [{"name": "images", "type": "IMAGE"}]},
    ]
    assert inputs(read_json(tmp_path, EDITOR | {"nodes": nodes})) == EXPECTED


def test_a_plain_text_that_another_program_wrote_is_no_workflow(tmp_path: Path) -> None:
    assert inputs(read(png(tmp_path / "dream.png", prompt="a cat", workflow=EDITOR))) == EXPECTED
    with pytest.raises(BadWorkflow, match="no ComfyUI workflow in it"):
        read(png(tmp_path / "cat.png", prompt="a cat"))


def test_a_graph_is_read_though_the_editors_file_beside_it_is_not(tmp_path: Path) -> None:
    broken = EDITOR | {"links": [["?"]]}
    assert inputs(read(png(tmp_path / "dream.png", prompt=API, workflow=broken))) == EXPECTED


def test_links_by_air_are_followed(tmp_path: Path) -> None:
    """As the pack cg-use-everywhere saves them: node 3 gives to all, node 1 is what it gives."""
    link = {"upstream": 1, "upstream_slot": 0, "downstream": 2, "downstream_slot": 0, "controller": 3}
    sender = {
        "id": 3,
        "type": "Anything Everywhere",
        "inputs": [{"name": "IMAGE", "type": "IMAGE", "link": 5}],
    }
    data = EDITOR | {
        "nodes": [EDITOR["nodes"][0], {**EDITOR["nodes"][1], "inputs": [{"name": "images"}]}, sender],
        "links": [[5, 1, 0, 3, 0, "IMAGE"]],
        "extra": {"ue_links": [link]},
    }
    assert inputs(read_json(tmp_path, data)) == EXPECTED


JUNK = [None, 0, -1, "", "x", [], {}, [1], {"a": 1}, True, 1.5, "-10", -20, 2**70, "PrimitiveNode", "GetNode"]


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(sorted(CASES)), st.randoms(use_true_random=False))
def test_whatever_stands_in_a_file_is_read_or_told(name: str, random: Random) -> None:
    data = json.loads(json.dumps(CASES[name]["workflow"]))
    for _ in range(random.choice([1, 1, 2, 5])):
        places = list(values_within(data))
        if places:
            holder, key = random.choice(places)
            if random.random() < 0.2:
                del holder[key]
            else:
                holder[key] = random.choice(JUNK)
    with TemporaryDirectory() as folder, suppress(BadWorkflow):
        read_json(Path(folder), data)


def values_within(data: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, dict | list):
        for key, part in list(data.items() if isinstance(data, dict) else enumerate(data)):
            yield data, key
            yield from values_within(part)
