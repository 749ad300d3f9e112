"""What the embedded server does wrong on demand, so that the bot's answer to it can be tested."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from modules.demo.comfy_server.failure_texts import LACKS_OF_MEMORY, TROUBLES

_CHOICES: Mapping[str, Collection[str]] = {"fail_with": TROUBLES, "oom_words": LACKS_OF_MEMORY}


@dataclass(kw_only=True)
class Faults:
    """Switches that may be turned while the server runs; all off at first.

    Work: ``stall`` stops the sampler's steps until it is turned off. ``die_at_step`` kills the process,
    as it were, when a run reaches that step (once); ``back_after`` seconds later it is up again, empty
    (None: it stays away). ``foreign_outputs`` names an earlier run's files as this run's outputs.
    ``forget_history`` keeps finished runs out of the history. ``silent`` sends no events of a run.

    Nodes (see `failure_texts` for the words): ``fail_at`` are the classes of nodes that raise in every run
    ("*": a run's first node), ``fail_with`` says what; a CUDA error is over after a restart.
    ``oom_above`` raises out of memory for more rows than that, in the words of ``oom_words``;
    ``oom_models`` narrows it to models whose file name contains one of them. ``lone_only`` are parts of
    the file names of models that run no batches, lone pictures only. ``poison`` raises in the text
    encoder if a prompt contains it, ``poison_in_sampler`` in the sampler. ``refused`` are the classes of
    nodes, and the samplers' names, that the node pack refuses to run: stock nodes run them. ``mixes_rows``
    lets the rows of a fused run change each other, without any error.

    Answers: ``no_socket`` refuses new WebSockets and closes the open ones. ``html`` answers every
    request with a proxy's page under this status. ``unauthorized`` answers 401. ``status`` answers every
    request with this status and an empty body. ``slow_body`` lets bodies trickle for so many seconds,
    ``cut_body`` ends pictures half-way, ``endless_body`` never ends them, ``giant_png`` serves one that
    claims 30,000×30,000 pixels, ``garbage`` serves bytes that are not a picture. ``wrong_types`` turns JSON
    objects into arrays. ``hang`` never answers. ``only`` narrows all of these but ``no_socket`` to paths that
    contain it; ``times`` ends them after that many requests.

    Inventory: ``missing_models`` and ``missing_nodes`` are missing in addition to the profile's.
    """

    stall: bool = False
    die_at_step: int | None = None
    back_after: float | None = None
    fail_at: tuple[str, ...] = ()
    fail_with: str = "broken install"
    oom_above: int | None = None
    oom_words: str = "torch"
    oom_models: tuple[str, ...] = ()
    lone_only: tuple[str, ...] = ()
    poison: str | None = None
    poison_in_sampler: str | None = None
    refused: tuple[str, ...] = ()
    mixes_rows: bool = False
    foreign_outputs: bool = False
    forget_history: bool = False
    silent: bool = False
    no_socket: bool = False
    html: int | None = None
    unauthorized: bool = False
    status: int | None = None
    slow_body: float | None = None
    cut_body: bool = False
    endless_body: bool = False
    giant_png: bool = False
    garbage: bool = False
    wrong_types: bool = False
    hang: bool = False
    only: str = ""
    times: int | None = None
    missing_models: frozenset[str] = frozenset()
    missing_nodes: frozenset[str] = frozenset()
    _changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False, compare=False)

    def set(self, **changes: Any) -> None:
        """Set switches by name. Raises ValueError for an unknown name, or words not in `failure_texts`."""
        names = self._names()
        for name, value in changes.items():
            if name not in names:
                raise ValueError(f"no fault is called {name!r}; there are {', '.join(sorted(names))}")
            if name in _CHOICES and value not in _CHOICES[name]:
                raise ValueError(f"{name} is one of {', '.join(sorted(_CHOICES[name]))}")
            default = names[name]
            collected = type(default)(value) if isinstance(default, frozenset | tuple) else value
            setattr(self, name, collected)
        self._changed.set()
        self._changed = asyncio.Event()

    def clear(self) -> None:
        """All off."""
        self.set(**self._names())

    def as_dict(self) -> dict[str, Any]:
        """The switches as JSON has them."""
        values = {name: getattr(self, name) for name in self._names()}
        return {k: sorted(v) if isinstance(v, frozenset | tuple) else v for k, v in values.items()}

    async def stalled(self) -> None:
        """Returns when the sampler may go on."""
        while self.stall:
            await self._changed.wait()

    async def changed(self) -> None:
        """Returns when a switch is turned next."""
        await self._changed.wait()

    def hits(self, path: str) -> bool:
        """Whether the faults of answers apply to this request; counts it off ``times``."""
        if self.only not in path or self.times == 0:
            return False
        if self.times is not None and self._breaks_answers():
            self.times -= 1
        return True

    def _breaks_answers(self) -> bool:
        broken = (self.html, self.unauthorized, self.status, self.slow_body, self.cut_body, self.endless_body)
        return any(broken) or self.giant_png or self.garbage or self.wrong_types or self.hang

    @classmethod
    def _names(cls) -> Mapping[str, Any]:
        return {f.name: f.default for f in fields(cls) if not f.name.startswith("_")}
