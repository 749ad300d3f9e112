"""Measures what a shared run gains, and what it changes: ``python -m tests.real_comfy.gain``.

ComfyUI's own Python runs this, in this repository's folder; REAL_COMFY_PATH names ComfyUI's folder, and no
server is needed. On a GPU the networks have the sizes of the real models, with random weights in bf16, which
are made on the card; on a CPU they are tiny. Only the sampler's run is timed: texts are random numbers, as
long as an encoder would make them, and nothing is decoded. The table goes to standard output, and into the
file that REAL_COMFY_REPORT names.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

PACK = Path(__file__).resolve().parents[2] / "comfy_custom_nodes" / "fullet"
BATCHES = (1, 2, 4, 8)
MINUTES = 8.0  # of one card's time, for everything


@dataclass(frozen=True, kw_only=True)
class Real:
    """One of networks.py's, in the size of the real model."""

    name: str  # as in networks.py
    called: str
    unet: dict[str, Any]
    width: int  # of a text's token
    steps: int
    pixels: int  # of a latent's value, along a side
    lengths: tuple[int, ...]  # of eight people's texts, in tokens
    pooled: int | None = None


REAL = (
    Real(
        name="FLUX.2 Klein", called="FLUX.2 Klein 4B", width=3 * 2560, steps=4, pixels=16,
        unet={"hidden_size": 3072, "num_heads": 24, "depth": 5, "depth_single_blocks": 20,
              "context_in_dim": 3 * 2560},
        lengths=(512, 512, 600, 512, 512, 742, 512, 512),
    ),
    Real(
        name="Z-Image", called="Z-Image 6B", width=2560, steps=8, pixels=8,
        unet={"dim": 3840, "n_heads": 30, "n_kv_heads": 30, "n_layers": 30, "n_refiner_layers": 2,
              "cap_feat_dim": 2560, "axes_dims": [32, 48, 48]},
        lengths=(30, 54, 200, 14, 90, 33, 120, 61),
    ),
    Real(
        name="Flux.1", called="Flux.1 12B", width=4096, steps=4, pixels=8, pooled=768,
        unet={"hidden_size": 3072, "num_heads": 24, "depth": 19, "depth_single_blocks": 38,
              "context_in_dim": 4096, "vec_in_dim": 768},
        lengths=(256, 256, 300, 256, 256, 489, 256, 256),
    ),
)  # fmt: skip
HEAD = (
    "| network | pixels | people | one by one | fused | gain | stock batch | peak memory | largest value "
    "| fused from alone | stock batch from alone |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
)


def main() -> None:
    arguments = parsed()
    deadline = time.monotonic() + 60 * arguments.minutes
    sys.argv = [sys.argv[0], os.path.abspath(arguments.comfyui), str(PACK)]
    sys.argv += [] if arguments.tiny else ["--gpu"]
    from tests.real_comfy import networks, report  # they find ComfyUI, and start it

    where = "a CPU, with tiny networks" if arguments.tiny else torch.cuda.get_device_name()
    version = f"ComfyUI {networks.comfyui_version.__version__}"
    lines, left_out = list(HEAD), []
    with torch.inference_mode():
        for number, real in enumerate(REAL):
            share = (deadline - time.monotonic()) / (len(REAL) - number)
            measuring = Measuring(networks, real, time.monotonic() + share, tiny=arguments.tiny)
            for line in measuring.lines():
                print(line, file=sys.stderr, flush=True)
                lines.append(line)
            left_out += measuring.left_out
    told = f"{version}, torch {torch.__version__}, bf16, on {where}:\n\n" + "\n".join(lines)
    if left_out:
        told += "\n\nLeft out: " + "; ".join(left_out) + "."
    print(told)
    if os.environ.get("REAL_COMFY_REPORT"):
        target = Path(arguments.started_in, os.environ["REAL_COMFY_REPORT"])
        report.write_part(target, f"gain on {'a CPU' if arguments.tiny else where}", told)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.real_comfy.gain", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny networks on the CPU, as without a GPU")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="stop adding sizes after this long")
    arguments = parser.parse_args(namespace=argparse.Namespace(started_in=os.getcwd()))
    arguments.comfyui = os.environ.get("REAL_COMFY_PATH", "")
    if not arguments.comfyui:
        parser.error("REAL_COMFY_PATH names no ComfyUI")
    arguments.tiny = arguments.tiny or not torch.cuda.is_available()
    return arguments


class Measuring:
    """One network's lines of the table, as many as there is time and memory for."""

    def __init__(self, networks: Any, real: Real, deadline: float, *, tiny: bool) -> None:
        self.networks, self.real, self.deadline, self.tiny = networks, real, deadline, tiny
        (network,) = (each for each in networks.NETWORKS if each.name == real.name)
        if not tiny:
            unet = {**network.unet, **real.unet}
            network = replace(network, unet=unet, width=real.width, pooled=real.pooled)
        self.network = network
        self.called = f"{real.name}, tiny" if tiny else real.called
        self.left_out: list[str] = []
        self._seconds = 0.0  # that one picture takes, as far as is known

    def lines(self) -> Iterator[str]:
        try:
            model = self.networks.build(self.network, torch.bfloat16, "cpu" if self.tiny else "cuda")
            for side in (64, 128) if self.tiny else (512, 1024):
                yield from self._of_side(model, side)
                self._seconds *= 4  # the next side has four times the pixels
        except torch.cuda.OutOfMemoryError:
            self.left_out.append(f"{self.called} (its weights do not fit)")
        model = None
        self.networks.comfy.model_management.unload_all_models()
        gc.collect()
        if not self.tiny:
            torch.cuda.empty_cache()

    def _of_side(self, model: Any, side: int) -> Iterator[str]:
        texts = [self.networks.encoded(self.network, n, i) for i, n in enumerate(self.real.lengths)]
        shape = (self.network.latent[0], side // self.real.pixels, side // self.real.pixels)
        how = {"guidance": 1.0, "sampler": "euler", "steps": self.real.steps}
        alone: list[tuple[float, torch.Tensor]] = []

        def stock(person: int, batch: int) -> torch.Tensor:
            text = texts[person]
            return self.networks.alone(model, shape, text, text, 100 + person, batch=batch, **how)

        def fused(people: int) -> torch.Tensor:
            conds = [self.networks.conditioning(texts[:people])] * 2
            (used,) = self.networks.fused_model.FusedModel().patch(model, *conds)
            return self.networks.together(used, shape, *conds, range(100, 100 + people), **how)

        for people in BATCHES:
            # Two runs each: of every new person alone, of the shared batch, and of the stock batch.
            needed = 2 * (3 * people - len(alone)) * self._seconds
            if time.monotonic() + needed > self.deadline:
                self.left_out.append(f"{self.called}, {side}², {people} people and more (no time)")
                return
            try:
                for person in range(len(alone), people):
                    seconds, (picture, _) = self._timed(partial(stock, person, 1), partial(stock, person, 1))
                    alone.append((seconds, picture))
                    self._seconds = seconds
                if not self.tiny:
                    torch.cuda.reset_peak_memory_stats()
                fused_seconds, (result, _) = self._timed(partial(fused, people), partial(fused, people))
                memory = "–" if self.tiny else f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
                ends = (0, people - 1)
                batch_seconds, batches = self._timed(*(partial(stock, person, people) for person in ends))
            except torch.cuda.OutOfMemoryError:
                self.left_out.append(f"{self.called}, {side}², {people} people and more (no memory)")
                return
            solos = torch.cat([picture for _, picture in alone])
            off = [
                float((batch[0] - solos[end]).abs().max()) for end, batch in zip(ends, batches, strict=True)
            ]
            one_by_one = people / sum(seconds for seconds, _ in alone)
            yield (
                f"| {self.called} | {side}² | {people} | {one_by_one:.3g} | {people / fused_seconds:.3g} "
                f"| {people / fused_seconds / one_by_one:.2f} | {people / batch_seconds:.3g} | {memory} "
                f"| {float(solos.abs().max()):.1f} | {float((result - solos).abs().max()):.1e} "
                f"| {max(off):.1e} |"
            )

    def _timed(self, *runs: Callable[[], torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
        """The seconds of the fastest run (the first may still choose its kernels), and what each gave.

        On a CPU they are this process's, which other work of the machine hardly changes.
        """
        clock = time.process_time if self.tiny else time.monotonic
        seconds, results = [], []
        for run in runs:
            start = clock()
            results.append(run().cpu())
            seconds.append(clock() - start)
        return min(seconds), results


if __name__ == "__main__":
    main()
