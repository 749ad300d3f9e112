"""What a bot is measured against: a program that hands the same batches to the same GPUs all at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence

import aiohttp

from modules.ai.comfy.client import ComfyClient
from modules.ai.engines import ComfyEngine
from modules.ai.models.loading import load_model
from modules.ai.workflows.templates import WorkflowTemplate
from modules.demo.run import ROOT
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.jobs import Batch, Job, JobId, Size, batch_key
from tests.benchmarks.rig import SIZE, GpuServer, prompt_of
from tests.fakes import request


async def drive(
    gpus: Sequence[GpuServer], batches: Sequence[Sequence[int]], *, skip: Sequence[int], model: str = "flux"
) -> float:
    """Seconds from the first GPU's start to the last picture's arrival.

    ``batches`` are the sizes of each GPU's batches, in order; ``skip`` is how many runs each makes before the
    clock starts, so that it draws the same noise as the GPU that it is compared with.
    """
    async with aiohttp.ClientSession() as session:
        drivers = [_Driver(session, gpu, model, first=1 + 10_000 * n) for n, gpu in enumerate(gpus)]
        try:
            await asyncio.gather(*(one.run([1] * runs) for one, runs in zip(drivers, skip, strict=True)))
            began = time.monotonic()
            ends = await asyncio.gather(
                *(one.run(sizes) for one, sizes in zip(drivers, batches, strict=True))
            )
        finally:
            for one in drivers:
                await one.aclose()
    spans = [span for gpu in gpus for span in await gpu.spans(began)]
    return max(ends) - min(span.start for span in spans)


class _Driver:
    def __init__(self, session: aiohttp.ClientSession, gpu: GpuServer, model: str, *, first: int) -> None:
        self._model, self._next = model, first
        self._engine = ComfyEngine(
            client=ComfyClient(session=session, url=gpu.url, api_key=None),
            templates={model: _template(model)},
            read_source=_no_source,
            clock=LoopClock(),
            max_batch=lambda: 16,
        )

    async def run(self, sizes: Sequence[int]) -> float:
        """Hand in all at once and fetch what is done; returns when the last picture was there."""
        await self._engine.probe()
        made = []
        for size in sizes:
            made.append(_batch(range(self._next, self._next + size), self._model))
            self._next += size
        runs = [await self._engine.submit(batch) for batch in made]
        fetching = []
        for run in runs:
            async for _ in run.events():
                pass
            fetching += [asyncio.ensure_future(run.fetch(index)) for index in range(len(run.batch.jobs))]
        await asyncio.gather(*fetching)
        return time.monotonic()

    async def aclose(self) -> None:
        await self._engine.aclose()


async def _no_source(key: str) -> bytes:
    raise KeyError(key)


def _template(model: str) -> WorkflowTemplate:
    return load_model(ROOT / "flujos" / f"{model}.json").template


def _batch(seeds: range, model: str) -> Batch:
    size = Size(width=SIZE[0], height=SIZE[1])
    wanted = [request(user=s, prompt=prompt_of(s), model=model, seed=s, size=size) for s in seeds]
    key = batch_key(wanted[0], _template(model).offer())
    jobs = tuple(
        Job(id=JobId(uuid.uuid4().hex), number=w.seed, request=w, key=key, queued_at=0.0) for w in wanted
    )
    return Batch(id=str(uuid.uuid4()), key=key, jobs=jobs)
