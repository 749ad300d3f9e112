"""The demonstration acts itself out, as its own process, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from modules.demo.acting import fault_of
from modules.demo.comfy_server.drawing.marks import mark_of, stamp
from modules.demo.discord_server import DiscordServer, default_world
from modules.demo.script import wrong_requests
from tests.bot_process import ROOT, born


async def demo(tmp_path: Path, *flags: str) -> tuple[int, str]:
    """Exit code and output of a demonstration whose temporary folder is ``tmp_path``."""
    log = tmp_path.with_suffix(".log")
    log.unlink(missing_ok=True)
    shown = await born("demo", *flags, folder=ROOT, log=log, TMPDIR=str(tmp_path), DATABASE_URL="nonsense://")
    try:
        return await shown.ended(100), shown.said()
    finally:
        await shown.kill()


QUICK = ("--script", "--users", "4", "--jobs", "3", "--seconds-per-image", "0.2")


async def test_the_script_tells_who_asks_for_what_and_what_is_made_in_one_run(tmp_path: Path) -> None:
    code, output = await demo(tmp_path, *QUICK)
    assert code == 0, output
    first, *_, last = output.splitlines()
    assert first == "4 people use the bot at once, in a simulated Discord with 2 simulated GPUs."
    done = "Every request ended as it should: 14 pictures for 4 people in"
    told = re.fullmatch(rf"{done} \d+ s, made in (\d+) runs, in (.+)", last)
    assert told is not None, output
    assert len(os.listdir(told[2])) == 14
    assert os.path.dirname(told[2]) == str(tmp_path), "among the temporary files"
    lines = [line[10:] for line in output.splitlines() if re.match(r" *[\d.]+ s  ", line)]
    asked = re.compile(r"(?:Admin|Member \d) asks for (?:a photo turned into )?“[^”]+”(?: \(\S+\))?: (#\d+)")
    asks = [found[1] for line in lines if (found := asked.fullmatch(line))]
    assert sorted(asks) == sorted(f"#{number}" for number in range(1, 15))
    runs = [line for line in lines if re.match(r"GPU [12] made #\d+", line)]
    assert len(runs) == int(told[1]) < 14
    assert sorted(number for line in runs for number in re.findall(r"#\d+", line)) == sorted(asks)
    assert all(("in one run, for" in line) == (line.count("#") > 1) for line in runs)
    refused = [line.partition(" and is told: ")[2] for line in lines if " and is told: " in line]
    assert sorted(refused) == [
        "“That file is not a picture the bot can read. Use PNG, JPEG, WebP or GIF.”",
        "“You can have 2 pictures in the queue at once; you already have 2.”",
    ]
    assert len(asks) + len(runs) + len(refused) == len(lines)


@pytest.mark.long
async def test_every_request_of_the_script_ends_as_it_should_and_is_there_for_machines(
    tmp_path: Path,
) -> None:
    temporary, out = tmp_path / "temporary", tmp_path / "pictures"
    temporary.mkdir()
    before = sorted((ROOT / "database").iterdir())
    code, output = await demo(temporary, *QUICK, "--out", str(out), "--json")
    assert code == 0, output
    told = json.loads(output)
    requests = told.pop("requests")
    runs = {
        (each["engine"], *sorted({each["number"], *each["together_with"]}))
        for each in requests
        if each["file"]
    }
    assert told.pop("seconds") > 0
    assert told == {
        "people": 4, "pictures": 14, "refused": 2, "problems": 0, "runs": len(runs), "folder": str(out),
    }  # fmt: skip
    assert {each["file"] for each in requests if each["file"]} == {file.name for file in out.iterdir()}
    assert sum(len(numbers) for _, *numbers in runs) == 14
    documented = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in documented for name in (*told, "seconds", "requests", *requests[0]))
    assert list(temporary.iterdir()) == []
    assert sorted((ROOT / "database").iterdir()) == before


async def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        code, output = await demo(tmp_path, "--no-browser", "--port", str(port))
    assert code == 1
    assert (
        output
        == f"--port: {port} cannot be used (Address already in use); choose another, or leave --port out\n"
    )


async def test_a_folder_that_cannot_be_written_to_is_one_line_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    for out in ("taken", "taken/pictures"):
        code, output = await demo(tmp_path, "--script", "--out", str(tmp_path / out))
        assert code == 1
        assert output.startswith(f"--out: {tmp_path / out} cannot be written to (")
        assert output.count("\n") == 1


async def test_a_request_that_discord_does_not_know_fails_the_script() -> None:
    async with DiscordServer(default_world(1)) as server, aiohttp.ClientSession() as session:
        assert await wrong_requests(session, server.url) == []
        await session.get(f"{server.api_url}/channels/1/paintings")
        (outcome,) = await wrong_requests(session, server.url)
    assert outcome.line() == "✗ the bot: unknown route: GET /api/v10/channels/1/paintings"


@pytest.mark.parametrize(
    ("prompt", "seed", "fault"), [("mine", 7, None), ("another's", 7, "else"), ("mine", 8, "else")]
)
def test_a_picture_that_is_somebody_elses_is_noticed(prompt: str, seed: int, fault: str | None) -> None:
    picture, buffer = Image.new("RGB", (256, 256), "navy"), io.BytesIO()
    stamp(picture, mark_of(prompt, seed)).save(buffer, "PNG")
    found = fault_of(buffer.getvalue(), "mine", "**#1**\n> mine\n-# seed `7`", signed=True)
    assert (found is None) if fault is None else (found is not None and fault in found)


def test_bytes_that_are_no_picture_are_noticed() -> None:
    assert fault_of(b"nothing", "mine", "seed `7`", signed=False) is not None
