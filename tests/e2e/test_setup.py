"""``python3 bot.py setup`` in a terminal, every line typed, between the embedded Discord and ComfyUI."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from modules.demo.comfy_server import ComfyServer, ServerProfile
from modules.demo.discord_server import DiscordServer
from modules.demo.discord_server.state.world import BotSpec, default_world
from modules.discord.transport.permissions import NEEDED, invite_link
from modules.utils.settings.settings import read_file
from tests.bot_process import said_by
from tests.discord_wiring import openapi_file
from tests.e2e.operated import KEY, ROOT, TOKEN, Stage, person, result_of, run_bot

if os.name == "nt":
    pytest.skip("a terminal is POSIX's", allow_module_level=True)

from tests.e2e.typist import Typist, typing

FILE = "flux-2-klein-4b-Q5_K_M.gguf"
BARE = ServerProfile(api_key=KEY, cache_lru=100, pack_version=None, missing_models=frozenset({FILE}))
READY = ServerProfile(cache_lru=100)


@dataclass
class Home:
    """A clone with no settings yet, an embedded Discord and an embedded ComfyUI."""

    folder: Path
    discord: DiscordServer
    comfy: ComfyServer

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    @property
    def guild(self) -> str:
        return str(self.discord.guild.id)

    @property
    def outside(self) -> dict[str, str]:
        """Leads to the embedded Discord."""
        return {"DISCORD_API_BASE": self.discord.api_url, "DISCORD_GATEWAY_URL": self.discord.gateway_url}

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[Typist]:
        async with typing("bot.py", "setup", cwd=self.folder, **self.outside) as typist:
            yield typist

    async def run(self, *flags: str, stdin: str = "") -> tuple[int, str, str]:
        """Without a terminal: exit code, output and errors."""
        answer = await said_by(
            "setup", *flags, folder=self.folder, root=self.folder, typed=stdin, **self.outside
        )
        assert "Traceback" not in answer[2]
        return answer

    def bot_joins(self) -> None:
        self.discord.guild.has_bot = True
        self.discord.hub.add_bot(self.discord.guild)


@asynccontextmanager
async def home(
    folder: Path, *, joined: bool = True, intent: bool = True, profile: ServerProfile = READY
) -> AsyncIterator[Home]:
    shutil.copy(ROOT / "bot.py", folder)
    for name in ("modules", "flujos", "comfy_custom_nodes"):
        (folder / name).symlink_to(ROOT / name)
    bot = BotSpec(token=TOKEN, permissions=NEEDED.value, message_content_intent=intent)
    world = default_world(2, bot=bot)
    world = replace(world, guilds=(replace(world.guilds[0], has_bot=joined),))
    async with DiscordServer(world, openapi=openapi_file()) as discord, ComfyServer(profile=profile) as comfy:
        yield Home(folder, discord, comfy)
        assert discord.violations == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_from_nothing_to_the_first_picture_with_every_line_typed(tmp_path: Path) -> None:
    async with home(tmp_path, joined=False, intent=False) as here:
        async with here.typing() as typist:
            await typist.answers("not shown while you type.*\nToken: ", "the client secret")
            assert "The token contains characters that a token never has" in await typist.reads("Token: ")
            typist.types("another.bots.token\n")
            assert "Discord does not accept DISCORD_TOKEN" in await typist.reads("Token: ")
            typist.types(f"{TOKEN}\n")
            told = await typist.reads("Waiting for the bot to join .* …\n")
            assert "✓ DISCORD_TOKEN works: the bot is FuLLet\n" in told
            assert "• the Message Content Intent is off, so ! commands need a mention of the bot\n" in told
            assert "  → switch it on in the developer portal" in told
            assert invite_link(here.discord.bot.id) in told
            here.bot_joins()
            told = await typist.answers(rf"ID of the server \[{here.guild}\]: ", "123456789012345678")
            assert f"  {here.guild}  FuLLet demo\n" in told
            assert "The bot is not in the server 123456789012345678" in await typist.answers("ID of .*: ")
            await typist.answers(r"commas \[http://127.0.0.1:8188\]: ", "127.0.0.1:8188")
            told = await typist.answers(r"commas \[http://127.0.0.1:8188\]: ", "http://127.0.0.1:1")
            assert 'lacks http:// or https://; write "http://127.0.0.1:8188"' in told
            told = await typist.answers(r"anyway\? \(y/n\) \[n\]: ")
            assert "✗ 127.0.0.1:1 cannot be reached (nothing listens there)" in told
            await typist.answers(r"commas \[http://127.0.0.1:1\]: ", f"{here.comfy.url}/")
            await typist.reads(r"ComfyUI 0.33.0, 24.0 GB\) can run flux, flux_edit, upscale, z-image\n")
            told = await typist.reads("Written: .*\n")
            assert ".bak" not in told
            told = await typist.reads("Start the bot with: python3 bot.py\n")
            assert "0 problems" in told
            assert len(told.splitlines()) <= 25
            assert await typist.end() == 0
            assert TOKEN not in typist.shown, "what is typed there is not shown"
        assert read_file(here.env_file) == {
            "DISCORD_TOKEN": TOKEN, "ALLOWED_GUILD_ID": here.guild, "COMFY_URLS": here.comfy.url,
        }  # fmt: skip
        assert mode(here.env_file) == 0o600
        assert not (tmp_path / ".env.bak").exists()

        stage = Stage(here.discord, (here.comfy, here.comfy), here.env_file, 0)
        database = f"sqlite:///{tmp_path / 'bot.db'}"
        async with (
            run_bot(here.env_file, root=tmp_path, DATABASE_URL=database, **here.outside),
            person(stage) as (user, general),
        ):
            await (await user.command("imagine", general, model="flux", prompt="first light")).reply()
            await user.wait_for_message(result_of("first light"), 30)


async def test_what_the_comfyui_lacks_is_asked_for_copied_or_listed(tmp_path: Path) -> None:
    comfyui = tmp_path / "ComfyUI"
    (comfyui / "custom_nodes" / "fullet").mkdir(parents=True)
    (comfyui / "custom_nodes" / "fullet" / "of_an_older_version.py").touch()
    (tmp_path / ".env").write_text(f"DISCORD_TOKEN={TOKEN}\n# mine\n\nMAX_JOBS_PER_USER=3 # few\n")
    before = (tmp_path / ".env").read_bytes()
    async with home(tmp_path, profile=BARE) as here:
        async with here.typing() as typist:
            await typist.answers("Press Enter to keep the current one.\nToken: ")
            await typist.answers("ID of the server .*: ")
            await typist.answers("Addresses .*: ", here.comfy.url)
            await typist.answers(r"Key \(not shown\): ", KEY)
            told = await typist.answers("copy the node pack into it .*: ", str(tmp_path / "elsewhere"))
            assert f"cannot run flux, flux_edit, because it lacks {FILE}" in told
            (line,) = [line for line in told.splitlines() if "curl " in line]
            assert line.startswith(f"  curl -fgL --create-dirs -o ComfyUI/models/unet/{FILE} 'https://")
            await typist.answers("There is no folder .*elsewhere/custom_nodes\n.*: ", str(comfyui))
            await typist.answers("Restart that ComfyUI, then press Enter: ")
            await typist.reads(r"Written: .*/\.env; the previous one is \.env\.bak\n")
            await typist.reads("Fix the problems above. Start the bot with: python3 bot.py\n")
            assert await typist.end() == 1
            assert "hunter2" not in typist.shown
        copied = {path.name for path in (comfyui / "custom_nodes" / "fullet").iterdir()}
        assert "__init__.py" in copied
        assert not copied & {"of_an_older_version.py", "__pycache__"}
        assert here.env_file.read_text() == (
            f"DISCORD_TOKEN={TOKEN}\n# mine\n\nMAX_JOBS_PER_USER=3 # few\n"
            f"ALLOWED_GUILD_ID={here.guild}\nCOMFY_URLS={here.comfy.url}\nCOMFY_API_KEY={KEY}\n"
        )
        backup = tmp_path / ".env.bak"
        assert backup.read_bytes() == before
        assert (mode(here.env_file), mode(backup)) == (0o600, 0o600)


@pytest.mark.parametrize("question", ["Token: ", "Waiting for the bot to join", "Addresses .*: "])
async def test_ctrl_c_at_any_point_leaves_the_file_as_it_was(tmp_path: Path, question: str) -> None:
    kept = f"DISCORD_TOKEN={TOKEN}\n" if question != "Token: " else ""
    (tmp_path / ".env").write_text(kept)
    async with home(tmp_path, joined=not question.startswith("Waiting")) as here, here.typing() as typist:
        if question != "Token: ":
            await typist.answers("Token: ")
        if question.startswith("Addresses"):
            await typist.answers("ID of the server .*: ")
        await typist.reads(question)
        await typist.interrupts("\nStopped; .env was not changed\n")
        assert await typist.end() == 130
        assert "Traceback" not in typist.shown
        assert here.env_file.read_text() == kept
        assert not (tmp_path / ".env.bak").exists()


async def test_where_nothing_can_be_written_it_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with typing(
            "bot.py", "setup", "--env-file", "none/.env", cwd=tmp_path, **here.outside
        ) as typist:
            assert await typist.end() == 1
            assert typist.shown == (
                "none/.env cannot be written; put FuLLet into a folder that you can write to\n"
            )
        assert here.discord.counters["rest"] == 0


async def test_without_a_terminal_the_missing_answers_are_named_and_nothing_is_asked(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        code, said, errors = await here.run("--guild", here.guild)
        assert (code, said) == (2, "")
        assert errors == "No terminal to ask questions on: also give --token-file FILE, --comfy-urls URLS\n"
        assert here.discord.counters["rest"] == 0


async def test_every_answer_can_be_a_flag(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    comfyui = tmp_path / "ComfyUI"
    (comfyui / "custom_nodes").mkdir(parents=True)
    async with home(tmp_path, profile=replace(BARE, missing_models=frozenset())) as here:
        flags = ["--guild", here.guild, "--comfy-urls", here.comfy.url, "--comfy-key-file", "key"]
        flags += ["--token-file", "-", "--comfyui-folder", str(comfyui)]
        code, said, errors = await here.run(*flags, stdin=f"{TOKEN}\n")
        assert (code, errors) == (0, ""), said
        assert "✓ the bot works in FuLLet demo\n" in said
        assert (comfyui / "custom_nodes" / "fullet" / "__init__.py").exists()
        assert read_file(here.env_file)["COMFY_API_KEY"] == KEY
        again = await here.run()
        assert again[0] == 0
        assert f"{here.env_file} already has these answers" in again[1]
        for secret in (TOKEN, "hunter2"):
            assert secret not in said + again[1]


async def test_without_a_terminal_a_wrong_answer_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        flags = ["--token-file", "-", "--comfy-urls", here.comfy.url]
        code, _, errors = await here.run(*flags, "--guild", here.guild, stdin="another.bots.token")
        assert (code, errors.startswith("Discord does not accept DISCORD_TOKEN")) == (1, True)
        code, _, errors = await here.run(*flags, "--guild", "123456789012345678", stdin=TOKEN)
        link = invite_link(here.discord.bot.id)
        assert (code, errors) == (
            1, f"The bot is not in the server 123456789012345678; invite it with {link}\n",
        )  # fmt: skip
        assert not here.env_file.exists()
