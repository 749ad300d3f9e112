"""Makes one model's pictures on one server, fused, alone and in stock batches, and measures them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.preflight import ServerReport
from modules.ai.engines import ComfyEngine
from modules.ai.fusion_check.difference import Difference, between, limit, worst
from modules.ai.fusion_check.people import People, read_source
from modules.ai.fusion_check.stock_batch import judged, stock_batch
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.backports import timeout
from modules.queue_manager.errors import (
    EngineStalled,
    EngineUnavailable,
    FusionRefused,
    GenerationError,
    OutOfMemory,
)
from modules.queue_manager.jobs import (
    Batch,
    FusionCheck,
    GenerationRequest,
    Job,
    JobId,
    NegativeUse,
    batch_key,
)
from modules.queue_manager.ports import Clock, RunStarted

JUDGED = (2, 4)
"""The batches that are compared."""

TIMED = (1, 2, 4, 8)
"""The batches that are timed, until one does not fit into memory."""

LONGEST_RUN = 3600.0
WITHDRAWING = 5.0
BETWEEN_LOOKS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One size of batch: how far fused pictures are from the same ones made alone, how far those of a stock
    batch are (None: there is none), and how far fused ones may be (`difference.limit`, as ``rms``)."""

    rows: int
    fused: Difference
    stock: Difference | None
    allowed: float

    @property
    def same(self) -> bool:
        """Whether the fused pictures count as those made alone."""
        return self.fused.rms <= self.allowed


@dataclass(frozen=True, kw_only=True)
class ModelTrial:
    """What was found about one model. ``alone`` and ``batches`` are seconds per picture, of the stock graph
    and of fused batches by their size; ``memory_ended`` is the size that did not fit; ``euler``: it was
    judged with that sampler, as its own draws noise at each step; ``columns``: everybody's pictures by how
    they were made, in the order of people; ``error``: why it could not be done."""

    model: str
    version: str = ""
    comparisons: tuple[Comparison, ...] = ()
    alone: float | None = None
    batches: Mapping[int, float] = field(default_factory=dict)
    memory_ended: int | None = None
    euler: bool = False
    sources: int = 0
    negative: NegativeUse = "none"
    first_seed: int = 0
    columns: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    error: str | None = None

    @property
    def same(self) -> bool | None:
        """Whether its pictures may be fused there; None if that was not found out."""
        if not all(comparison.same for comparison in self.comparisons):
            return False
        return True if self.comparisons and self.error is None else None

    @property
    def gain(self) -> tuple[float, int]:
        """How many times as fast as the stock graph the best fused batch makes pictures, and its size; 0 and
        0 if no batch of several was timed."""
        several = {rows: each for rows, each in self.batches.items() if rows > 1}
        if self.alone is None or not several:
            return 0.0, 0
        best = min(several, key=lambda rows: several[rows])
        return self.alone / several[best], best

    def outcome(self, checked_at: float) -> FusionCheck | None:
        """What the bot is to remember; None if nothing was found out."""
        if self.same is None:
            return None
        gain, rows = self.gain
        return FusionCheck(
            version=self.version,
            checked_at=checked_at,
            gain=gain,
            rows=rows,
            why_alone=None if self.same else self._why_alone(),
        )

    def _why_alone(self) -> str:
        bad = max((each for each in self.comparisons if not each.same), key=lambda each: each.fused.rms)
        psnr = f"PSNR {bad.fused.psnr:.1f} dB"
        psnr += "" if bad.stock is None else f"; in a stock batch: {bad.stock.psnr:.1f} dB"
        return f"in a batch of {bad.rows}, its pictures differ from those made alone ({psnr})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """The encoded pictures of one run, and the seconds that the server took for it."""

    files: list[bytes]
    seconds: float


@dataclass(kw_only=True, eq=False)
class Trial:
    """Everything for one model. ``template`` is one of ``report.fused``; ``say`` tells the operator what is
    going on."""

    client: ComfyClient
    report: ServerReport
    template: WorkflowTemplate
    clock: Clock
    first_seed: int
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._judged = judged(self.template)
        stock = {rows: stock_batch(self._judged, rows) for rows in JUDGED}
        self._stock = {rows: made for rows, made in stock.items() if made is not None}
        templates = (self.template, self._judged, *self._stock.values())
        self._engine = ComfyEngine(
            client=self.client,
            templates={each.id: each for each in templates},
            read_source=read_source,
            clock=self.clock,
            preview_every=0,
        )
        self._people = People(template=self.template, first_seed=self.first_seed)
        self._most = self.template.card.max_batch or max(TIMED)

    async def run(self) -> ModelTrial:
        """Judge, then time. Raises `EngineUnavailable` if the server goes away before anything is found."""
        self._found = ModelTrial(
            model=self.template.name,
            version=self.report.versions[self.template.id],
            euler=self._judged is not self.template,
            sources=len(self._people.requests(1)[0].sources),
            negative=self.template.card.negative,
            first_seed=self.first_seed,
        )
        try:
            await self._compare()
            await self._time()
        except GenerationError as error:
            if isinstance(error, EngineUnavailable) and not self._found.comparisons:
                raise
            self._note(error=str(error))
        finally:
            await self._engine.aclose()
        return self._found

    def _note(self, **found: Any) -> None:
        self._found = replace(self._found, **found)

    async def _compare(self) -> None:
        sizes = [rows for rows in JUDGED if rows <= self._most]
        if not sizes:
            raise FusionRefused("its card allows one picture in a run")
        requests = self._people.requests(max(sizes))
        self.say(f"{len(requests)} pictures alone")
        alone = [(await self._pictures(self._judged, [each], fused=False)).files[0] for each in requests]
        apart = [await asyncio.to_thread(between, *pair) for pair in combinations(alone, 2)]
        nearest = min(each.rms for each in apart)
        self._note(columns={"alone": alone})
        for rows in sizes:
            try:
                self.say(f"{rows} pictures fused")
                fused = (await self._pictures(self._judged, requests[:rows], fused=True)).files
                stock = await self._first_of_stock_batches(rows, requests[:rows])
            except OutOfMemory:
                if not self._found.comparisons:
                    raise
                self._note(memory_ended=rows)
                break
            far = await self._worst(fused, alone)
            yardstick = await self._worst(stock, alone) if stock else None
            comparison = Comparison(rows=rows, fused=far, stock=yardstick, allowed=limit(yardstick, nearest))
            columns = {**self._found.columns, f"fused {rows}": fused}
            if stock:
                columns[f"stock batch {rows}"] = stock
            self._note(comparisons=(*self._found.comparisons, comparison), columns=columns)

    async def _first_of_stock_batches(self, rows: int, requests: Sequence[GenerationRequest]) -> list[bytes]:
        """The first picture of each person's stock batch; none if the model makes none."""
        template = self._stock.get(rows)
        if template is None:
            return []
        self.say(f"{len(requests)} stock batches of {rows}")
        return [(await self._pictures(template, [each], fused=False)).files[0] for each in requests]

    async def _time(self) -> None:
        lone = self._people.requests(max(JUDGED), turn=1)
        self.say(f"{len(lone)} pictures alone, timed")
        runs = [await self._pictures(self.template, [each], fused=False) for each in lone]
        self._note(alone=sum(run.seconds for run in runs) / len(runs))
        ended = self._found.memory_ended
        for rows in TIMED:
            if rows > self._most or (ended is not None and rows >= ended):
                break
            self.say(f"{rows} {'picture' if rows == 1 else 'pictures'} fused, timed")
            try:
                run = await self._pictures(
                    self.template, self._people.requests(rows, turn=1 + rows), fused=True
                )
            except OutOfMemory:
                self._note(memory_ended=rows)
                break
            self._note(batches={**self._found.batches, rows: run.seconds / rows})

    async def _worst(self, pictures: Sequence[bytes], alone: Sequence[bytes]) -> Difference:
        """How far each is from the same one made alone, at worst."""
        return worst([await asyncio.to_thread(between, *pair) for pair in zip(pictures, alone)])  # noqa: B905 - there may be fewer

    async def _pictures(
        self, template: WorkflowTemplate, requests: Sequence[GenerationRequest], *, fused: bool
    ) -> Made:
        """Run the requests, once the server has nothing else to do."""
        await self._until_idle()
        offer = template.offer()
        jobs = tuple(
            Job(id=JobId(uuid.uuid4().hex), number=0, request=each, key=batch_key(each, offer), queued_at=0.0)
            for each in requests
        )
        batch = Batch(id=str(uuid.uuid4()), key=jobs[0].key, jobs=jobs, fused=fused)
        try:
            async with timeout(LONGEST_RUN):
                run = await self._engine.submit(batch)
                started = self.clock.now()
                async for event in run.events():
                    started = self.clock.now() if isinstance(event, RunStarted) else started
        except asyncio.TimeoutError as error:
            await self._withdraw(batch.id)
            raise EngineStalled(f"no end within {LONGEST_RUN:g} s") from error
        except asyncio.CancelledError:
            await self._withdraw(batch.id)
            raise
        seconds = self.clock.now() - started
        return Made(files=[(await run.fetch(n)).data for n in range(len(jobs))], seconds=seconds)

    async def _withdraw(self, prompt_id: str) -> None:
        """Leave nothing at the server; the prompt may not even have been answered."""
        with contextlib.suppress(GenerationError, asyncio.TimeoutError):
            async with timeout(WITHDRAWING):
                state = (await self.client.look_up(prompt_id)).state
                if state == "pending":
                    await self.client.dequeue(prompt_id)
                elif state == "running":
                    await self.client.interrupt(prompt_id)

    async def _until_idle(self) -> None:
        waiting = 0
        while count := await self.client.queue_length():
            if count != waiting:
                self.say(f"waiting until the server is idle ({count} in its queue)")
            waiting = count
            await self.clock.sleep(BETWEEN_LOOKS)
