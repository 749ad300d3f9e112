"""``bot.py check``: tests the whole set-up and says how to fix what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp

from modules.ai.comfy.client import ComfyClient
from modules.ai.comfy.preflight import ServerReport
from modules.ai.inspection import about_lora_files, inspect_loras_and_styles, inspect_models, inspect_server
from modules.ai.workflows.templates import WorkflowTemplate
from modules.app.elastic import inspect_elastic
from modules.discord.inspection import API_BASE, Ask, asking, inspect_discord
from modules.discord.message_inspection import inspect_messages
from modules.discord.transport.api_address import redirect
from modules.queue_manager.backports import gather_or_cancel
from modules.queue_manager.clock import LoopClock
from modules.utils import inspection
from modules.utils.database.inspection import inspect_database, read_fusion_checks
from modules.utils.inspection import Finding, Section
from modules.utils.monitoring import log
from modules.utils.settings.elastic import is_elastic, shortest_start
from modules.utils.settings.inspection import inspect_settings
from modules.utils.settings.server_discovery import ServerDiscovery
from modules.utils.settings.settings import Settings


def report(env_file: Path, models: Path, *, as_json: bool = False, everything: bool = False) -> int:
    """Print what is found, with all that is fine if ``everything``; returns the exit code. ``models`` is the
    folder of workflow files."""
    given, found = read_quietly(env_file)
    faulty = {finding.what.partition(":")[0] for finding in found if finding.level == "fault"}
    outside = asyncio.run(inspect(given, models, faulty=faulty))
    sections = [Section(title="Settings", findings=found), *outside]
    text = inspection.as_text(sections, everything=everything)
    print_redacted(given, [inspection.as_json(sections) if as_json else text])
    return 0 if inspection.sound(sections) else 1


async def try_discord(env_file: Path, *, guild_id: int | None, as_json: bool) -> int:
    """Print what Discord does with each kind of message; returns the exit code. ``guild_id``: a guild other
    than the one in the settings. Being cancelled ends it early."""
    given, found = read_quietly(env_file)
    if guild_id is not None:  # channels and roles in the settings are those of the usual guild
        given = replace(
            given, allowed_guild_id=guild_id, gallery_channel_id=None, role_limits=(), priority_roles=()
        )
    needed = ("DISCORD_", "ALLOWED_GUILD_ID", env_file.name)
    found = tuple(finding for finding in found if finding.what.startswith(needed))
    sections = [Section(title="Settings", findings=found)]
    about_messages: list[Finding] = []
    interrupted = False
    sys.stderr.write("Trying every kind of message in a temporary channel; this takes half a minute.\n")
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            about_discord = await _inspect_discord(given, session, None)
        sections.append(Section(title="Discord", findings=about_discord))
        if given.discord_token and given.allowed_guild_id is not None:
            at, gateway = given.discord_api_base, given.discord_gateway_url
            await inspect_messages(
                about_messages,
                token=given.discord_token,
                guild_id=given.allowed_guild_id,
                extra_host=redirect(api_base=at, gateway_url=gateway) if at else None,
            )
    except asyncio.CancelledError:
        interrupted = True
        what = "interrupted, so the rest was not tried"
        about_messages.append(Finding(level="hint", what=what, fix="run it again"))
    sections.append(Section(title="Messages", findings=tuple(about_messages)))
    text = inspection.as_text(sections, everything=True)
    print_redacted(given, [inspection.as_json(sections) if as_json else text])
    if interrupted:
        return 128 + signal.SIGINT  # as in shells
    return 0 if inspection.sound(sections) else 1


def read_quietly(env_file: Path) -> tuple[Settings, tuple[Finding, ...]]:
    """The settings and their findings, for a command that prints its own words instead of a log."""
    given, found = inspect_settings(env_file, os.environ)
    log.configure(level="CRITICAL", secrets=given.secrets(), stream=sys.stderr)
    return given, found


def print_redacted(settings: Settings, lines: Iterable[str]) -> None:
    """Print the lines without any secret of the settings."""
    text = log.Redactor(settings.secrets())("\n".join(lines))
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()


async def inspect(
    settings: Settings, models: Path, ask: Ask | None = None, *, faulty: Collection[str] = ()
) -> list[Section]:
    """Check everything outside this process, all at once. ``ask``: how the connected bot asks Discord;
    ``faulty``: settings that could not be read."""
    templates, about_models = inspect_models(models)
    loras, about_loras = inspect_loras_and_styles(models, templates)
    reports: list[ServerReport] = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        found = await gather_or_cancel(
            [
                _inspect_discord(settings, session, ask),
                _inspect_database(settings, faulty),
                _inspect_servers(settings, session, templates, faulty, reports),
            ]
        )
    about_folder = (*about_models, *about_loras, *about_lora_files(loras, reports))
    titles = ("Discord", "Database", "ComfyUI", "Models in flujos/")
    return [
        Section(title=title, findings=findings)
        for title, findings in zip(titles, (*found, about_folder), strict=True)
    ]


async def _inspect_discord(
    settings: Settings, session: aiohttp.ClientSession, ask: Ask | None
) -> tuple[Finding, ...]:
    if not settings.discord_token:
        return _skipped("DISCORD_TOKEN")
    return await inspect_discord(
        ask or asking(session, settings.discord_token, settings.discord_api_base or API_BASE),
        guild_id=settings.allowed_guild_id,
        gallery_channel_id=settings.gallery_channel_id,
        role_ids=dict.fromkeys([*settings.priority_roles, *(role for role, _ in settings.role_limits)]),
    )


async def _inspect_database(settings: Settings, faulty: Collection[str]) -> tuple[Finding, ...]:
    if "DATABASE_URL" in faulty:
        return _skipped("DATABASE_URL")
    return await inspect_database(settings.database_url, image_disk_mb=settings.image_disk_mb)


def _skipped(name: str) -> tuple[Finding, ...]:
    return (Finding(level="hint", what="skipped", fix=f"fix {name} first"),)


async def _inspect_servers(
    settings: Settings,
    session: aiohttp.ClientSession,
    templates: Mapping[str, WorkflowTemplate],
    faulty: Collection[str],
    reports: list[ServerReport],
) -> tuple[Finding, ...]:
    """``reports`` receives the answers of the servers that can be reached."""
    if not settings.comfy_urls:
        return _skipped("COMFY_URLS")
    elastic = [url for url in settings.comfy_urls if is_elastic(url)]
    servers = await servers_of(settings)
    if not servers and len(elastic) < len(settings.comfy_urls):
        what = f"no server was found at {', '.join(settings.comfy_urls)}"
        if shortest_start(settings.comfy_urls) is not None:
            fix = "if your servers scale from zero, ask for a picture, and check again once a server is there"
            return (Finding(level="hint", what=what, fix=fix),)
        return (Finding(level="fault", what=what, fix="correct the name in COMFY_URLS, or start a server"),)
    key = settings.comfy_api_key or None
    checks = {} if "DATABASE_URL" in faulty else await read_fusion_checks(settings.database_url)
    clients = [ComfyClient(session=session, url=url, api_key=key) for url in servers]
    found = await gather_or_cancel(
        inspect_server(client, templates, max_batch=max_batch, checks=checks.get(client.name, {}))
        for client, max_batch in zip(clients, servers.values(), strict=True)
    )
    reports += [report for report, _ in found if report is not None]
    about_elastic = await gather_or_cancel(inspect_elastic(url, settings, templates) for url in elastic)
    return tuple(finding for each in [*(each for _, each in found), *about_elastic] for finding in each)


async def servers_of(settings: Settings) -> dict[str, int | None]:
    """The addresses of the ComfyUI servers, each with the most pictures of one run there (None: ``auto``)."""
    urls: list[str] = []

    async def keep(found: Sequence[str]) -> None:
        urls.extend(found)

    if not settings.comfy_urls:
        return {}
    addresses = ServerDiscovery(on_urls=keep, clock=LoopClock())
    await addresses.set(settings.comfy_urls, settings.max_batch_size)
    return {url: addresses.batch_size(url) for url in urls if not is_elastic(url)}
