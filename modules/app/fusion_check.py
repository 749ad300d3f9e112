"""``bot.py check --fusion``: do fused pictures on a server match those made alone, and what is the gain?

It writes its findings into the database, one row for each model and server. A running bot reads them at its
next look at the server (once a minute, and whenever the server comes back); one that is not running reads
them when it starts.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.preflight import inspect
from modules.ai.fusion.fuse import fusible
from modules.ai.fusion_check.contact_sheet import contact_sheet
from modules.ai.fusion_check.difference import Difference
from modules.ai.fusion_check.trial import Comparison, ModelTrial, Trial
from modules.ai.inspection import about_trouble, inspect_models
from modules.ai.workflows.templates import WorkflowTemplate
from modules.app.check import print_redacted, read_quietly, servers_of
from modules.queue_manager.clock import LoopClock
from modules.queue_manager.errors import BadSettings, EngineUnavailable, StartupError, StoreError
from modules.utils.database.engine import Database
from modules.utils.inspection import MARKS, Finding
from modules.utils.monitoring.log import Redactor
from modules.utils.settings.elastic import is_elastic, read_elastic
from modules.utils.settings.settings import Settings
from modules.utils.settings.values import server_urls

FIRST_SEEDS = 2**40

Say = Callable[[str], None]
Show = Callable[[Iterable[str]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """One model on one server; ``sheet`` is the file with its contact sheet, ``alone`` why it cannot be fused
    there at all, ``not_kept`` why the bot will not know of it."""

    model: str
    trial: ModelTrial | None = None
    sheet: str = ""
    alone: str = ""
    not_kept: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedServer:
    """``trouble``: why the server could not be asked, or not to the end; ``known``: the bot uses it."""

    name: str
    models: tuple[Checked, ...] = ()
    trouble: Finding | None = None
    known: bool = True

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong: every model that is fused there is fused exactly."""
        tried = [model for model in self.models if model.trial is not None]
        return self.trouble is None and all(
            each.trial is not None and each.trial.same and not each.not_kept for each in tried
        )


async def report(env_file: Path, models: Path, wanted: Sequence[str], *, sheets: Path, as_json: bool) -> int:
    """Check what is ``wanted`` (an address, a model, both or neither) and print it; returns the exit code.
    Contact sheets go into the folder ``sheets``. Being cancelled ends the run at the server, too; what was
    found before stays. Raises `BadSettings` if ``wanted`` cannot be used or no server is found."""
    settings, _ = read_quietly(env_file)
    redacted = Redactor(settings.secrets())

    def say(line: str) -> None:
        sys.stderr.write(redacted(line) + "\n")
        sys.stderr.flush()

    templates, _ = inspect_models(models)
    url, model = _understood(wanted, templates)
    chosen = templates if model is None else {model: templates[model]}

    def show(lines: Iterable[str]) -> None:  # at once: a check takes minutes, and may be stopped early
        if not as_json:
            print_redacted(settings, lines)

    try:
        servers = await check_servers(settings, chosen, url, sheets=sheets, say=say, show=show)
    except asyncio.CancelledError:
        return 128 + signal.SIGINT  # as in shells
    elastic = [each for each in (settings.comfy_urls if url is None else (url,)) if is_elastic(each)]
    for each in elastic:
        why = "it is an address of Comfy API v2, which makes pictures one by one: there is nothing to check"
        show([read_elastic(each).url.partition("://")[2], f"  {MARKS['hint']} {why}"])
    if not servers and not elastic:
        raise BadSettings(
            "no server was found: correct COMFY_URLS, or give an address such as http://127.0.0.1:8188"
        )
    if as_json:
        print_redacted(settings, [_as_json(servers)])
    return 0 if all(server.sound for server in servers) else 1


def _understood(
    wanted: Sequence[str], models: Mapping[str, WorkflowTemplate]
) -> tuple[str | None, str | None]:
    """The address and the model that are meant. Raises `BadSettings` for anything else."""
    urls = [each for each in wanted if "://" in each]
    names = [each for each in wanted if "://" not in each]
    if len(urls) > 1 or len(names) > 1:
        raise BadSettings("--fusion takes at most one address and one model")
    for name in names:
        if name not in models:
            raise BadSettings(f"There is no model {name!r} in flujos/; the models there: {', '.join(models)}")
    try:
        (url,) = server_urls(urls[0]) if urls else (None,)
    except ValueError as fault:
        raise BadSettings(f"--fusion: {fault}") from fault
    return url, names[0] if names else None


async def check_servers(
    settings: Settings,
    templates: Mapping[str, WorkflowTemplate],
    url: str | None = None,
    *,
    sheets: Path,
    say: Say,
    show: Show,
) -> list[CheckedServer]:
    """Check the models on the server at ``url`` (None: on every server that the settings name), one after
    another. ``say`` is told what is being done, ``show`` what was found."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        def client(address: str) -> ComfyClient:
            return ComfyClient(session=session, url=address, api_key=settings.comfy_api_key or None)

        used = [client(each) for each in await servers_of(settings)]
        asked = used
        if url is not None:
            meant = replace(settings, comfy_urls=(url,), max_batch_size=(None,))
            asked = [client(each) for each in await servers_of(meant)]
        names = {each.name for each in used}
        return [
            await _checked_server(
                settings, each, templates, known=each.name in names, sheets=sheets, say=say, show=show
            )
            for each in asked
        ]


async def _checked_server(
    settings: Settings,
    client: ComfyClient,
    templates: Mapping[str, WorkflowTemplate],
    *,
    known: bool,
    sheets: Path,
    say: Say,
    show: Show,
) -> CheckedServer:
    found: list[Checked] = []
    trouble: Finding | None = None
    show([client.name])
    if not known:
        show([f"  {MARKS['hint']} this address is not in COMFY_URLS, so the bot will not see these results"])
    try:
        answer = await inspect(client, templates, max_batch=None)
        for name, template in templates.items():
            if name not in answer.fused:
                found.append(Checked(model=name, alone=_why_alone(template, able=name in answer.limits)))
                show(_about_model(found[-1]))
                continue
            say(f"{client.name}: {name}")
            trial = await Trial(
                client=client,
                report=answer,
                template=template,
                clock=LoopClock(),
                first_seed=secrets.randbelow(FIRST_SEEDS),
                say=lambda what: say(f"  {what}"),
            ).run()
            not_kept = await _keep(settings, client.name, trial)
            sheet = await asyncio.to_thread(_write_sheet, sheets, client.name, trial)
            found.append(Checked(model=name, trial=trial, sheet=sheet, not_kept=not_kept))
            show(_about_model(found[-1]))
    except EngineUnavailable as error:
        trouble = about_trouble(error)
        show([f"  {MARKS['fault']} {trouble}"])
    return CheckedServer(name=client.name, models=tuple(found), trouble=trouble, known=known)


def _why_alone(template: WorkflowTemplate, *, able: bool) -> str:
    if not able:
        return "this server cannot run it; bot.py check says why"
    why = fusible(template) or "this server cannot fuse it; bot.py check says why"
    return f"its pictures are made one by one anyway ({why})"


async def _keep(settings: Settings, server: str, trial: ModelTrial) -> str:
    """Let the bot know; returns why that could not be done."""
    outcome = trial.outcome(time.time())
    if outcome is None:
        return ""
    try:
        async with Database.open(settings.database_url, patience=5.0) as database:
            await database.fusion_checks.put(server, trial.model, outcome)
    except (StartupError, StoreError) as error:
        return str(error)
    return ""


def _write_sheet(folder: Path, server: str, trial: ModelTrial) -> str:
    """Write the contact sheet; returns where, or why not."""
    if "alone" not in trial.columns:
        return ""
    file = folder / (re.sub(r"[^0-9A-Za-z.-]+", "-", f"{server}-{trial.model}") + ".png")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contact_sheet(trial))
    except OSError as error:
        return f"{file} cannot be written ({error.strerror})"
    return str(file)


# ── what is printed ─────────────────────────────────────────────────────────────────────────────


def _about_model(model: Checked) -> Iterator[str]:
    trial = model.trial
    if trial is None:
        yield f"  {MARKS['hint']} {model.model} was not checked: {model.alone}"
        return
    verdicts = {
        True: f"{MARKS['ok']} {trial.model}: fused pictures match those made alone",
        False: f"{MARKS['fault']} {trial.model}: fused pictures differ from those made alone; from now on "
        "this server makes them one by one, until the model is checked again",
        None: f"{MARKS['fault']} {trial.model} could not be checked: {trial.error}",
    }
    yield f"  {verdicts[trial.same]}"
    for comparison in trial.comparisons:
        yield f"      {comparison.rows} fused: {_figures(comparison)}"
    if trial.comparisons:
        asked = ["prompts of unequal length"]
        asked += ["a source picture each"] if trial.sources else []
        asked += [f"{trial.negative} negative prompts"] if trial.negative != "none" else []
        asked += ["judged with euler, as its own sampler adds noise at each step"] if trial.euler else []
        yield f"      {', '.join(asked)}; seeds from {trial.first_seed}"
    if trial.error is not None and trial.same is False:
        yield f"      it ended early: {trial.error}"
    if trial.batches:
        yield f"      {_seconds(trial)}"
    if model.sheet:
        yield f"      contact sheet: {model.sheet}"
    if model.not_kept:
        yield f"      {MARKS['fault']} the bot cannot use this result, which was not saved: {model.not_kept}"


def _figures(comparison: Comparison) -> str:
    stock = comparison.stock
    yardstick = "no stock batch to compare with" if stock is None else f"a stock batch: {_figure(stock)}"
    return f"{_figure(comparison.fused)}; {yardstick}"


def _figure(difference: Difference) -> str:
    if difference.rms == 0:
        return "equal"
    share, psnr = f"{100 * difference.share:.2f} %", f"{difference.psnr:.1f} dB"
    return f"largest difference {difference.largest}/255, {share} of bytes differ, PSNR {psnr}"


def _seconds(trial: ModelTrial) -> str:
    fused = ", ".join(f"{each:.2f} with {rows}" for rows, each in trial.batches.items())
    gain, rows = trial.gain
    ended = f"; {trial.memory_ended} at once do not fit into memory" if trial.memory_ended else ""
    best = f"; gain {gain:.1f}× with {rows}" if rows else ""
    return f"seconds per picture: {trial.alone:.2f} alone, fused {fused}{ended}{best}"


def _as_json(servers: Sequence[CheckedServer]) -> str:
    """Differences have the fields of `Difference`; ``psnr`` is null for equal pictures."""
    told = {
        "ok": all(server.sound for server in servers),
        "servers": [
            {
                "server": server.name,
                "known": server.known,
                "trouble": None if server.trouble is None else str(server.trouble),
                "models": [_model_json(model) for model in server.models],
            }
            for server in servers
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _model_json(model: Checked) -> dict[str, Any]:
    trial = model.trial
    if trial is None:
        return {"model": model.model, "fused": False, "why": model.alone}
    gain, rows = trial.gain
    return {
        "model": model.model,
        "fused": trial.same,
        "why": trial.error,
        "comparisons": [
            {
                "rows": each.rows,
                "same": each.same,
                "fused": _difference_json(each.fused),
                "stock": None if each.stock is None else _difference_json(each.stock),
                "allowed_rms": each.allowed,
            }
            for each in trial.comparisons
        ],
        "judged_with_euler": trial.euler,
        "negative": trial.negative,
        "sources": trial.sources,
        "first_seed": trial.first_seed,
        "seconds_alone": trial.alone,
        "seconds_fused": {str(size): each for size, each in trial.batches.items()},
        "memory_ended_at": trial.memory_ended,
        "gain": gain,
        "gain_with": rows,
        "contact_sheet": model.sheet or None,
        "not_kept": model.not_kept or None,
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    psnr = None if math.isinf(difference.psnr) else difference.psnr
    return {
        "largest": difference.largest, "share": difference.share, "rms": difference.rms, "psnr": psnr,
    }  # fmt: skip
