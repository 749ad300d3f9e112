"""The demonstration without a browser: simulated people act at once, and each of their requests is checked.

Everybody makes pictures with each model and edits one; one person asks for more than they may, one
uploads a file that is not a picture. What comes back must be their own: the simulated GPUs sign each
picture with its prompt and seed.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from modules.demo.acting import Outcome, Person, wish
from modules.demo.users import SimulatedUser
from modules.queue_manager.ports import Finished, JobEvent, Queued


@dataclass(kw_only=True, eq=False)
class Story:
    """A `JobListener` that tells who asks for what and which pictures were made in one run, a line each,
    unless ``quiet``. ``gpus``: what the engines are called; ``names``: people by id."""

    gpus: Mapping[str, str]
    quiet: bool = False
    names: dict[int, str] = field(default_factory=dict)
    runs: dict[tuple[str, float], dict[int, str]] = field(default_factory=dict)
    """The pictures of each run, with their owners; a run is known by its engine and its start."""
    began: float = field(default_factory=time.monotonic)

    async def on_event(self, event: JobEvent) -> None:
        job = event.job
        who = self.names.get(job.request.user_id, "somebody")
        if isinstance(event, Queued):
            asked = wish(job.request.kind, job.request.model, job.request.prompt)
            self.tell(f"{who} asks for {asked}: #{job.number}")
        elif isinstance(event, Finished):
            report = event.report
            made = self.runs.setdefault((report.engine, report.started_at), {})
            made[job.number] = who
            if len(made) == report.batch_size:
                how = "in one run" if len(made) > 1 else "alone"
                numbers = _listed(f"#{number}" for number in sorted(made))
                owners = _listed(dict.fromkeys(made[number] for number in sorted(made)))
                self.tell(f"{self.gpus.get(report.engine, report.engine)} made {numbers} {how}, for {owners}")

    def tell(self, line: str) -> None:
        if not self.quiet:
            print(f"{time.monotonic() - self.began:6.1f} s  {line}", flush=True)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What is played: ``jobs`` pictures for each of the people whose ids are ``users``, which are written to
    the folder ``out``.

    ``signed``: the GPUs are the simulated ones, which sign their pictures. ``patience`` is the most
    seconds a picture may take; ``limit`` how many one person may have at once. ``as_json``: print
    the JSON of `report` alone.
    """

    page: str
    users: tuple[int, ...]
    jobs: int
    signed: bool
    out: Path
    story: Story
    limit: int = 2
    patience: float = 120.0
    as_json: bool = False


async def commands_are_there(page: str) -> None:
    """Return once the bot has registered its slash commands."""
    async with await SimulatedUser.connect(page) as user:
        await user.until(lambda: any(command["name"] == "imagine" for command in user.commands), 60)


async def play(script: Script) -> int:
    """Play the script and report it; returns 0 if every request ended as it should, else 1."""
    await commands_are_there(script.page)
    story = script.story
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=0)
            )
        )
        people = [
            Person(
                user=await stack.enter_async_context(
                    await SimulatedUser.connect(script.page, user, session=session)
                ),
                limit=script.limit,
                signed=script.signed,
                patience=script.patience,
                tell=story.tell,
            )
            for user in script.users
        ]
        story.names.update(zip(script.users, (person.name for person in people), strict=True))
        gpus = len(story.gpus)
        where = f" with {gpus} simulated GPU{'s' * (gpus > 1)}" if script.signed else ""
        if not script.as_json:
            users = (
                "1 person uses the bot" if len(people) == 1 else f"{len(people)} people use the bot at once"
            )
            print(f"{users}, in a simulated Discord{where}.\n", flush=True)
        started = story.began = time.monotonic()
        acts = [person.act(script.jobs) for person in people[:-2]]
        acts += [person.act(script.jobs, broken=True) for person in people[-2:-1]]
        acts += [people[-1].act(script.jobs, too_much=True)]
        outcomes = [outcome for act in await asyncio.gather(*acts) for outcome in act]
        took = time.monotonic() - started
        wrong = await wrong_requests(session, script.page)
        for outcome in wrong:
            story.tell(outcome.line())
        outcomes += wrong
    files = await asyncio.to_thread(_written, outcomes, script.out)
    told = report(script, outcomes, files, took)
    print(json.dumps(told, indent=2) if script.as_json else f"\n{_last_words(told)}", flush=True)
    return 1 if any(outcome.problem for outcome in outcomes) else 0


async def wrong_requests(session: aiohttp.ClientSession, page: str) -> list[Outcome]:
    """The violations that the embedded Discord noted (see `DiscordServer`): each makes `play` return 1."""
    async with session.get(f"{page}/control") as answer:
        said = await answer.json()
    return [Outcome(who="the bot", command="", problem=each) for each in said["violations"]]


def _written(outcomes: Sequence[Outcome], folder: Path) -> dict[int, str]:
    """Write the pictures; the names of the files by the picture's number."""
    names: dict[int, str] = {}
    for outcome in outcomes:
        if outcome.picture is not None and outcome.number is not None:
            text = f"{outcome.number:03d} {outcome.who} {outcome.model or outcome.command} {outcome.prompt}"
            name = f"{re.sub('[^0-9A-Za-z]+', '-', text)[:60].strip('-')}.png"
            (folder / name).write_bytes(outcome.picture)
            names[outcome.number] = name
    return names


def report(
    script: Script, outcomes: Sequence[Outcome], files: Mapping[int, str], seconds: float
) -> dict[str, Any]:
    """What ``--json`` prints; CONTRIBUTING.md says what each field means."""
    story = script.story
    mates = {number: made.keys() - {number} for made in story.runs.values() for number in made}
    made_on = {number: engine for (engine, _), made in story.runs.items() for number in made}
    requests = [
        {
            "who": outcome.who,
            "command": outcome.command,
            "model": outcome.model or None,
            "prompt": outcome.prompt,
            "number": outcome.number,
            "seconds": round(outcome.seconds, 2) if outcome.picture else None,
            "engine": made_on.get(outcome.number or 0),
            "together_with": sorted(mates.get(outcome.number or 0, ())),
            "file": files.get(outcome.number or 0),
            "refused": outcome.refused,
            "problem": outcome.problem,
        }
        for outcome in outcomes
    ]
    return {
        "people": len(script.users),
        "requests": requests,
        "pictures": len(files),
        "refused": sum(outcome.refused is not None for outcome in outcomes),
        "problems": sum(outcome.problem is not None for outcome in outcomes),
        "runs": len(story.runs),
        "seconds": round(seconds, 2),
        "folder": str(script.out),
    }


def _last_words(told: Mapping[str, Any]) -> str:
    pictures = _counted(told["pictures"], "picture", "pictures")
    if told["problems"]:
        bad = f"{told['problems']} of {len(told['requests'])} requests did not end as they should (✗)"
        were = "was" if told["pictures"] == 1 else "were"
        return f"{bad}; {pictures} {were} made, in {told['folder']}"
    made = f"{pictures} for {_counted(told['people'], 'person', 'people')} in {told['seconds']:.0f} s"
    runs = _counted(told["runs"], "run", "runs")
    return f"Every request ended as it should: {made}, made in {runs}, in {told['folder']}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _listed(items: Iterable[str]) -> str:
    """Such as "#1, #2 and #4"."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last
