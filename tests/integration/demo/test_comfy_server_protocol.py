"""The embedded ComfyUI answers as a real one was recorded: order of events, shapes, error bodies, cache."""

from __future__ import annotations

import asyncio
import json
import struct
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile, Timing
from tests.integration.embedded_comfy import Graph, Listener, mark_in_file, stock_graph, zimage_graph


@pytest.fixture
async def comfy() -> AsyncIterator[ComfyServer]:
    async with ComfyServer(timing=Timing(step=0.005)) as server:
        yield server


def kinds(events: list[Any]) -> list[str]:
    """The events' types in order, with repetitions of one type drawn together."""
    found: list[str] = []
    for event in events:
        kind = event["type"] if isinstance(event, dict) else "frame"
        if not found or found[-1] != kind:
            found.append(kind)
    return found


def only(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in events if event["type"] == kind]


# ── a run ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_fresh_run_sends_the_recorded_sequence(client: Listener) -> None:
    prompt_id, events = await client.run(stock_graph(steps=4))

    plain = [event for event in events if event["type"] != "progress_state"]
    assert kinds(plain) == [
        "status",
        "execution_start",
        "execution_cached",
        "executing",
        "progress",
        "executing",
        "executed",
        "execution_success",
        "status",
        "executing",
    ]
    statuses = [data["status"]["exec_info"]["queue_remaining"] for data in only(events, "status")]
    assert statuses == [0, 1, 1, 0]
    assert only(events, "status")[0]["sid"] == client.id
    assert [data["value"] for data in only(events, "progress")][-1] == 4
    assert only(events, "executing")[-1] == {"node": None, "prompt_id": prompt_id}
    last_state = only(events, "progress_state")[-1]["nodes"]["11"]
    assert last_state == {
        "value": 4,
        "max": 4,
        "state": "finished",
        "node_id": "11",
        "prompt_id": prompt_id,
        "display_node_id": "11",
        "parent_node_id": None,
        "real_node_id": "11",
    }


async def test_the_history_entry_has_the_recorded_shape(client: Listener) -> None:
    graph = stock_graph(rows=2)
    prompt_id, _ = await client.run(graph)

    entry = await client.history(prompt_id)

    assert list(entry) == ["prompt", "outputs", "status", "meta"]
    number, given_id, given_graph, extra, outputs = entry["prompt"]
    assert (number, given_id, given_graph, outputs) == (0, prompt_id, graph, ["13"])
    assert extra["client_id"] == client.id
    assert entry["outputs"]["13"]["images"] == [
        {"filename": "pic_00001_.png", "subfolder": "t", "type": "output"},
        {"filename": "pic_00002_.png", "subfolder": "t", "type": "output"},
    ]
    assert entry["meta"]["13"] == {
        "node_id": "13",
        "display_node": "13",
        "parent_node": None,
        "real_node_id": "13",
    }
    assert [name for name, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert await client.get(f"/history/{uuid.uuid4()}") == {}


async def test_an_identical_prompt_runs_nothing_and_repeats_the_old_names(
    comfy: ComfyServer, client: Listener
) -> None:
    first, _ = await client.run(stock_graph())
    second, events = await client.run(stock_graph())

    assert only(events, "execution_cached")[0]["nodes"] == list(stock_graph())
    assert [data["node"] for data in only(events, "executing")] == [None]
    assert only(events, "executed")[0]["output"] == (await client.history(first))["outputs"]["13"]
    assert (await client.history(second))["outputs"] == (await client.history(first))["outputs"]
    comfy.bench.files.delete("output", "t", "pic_00001_.png")
    async with client.http.get("/view?filename=pic_00001_.png&subfolder=t") as response:
        assert response.status == 404


async def test_another_seed_runs_only_what_depends_on_it(client: Listener) -> None:
    await client.run(stock_graph(seed=1))
    _, events = await client.run(stock_graph(seed=2))

    assert {data["node"] for data in only(events, "executing")} == {"7", "11", "12", "13", None}


@pytest.mark.parametrize(("flag", "loads"), [(0, 3), (100, 2)])
async def test_a_model_swap_loads_again_unless_the_server_keeps_more_results(flag: int, loads: int) -> None:
    profile = ServerProfile(cache_lru=flag)
    async with ComfyServer(profile=profile) as comfy, aiohttp.ClientSession(comfy.url) as http:
        client = Listener(http)
        await client.connect()
        for graph in (stock_graph(seed=1), zimage_graph(), stock_graph(seed=2), stock_graph(seed=3)):
            await client.run(graph)
        stats = await client.get("/system_stats")
        await client.close()

    assert sum(span.loaded for span in comfy.sampler_log) == loads
    assert ("--cache-lru" in stats["system"]["argv"]) == bool(flag)


async def test_without_a_client_id_nobody_hears_of_the_run_but_the_history_has_it(client: Listener) -> None:
    answer = await client.post("/prompt", {"prompt": stock_graph()})
    heard = [await client.hear() for _ in range(4)]

    assert kinds(heard) == ["status"]
    assert (await client.history(answer["prompt_id"]))["status"]["completed"]


# ── what is refused ─────────────────────────────────────────────────────────────────────────────


def _set(node: str, name: str, value: Any) -> Callable[[Graph], None]:
    return lambda graph: graph[node]["inputs"].__setitem__(name, value)


def _drop(node: str, name: str) -> Callable[[Graph], Any]:
    return lambda graph: graph[node]["inputs"].pop(name)


@pytest.mark.parametrize(
    ("spoil", "node", "kind", "message", "details"),
    [
        (
            _set("1", "unet_name", "nope.gguf"),
            "1",
            "value_not_in_list",
            "Value not in list",
            "unet_name: 'nope.gguf' not in ['flux-2-klein-4b-Q5_K_M.gguf', 'flux1-schnell-Q4_K_S.gguf', "
            "'z-image-turbo-Q5_K_M.gguf']",
        ),
        (
            _set("8", "sampler_name", "eulerr"),
            "8",
            "value_not_in_list",
            "Value not in list",
            "sampler_name: 'eulerr' not in (list of length 44)",
        ),
        (
            _set("6", "width", 8),
            "6",
            "value_smaller_than_min",
            "Value 8 smaller than min of 16",
            "width",
        ),
        (
            _set("7", "noise_seed", 2**64),
            "7",
            "value_bigger_than_max",
            "Value 18446744073709551616 bigger than max of 18446744073709551615",
            "noise_seed",
        ),
        (
            _set("9", "steps", "four"),
            "9",
            "invalid_input_type",
            "Failed to convert an input value to a INT value",
            "steps, four, invalid literal for int() with base 10: 'four'",
        ),
        (_drop("4", "text"), "4", "required_input_missing", "Required input is missing", "text"),
        (
            _set("4", "clip", ["1", 0]),
            "4",
            "return_type_mismatch",
            "Return type mismatch between linked nodes",
            "clip, received_type(MODEL) mismatch input_type(CLIP)",
        ),
        (
            _set("4", "clip", ["99", 0]),
            "4",
            "exception_during_inner_validation",
            "Exception when validating inner node",
            "'99'",
        ),
        (
            _set("4", "clip", ["2", 7]),
            "4",
            "exception_during_inner_validation",
            "Exception when validating inner node",
            "tuple index out of range",
        ),
        (
            _set("5", "conditioning", ["5", 0]),
            "5",
            "dependency_cycle",
            "Dependency cycle detected",
            "5 (ConditioningZeroOut) -> 5 (ConditioningZeroOut)",
        ),
    ],
)
async def test_a_faulty_value_gets_the_recorded_body(
    client: Listener, *, spoil: Callable[[Graph], Any], node: str, kind: str, message: str, details: str
) -> None:
    graph = stock_graph()
    spoil(graph)

    body = await client.post("/prompt", {"prompt": graph}, status=400)

    assert body["error"] == {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "",
        "extra_info": {},
    }
    assert list(body["node_errors"]) == [node]
    entry = body["node_errors"][node]
    assert entry["dependent_outputs"] == ["13"]
    assert entry["class_type"] == graph[node]["class_type"]
    (error,) = entry["errors"]
    assert (error["type"], error["message"], error["details"]) == (kind, message, details)


async def test_the_extra_info_of_a_range_error_is_the_recorded_one(client: Listener) -> None:
    graph = stock_graph()
    graph["6"]["inputs"]["width"] = 8

    body = await client.post("/prompt", {"prompt": graph}, status=400)

    assert body["node_errors"]["6"]["errors"][0]["extra_info"] == {
        "input_name": "width",
        "input_config": ["INT", {"default": 1024, "min": 16, "max": 16384, "step": 16}],
        "received_value": 8,
    }


async def test_a_long_choice_is_not_repeated_in_the_error(client: Listener) -> None:
    graph = stock_graph()
    graph["8"]["inputs"]["sampler_name"] = "eulerr"

    body = await client.post("/prompt", {"prompt": graph}, status=400)

    assert body["node_errors"]["8"]["errors"][0]["extra_info"]["input_config"] is None


async def test_an_unknown_class_is_named(client: Listener) -> None:
    graph = stock_graph()
    graph["4"]["class_type"] = "Nope"

    body = await client.post("/prompt", {"prompt": graph}, status=400)

    assert body == {
        "error": {
            "type": "missing_node_type",
            "message": "Node 'Nope' not found. The custom node may not be installed.",
            "details": "Node ID '#4'",
            "extra_info": {"node_id": "4", "class_type": "Nope", "node_title": "Nope"},
        },
        "node_errors": {},
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "no_prompt"),
        ({"prompt": {}}, "prompt_no_outputs"),
        ({"prompt": {}, "prompt_id": "ABC"}, "invalid_prompt_id"),
        ({"prompt": {}, "prompt_id": str(uuid.uuid4()).upper()}, "invalid_prompt_id"),
    ],
)
async def test_a_body_without_a_runnable_prompt_is_refused(
    client: Listener, body: dict[str, Any], kind: str
) -> None:
    assert (await client.post("/prompt", body, status=400))["error"]["type"] == kind


async def test_a_body_that_is_not_json_gets_plain_text(client: Listener) -> None:
    async with client.http.post("/prompt", data=b"{") as response:
        assert response.status == 500
        assert await response.text() == "500 Internal Server Error\n\nServer got itself in trouble"


async def test_one_bad_output_of_two_lets_the_other_run(client: Listener) -> None:
    graph = stock_graph()
    graph["20"] = {"class_type": "LoadImage", "inputs": {"image": "missing.png"}}
    graph["21"] = {"class_type": "PreviewImage", "inputs": {"images": ["20", 0]}}

    answer = await client.post("/prompt", {"prompt": graph, "client_id": client.id})
    await client.hear_run()

    assert answer["node_errors"]["20"]["errors"][0]["type"] == "custom_validation_failed"
    assert answer["node_errors"]["20"]["errors"][0]["details"] == "image - Invalid image file: missing.png"
    assert list((await client.history(answer["prompt_id"]))["outputs"]) == ["13"]


# ── ids, numbers, the queue ─────────────────────────────────────────────────────────────────────


async def test_a_clients_own_id_is_honoured_and_taken_twice(client: Listener) -> None:
    own = str(uuid.uuid4())

    for seed in (1, 2):
        assert await client.submit(stock_graph(seed=seed), prompt_id=own) == own
        await client.hear_run()

    assert list(await client.get("/history")) == [own]


async def test_prompts_run_one_at_a_time_by_their_numbers(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(stall=True)
    first = await client.submit(stock_graph(seed=1))
    await client.hear_until("execution_start")
    later = await client.submit(stock_graph(seed=2))
    sooner = await client.submit(stock_graph(seed=3), front=True)
    between = await client.submit(stock_graph(seed=4), number=0.5)

    queue = await client.get("/queue")
    assert [entry[1] for entry in queue["queue_running"]] == [first]
    assert [entry[1] for entry in queue["queue_pending"]] == [sooner, between, later]
    assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 4}}
    comfy.faults.set(stall=False)
    for _ in range(4):
        await client.hear_run()

    assert list(await client.get("/history")) == [first, sooner, between, later]


async def test_a_deleted_prompt_never_runs_and_nobody_is_told_but_by_the_count(
    comfy: ComfyServer, client: Listener
) -> None:
    comfy.faults.set(stall=True)
    await client.submit(stock_graph(seed=1))
    await client.hear_until("execution_start")
    waiting = await client.submit(stock_graph(seed=2))

    await client.post("/queue", {"delete": [waiting]})
    comfy.faults.set(stall=False)
    heard = await client.hear_run()

    assert waiting not in json.dumps([event for event in heard if isinstance(event, dict)])
    assert await client.get(f"/history/{waiting}") == {}
    assert (await client.get("/queue"))["queue_pending"] == []


async def test_only_the_named_prompt_is_interrupted(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(stall=True)
    running = await client.submit(stock_graph())
    await client.hear_until("execution_start")

    await client.post("/interrupt", {"prompt_id": str(uuid.uuid4())})
    assert not comfy.core.run.interrupted  # type: ignore[union-attr]
    await client.post("/interrupt", {"prompt_id": running})
    comfy.faults.set(stall=False)
    events = [event for event in await client.hear_run() if isinstance(event, dict)]

    (told,) = only(events, "execution_interrupted")
    assert set(told) == {"prompt_id", "node_id", "node_type", "executed", "timestamp"}
    assert (told["node_id"], told["node_type"]) == ("11", "SamplerCustomAdvanced")
    status = (await client.history(running))["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert (await client.get(f"/api/jobs/{running}"))["status"] == "cancelled"


async def test_an_interrupt_of_an_idle_server_spares_the_next_prompt(client: Listener) -> None:
    await client.post("/interrupt", {})
    _, events = await client.run(stock_graph())

    assert only(events, "execution_success")


async def test_the_jobs_api_tells_of_waiting_running_and_ended(comfy: ComfyServer, client: Listener) -> None:
    done, _ = await client.run(stock_graph(seed=1))
    comfy.faults.set(stall=True)
    running = await client.submit(stock_graph(seed=2))
    await client.hear_until("execution_start")
    waiting = await client.submit(stock_graph(seed=3))

    page = await client.get("/api/jobs?limit=2")
    assert page["pagination"] == {"offset": 0, "limit": 2, "total": 3, "has_more": True}
    assert {job["id"]: job["status"] for job in (await client.get("/api/jobs"))["jobs"]} == {
        waiting: "pending",
        running: "in_progress",
        done: "completed",
    }
    detail = await client.get(f"/api/jobs/{done}")
    assert detail["preview_output"] == {
        "filename": "pic_00001_.png",
        "subfolder": "t",
        "type": "output",
        "nodeId": "13",
        "mediaType": "images",
    }
    assert await client.post(f"/api/jobs/{waiting}/cancel", {}) == {"cancelled": True}
    assert await client.post(f"/api/jobs/{done}/cancel", {}) == {"cancelled": False}
    assert await client.get("/api/jobs/unknown", status=404) == {"error": "Job not found"}
    comfy.faults.set(stall=False)


# ── sockets ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_second_socket_of_a_client_silences_the_first(client: Listener) -> None:
    older = client.socket
    assert older is not None
    await older.receive()
    await client.connect()
    await client.run(stock_graph())

    with pytest.raises(asyncio.TimeoutError):
        await older.receive(timeout=0.05)
    await older.close()


async def test_the_older_socket_takes_the_newer_with_it_when_it_closes_at_last(client: Listener) -> None:
    older = client.socket
    assert older is not None
    await client.connect()
    await client.hear()
    await older.close()
    await client.post("/prompt", {"prompt": stock_graph(), "client_id": client.id})

    with pytest.raises(asyncio.TimeoutError):
        await client.socket.receive(timeout=0.1)  # type: ignore[union-attr]


async def test_another_client_hears_only_how_many_remain(client: Listener) -> None:
    other = Listener(client.http)
    await other.connect()
    await client.run(stock_graph())

    assert kinds([await other.hear() for _ in range(4)]) == ["status"]
    await other.close()


async def test_a_client_that_comes_back_hears_the_current_node(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(stall=True)
    prompt_id = await client.submit(stock_graph())
    while (await client.hear_until("executing"))[-1]["data"]["node"] != "11":  # type: ignore[index,call-overload]
        pass
    older = client.socket
    await client.connect()

    heard = [await client.hear(), await client.hear()]
    comfy.faults.set(stall=False)
    rest = await client.hear_run()
    assert older is not None
    await older.close()

    assert heard[1] == {"type": "executing", "data": {"node": "11"}}
    assert rest[-1] == {"type": "executing", "data": {"node": None, "prompt_id": prompt_id}}


async def test_previews_show_the_first_row_in_a_plain_frame(client: Listener) -> None:
    await client.submit(stock_graph(rows=2, size=256), extra_data={"preview_method": "latent2rgb"})
    frames = [event for event in await client.hear_run() if isinstance(event, bytes)]

    assert len(frames) == 4
    assert all(struct.unpack(">II", frame[:8]) == (1, 1) for frame in frames)
    alone = mark_in_file((await client.pictures(next(iter(await client.get("/history")))))[0])
    assert [mark_in_file(frame[8:]) for frame in frames] == [alone] * 4


async def test_previews_carry_metadata_when_that_was_negotiated(client: Listener) -> None:
    assert client.socket is not None
    flags = {"supports_preview_metadata": True}
    await client.socket.send_json({"type": "feature_flags", "data": flags})
    answer = await client.hear_until("feature_flags")
    assert isinstance(answer[-1], dict)
    assert answer[-1]["data"] == await client.get("/features")
    prompt_id = await client.submit(stock_graph(), extra_data={"preview_method": "auto"})
    frame = next(event for event in await client.hear_run() if isinstance(event, bytes))

    kind, length = struct.unpack(">II", frame[:8])
    assert kind == 4
    assert json.loads(frame[8 : 8 + length]) == {
        "node_id": "11",
        "prompt_id": prompt_id,
        "display_node_id": "11",
        "parent_node_id": None,
        "real_node_id": "11",
        "image_type": "image/jpeg",
    }


async def test_save_image_websocket_sends_a_png_a_row_and_leaves_no_output(client: Listener) -> None:
    graph = stock_graph(rows=3)
    graph["13"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["12", 0]}}
    prompt_id = await client.submit(graph)
    frames = [event for event in await client.hear_run() if isinstance(event, bytes)]

    assert [frame[:16].hex() for frame in frames] == ["000000010000000289504e470d0a1a0a"] * 3
    assert (await client.history(prompt_id))["outputs"] == {}


# ── files and inventory ─────────────────────────────────────────────────────────────────────────


async def _upload(client: Listener, data: bytes, name: str = "ref.png", **fields: str) -> tuple[int, Any]:
    form = aiohttp.FormData()
    form.add_field("image", data, filename=name)
    for key, value in fields.items():
        form.add_field(key, value)
    async with client.http.post("/upload/image", data=form) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None


async def test_uploads_get_the_recorded_names(client: Listener) -> None:
    bot = {"subfolder": "bot"}

    assert await _upload(client, b"one", **bot) == (
        200,
        {"name": "ref.png", "subfolder": "bot", "type": "input"},
    )
    assert (await _upload(client, b"one", **bot))[1]["name"] == "ref.png"
    assert (await _upload(client, b"two", **bot))[1]["name"] == "ref (1).png"
    assert (await _upload(client, b"two", overwrite="true", **bot))[1]["name"] == "ref.png"
    assert (await _upload(client, b"one", subfolder="../.."))[0] == 400
    assert await client.read("/view?filename=ref.png&subfolder=bot&type=input") == b"two"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("?filename=none.png", 404),
        ("?filename=../x.png", 400),
        ("?filename=x.png&type=nope", 400),
        ("?filename=x.png&subfolder=..", 403),
    ],
)
async def test_view_refuses_as_recorded(client: Listener, query: str, status: int) -> None:
    async with client.http.get(f"/view{query}") as response:
        assert response.status == status


async def test_view_recodes_on_request(client: Listener) -> None:
    await client.run(stock_graph())

    async with client.http.get("/view?filename=pic_00001_.png&subfolder=t&preview=webp;80") as response:
        assert response.content_type == "image/webp"
        assert response.headers["Content-Disposition"] == 'filename="pic_00001_.png"'
        assert (await response.read())[8:12] == b"WEBP"


async def test_names_count_up_within_a_prefix(client: Listener) -> None:
    graph = stock_graph(rows=2)
    graph["13"]["inputs"]["filename_prefix"] = "u/job-%batch_num%"
    prompt_id, _ = await client.run(graph)

    images = (await client.history(prompt_id))["outputs"]["13"]["images"]
    assert [image["filename"] for image in images] == ["job-0_00001_.png", "job-1_00002_.png"]


async def test_both_shapes_of_a_choice_stand_in_the_node_table(client: Listener) -> None:
    table = await client.get("/object_info")

    old = table["UnetLoaderGGUF"]["input"]["required"]["unet_name"]
    new = table["KSamplerSelect"]["input"]["required"]["sampler_name"]
    assert isinstance(old[0], list)
    assert new[0] == "COMBO"
    assert len(new[1]["options"]) == 44
    assert await client.get("/object_info/Nope") == {}
    assert list(await client.get("/object_info/KSampler")) == ["KSampler"]
    assert await client.get("/models/unet_gguf") == old[0]
    assert await client.get("/embeddings") == []


async def test_every_route_stands_under_api_too(client: Listener) -> None:
    for path in ("/system_stats", "/queue", "/prompt", "/features", "/history", "/models", "/fullet/version"):
        assert await client.get(f"/api{path}") == await client.get(path)


async def test_a_plain_server_has_neither_the_packs_nodes_nor_its_routes() -> None:
    profile = ServerProfile(pack_version=None, gguf=False, missing_models=frozenset({"ae.safetensors"}))
    async with ComfyServer(profile=profile) as comfy, aiohttp.ClientSession(comfy.url) as http:
        client = Listener(http)
        table = await client.get("/object_info")
        async with http.get("/fullet/version") as response:
            assert response.status == 404

    assert not {"SaveImageBatch", "UnetLoaderGGUF"} & set(table)
    assert "ae.safetensors" not in table["VAELoader"]["input"]["required"]["vae_name"][0]


async def test_a_pack_of_another_version_says_so() -> None:
    profile = ServerProfile(pack_version="0.9.0")
    async with ComfyServer(profile=profile) as comfy, aiohttp.ClientSession(comfy.url) as http:
        client = Listener(http)
        table = await client.get("/object_info/SaveImageBatch")
        version = await client.get("/fullet/version")

    assert table["SaveImageBatch"]["description"].startswith("FuLLet 0.9.0")
    assert version["version"] == "0.9.0"
    assert "SaveImageBatch" in version["nodes"]


@pytest.mark.parametrize(
    ("key", "header"), [("secret", "Bearer secret"), ("me:secret", "Basic bWU6c2VjcmV0")]
)
async def test_a_server_with_a_key_lets_only_that_key_in(key: str, header: str) -> None:
    async with (
        ComfyServer(profile=ServerProfile(api_key=key)) as comfy,
        aiohttp.ClientSession(comfy.url) as http,
    ):
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer no"}, 401),
            ({"Authorization": header}, 200),
        ):
            async with http.get("/system_stats", headers=headers) as response:
                assert response.status == status
