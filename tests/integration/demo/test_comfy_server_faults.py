"""The embedded ComfyUI goes wrong on demand, in the ways that a real server and its surroundings do."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Any

import aiohttp
import pytest
from PIL import Image

from modules.demo.comfy_server import ComfyServer, Timing
from modules.demo.comfy_server.failure_texts import CURED_BY_RESTART, LACKS_OF_MEMORY
from tests.integration.embedded_comfy import Listener, fused_graph, new_keys, stock_graph, zimage_graph


def error_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    (data,) = (event["data"] for event in events if event["type"] == "execution_error")
    return data  # type: ignore[no-any-return]


# ── runs that go wrong ──────────────────────────────────────────────────────────────────────────


async def test_more_rows_than_memory_holds_raise_what_torch_raises(
    comfy: ComfyServer, client: Listener
) -> None:
    comfy.faults.set(oom_above=2)

    prompt_id, events = await client.run(stock_graph(rows=3))
    _, smaller = await client.run(stock_graph(rows=2))

    error = error_of(events)
    assert set(error) == {
        "prompt_id",
        "node_id",
        "node_type",
        "executed",
        "exception_message",
        "exception_type",
        "traceback",
        "current_inputs",
        "current_outputs",
        "timestamp",
    }
    assert error["exception_type"] == "torch.OutOfMemoryError"
    assert error["exception_message"].startswith("Allocation on device ")
    assert (error["node_id"], error["node_type"]) == ("11", "SamplerCustomAdvanced")
    assert (await client.history(prompt_id))["status"]["status_str"] == "error"
    assert smaller[-3]["type"] == "execution_success"


async def test_memory_may_lack_for_one_model_alone(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(oom_above=0, oom_models=["z-image"])

    _, fine = await client.run(stock_graph())
    _, failed = await client.run(zimage_graph())

    assert fine[-3]["type"] == "execution_success"
    assert error_of(failed)["exception_type"] == "torch.OutOfMemoryError"


@pytest.mark.parametrize("words", LACKS_OF_MEMORY)
async def test_memory_lacks_in_each_backends_own_words(
    comfy: ComfyServer, client: Listener, words: str
) -> None:
    comfy.faults.set(oom_above=1, oom_words=words)

    _, failed = await client.run(stock_graph(rows=2))
    _, fine = await client.run(stock_graph())

    error = error_of(failed)
    kind, message = LACKS_OF_MEMORY[words]
    assert (error["exception_type"], error["node_id"]) == (kind, "11")
    assert error["exception_message"].startswith(message)
    assert fine[-3]["type"] == "execution_success"


@pytest.mark.parametrize("words", sorted(CURED_BY_RESTART))
async def test_a_cuda_error_meets_every_run_at_its_first_node_until_a_restart(
    comfy: ComfyServer, client: Listener, words: str
) -> None:
    comfy.faults.set(fail_at=["*"], fail_with=words)
    for seed in range(2):
        _, events = await client.run(stock_graph(seed=seed))
        error = error_of(events)
        assert error["executed"] == []
        assert "CUDA error: an illegal memory access was encountered" in error["exception_message"]
    assert not comfy.sampler_log

    await comfy.restart()
    await client.connect()
    _, events = await client.run(stock_graph())
    assert events[-3]["type"] == "execution_success"


async def test_a_full_disk_fails_each_run_where_it_saves_also_after_a_restart(
    comfy: ComfyServer, client: Listener
) -> None:
    comfy.faults.set(fail_at=["SaveImage", "SaveImageBatch"], fail_with="disk full")
    for graph in (stock_graph(), fused_graph(["a cat"], [1], new_keys(1))):
        error = error_of((await client.run(graph))[1])
        assert (error["node_id"], error["exception_type"]) == ("13", "OSError")
        assert error["exception_message"].startswith("[Errno 28] No space left on device")

    await comfy.restart()
    await client.connect()
    assert error_of((await client.run(stock_graph(seed=2)))[1])["node_id"] == "13"


async def test_a_node_may_raise_in_every_run_while_others_run(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(fail_at=["KSampler"])

    assert error_of((await client.run(zimage_graph()))[1])["node_type"] == "KSampler"
    assert (await client.run(stock_graph()))[1][-3]["type"] == "execution_success"


async def test_what_the_pack_refuses_stock_nodes_run(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(refused=["ModelSamplingAuraFlow"])
    fused = fused_graph(["a cat"], [1], new_keys(1))
    fused["20"] = {"class_type": "ModelSamplingAuraFlow", "inputs": {"model": ["1", 0], "shift": 3.0}}
    fused["14"]["inputs"]["model"] = ["20", 0]

    error = error_of((await client.run(fused))[1])

    assert error["exception_type"].endswith(".Refused")
    assert error["exception_message"].startswith("FusedModel: input model: ModelSamplingAuraFlow ")
    assert (await client.run(zimage_graph()))[1][-3]["type"] == "execution_success"


async def test_the_pack_may_refuse_a_sampler_by_its_name(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(refused=["euler"])
    fused = fused_graph(["a cat"], [1], new_keys(1))
    fused["15"] = {"class_type": "SamplerBatch", "inputs": {"sampler": ["8", 0], "seeds": "[1]"}}
    fused["11"]["inputs"]["sampler"] = ["15", 0]

    error = error_of((await client.run(fused))[1])

    assert error["exception_message"].startswith("SamplerBatch: input sampler: euler ")
    assert (await client.run(stock_graph()))[1][-3]["type"] == "execution_success"


async def test_a_model_may_run_lone_pictures_only(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(lone_only=["flux"])

    _, batch = await client.run(stock_graph(rows=2))
    _, lone = await client.run(stock_graph())

    assert "size of tensor a (2) must match" in error_of(batch)["exception_message"]
    assert lone[-3]["type"] == "execution_success"


async def test_a_poisoned_prompt_may_fail_in_the_sampler(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(poison_in_sampler="venom")

    _, events = await client.run(fused_graph(["a cat", "some venom"], [1, 2], new_keys(2)))
    _, innocent = await client.run(fused_graph(["a cat"], [1], new_keys(1)))

    assert error_of(events)["node_type"] == "SamplerCustomAdvanced"
    assert innocent[-3]["type"] == "execution_success"


async def test_a_poisoned_prompt_fails_where_it_is_encoded(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(poison="veneño")

    _, events = await client.run(fused_graph(["a cat", "some veneño"], [1, 2], new_keys(2)))
    _, innocent = await client.run(fused_graph(["a cat"], [1], new_keys(1)))

    assert error_of(events)["node_type"] == "CLIPTextEncode"
    assert innocent[-3]["type"] == "execution_success"


async def test_a_stalled_server_answers_but_makes_no_progress(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(stall=True)
    prompt_id = await client.submit(stock_graph())
    await client.hear_until("executing")

    assert [entry[1] for entry in (await client.get("/queue"))["queue_running"]] == [prompt_id]
    assert await client.get(f"/history/{prompt_id}") == {}
    comfy.faults.set(stall=False)
    assert await client.hear_run()


async def test_a_server_that_dies_in_mid_run_resets_sockets_and_comes_back_empty(
    comfy: ComfyServer, client: Listener
) -> None:
    done, _ = await client.run(stock_graph(seed=1))
    comfy.faults.set(die_at_step=2, back_after=0.05)
    lost = await client.submit(stock_graph(seed=2))

    with pytest.raises(ConnectionError):
        await client.hear_run()
    await _until_back(client.http)

    await client.connect()
    assert await client.get(f"/history/{done}") == {}
    assert await client.get("/queue") == {"queue_running": [], "queue_pending": []}
    assert lost != (await client.run(stock_graph(seed=3)))[0]


async def test_a_killed_server_refuses_until_it_is_started_on_its_port(comfy: ComfyServer) -> None:
    url = comfy.url
    await comfy.kill()
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"{url}/prompt")
        await comfy.start()
        async with http.get(f"{url}/prompt") as response:
            assert response.status == 200


async def test_an_unplugged_server_works_on_and_has_the_result_when_it_is_back(
    comfy: ComfyServer, client: Listener
) -> None:
    comfy.faults.set(stall=True)
    prompt_id = await client.submit(stock_graph())
    await client.hear_until("execution_start")

    await comfy.unplug()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.http.get("/prompt")
    comfy.faults.set(stall=False)
    await comfy.plug_in()

    assert (await _until_known(client, prompt_id))["status"]["completed"]


async def test_uploads_and_outputs_outlive_a_restart_but_the_packs_pictures_do_not(
    comfy: ComfyServer, client: Listener
) -> None:
    keys = new_keys(1)
    await client.run(stock_graph())
    await client.run(fused_graph(["a cat"], [1], keys))

    await comfy.restart()

    assert await client.read("/view?filename=pic_00001_.png&subfolder=t")
    await client.get(f"/fullet/pictures/{keys[0]}", status=404)


async def test_foreign_outputs_name_an_earlier_runs_files(comfy: ComfyServer, client: Listener) -> None:
    first, _ = await client.run(stock_graph("mine", 1))
    comfy.faults.set(foreign_outputs=True)
    second, _ = await client.run(stock_graph("yours", 2))

    assert (await client.history(second))["outputs"] == (await client.history(first))["outputs"]


async def test_a_forgotten_run_is_not_in_the_history(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(forget_history=True)
    prompt_id, _ = await client.run(stock_graph())

    assert await client.get(f"/history/{prompt_id}") == {}


async def test_a_silent_run_sends_nothing_but_is_in_the_history(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(silent=True)
    prompt_id = await client.submit(stock_graph())
    heard = [await client.hear() for _ in range(4)]

    assert {event["type"] for event in heard if isinstance(event, dict)} == {"status"}
    assert (await client.history(prompt_id))["status"]["completed"]


# ── sockets and answers that go wrong ───────────────────────────────────────────────────────────


async def test_without_sockets_http_works_on(comfy: ComfyServer, client: Listener) -> None:
    await comfy.set_faults(no_socket=True)
    with pytest.raises(ConnectionError):
        await client.hear_until("never")
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await client.connect()

    prompt_id = await client.submit(stock_graph())
    assert (await _until_known(client, prompt_id))["status"]["completed"]


async def test_a_proxys_page_stands_for_every_answer_until_the_fault_is_cleared(
    comfy: ComfyServer, client: Listener
) -> None:
    comfy.faults.set(html=502)
    async with client.http.post("/prompt", json={}) as response:
        assert (response.status, response.content_type) == (502, "text/html")
    comfy.faults.clear()

    assert await client.get("/prompt")


async def test_faults_can_be_narrowed_to_a_path_and_a_number_of_requests(
    comfy: ComfyServer, client: Listener
) -> None:
    comfy.faults.set(unauthorized=True, only="/history", times=1)

    assert await client.get("/prompt")
    async with client.http.get("/history") as response:
        assert response.status == 401
    assert await client.get("/history") == {}


async def test_a_slow_body_trickles(comfy: ComfyServer, client: Listener) -> None:
    comfy.faults.set(slow_body=0.2)
    start = asyncio.get_running_loop().time()
    await client.get("/system_stats")

    assert asyncio.get_running_loop().time() - start >= 0.15


async def test_a_body_may_be_cut_short(comfy: ComfyServer, client: Listener) -> None:
    await client.run(stock_graph())
    comfy.faults.set(cut_body=True)

    with pytest.raises(aiohttp.ClientPayloadError):
        await client.read("/view?filename=pic_00001_.png&subfolder=t")


async def test_a_body_may_never_end(comfy: ComfyServer, client: Listener) -> None:
    await client.run(stock_graph())
    comfy.faults.set(endless_body=True)

    async with client.http.get("/view?filename=pic_00001_.png&subfolder=t") as response:
        await response.content.readexactly(1_000_000)
        response.close()
    comfy.faults.clear()


async def test_a_picture_may_claim_to_be_huge_or_be_none(comfy: ComfyServer, client: Listener) -> None:
    await client.run(stock_graph())
    comfy.faults.set(giant_png=True)
    data = await client.read("/view?filename=pic_00001_.png&subfolder=t")
    comfy.faults.set(giant_png=False, garbage=True)
    garbage = await client.read("/view?filename=pic_00001_.png&subfolder=t")

    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(garbage))


async def test_answers_and_events_may_have_wrong_types(comfy: ComfyServer, client: Listener) -> None:
    await comfy.set_faults(wrong_types=True)

    assert isinstance(await client.post("/prompt", {"prompt": stock_graph(), "client_id": client.id}), list)
    heard = [await client.hear() for _ in range(3)]
    assert any(isinstance(event, dict) and isinstance(event["data"], list) for event in heard)


async def test_a_model_or_node_that_went_away_is_gone_from_table_and_validation(
    comfy: ComfyServer, client: Listener
) -> None:
    comfy.faults.set(missing_models=["flux2-vae.safetensors"], missing_nodes=["FusedModel"])

    table = await client.get("/object_info")
    plain = await client.post("/prompt", {"prompt": stock_graph()}, status=400)
    fused = await client.post("/prompt", {"prompt": fused_graph(["a"], [1], new_keys(1))}, status=400)

    assert "FusedModel" not in table
    assert plain["node_errors"]["3"]["errors"][0]["type"] == "value_not_in_list"
    assert fused["error"]["type"] == "missing_node_type"


def test_a_fault_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault is called 'stal'"):
        ComfyServer().faults.set(stal=True)
    with pytest.raises(ValueError, match="fail_with is one of "):
        ComfyServer().faults.set(fail_at=["*"], fail_with="cudda")


# ── time ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_takes_its_steps_times_a_fixed_and_a_per_row_share() -> None:
    timing = Timing(load=0.05, step=0.02, row=0.01, decode=0.01, speed=2.0)
    async with ComfyServer(timing=timing) as comfy, aiohttp.ClientSession(comfy.url) as http:
        client = Listener(http)
        await client.connect()
        await client.run(stock_graph(rows=3, steps=4))
        await client.close()

    (span,) = comfy.sampler_log
    assert (span.rows, span.steps, span.loaded) == (3, 4, True)
    assert timing.sampling(steps=4, rows=3, factor=1.0) == pytest.approx(0.1)
    assert span.sampling_end - span.sampling_start >= 0.1
    assert span.end - span.start >= 0.1 + 0.025 + 0.015


async def test_the_noise_of_durations_is_seeded() -> None:
    async def spans(seed: int) -> list[float]:
        timing = Timing(step=0.02, noise=0.5)
        async with ComfyServer(timing=timing, seed=seed) as comfy, aiohttp.ClientSession(comfy.url) as http:
            client = Listener(http)
            await client.connect()
            for number in range(2):
                await client.run(stock_graph(seed=number, steps=1))
            await client.close()
        return [comfy.bench.rng.random()]

    assert await spans(1) == await spans(1)
    assert await spans(1) != await spans(2)


# ── in a process of its own ─────────────────────────────────────────────────────────────────────


async def test_as_a_process_it_tells_its_address_its_log_and_obeys_over_http() -> None:
    command = [sys.executable, "-W", "error", "-m", "modules.demo.comfy_server", "--step", "0.001"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    async with aiohttp.ClientSession(line["url"]) as http:
        client = Listener(http)
        await client.connect()
        await client.run(stock_graph(rows=2))
        log = await client.get("/demo/log")
        faults = await client.post("/demo/faults", {"oom_above": 1})
        refused = await client.post("/demo/faults", {"nonsense": 1}, status=400)
        _, events = await client.run(stock_graph(rows=2, seed=5))
        cleared = await client.post("/demo/faults", {"clear": True})
        await client.post("/demo/kill", {"back_after": 0.05})
        with pytest.raises(ConnectionError):
            await client.hear_run()
        await _until_back(http)
    process.terminate()
    _, errors = await asyncio.wait_for(process.communicate(), 10)

    assert line["pid"] == process.pid
    assert [(span["rows"], span["steps"]) for span in log["spans"]] == [(2, 4)]
    assert log["busy_seconds"] >= log["sampling_seconds"] > 0
    assert (faults["oom_above"], cleared["oom_above"]) == (1, None)
    assert "nonsense" in refused["error"]
    assert error_of(events)["exception_type"] == "torch.OutOfMemoryError"
    assert (process.returncode, errors) == (0, b"")


async def _until_back(http: aiohttp.ClientSession) -> None:
    """Returns when the server answers again; the test's own time limit ends the wait."""
    while True:
        try:
            async with http.get("/history") as response:
                assert await response.json() == {}
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.01)


async def _until_known(client: Listener, prompt_id: str) -> dict[str, Any]:
    """The history entry of a run, once it is there."""
    while True:
        entries = await client.get(f"/history/{prompt_id}")
        if entries:
            return entries[prompt_id]  # type: ignore[no-any-return]
        await asyncio.sleep(0.005)
