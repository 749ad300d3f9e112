"""The nodes that keep the GPU busy: loading a model, sampling, decoding, upscaling."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.demo.comfy_server.nodes.instant_nodes import Inputs, ksampler_sigmas
from modules.demo.comfy_server.nodes.mishaps import check_rows
from modules.demo.comfy_server.nodes.node_cache import Result
from modules.demo.comfy_server.nodes.pack_inputs import refusal
from modules.demo.comfy_server.nodes.values import (
    Guider,
    Images,
    Latent,
    Model,
    Noise,
    Painting,
    Part,
    Recipe,
    Sampler,
    Sigmas,
    decoded,
    guided,
    identity,
    mixed_seed,
    scaled,
    told,
)
from modules.demo.comfy_server.nodes.workbench import Workbench
from modules.demo.comfy_server.run import Interrupted, Run

TimedNode = Callable[[Workbench, Run, str, Inputs], Awaitable[Result]]


async def _load(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    start = time.monotonic()
    await bench.until(start + bench.timing.load / bench.timing.speed)
    file = str(inputs.get("unet_name", inputs.get("ckpt_name")))
    run.gpu(start).loaded = True
    made = told("model", inputs)
    model = Model(file=file, made=made)
    if "ckpt_name" not in inputs:
        return Result(outputs=(model,))
    return Result(outputs=(model, *(Part(kind=kind, file=file, made=made) for kind in ("clip", "vae"))))


async def _ksampler(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    task = SamplerTask(
        node_id=node_id,
        guider=_guided(inputs),
        noise=Noise(seed=inputs["seed"] if "seed" in inputs else inputs["noise_seed"]),
        sampler=Sampler(name=inputs["sampler_name"]),
        sigmas=ksampler_sigmas({"denoise": 1.0, **inputs})[0],
        latent=inputs["latent_image"],
        noisy=inputs.get("add_noise") != "disable",
    )
    return Result(outputs=(await _sample(bench, run, task),))


async def _sampler_custom(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    noise: Noise | None = inputs["noise"] if "noise" in inputs else Noise(seed=inputs["noise_seed"])
    task = SamplerTask(
        node_id=node_id,
        guider=inputs.get("guider") or _guided(inputs),
        noise=noise or Noise(),
        sampler=inputs["sampler"],
        sigmas=inputs["sigmas"],
        latent=inputs["latent_image"],
        noisy=noise is not None and inputs.get("add_noise", True),
    )
    latent = await _sample(bench, run, task)
    return Result(outputs=(latent, latent))


def _guided(inputs: Inputs) -> Guider:
    return guided(inputs["model"], inputs["positive"], inputs["negative"], inputs["cfg"])


async def _decode(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    latent: Latent = inputs["samples"]
    start = time.monotonic()
    await bench.until(start + len(latent.rows) * bench.timing.decode / bench.timing.speed)
    run.gpu(start)
    empty = Painting(prompt="", seed=0, size=latent.size)
    node = told(run.prompt.graph[node_id]["class_type"], inputs)
    by = f"{node} by {inputs['vae'].made}"
    return Result(outputs=(Images(rows=tuple(decoded(row or empty, by) for row in latent.rows)),))


async def _upscale(bench: Workbench, run: Run, node_id: str, inputs: Inputs) -> Result:
    images: Images = inputs["image"]
    model: Part = inputs["upscale_model"]
    found = re.search(r"(?i)x(\d)|(\d)x", model.file)
    factor = int(next(filter(None, found.groups()))) if found else 4
    start = time.monotonic()
    await bench.until(start + len(images.rows) * bench.timing.row / bench.timing.speed)
    run.gpu(start).rows += len(images.rows)
    rows = tuple(scaled(row, (row.size[0] * factor, row.size[1] * factor), model.made) for row in images.rows)
    return Result(outputs=(Images(rows=rows),))


GPU_NODES: Mapping[str, TimedNode] = {
    "UNETLoader": _load,
    "UnetLoaderGGUF": _load,
    "CheckpointLoaderSimple": _load,
    "KSampler": _ksampler,
    "KSamplerAdvanced": _ksampler,
    "SamplerCustom": _sampler_custom,
    "SamplerCustomAdvanced": _sampler_custom,
    "VAEDecode": _decode,
    "VAEDecodeTiled": _decode,
    "ImageUpscaleWithModel": _upscale,
}


# ── one sampler run ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerTask:
    """What a sampler node was given. ``noisy``: it starts from noise."""

    node_id: str
    guider: Guider
    noise: Noise
    sampler: Sampler
    sigmas: Sigmas
    latent: Latent
    noisy: bool = True


async def _sample(bench: Workbench, run: Run, task: SamplerTask) -> Latent:
    model, rows = task.guider.model, len(task.latent.rows)
    check_rows(bench.faults, model.file, task.guider.positive.prompts, rows)
    if bench.faults.mixes_rows and model.fused_for is not None:
        task = replace(task, guider=replace(task.guider, model=replace(model, mixing=True)))
    painted = _painted(task)
    factor = 1 + bench.rng.uniform(-bench.timing.noise, bench.timing.noise)
    pace = bench.timing.sampling(steps=1, rows=rows, factor=factor)
    start = deadline = time.monotonic()
    for step in range(1, task.sigmas.steps + 1):
        deadline += pace
        await bench.until(deadline)
        if bench.faults.stall:
            await bench.faults.stalled()
            deadline = time.monotonic()
        _die(bench, step)
        if run.interrupted:
            raise Interrupted
        await _tell(bench, run, task, step, painted)
    span = run.gpu(start)
    span.sampling_start, span.sampling_end = start, span.end
    span.rows, span.steps, span.model = rows, task.sigmas.steps, model.file
    return Latent(size=task.latent.size, rows=painted)


def _painted(task: SamplerTask) -> tuple[Recipe, ...]:
    """What each row becomes. A row is its owner's picture only where the graph keeps it exact."""
    _check_rows(task)
    positive = task.guider.positive
    prompts = positive.prompts
    painted: list[Recipe] = []
    for index, row in enumerate(task.latent.rows):
        painted.append(
            Painting(
                prompt=prompts[index % len(prompts)],
                seed=_seed(task, index),
                size=task.latent.size,
                sources=_sources(task, row, index),
                start=row if _blends(task) else None,
                strength=task.sigmas.denoise,
                making=_making(task, index),
            )
        )
    return tuple(painted)


def _seed(task: SamplerTask, index: int) -> int:
    """The seed that row ``index`` amounts to: that of its noise, mixed with that of its step noise if they
    differ."""
    drawn = task.noise.row(index)
    seed = drawn if task.noisy else 0
    if index and task.guider.model.mixing:
        seed = mixed_seed("mixed", seed, index)
    if not task.sampler.noisy:
        return seed
    own = task.sampler.own
    steps = own[index] if own is not None else (drawn if index == 0 else mixed_seed(drawn, index))
    return seed if steps == seed else mixed_seed("step noise", seed, steps)


def _making(task: SamplerTask, index: int) -> str:
    """All that makes row ``index``, besides its prompt and its seed."""
    start = task.latent.rows[index]
    return repr(
        (
            task.latent.size,
            task.guider.row(index),
            task.sampler.name,
            task.sigmas.made,
            task.noisy,
            None if start is None else identity(start),
            *(str(mask) for mask in task.latent.masks[index : index + 1]),
        )
    )


def _check_rows(task: SamplerTask) -> None:
    """The pack's refusals that only a run can show."""
    count = len(task.latent.rows)
    for node, own in (("RandomNoiseBatch", task.noise.own), ("SamplerBatch", task.sampler.own)):
        if own is not None and len(own) != count:
            raise refusal(node, "seeds", f"{len(own)} seeds for a batch of {count} latents.")
    model, prompts = task.guider.model, task.guider.positive.prompts
    lengths = [token_count(model.file, prompt) for prompt in prompts]
    if len(set(lengths)) > 1 and model.fused_for != prompts:
        why = f"texts or pictures are of unequal size ({lengths} tokens): put FusedModel before the sampler."
        raise refusal("JoinRows", "row0", why)


def token_count(model: str, prompt: str) -> int:
    """How many text tokens a model's encoder makes of ``prompt``, roughly: Flux pads to a fixed length."""
    padded = 512 if "flux-2" in model or "flux2" in model else 256 if "flux" in model else 1
    return max(padded, len(prompt.split()) + 8)


def _sources(task: SamplerTask, row: Recipe | None, index: int) -> tuple[Recipe, ...]:
    """The references of row ``index``, in order, or the picture that its own latent held."""
    references = tuple(batch[index % len(batch)] for batch in task.guider.positive.references)
    return references or (() if row is None or _blends(task) else (row,))


def _blends(task: SamplerTask) -> bool:
    """Whether what the sampler starts from shows through: it is denoised in part, or it has a mask."""
    return not task.guider.positive.references and (task.sigmas.denoise < 1 or bool(task.latent.masks))


def _die(bench: Workbench, step: int) -> None:
    if bench.faults.die_at_step is not None and step >= bench.faults.die_at_step:
        bench.faults.set(die_at_step=None)
        bench.crash()


async def _tell(bench: Workbench, run: Run, task: SamplerTask, step: int, rows: tuple[Recipe, ...]) -> None:
    """Send progress: a stock preview of row 0 if the prompt asks for it, each row's own if
    SaveImageBatch does."""
    done, steps = step / task.sigmas.steps, task.sigmas.steps
    image = None
    if run.prompt.extra.get("preview_method", "none") not in ("none", "default"):
        image = (await bench.preview(rows[0], done), "image/jpeg")
    await run.progress(task.node_id, step, steps, image)
    for keys, every in _preview_wishes(run):
        if step % every or len(keys) != len(rows):
            continue
        for key, row in zip(keys, rows, strict=True):
            data = base64.b64encode(await bench.preview(row, done)).decode()
            place = {"prompt_id": run.prompt.id, "key": key, "step": step, "steps": steps}
            await run.send("fullet_preview", {**place, "image": data})


def _preview_wishes(run: Run) -> list[tuple[list[str], int]]:
    wishes: list[tuple[list[str], int]] = []
    for node in run.prompt.graph.values():
        if node["class_type"] == "SaveImageBatch":
            every, keys = node["inputs"].get("preview_every"), node["inputs"].get("keys")
            if isinstance(every, int) and every > 0 and isinstance(keys, str):
                wishes.append((_keys(keys), every))
    return wishes


def _keys(text: str) -> list[str]:
    try:
        keys: Any = json.loads(text)
    except ValueError:
        return []
    return keys if isinstance(keys, list) else []
