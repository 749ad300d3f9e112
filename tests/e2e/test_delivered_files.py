"""The files that people are given hold their own picture: what is crossed in a run shows in them, and in no
file is anything of anybody else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from modules.ai import engines
from modules.ai.fusion.output_locations import FusedGraph
from modules.ai.workflows.graph import read_graph, write_graph
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.jobs import GenerationRequest
from tests.integration.embedded_comfy import Graph
from tests.strangers import crowded_room, marks, run_batches
from tests.workflow_graphs import node

Change = Callable[[Graph], None]


@contextmanager
def spoiled(change: Change) -> Iterator[list[int]]:
    """Every fused graph is changed before it goes to the server; the seeds of the last one's rows."""
    fuse, rows = engines.fuse, []

    def wrong(template: WorkflowTemplate, requests: Sequence[GenerationRequest], **more: Any) -> FusedGraph:
        fused = fuse(template, requests, **more)
        graph = write_graph(fused.graph)
        change(graph)
        rows[:] = [request.seed for request in requests]
        return replace(fused, graph=read_graph(graph))

    with mock.patch.object(engines, "fuse", wrong):
        yield rows


def writing(node_id: str, name: str, value: Any) -> Change:
    """Writes ``value`` into a node: ``5#1`` is the second person's node 5, ``5`` the first one's or all's."""

    def change(graph: Graph) -> None:
        assert graph[node_id]["inputs"][name] != value
        graph[node_id]["inputs"][name] = value

    return change


def taken_from_the_first(node_id: str, name: str) -> Change:
    """The second person's node gets what the first one's has."""
    return lambda graph: writing(f"{node_id}#1", name, graph[node_id]["inputs"][name])(graph)


def crossed_rows(join: str) -> Change:
    """The first two people's things change places where they are joined."""

    def change(graph: Graph) -> None:
        rows = graph[join]["inputs"]
        rows.update(row0=rows["row1"], row1=rows["row0"])

    return change


def crossed_list(node_id: str, name: str) -> Change:
    """The first two entries of a JSON list change places."""

    def change(graph: Graph) -> None:
        first, second, *rest = json.loads(graph[node_id]["inputs"][name])
        graph[node_id]["inputs"][name] = json.dumps([second, first, *rest])

    return change


def put_into_the_second(graph: Graph) -> None:
    """The second person's picture is decoded from the first one's row."""
    graph["fullet_10_0#1"]["inputs"]["row"] = 0


def decoded_otherwise(graph: Graph) -> None:
    """The second person's picture is decoded by another VAE."""
    graph["20"] = node("VAELoader", vae_name="ae.safetensors")
    graph["11#1"]["inputs"]["vae"] = ["20", 0]


SECOND, BOTH, ALL = {1}, {0, 1}, {0, 1, 2}
ROW_BY_ROW: dict[str, tuple[Change, set[int]]] = {
    "prompt": (taken_from_the_first("4", "text"), SECOND),
    "guidance of one": (writing("6#1", "guidance", 4.0), SECOND),
    "texts": (crossed_rows("fullet_10_positive"), BOTH),
    "text without the LoRA": (writing("4#1", "clip", ["1", 1]), SECOND),
    "start noise": (crossed_list("fullet_10_noise", "seeds"), BOTH),
    "step noise": (crossed_list("fullet_10_sampler", "seeds"), BOTH),
    "row": (put_into_the_second, SECOND),
    "pictures": (crossed_rows("fullet_pictures"), BOTH),
    "keys": (crossed_list("fullet_save", "keys"), BOTH),
    "another decoder": (decoded_otherwise, SECOND),
    "shared step noise": (writing("10", "sampler", ["fullet_10_select", 0]), {1, 2}),
}
"""What is spoiled → how, and whose files it must show in, of three people."""
WHOLE_RUN: dict[str, tuple[Change, set[int]]] = {
    "LoRA": (writing("2", "lora_name", "two.safetensors"), ALL),
    "LoRA's strength": (writing("2", "strength_model", 0.6), ALL),
    "model without the LoRA": (writing("3", "model", ["1", 0]), ALL),
    "shift": (writing("3", "shift", 3.1), ALL),
    "scale of guidance": (writing("fullet_10_guider", "cfg", 3.0), ALL),
    "sampler": (writing("fullet_10_select", "sampler_name", "dpmpp_2m_sde"), ALL),
    "steps": (writing("fullet_10_sigmas", "steps", 5), ALL),
    "scheduler": (writing("fullet_10_sigmas", "scheduler", "karras"), ALL),
    "denoise": (writing("fullet_10_sigmas", "denoise", 0.5), ALL),
}
SPOILED: dict[str, dict[str, tuple[Change, set[int]]]] = {
    "words": {
        **ROW_BY_ROW,
        **WHOLE_RUN,
        "negative": (taken_from_the_first("5", "text"), SECOND),
        "negatives": (crossed_rows("fullet_10_negative"), BOTH),
        "size": (writing("9", "width", 136), ALL),
    },
    "picture": {
        **ROW_BY_ROW,
        "source": (taken_from_the_first("7", "image"), SECOND),
        "sources": (crossed_rows("fullet_10_latent_image"), BOTH),
        "scaling of one": (writing("8#1", "upscale_method", "area"), SECOND),
    },
}


@pytest.mark.long
async def test_whatever_is_spoiled_in_a_run_shows_in_the_files_that_people_are_given(tmp_path: Path) -> None:
    dice = random.Random(3)
    async with crowded_room(tmp_path, 3) as room:
        for model, cases in SPOILED.items():
            unspoiled: tuple[Change, set[int]] = (lambda graph: None, set())
            for name, (change, hit) in [("nothing", unspoiled), *cases.items()]:
                asked = room.strangers(dice, model, 3)
                with spoiled(change) as rows:
                    files = await room.ask(asked)
                assert len(rows) == 3, f"{model}, {name}: they did not run together"
                wrong = set()
                for each, data in zip(asked, files, strict=True):
                    assert data is not None, f"{model}, {name}: nothing was delivered"
                    if marks(data) != await room.marks_alone(each):
                        wrong.add(rows.index(each.seed))
                assert wrong == hit, f"{model}, {name}"


async def test_nothing_of_a_stranger_is_in_any_file_or_message(tmp_path: Path) -> None:
    """A few of the batches of which ``bot.py bench --only privacy`` runs 1,000."""
    async with crowded_room(tmp_path) as room:
        tally = await run_batches(room, random.Random(5), 12)
        assert tally.foreign == 0
        assert tally.files > 24
        assert tally.refused
        assert max(span.rows for span in room.comfy.sampler_log) > 2
        with spoiled(crossed_list("fullet_save", "keys")):
            assert (await run_batches(room, random.Random(1), 1)).foreign > 0
