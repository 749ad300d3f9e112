"""``bot.py setup``: asks for what the bot needs, tries each answer at once, and writes ``.env``."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp

from modules.ai.comfy.preflight import ServerReport
from modules.ai.inspection import about_trouble, inspect_models
from modules.ai.workflows.templates import WorkflowTemplate
from modules.app import check
from modules.app.elastic import inspect_elastic
from modules.app.models import Told, ask_servers, commands
from modules.discord.inspection import (
    API_BASE,
    FAILURES,
    Ask,
    about_account,
    about_failure,
    account,
    asking,
    guilds_of,
)
from modules.discord.transport.permissions import NEEDED, invite_link, names
from modules.queue_manager.errors import BadSettings, EngineUnauthorized
from modules.utils.inspection import MARKS, Finding
from modules.utils.monitoring import log
from modules.utils.settings import settings, values
from modules.utils.settings.elastic import is_elastic
from modules.utils.settings.env_writer import BACKUP, write_file
from modules.utils.settings.settings import Settings

MISSING = 2
"""The exit code when an answer is missing and there is no terminal to ask on."""

EVERY_SECONDS = 2.0
"""Seconds between two checks whether the bot is in a server by now."""

FIRST_ADDRESS = "http://127.0.0.1:8188"
PORTAL = "https://discord.com/developers/applications"

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Given:
    """The answers that the command line gives; the files hold the token and ComfyUI's key (``-``: standard
    input)."""

    token_file: str | None = None
    guild: str | None = None
    comfy_urls: str | None = None
    comfy_key_file: str | None = None
    comfyui_folder: str | None = None


def set_up(root: Path, env_file: Path, given: Given) -> int:
    """Ask, try, write and check; returns the exit code. Raises `BadSettings` for a file or an answer that
    cannot be used."""
    known, _ = settings.gather(os.environ, settings.read_file(env_file))
    setup = Setup(
        root=root,
        given=given,
        asks=sys.stdin.isatty(),
        now=replace(Settings(discord_token="", comfy_urls=()), **known),  # type: ignore[arg-type]
    )
    log.configure(level="CRITICAL", secrets=(), stream=sys.stderr)
    try:
        if missing := setup.missing():
            sys.stderr.write(f"No terminal to ask questions on: also give {', '.join(missing)}\n")
            return MISSING
        if setup.asks and not os.access(env_file.parent, os.W_OK):
            raise BadSettings(f"{env_file} cannot be written; put FuLLet into a folder that you can write to")
        setup.ask_all()
    except (KeyboardInterrupt, EOFError):
        setup.say("", f"Stopped; {env_file.name} was not changed")
        return 128 + signal.SIGINT  # as in shells
    setup.write(env_file)
    code = check.report(env_file, root / "flujos")
    before = "" if code == 0 else "Fix the problems above. "
    own = "" if env_file == root / ".env" else f" --env-file {env_file}"
    setup.say("", f"{before}Start the bot with: {'py' if os.name == 'nt' else 'python3'} bot.py{own}")
    setup.say("Then type /imagine in your server.")
    return code


@dataclass(kw_only=True)
class Setup:
    """The answers so far are in ``now``. If it ``asks``, a wrong answer is asked for again, else it raises
    `BadSettings`."""

    root: Path
    given: Given
    asks: bool
    now: Settings
    _link: str = field(init=False, default="")

    def missing(self) -> list[str]:
        """The flags for answers that are still needed, if there is no terminal to ask on."""
        needed = {
            "--token-file FILE": self.given.token_file or self.now.discord_token,
            "--guild ID": self.given.guild or self.now.allowed_guild_id,
            "--comfy-urls URLS": self.given.comfy_urls or self.now.comfy_urls,
        }
        return [] if self.asks else [flag for flag, answer in needed.items() if not answer]

    def ask_all(self) -> None:
        """Get every answer: from the command line, from before (if it does not ask), or from the person."""

        def first(given: str | None, known: object) -> str | None:
            return given if given is not None or self.asks else str(known)

        self.say("Discord")
        token = first(_content(self.given.token_file), self.now.discord_token)
        self._ask_until_right(self._take_token, token, self._ask_token)
        self._wait_for_a_server()
        guild = first(self.given.guild, self.now.allowed_guild_id)
        self._ask_until_right(self._take_guild, guild, self._ask_guild)
        self.say("", "ComfyUI")
        if key := _content(self.given.comfy_key_file):
            self._ask_until_right(self._take_key, key, self._ask_key)
        addresses = first(self.given.comfy_urls, ",".join(self.now.comfy_urls))
        self._ask_until_right(self._take_addresses, addresses, self._ask_addresses)

    def write(self, env_file: Path) -> None:
        """Write the answers, without what the environment says already."""
        answers = {
            "DISCORD_TOKEN": self.now.discord_token,
            "ALLOWED_GUILD_ID": str(self.now.allowed_guild_id),
            "COMFY_URLS": ",".join(self.now.comfy_urls),
            **({"COMFY_API_KEY": self.now.comfy_api_key} if self.now.comfy_api_key else {}),
        }
        new = {
            name: text for name, text in answers.items() if settings.given(name, os.environ, {})[1] != text
        }
        existed = env_file.exists()
        written = write_file(env_file, new)
        kept = f"; the previous one is {env_file.name}{BACKUP}" if existed else ""
        self.say("", f"Written: {env_file}{kept}" if written else f"{env_file} already has these answers", "")

    # ── the terminal ────────────────────────────────────────────────────────────────────────────

    def say(self, *lines: str) -> None:
        sys.stdout.write(log.Redactor(self.now.secrets())("\n".join(lines)) + "\n")
        sys.stdout.flush()

    def _ask(self, question: str, default: str = "") -> str:
        return input(f"{question} [{default}]: " if default else f"{question}: ").strip() or default

    def _agrees(self, question: str) -> bool:
        return self._ask(f"{question} (y/n)", "n").lower() in ("y", "yes")

    def _ask_until_right(
        self, take: Callable[[str], None], first: str | None, ask: Callable[[], str]
    ) -> None:
        """Take the ``first`` answer, if there is one, else what is asked for; ``take`` raises ValueError for
        one that is wrong."""
        answer = first
        while True:
            try:
                return take(ask() if answer is None else answer)
            except ValueError as fault:
                if not self.asks:
                    raise BadSettings(str(fault)) from None
                self.say(f"{MARKS['fault']} {fault}")
                answer = None

    def _say_finding(self, finding: Finding) -> None:
        self.say(f"{MARKS[finding.level]} {finding.what}")
        if finding.fix and not finding.detail:
            self.say(f"  → {finding.fix}")

    # ── Discord ─────────────────────────────────────────────────────────────────────────────────

    def _ask_token(self) -> str:
        known = self.now.discord_token
        self.say(f"The token of your application: {PORTAL} → Bot → Reset Token")
        keeping = " Press Enter to keep the current one." if known else ""
        self.say(f"It is not shown while you type or paste it.{keeping}")
        return getpass.getpass("Token: ").strip() or known

    def _take_token(self, answer: str) -> None:
        async def look(ask: Ask) -> None:
            me, application = await account(ask)
            self._link = invite_link(application["id"])
            for finding in about_account(me, application):
                self._say_finding(finding)

        try:
            before, self.now = self.now, replace(self.now, discord_token=values.token(answer))
        except ValueError as fault:
            raise ValueError(f"The token {fault}") from None
        try:
            asyncio.run(self._asking_discord(look))
        except FAILURES as error:
            self.now = before
            raise ValueError(str(about_failure(error))) from None

    async def _asking_discord(self, question: Callable[[Ask], Awaitable[Found]]) -> Found:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            at = self.now.discord_api_base or API_BASE
            return await question(asking(session, self.now.discord_token, at))

    def _wait_for_a_server(self) -> None:
        self.say(
            f"The invite link, with exactly the permissions the bot needs ({', '.join(names(NEEDED))}):",
            self._link,
        )
        if self.asks:
            self._guilds(at_least_one=True)

    def _guilds(self, *, at_least_one: bool = False) -> Mapping[int, str]:
        """The servers that the bot is in. If Discord cannot be reached, it is asked again; without a
        terminal, `BadSettings` is raised."""

        async def look(ask: Ask) -> Mapping[int, str]:
            said = ""
            while True:
                before = said
                try:
                    guilds = await guilds_of(ask)
                    if guilds or not at_least_one:
                        return guilds
                    said = "Open it and choose your server. Waiting for the bot to join (Ctrl-C stops) …"
                except FAILURES as error:
                    if not self.asks:
                        raise BadSettings(str(about_failure(error))) from None
                    said = f"{MARKS['fault']} {about_failure(error)}"
                if said != before:
                    self.say(said)
                await asyncio.sleep(EVERY_SECONDS)

        return asyncio.run(self._asking_discord(look))

    def _ask_guild(self) -> str:
        guilds, known = self._guilds(), self.now.allowed_guild_id
        self.say("The bot works in one server only. It is in:")
        self.say(*(f"  {number}  {name}" for number, name in guilds.items()))
        likely = known if known in guilds else next(iter(guilds), "")
        return self._ask("ID of the server", str(likely))

    def _take_guild(self, answer: str) -> None:
        number, guilds = values.snowflake(answer), self._guilds()
        if number not in guilds:
            raise ValueError(f"The bot is not in the server {number}; invite it with {self._link}")
        self.now = replace(self.now, allowed_guild_id=number)
        self.say(f"{MARKS['ok']} the bot works in {guilds[number]}")

    # ── ComfyUI ─────────────────────────────────────────────────────────────────────────────────

    def _ask_addresses(self) -> str:
        known = ",".join(self.now.comfy_urls)
        question = "Addresses of your ComfyUI servers, separated by commas"
        return self._ask(question, known or FIRST_ADDRESS)

    def _take_addresses(self, answer: str) -> None:
        """Take the addresses. If a server does not work, a person at the terminal is asked first."""
        try:
            self.now = replace(self.now, comfy_urls=values.server_urls(answer), max_batch_size=(None,))
        except ValueError as fault:
            raise ValueError(f"COMFY_URLS: {fault}") from None
        told = self._told()
        if self.asks and any(isinstance(each.error, EngineUnauthorized) for each in told):
            self._ask_until_right(self._take_key, None, self._ask_key)
            told = self._told()
        self._say_told(told)
        about = self._about_elastic()
        for finding in about:
            self._say_finding(finding)
        silent = not (told or about) or any(each.error is not None for each in told)
        silent = silent or any(finding.level == "fault" for finding in about)
        if silent and self.asks and not self._agrees("Keep these addresses anyway?"):
            raise ValueError("Correct the addresses, or start ComfyUI and press Enter")
        for each in told:
            if each.report is not None:
                self._offer_node_pack(each.name, each.report)

    def _ask_key(self) -> str:
        self.say("A server asks for a key: write name:password for HTTP Basic, or else a Bearer token.")
        return getpass.getpass("Key (not shown): ").strip()

    def _take_key(self, answer: str) -> None:
        try:
            self.now = replace(self.now, comfy_api_key=values.secret(answer))
        except ValueError as fault:
            raise ValueError(f"COMFY_API_KEY: {fault}") from None

    def _told(self) -> list[Told]:
        return asyncio.run(ask_servers(self.now, self._templates()))

    def _about_elastic(self) -> list[Finding]:
        """What is found at the addresses of Comfy API v2, asked with the keys in COMFY_API_KEYS."""
        templates = self._templates()
        elastic = [url for url in self.now.comfy_urls if is_elastic(url)]
        found = [f for url in elastic for f in asyncio.run(inspect_elastic(url, self.now, templates))]
        return [finding for finding in found if not finding.routine]

    def _templates(self) -> dict[str, WorkflowTemplate]:
        templates, _ = inspect_models(self.root / "flujos")
        return templates

    def _say_told(self, told: list[Told]) -> None:
        if not told and not all(map(is_elastic, self.now.comfy_urls)):
            self.say(f"{MARKS['fault']} no server was found at {', '.join(self.now.comfy_urls)}")
        for each in told:
            if each.error is not None:
                self._say_finding(about_trouble(each.error))
            if each.report is not None:
                for finding in (one for one in each.report.findings if not one.routine):
                    self._say_finding(finding)
                for line in commands(each.report.missing_files):
                    self.say(line)

    def _offer_node_pack(self, name: str, report: ServerReport) -> None:
        """Copy our node pack into a ComfyUI on this machine that has none, or none that fits, if the person
        wants that."""
        source = self.root / "comfy_custom_nodes" / "fullet"
        here = values.is_loopback(urlsplit(f"//{name}").hostname or "")
        if report.pack or not here or not source.is_dir():
            return

        def ask() -> str:
            return self._ask(
                f"Folder of the ComfyUI at {name}, to copy the node pack into it (Enter: not now)"
            )

        def take(answer: str) -> None:
            if not answer:
                return
            nodes = Path(answer).expanduser() / "custom_nodes"
            if not nodes.is_dir():
                raise ValueError(f"There is no folder {nodes}")
            _copy(source, nodes / "fullet")
            self.say(f"{MARKS['ok']} the node pack is now in {nodes / 'fullet'}")
            if self.asks:
                self._ask("Restart that ComfyUI, then press Enter")
                self._say_told(self._told())
            else:
                self.say(f"Restart the ComfyUI at {name}")

        if self.asks or self.given.comfyui_folder:
            self._ask_until_right(take, self.given.comfyui_folder, ask)


def _copy(source: Path, target: Path) -> None:
    """Put a folder in the place of an older one. Raises ValueError."""
    if target.is_symlink():
        raise ValueError(f"{target} is a link; remove it, or update the folder that it points to")
    fresh = target.with_name(f"{target.name}.disabled")  # as ComfyUI calls what it does not load
    try:
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        os.replace(fresh, target)
    except OSError as error:
        raise ValueError(f"{target} cannot be written ({error})") from None


def _content(file: str | None) -> str | None:
    """What a file with a secret says. Raises `BadSettings`."""
    if file is None:
        return None
    try:
        return (sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError):
        raise BadSettings(f"{file} cannot be read") from None
