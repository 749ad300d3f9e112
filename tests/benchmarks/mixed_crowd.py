"""What fusion still gains when everybody asks for something else; virtual time, the real queue and fleet.

40 people with two pictures under way each, 4 GPUs. Each picture is drawn at random from 3 models, 5 shapes, 5
choices of LoRA (none, or one of four) and 6 styles, every list by Zipf's law (the n-th of a list is asked for
1/n as often as the first, as word frequencies are: Zipf, "Human Behavior and the Principle of Least Effort",
1949). A GPU takes 2 + n seconds for n pictures, so that a full batch of 4 is twice as fast as one by one, and
loads another model in 8 seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from modules.queue_manager.jobs import BatchKey, Job, JobId, LoraUse, Size, Style
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Finished
from modules.queue_manager.workers.fleet import Fleet
from tests.benchmarks.core import Doorstep, NoJournal
from tests.benchmarks.subject import Figure, Measurement, Subject, in_fresh_process
from tests.fakes import FakeEngine, offer, request
from tests.virtual_time import VirtualClock, run_virtual

T = TypeVar("T")

GPUS, PEOPLE, EACH = 4, 40, 2
BATCH, FIXED, PICTURE, LOAD = 4, 2.0, 1.0, 8.0
MAX_KEY_WAIT = 2
"""The default of the setting."""
SETTLE, WINDOW = 120.0, 3600.0
"""Virtual seconds before and during the measurement."""

MODELS = ("flux", "z-image", "qwen")
SHAPES = tuple(
    Size(width=width, height=height)
    for width, height in ((1024, 1024), (832, 1216), (1216, 832), (768, 1344), (1344, 768))
)
LORAS = (
    None,
    *(
        LoraUse(name=name, label=name, file=f"{name}.safetensors", strength=0.75)
        for name in ("film", "ink", "clay", "map")
    ),
)
STYLES = (
    None,
    *(
        Style(name=name, label=(("en", name),), prompt=f"{{prompt}}, {name}")
        for name in ("oil", "anime", "noir", "pixel", "comic")
    ),
)


def _zipf(drawn: random.Random, choices: Sequence[T]) -> T:
    (chosen,) = drawn.choices(choices, weights=[1 / n for n in range(1, len(choices) + 1)])
    return chosen


async def measure(run: int) -> Measurement:
    crowd = await in_fresh_process(_simulate, run, len(LORAS), BATCH)
    plain = await in_fresh_process(_simulate, run, 1, BATCH)
    alone = await in_fresh_process(_simulate, run, len(LORAS), 1)
    return {
        "crowd_mean_batch": crowd["mean_batch"],
        "crowd_pictures_per_second": crowd["rate"],
        "crowd_over_without_loras": crowd["rate"] / plain["rate"],
        "crowd_over_one_by_one": crowd["rate"] / alone["rate"],
        "crowd_rarest_p95_batches": crowd["rarest_p95"],
    }


def _simulate(seed: int, loras: int, limit: int) -> dict[str, float]:
    return run_virtual(_Simulation(seed=seed, loras=loras, limit=limit).run())


@dataclass(kw_only=True)
class _Simulation:
    """The crowd chooses among the first ``loras`` of `LORAS`; ``limit`` is the most pictures in a run."""

    seed: int
    loras: int
    limit: int
    pictures: int = 0
    wanting: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    first_at: dict[JobId, float] = field(default_factory=dict)
    waited: list[tuple[BatchKey, float]] = field(default_factory=list)

    async def run(self) -> dict[str, float]:
        self.drawn = random.Random(self.seed)
        self.clock, store = VirtualClock(), NoJournal()
        store.on_dispatch = self._went
        self.queue = QueueManager(
            offers=[offer(model, sizes=SHAPES) for model in MODELS],
            store=store,
            clock=self.clock,
            delivery=Doorstep(self._delivered),
            max_key_wait=MAX_KEY_WAIT,
        )
        engines = {str(number): self._engine(number) for number in range(GPUS)}
        fleet = Fleet(runs=self.queue.runs, make_engine=engines.__getitem__, clock=self.clock)
        await fleet.set_urls(list(engines))
        await asyncio.sleep(1.0)
        for person in range(1, PEOPLE + 1):
            for _ in range(EACH):
                self.wanting.put_nowait(person)
        asking = asyncio.ensure_future(self._ask())
        await asyncio.sleep(SETTLE)
        began, before = self.clock.now(), self.pictures
        self.waited.clear()
        await asyncio.sleep(WINDOW)
        made = self.pictures - before
        asking.cancel()
        await fleet.aclose(0)
        await self.queue.aclose()
        runs = [entry for engine in engines.values() for entry in engine.log if entry[0] >= began]
        batch_seconds = sum(end - start for start, end, _ in runs) / len(runs)
        asked = Counter(key for key, _ in self.waited)
        rarest = {key for key, count in asked.items() if count <= min(asked.values()) + 4}
        waits = sorted(seconds / batch_seconds for key, seconds in self.waited if key in rarest)
        return {
            "mean_batch": sum(len(batch.jobs) for *_, batch in runs) / len(runs),
            "rate": made / WINDOW,
            "rarest_p95": waits[int(0.95 * len(waits))],
        }

    def _engine(self, number: int) -> FakeEngine:
        return FakeEngine(
            name=str(number),
            clock=self.clock,
            limits=dict.fromkeys(MODELS, self.limit),
            loras=frozenset(lora.file for lora in LORAS if lora is not None),
            fixed=FIXED,
            each=PICTURE,
            load=LOAD,
            noise=0.15,
            seed=10 * self.seed + number,
        )

    def _delivered(self, finished: Finished) -> None:
        self.pictures += 1
        self.wanting.put_nowait(finished.job.request.user_id)

    def _went(self, jobs: Sequence[Job]) -> None:
        """Note since when each job was the first of all that wait, and how long until it went."""
        now = self.clock.now()
        for job in jobs:
            self.waited.append((job.key, now - self.first_at.pop(job.id, now)))
        if (first := next(self.queue.dispatcher.queue.in_order(), None)) is not None:
            self.first_at.setdefault(first.id, now)

    async def _ask(self) -> None:
        while True:
            person = await self.wanting.get()
            asked = request(
                user=person,
                prompt="p",
                model=_zipf(self.drawn, MODELS),
                size=_zipf(self.drawn, SHAPES),
                lora=_zipf(self.drawn, LORAS[: self.loras]),
                style=_zipf(self.drawn, STYLES),
            )
            await self.queue.submit([asked], limit=EACH)


SUBJECT = Subject(
    name="mixed_crowd",
    measure=measure,
    figures=(
        Figure(
            name="crowd_mean_batch",
            unit="",
            about="pictures in a run: 40 people, 3 models, 5 shapes, 4 LoRAs, 6 styles, 4 GPUs",
        ),
        Figure(name="crowd_pictures_per_second", unit="1/s", about="pictures made meanwhile"),
        Figure(name="crowd_over_without_loras", unit="×", about="that over the same crowd without LoRAs"),
        Figure(
            name="crowd_over_one_by_one",
            unit="×",
            about="that over the same crowd one by one; a full batch of 4 is 2× as fast",
            target=1.5,
            better="at least",
        ),
        Figure(
            name="crowd_rarest_p95_batches",
            unit="batches",
            about="95th percentile of how long jobs of the rarest combinations are first and wait",
            target=float(MAX_KEY_WAIT),
        ),
    ),
)
