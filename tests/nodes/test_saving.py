"""SaveImageBatch and its routes: each picture under its own key, over a real socket."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

torch = pytest.importorskip("torch")
web = pytest.importorskip("aiohttp.web")

from aiohttp.test_utils import TestClient, TestServer  # noqa: E402
from fullet_nodes import saving  # noqa: E402
from fullet_nodes.inputs import Refused  # noqa: E402
from PIL import Image  # noqa: E402

KEYS = [f"{n:032x}" for n in range(1, 4)]


@pytest_asyncio.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Of a server with the pack's routes."""
    monkeypatch.setattr(
        sys.modules["folder_paths"], "get_temp_directory", lambda: str(tmp_path), raising=False
    )
    saving.store.cache_clear()
    routes, app = web.RouteTableDef(), web.Application()
    saving.add_routes(routes, ["SaveImageBatch"])
    app.add_routes(routes)
    async with TestClient(TestServer(app)) as opened:
        yield opened
    saving.store().close()
    saving.store.cache_clear()


def save(images: torch.Tensor, keys: list[str], kind: str = "png") -> dict[str, Any]:
    return saving.SaveImageBatch().save(images, json.dumps(keys), kind, 90, 0)


def pictures() -> torch.Tensor:
    """Red, green and blue."""
    return torch.eye(3)[:, None, None, :].expand(3, 8, 6, 3)


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
async def test_each_person_fetches_their_own_picture(client: Any, kind: str) -> None:
    told = save(pictures(), KEYS, kind)
    assert told["ui"]["fullet"] == [{"key": key, "url": f"/fullet/pictures/{key}"} for key in KEYS]
    for row, entry in enumerate(told["ui"]["fullet"]):
        answer = await client.get(entry["url"])
        assert (answer.status, answer.content_type) == (200, f"image/{kind}")
        assert answer.headers["Cache-Control"] == "no-store"
        with Image.open(io.BytesIO(await answer.read())) as picture:
            colour = picture.convert("RGB").getpixel((3, 3))
        assert colour.index(max(colour)) == row


async def test_a_deleted_picture_and_one_that_never_was_are_not_found(client: Any) -> None:
    save(pictures(), KEYS)
    assert (await client.delete(f"/fullet/pictures/{KEYS[0]}")).status == 204
    for key in (KEYS[0], "f" * 32, "no-key", "..%2f..%2fetc%2fpasswd"):
        assert (await client.get(f"/fullet/pictures/{key}")).status == 404
        assert (await client.delete(f"/fullet/pictures/{key}")).status == 404
    assert (await client.get(f"/fullet/pictures/{KEYS[1]}")).status == 200


async def test_a_picture_that_is_still_encoded_is_to_be_asked_for_again(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(saving, "encode", lambda *_: b"at last" if go.wait(10) else b"")
    monkeypatch.setattr(saving, "WAIT_SECONDS", 0.01)
    save(pictures()[:1], KEYS[:1])
    waiting = await client.get(f"/fullet/pictures/{KEYS[0]}")
    assert (waiting.status, waiting.headers["Retry-After"]) == (503, "5")
    go.set()
    monkeypatch.setattr(saving, "WAIT_SECONDS", 10)
    assert await (await client.get(f"/fullet/pictures/{KEYS[0]}")).read() == b"at last"


async def test_a_picture_that_cannot_be_encoded_says_so(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> bytes:
        raise ValueError("no picture")

    monkeypatch.setattr(saving, "encode", fails)
    save(pictures()[:1], KEYS[:1])
    answer = await client.get(f"/fullet/pictures/{KEYS[0]}")
    assert answer.status == 500
    assert "could not be encoded" in (await answer.json())["error"]


def test_as_many_keys_as_pictures() -> None:
    with pytest.raises(Refused, match="SaveImageBatch: input keys: 2 keys for 3 pictures"):
        save(pictures(), KEYS[:2])


async def test_the_pack_tells_its_version_and_nodes(client: Any) -> None:
    told = await (await client.get("/fullet/version")).json()
    assert told == {"version": saving.VERSION, "nodes": ["SaveImageBatch"]}
