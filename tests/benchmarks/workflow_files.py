"""How long it takes to make models of workflow files: read, fold, derive the card, check, try to fuse."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from pathlib import Path

from modules.ai.fusion.fuse import fusible
from modules.ai.models.loading import read_models
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process

EXPORTS = Path(__file__).parents[1] / "data" / "frontend_exports.json.gz"


async def measure(run: int) -> Measurement:
    return {"deriving_all_templates": await in_fresh_process(_seconds)}


def _seconds() -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for template, graph in json.loads(gzip.decompress(EXPORTS.read_bytes())).items():
            (folder / f"{template}.json").write_text(json.dumps(graph), encoding="utf-8")
        began = time.perf_counter()
        models, faults = read_models(folder)
        for model in models.values():
            fusible(model.template)
        took = time.perf_counter() - began
        assert len(models) + len(faults) == len(list(folder.iterdir()))
    return took


SUBJECT = Subject(
    name="workflow_files",
    measure=measure,
    figures=(
        Figure(
            name="deriving_all_templates",
            unit="s",
            about="120 of ComfyUI's templates, from the files to models that were tried for fusing",
            target=2.0,
        ),
    ),
)
