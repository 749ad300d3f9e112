"""A workflow file as people have it is read, and what cannot be read is told in one sentence."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.ai.workflows.downloads import ModelDownload
from modules.ai.workflows.graph import Link, read_graph
from modules.ai.workflows.node_table import bundled_table
from modules.ai.workflows.workflow_file import WorkflowFile, read_workflow
from modules.queue_manager.errors import BadWorkflow

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
        ("[" * 100_000, "nested too deep"),
        ("[" + "9" * 5000 + "]", "number too long"),
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
            "runs in a circle",
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


def test_an_unknown_node_that_nothing_saved_depends_on_is_left_out(tmp_path: Path) -> None:
    assert inputs(read_json(tmp_path, EDITOR | {"nodes": [*EDITOR["nodes"], UNKNOWN]})) == EXPECTED


def test_api_format_may_have_classes_that_only_some_server_knows(tmp_path: Path) -> None:
    graph = API | {
        "1": {"class_type": "ImageFoo", "inputs": {}},
        "3": {"class_type": "SaveFoo", "inputs": {"images": ["1", 0]}},
    }
    assert read_json(tmp_path, graph).graph == read_graph(graph)
