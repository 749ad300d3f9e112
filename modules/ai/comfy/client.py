"""One ComfyUI server's routes and those of the node pack, as methods with typed arguments and results."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import quote

import aiohttp

from modules.ai import node_pack as pack
from modules.ai.comfy.errors import ServerSilent, refusal, short
from modules.ai.comfy.http import ComfyHttp, Limits
from modules.ai.workflows.graph import JSON
from modules.queue_manager.errors import EngineUnavailable, NoOutput

_VIEWED = (200, 400, 403, 404, 500, 503)

State = Literal["pending", "running", "finished", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRef:
    """A file on the server, as ``/view`` asks for it and node outputs name it."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptState:
    """Where a prompt stands: ``graph`` as the server keeps it, ``client_id`` of the socket that gets its
    events, ``outputs`` and ``status`` from the history. All of them unchecked."""

    state: State
    graph: JSON = None
    client_id: JSON = None
    outputs: JSON = None
    status: JSON = None


class ComfyClient:
    """Talks to the server at ``url`` over a shared session, which must not store cookies.

    ``api_key`` is sent as HTTP Basic if it has a colon, else as Bearer. Raises ValueError for an invalid URL.
    Every method raises `EngineUnavailable` (or a subclass) if the server cannot be used.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        url: str,
        api_key: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.http = ComfyHttp(session=session, url=url, api_key=api_key, limits=limits or Limits())
        self.name = self.http.name

    async def submit(
        self,
        graph: Mapping[str, JSON],
        *,
        prompt_id: str,
        client_id: str,
        titles: Mapping[str, str] | None = None,
        written: Sequence[str] = (),
        extra: Mapping[str, JSON] | None = None,
    ) -> None:
        """Queue a graph under our own id. Raises `WorkflowRejected`, which repeats nothing of ``written``, or
        `ServerSilent` if it may be queued.

        The server runs an id twice if it gets it twice. ComfyUI answers 200 even if one of several outputs is
        invalid; our graphs have one output, so any fault is a refusal.
        """
        extra_data = dict(extra or {})
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id, "extra_data": extra_data}
        answer = await self.http.ask(
            "POST", "/prompt", seconds=self.http.limits.submit, body=body, accept=(200, 400)
        )
        told = await self.http.json(answer)
        faulty = isinstance(told, dict) and told.get("node_errors")
        if answer.status == 400 or faulty:
            error = refusal(told, titles or {}, written)
            if answer.status == 200:
                await self.dequeue(prompt_id)
            raise error
        if not isinstance(told, dict) or told.get("prompt_id") != prompt_id:
            raise EngineUnavailable(f"{self.name} answered a prompt with something other than its id")

    async def reach(self) -> None:
        """Raise `Unreachable` if no connection to the server can be made."""
        await self.http.reachability.check()

    async def look_up(self, prompt_id: str) -> PromptState:
        """Where a prompt stands, by the history, then the queue, then the history again: it may end between
        the two."""
        for look in (self._history, self._queued, self._history):
            if (found := await look(prompt_id)) is not None:
                return found
        return PromptState(state="unknown")

    async def _history(self, prompt_id: str) -> PromptState | None:
        told = await self._object("/history", quote(prompt_id), most=self.http.limits.history_bytes)
        entry = told.get(prompt_id)
        if not isinstance(entry, dict):
            return None
        return PromptState(
            state="finished",
            graph=_part(entry.get("prompt"), 2),
            outputs=entry.get("outputs"),
            status=entry.get("status"),
        )

    async def _queued(self, prompt_id: str) -> PromptState | None:
        told = await self._object("/queue", most=self.http.limits.history_bytes)
        names: tuple[tuple[str, State], ...] = (("queue_running", "running"), ("queue_pending", "pending"))
        for name, state in names:
            items = told.get(name)
            for item in items if isinstance(items, list) else ():
                if isinstance(item, list) and len(item) > 2 and item[1] == prompt_id:
                    extra = _part(item, 3)
                    client_id = extra.get("client_id") if isinstance(extra, dict) else None
                    return PromptState(state=state, graph=_part(item, 2), client_id=client_id)
        return None

    async def queue_length(self) -> int:
        """How many prompts run or wait at the server, anybody's."""
        told = await self._object("/queue", most=self.http.limits.history_bytes)
        lists = (told.get(name) for name in ("queue_running", "queue_pending"))
        return sum(len(items) for items in lists if isinstance(items, list))

    async def dequeue(self, prompt_id: str) -> None:
        """Take a waiting prompt out of the queue; one that runs goes on."""
        await self.http.ask("POST", "/queue", body={"delete": [prompt_id]})

    async def interrupt(self, prompt_id: str) -> None:
        """Stop the prompt at its next step if it runs. Without an id this would stop anybody's prompt."""
        await self.http.ask("POST", "/interrupt", body={"prompt_id": prompt_id})

    async def upload(self, data: bytes, filename: str, folder: str) -> str:
        """Upload a picture and return the name under which graphs can load it (``folder/name``)."""
        form = aiohttp.FormData()
        form.add_field("image", data, filename=filename, content_type="application/octet-stream")
        form.add_field("subfolder", folder)
        form.add_field("type", "input")
        answer = await self.http.ask("POST", "/upload/image", seconds=self.http.limits.upload, form=form)
        told = await self.http.json(answer)
        name, sub = (told.get("name"), told.get("subfolder")) if isinstance(told, dict) else (None, None)
        if not isinstance(name, str) or not name or not isinstance(sub, str):
            raise EngineUnavailable(f"{self.name} accepted an upload but did not say its file name")
        return f"{sub}/{name}" if sub else name

    async def view(self, ref: ImageRef) -> bytes:
        """The bytes of a file. Raises `NoOutput` if it is not there."""
        return await self._picture("/view", asdict(ref))

    async def has(self, ref: ImageRef) -> bool:
        """Whether a file is there; True as well if the server does not say."""
        accept = (*_VIEWED, 405, 501)
        answer = await self.http.ask("HEAD", "/view", query=asdict(ref), most=sys.maxsize, accept=accept)
        return answer.status not in (400, 403, 404)

    async def kept_picture(self, key: str) -> bytes:
        """The bytes of a picture that the node pack keeps. Raises `NoOutput` if it does not know the key."""
        return await self._picture(pack.PICTURE_ROUTE + quote(key), {})

    async def _picture(self, path: str, query: Mapping[str, str]) -> bytes:
        answer = await self.http.ask(
            "GET", path, query=query, seconds=self.http.limits.picture, most=self.http.limits.picture_bytes,
            accept=_VIEWED,
        )  # fmt: skip
        if answer.status == 503:
            raise ServerSilent(f"{self.name} is still encoding the picture")
        if answer.status != 200:
            raise NoOutput(f"the picture is not there (the server answered {answer.status})")
        return answer.body

    async def system_stats(self) -> Mapping[str, JSON]:
        return await self._object("/system_stats")

    async def object_info(self, class_type: str) -> Mapping[str, JSON] | None:
        """The server's description of one node class, None if it does not have it."""
        told = await self._object("/object_info", quote(class_type, safe=""))
        entry = told.get(class_type)
        return entry if isinstance(entry, dict) else None

    async def node_table(self) -> Mapping[str, JSON]:
        """What the server says about all its node classes: megabytes."""
        limits = self.http.limits
        answer = await self.http.ask("GET", "/object_info", seconds=limits.table, most=limits.table_bytes)
        told = await self.http.json(answer)
        return told if isinstance(told, dict) else {}

    async def models(self, folder: str) -> list[str]:
        """The model files in one of the server's folders; none if there is no such folder."""
        answer = await self.http.ask("GET", f"/models/{quote(folder, safe='')}", accept=(200, 404))
        told = await self.http.json(answer) if answer.status == 200 else []
        return [name for name in told if isinstance(name, str)] if isinstance(told, list) else []

    async def pack_version(self) -> str | None:
        """The version of the node pack, None if it is not there."""
        answer = await self.http.ask("GET", pack.VERSION_ROUTE, accept=(200, 404, 405))
        if answer.status != 200:
            return None
        told = await self.http.json(answer)
        version = told.get("version") if isinstance(told, dict) else None
        return short(version)[:40] if isinstance(version, str) else "unknown"

    async def _object(self, route: str, of: str = "", *, most: int | None = None) -> Mapping[str, JSON]:
        path = f"{route}/{of}" if of else route
        told = await self.http.json(await self.http.ask("GET", path, most=most))
        if not isinstance(told, dict):
            raise EngineUnavailable(f"{self.name} answered {route} with something other than an object")
        return told


def _part(item: JSON, index: int) -> JSON:
    # (number, prompt id, graph, extra data, outputs, …)
    return item[index] if isinstance(item, list) and len(item) > index else None
