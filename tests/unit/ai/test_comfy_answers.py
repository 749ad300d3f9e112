"""Whatever a server answers becomes a typed event, one of our errors, or nothing."""

from __future__ import annotations

import base64
import io
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modules.ai.comfy.errors import failure, refusal, short, struck_out
from modules.ai.comfy.events import (
    ExecutionEnded,
    ExecutionFailedAt,
    FirstPreview,
    KeyedPreview,
    NodeProgress,
    NodeStarted,
    read_frame,
    read_text,
)
from modules.ai.comfy.outputs import checked, saved_file
from modules.ai.comfy.picture_header import picture_size, whole
from modules.ai.comfy.preflight import vram_gb
from modules.ai.comfy.sampling_progress import SamplingProgress
from modules.ai.fusion.output_locations import SavedFile
from modules.ai.workflows.node_table import choices, inputs_of
from modules.ai.workflows.suggestions import did_you_mean, nearest
from modules.queue_manager.errors import (
    ExecutionFailed,
    GenerationError,
    NoOutput,
    OutOfMemory,
    WorkflowRejected,
)
from modules.queue_manager.jobs import Size
from modules.utils.images.media_types import media_type
from tests.examples import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
TYPES = st.sampled_from([
    "execution_start", "executing", "progress", "executed", "execution_success", "execution_error",
    "execution_interrupted", "fullet_preview", "status", "progress_state", "x",
])  # fmt: skip
FIELDS = (
    "prompt_id",
    "node",
    "value",
    "max",
    "output",
    "key",
    "image",
    "step",
    "steps",
    "data",
    "exception_type",
)


def encoded(kind: str, size: tuple[int, int] = (7, 5), **options: Any) -> bytes:
    """A small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 99, 199)).save(buffer, kind, **options)
    return buffer.getvalue()


def event(kind: str, **data: Any) -> Any:
    """What a message becomes."""
    read = read_text(json.dumps({"type": kind, "data": {"prompt_id": "p", **data}}))
    return None if read is None else read[1]


# ── events ──────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(100))
@given(
    st.text(max_size=40)
    | st.builds(json.dumps, JSON)
    | st.builds(
        lambda kind, data: json.dumps({"type": kind, "data": data}),
        TYPES,
        st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8) | JSON,
    )
)
def test_any_message_is_read_or_left_out(message: str) -> None:
    read = read_text(message)
    if read is not None:
        assert isinstance(read[0], str)
        if isinstance(read[1], NodeProgress):
            assert 0 <= read[1].value <= read[1].most


@given(
    st.binary(max_size=80)
    | st.builds(lambda n, b: struct.pack(">II", 4, n) + b, st.integers(0, 99), st.binary())
)
def test_any_frame_is_read_or_left_out(frame: bytes) -> None:
    read = read_frame(frame)
    assert read is None or isinstance(read[1], FirstPreview)


def test_the_events_of_a_run() -> None:
    assert event("executing", node=None) == ExecutionEnded()
    assert event("executing", node="7") == NodeStarted("7")
    assert event("progress", node="7", value=1, max=4) == NodeProgress("7", 1, 4)
    assert event("progress", node="7", value=5, max=4) is None
    assert event("progress", node="7", value=1, max=10**9) is None
    failed = event("execution_error", node_id="8")
    assert isinstance(failed, ExecutionFailedAt)
    assert event("status") is None
    assert read_text('{"type": "executing", "data": {"node": null}}') is None


def test_a_preview_is_taken_only_if_it_is_a_picture_of_bearable_size() -> None:
    jpeg = encoded("JPEG")
    good = base64.b64encode(jpeg).decode()
    assert event("fullet_preview", key="k", image=good) == KeyedPreview("k", jpeg)
    assert event("fullet_preview", key="k", image=base64.b64encode(b"<svg/>").decode()) is None
    assert event("fullet_preview", key="k", image="!" + good) is None
    assert event("fullet_preview", key="k", image=good * 2000) is None
    metadata = json.dumps({"prompt_id": "p"}).encode()
    frame = struct.pack(">II", 4, len(metadata)) + metadata
    assert read_frame(frame + jpeg) == ("p", FirstPreview(jpeg))
    assert read_frame(frame + b"GIF89a") is None
    assert read_frame(struct.pack(">II", 1, 1) + jpeg) is None


# ── errors ──────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(100))
@given(
    JSON
    | st.fixed_dictionaries({
        "error": JSON
        | st.fixed_dictionaries({"type": st.sampled_from(["missing_node_type", "x"]), "message": JSON}),
        "node_errors": JSON
        | st.dictionaries(
            st.text(max_size=3),
            JSON
            | st.fixed_dictionaries({
                "class_type": JSON,
                "errors": JSON
                | st.lists(
                    st.fixed_dictionaries({
                        "type": st.sampled_from(
                            ["value_not_in_list", "value_smaller_than_min", "value_bigger_than_max", "x"]
                        ),
                        "details": JSON,
                        "extra_info": JSON
                        | st.fixed_dictionaries(
                            {"input_name": JSON, "input_config": JSON, "received_value": JSON}
                        ),
                    }),
                    max_size=3,
                ),
            }),
            max_size=3,
        ),
    })
)  # fmt: skip
def test_any_refusal_is_one_of_our_errors_in_one_short_line(body: Any) -> None:
    error = refusal(body, {})
    assert isinstance(error, GenerationError)
    assert 0 < len(str(error)) <= 300
    assert "\n" not in str(error)


@given(JSON | st.dictionaries(st.sampled_from(["exception_type", "exception_message", "node_id"]), JSON))
def test_any_failure_is_one_of_our_errors(data: Any) -> None:
    assert isinstance(failure(data, {}), GenerationError)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory. (out of memory)"),
        ("torch.cuda.OutOfMemoryError", ""),
        ("OutOfMemoryError", ""),
        ("RuntimeError", "CUDA error: out of memory\nCUDA kernel errors might be…"),
        ("RuntimeError", "HIP out of memory. Tried to allocate 2.00 GiB"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 5 GB)"),
        ("RuntimeError", "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        ("MemoryError", ""),
        (
            "numpy._core._exceptions._ArrayMemoryError",
            "Unable to allocate 9.0 GiB for an array with shape (3,)",
        ),
        (
            "RuntimeError",
            "Could not allocate tensor with 9437184 bytes. There is not enough GPU video memory",
        ),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ("RuntimeError", "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    ],
)
def test_out_of_memory_is_known_in_every_guise(kind: str, message: str) -> None:
    data = {"exception_type": kind, "exception_message": message, "node_id": "8", "node_type": "KSampler"}
    assert isinstance(failure(data, {}), OutOfMemory)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("OSError", "[Errno 28] No space left on device: '/output/fullet/a_00001_.png'"),
        ("OSError", "The paging file is too small for this operation to complete. (os error 1455)"),
        ("safetensors_rust.SafetensorError", "I/O error: (os error 112)"),
    ],
)
def test_the_machines_own_trouble_is_the_servers_fault(kind: str, message: str) -> None:
    data = {"exception_type": kind, "exception_message": message, "node_id": "8", "node_type": "SaveImage"}
    assert failure(data, {}).blame == "server"


@pytest.mark.parametrize(
    ("kind", "message", "blame"),
    [
        ("custom_nodes.fullet.inputs.Refused", "FusedModel: input model: EasyCache decides …", "fusion"),
        ("Refused", "SamplerBatch: input sampler: it is not one of ComfyUI's own samplers.", "fusion"),
        ("ValueError", "SamplerBatch: input sampler: it is not one of ComfyUI's own samplers.", "content"),
        ("other.Refused", "I will not", "content"),
    ],
)
def test_what_the_node_pack_refuses_is_told_from_other_failures(kind: str, message: str, blame: str) -> None:
    data = {"exception_type": kind, "exception_message": message, "node_id": "8", "node_type": "KSampler"}
    assert failure(data, {}).blame == blame


def test_another_failure_names_node_and_exception() -> None:
    data = {"exception_type": "a.b.RuntimeError", "exception_message": "no\nchannels ", "node_id": "8"}
    assert str(failure(data, {"8": 'node 8 "Decode"'})) == 'node 8 "Decode": RuntimeError: no channels'
    assert isinstance(failure(data, {}), ExecutionFailed)


def test_a_long_list_of_choices_is_read_from_the_details() -> None:
    fault = {
        "type": "value_not_in_list",
        "details": "sampler_name: 'eulerr' not in ['euler', 'heun']",
        "extra_info": {"input_name": "sampler_name", "input_config": None, "received_value": "eulerr"},
    }
    body = {"error": {}, "node_errors": {"8": {"class_type": "KSampler", "errors": [fault]}}}
    assert str(refusal(body, {})) == (
        "node 8 (KSampler), input sampler_name: 'eulerr' is not on the server; did you mean euler?"
    )


def test_a_refusal_without_nodes_keeps_its_own_words() -> None:
    body = {"error": {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": ""}}
    error = refusal(body, {})
    assert isinstance(error, WorkflowRejected)
    assert str(error) == "Prompt has no outputs"


WRITTEN = st.lists(st.text(max_size=40) | st.text(alphabet="aB…ñ\"'\\\n ", max_size=40), max_size=4)
WRITERS = st.sampled_from([str, repr, ascii, json.dumps, str.upper, lambda text: repr(json.dumps([text]))])


@settings(max_examples=examples(100))
@given(WRITTEN, st.data())
def test_nothing_that_people_wrote_is_left_of_a_foreign_text(written: list[str], data: st.DataObject) -> None:
    parts = st.sampled_from(["node 4: bad token in ", "…", ""]) | st.text(max_size=9)
    pieces = [data.draw(parts)]
    for text in written:
        part = text[data.draw(st.integers(0, len(text))) :]
        pieces += [data.draw(WRITERS)(part), data.draw(parts)]
    told = struck_out(short("".join(pieces)), written).lower()
    for line in (" ".join(text.split()).lower() for text in written):
        windows = {line[at : at + 12] for at in range(max(1, len(line) - 11))}
        assert not [window for window in windows if len(window) >= 4 and window in told]


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("bad token in 'A red fox, at \"home\"'", "bad token in '…'"),
        ("bad token in 'a red fox, at \\\\\"home'", "bad token in '…'"),
        ("bad token in 'RED FOX, AT \"H'", "bad token in '…'"),
        ("unknown <lora:m\u00fcller:1>", "unknown <…>"),
        ('bad token in "[\\\\"a red fox, at \\\\\\\\\\\\\\\\"home"', 'bad token in "[\\\\"…'),
        ("at C:\\\\new\\\\file-\\\\ud83e\\\\udd8a.png", "at …"),
        ("a red hat", "a red hat"),
        ("expected 4 channels", "expected 4 channels"),
    ],
)
def test_a_failure_tells_what_happened_without_what_was_written(message: str, left: str) -> None:
    data = {
        "exception_type": "ValueError",
        "exception_message": message,
        "node_id": "4",
        "node_type": "Encode",
    }
    error = failure(data, {}, ['a red fox, at "home"', "lora:müller:1", "C:\\new\\file-🦊.png", "a", ""])
    assert str(error) == f"node 4 (Encode): ValueError: {left}"


def test_a_refusal_does_not_repeat_what_was_written() -> None:
    fault = {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": "wildcard - no such file: the secret garden",
        "extra_info": {"input_name": "wildcard", "received_value": "the secret garden"},
    }
    body = {"error": {}, "node_errors": {"8": {"class_type": "Wildcards", "errors": [fault]}}}
    assert str(refusal(body, {}, ["The Secret Garden"])) == (
        "node 8 (Wildcards), input wildcard: Custom validation failed for node (wildcard - no such file: …)"
    )


def test_foreign_texts_are_cut() -> None:
    assert short("a\n\n b\tc") == "a b c"
    assert len(short("x" * 10_000)) == 300


# ── near misses, tables ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "there", "near"),
    [
        (
            "flux-2-klein-4b-Q5_K_M.gguf",
            ["flux2-klein-4b-q5_k_m.gguf", "sdxl.gguf"],
            "flux2-klein-4b-q5_k_m.gguf",
        ),
        ("ae.safetensors", ["flux\\ae.safetensors", "flux2-vae.safetensors"], "flux\\ae.safetensors"),
        ("Qwen3-4B-Q6_K.gguf", ["Qwen3_4B-Q6_K.gguf", "Qwen3-4B-Q4_K.gguf"], "Qwen3_4B-Q6_K.gguf"),
        ("ae.safetensors", ["something-else.pth"], None),
        ("flux2-vae.safetensors", ["ae.safetensors"], None),
        ("qwen_3_4b.safetensors", ["qwen_3_4b_fp8_scaled.safetensors"], "qwen_3_4b_fp8_scaled.safetensors"),
        (3, ["3"], None),
    ],
)
def test_what_was_probably_meant(wanted: Any, there: list[str], near: str | None) -> None:
    assert nearest(wanted, there) == near
    assert did_you_mean(wanted, there) == (f"; did you mean {near}?" if near else "")


@given(JSON)
def test_any_node_table_is_read(entry: Any) -> None:
    choices(entry)
    if isinstance(entry, dict):
        inputs_of(entry)
        vram_gb(entry)


def test_choices_of_old_and_new_nodes_are_read() -> None:
    assert choices([["a", "b"], {}]) == ["a", "b"]
    assert choices([["a", "b"]]) == ["a", "b"]
    assert choices(["COMBO", {"options": ["a"]}]) == ["a"]
    assert choices(["COMBO", {}]) is None
    assert choices(["INT", {"default": 1}]) is None


# ── pictures ────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(40))
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.booleans(),
)
def test_headers_say_what_a_decoder_says(kind: str, size: tuple[int, int], lossless: bool) -> None:
    data = encoded(kind, size, **({"lossless": lossless} if kind == "WEBP" else {}))
    assert media_type(data) == f"image/{kind.lower()}"
    assert picture_size(data) == Size(width=size[0], height=size[1])
    assert whole(data)
    assert not whole(data[: len(data) * 2 // 3])
    assert checked(data).size == Size(width=size[0], height=size[1])


def test_webp_with_extras_and_progressive_jpeg_are_read() -> None:
    for data in (
        encoded("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        encoded("JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    ):
        assert picture_size(data) == Size(width=7, height=5)
        assert whole(data)


@settings(max_examples=examples(70))
@given(
    st.builds(
        lambda start, rest: start + rest,
        st.sampled_from(
            [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8L", b""]
        ),
        st.binary(max_size=60),
    )
)
def test_any_bytes_are_a_picture_or_none(data: bytes) -> None:
    try:
        picture = checked(data)
    except NoOutput:
        return
    assert picture.size.width * picture.size.height <= 2**26


@settings(max_examples=examples(70))
@given(
    JSON
    | st.fixed_dictionaries({
        "images": JSON
        | st.lists(
            JSON
            | st.fixed_dictionaries({
                "filename": JSON
                | st.sampled_from(["k_00001_.png", "../k_00001_.png", "other_00001_.png", "k.png"]),
                "subfolder": JSON,
                "type": JSON,
            }),
            max_size=5,
        )
    })
)  # fmt: skip
def test_only_a_file_of_our_own_prefix_is_asked_for(output: Any) -> None:
    try:
        ref = saved_file(SavedFile("fullet_save", "k"), output)
    except NoOutput:
        return
    assert (ref.filename, ref.subfolder, ref.type) == ("k_00001_.png", "fullet", "output")


# ── progress ────────────────────────────────────────────────────────────────────────────────────


def test_two_samplers_count_as_one_way() -> None:
    progress = SamplingProgress(["a", "b"], 4)
    first = progress.node_started()
    assert first is not None
    assert (first.step, first.steps) == (0, 4)
    told = [progress.stepped(node, value, 4) for node in ("a", "b") for value in (0, 1, 4)]
    assert [(p.step, p.steps) for p in told if p is not None] == [(1, 8), (4, 8), (5, 8), (8, 8)]
    assert progress.stepped("decode", 1, 9) is None
    assert progress.node_started() is None


def test_without_a_sampler_whatever_tells_its_progress_counts() -> None:
    progress = SamplingProgress([], 1)
    told = progress.stepped("upscale", 2, 9)
    assert told is not None
    assert (told.step, told.steps) == (2, 9)
