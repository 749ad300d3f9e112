"""Simulated people for the demo, tests and benchmarks: they see, type and click as in Discord's client."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from yarl import URL

from modules.demo.invocation import Invocation, InvocationFailed
from modules.queue_manager.backports import timeout as time_limit

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "File",
    "Invocation",
    "InvocationFailed",
    "SimulatedUser",
    "components_of",
    "files_of",
    "is_ephemeral",
    "text_of",
]

Payload = dict[str, Any]
T = TypeVar("T")

CHAT_INPUT, MESSAGE_MENU = 1, 3
EPHEMERAL = 1 << 6
CONNECT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that a person attaches."""

    filename: str
    data: bytes


def is_ephemeral(message: Payload) -> bool:
    return bool(message["flags"] & EPHEMERAL)


def components_of(message: Payload) -> Iterator[Payload]:
    """Each component of a message or modal, however deep."""
    stack: list[Payload] = list(reversed(message.get("components") or []))
    while stack:
        component = stack.pop()
        yield component
        stack += reversed(component.get("components") or [])
        stack += [component[key] for key in ("component", "accessory") if component.get(key)]


def text_of(message: Payload) -> str:
    """All that a message says, in its order."""
    parts = (str(component["content"]) for component in components_of(message) if "content" in component)
    return "\n".join([message["content"], *parts] if message.get("content") else parts)


def files_of(message: Payload) -> list[Payload]:
    """The files of a message, those that its layout shows among them: `filename`, `url`, `description`."""
    shown = [item for component in components_of(message) for item in component.get("items") or []]
    laid_out = [
        {**item["media"], "filename": URL(item["media"]["url"]).name, "description": item["description"]}
        for item in shown
    ]
    return [*message["attachments"], *laid_out]


class SimulatedUser:
    """One person's client over the embedded Discord's WebSocket; works across processes.

    `user = await SimulatedUser.connect(server.url, user_id)`, or with `async with`.
    """

    def __init__(self, base_url: str, session: aiohttp.ClientSession, *, owns_session: bool) -> None:
        self._base = base_url.rstrip("/")
        self._session = session
        self._owns_session = owns_session
        self._nonces = itertools.count(1)
        self._invocations: dict[str, Invocation] = {}
        self._choices: dict[str, Payload] = {}
        self._waiters: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._messages: dict[str, dict[str, Payload]] = {}
        self._channel_of: dict[str, str] = {}
        self._histories: list[Payload] = []
        self._socket: aiohttp.ClientWebSocketResponse[bool] | None = None
        self._reader: asyncio.Task[None] | None = None
        self.user: Payload = {}
        self.bot: Payload = {}
        self.users: list[Payload] = []
        self.guild: Payload = {}
        self.channels: dict[str, Payload] = {}
        self.commands: list[Payload] = []
        self.errors: list[str] = []
        self.events: list[tuple[str, Any]] = []
        self.keep_events = False

    @classmethod
    async def connect(
        cls,
        base_url: str,
        user_id: int | str | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
        brief: bool = True,
    ) -> Self:
        """Open the client; READY has been read when this returns. `brief` leaves out the other users."""
        owned = session is None
        session = session or aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CONNECT_SECONDS), connector=aiohttp.TCPConnector(limit=0)
        )
        user = cls(base_url, session, owns_session=owned)
        query = {"user": str(user_id)} if user_id is not None else {}
        if brief:
            query["brief"] = "1"
        try:
            async with time_limit(CONNECT_SECONDS):
                url = f"{user._base}/client"
                socket: aiohttp.ClientWebSocketResponse[bool] = await session.ws_connect(
                    url, params=query, max_msg_size=0
                )
            user._socket = socket
            user._reader = asyncio.ensure_future(user._read(socket))
            await user.until(lambda: user.user, CONNECT_SECONDS)
        except BaseException:
            await user.aclose()
            raise
        return user

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader
        if self._owns_session:
            await self._session.close()

    # -- what this person sees -----------------------------------------------------------------------------
    @property
    def id(self) -> int:
        return int(self.user["id"])

    def channel(self, name: str) -> Payload | None:
        """A visible channel by name."""
        return next((c for c in self.channels.values() if c.get("name") == name), None)

    def messages(self, channel: int | str) -> list[Payload]:
        """What this person has seen in a channel, oldest first, ephemeral messages included."""
        return list(self._messages.get(str(channel), {}).values())

    def all_messages(self) -> list[Payload]:
        return [message for channel in self._messages for message in self.messages(channel)]

    def message(self, message_id: int | str) -> Payload | None:
        channel = self._channel_of.get(str(message_id))
        return self._messages[channel].get(str(message_id)) if channel else None

    async def until(self, condition: Callable[[], T | None], timeout: float = 30.0) -> T:
        """The condition's value as soon as it is true; it is checked again after each event."""
        value = condition()
        if value:
            return value
        if self._reader is None or self._reader.done():
            raise ConnectionError("this client is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiters.append(entry)
        try:
            async with time_limit(timeout):
                return await future
        finally:
            if entry in self._waiters:
                self._waiters.remove(entry)

    async def wait_for_message(
        self,
        predicate: Callable[[Payload], Any],
        timeout: float = 30.0,
        *,
        channel: int | str | None = None,
    ) -> Payload:
        """The first message, already seen or still to come, for which the predicate is true."""

        def find() -> Payload | None:
            places = list(self._messages) if channel is None else [str(channel)]
            seen = (message for place in places for message in self.messages(place))
            return next((message for message in seen if predicate(message)), None)

        return await self.until(find, timeout)

    async def wait_for_channel(self, predicate: Callable[[Payload], Any], timeout: float = 30.0) -> Payload:
        """The first visible channel of which the predicate is true."""
        return await self.until(
            lambda: next((c for c in self.channels.values() if predicate(c)), None), timeout
        )

    async def history(
        self,
        channel: int | str,
        *,
        before: int | str | None = None,
        limit: int = 50,
        timeout: float = 30.0,
    ) -> list[Payload]:
        """Stored messages, oldest first; they count as seen from then on."""
        seen = len(self._histories)
        frame: Payload = {"op": "history", "channel_id": str(channel), "limit": limit}
        if before is not None:
            frame["before"] = str(before)
        await self._send(frame)
        found = await self.until(
            lambda: next((h for h in self._histories[seen:] if h["channel_id"] == str(channel)), None),
            timeout,
        )
        messages: list[Payload] = found["messages"]
        return messages

    async def download(self, url: str) -> bytes:
        """An attachment's bytes; raises aiohttp.ClientResponseError once the address has expired."""
        async with self._session.get(url) as response:
            response.raise_for_status()
            return await response.read()

    # -- what this person does -----------------------------------------------------------------------------
    async def command(self, name: str, channel: int | str, **options: Any) -> Invocation:
        """A slash command; "admin sync" is a subcommand. Files are `File`s or (filename, bytes)."""
        root, *path = name.split()
        frame: Payload = {"op": "command", "channel_id": str(channel), "name": root, "type": CHAT_INPUT}
        frame["options"] = await self._options(self._command(root), path, options)
        return await self._invoke(frame)

    async def context(self, name: str, channel: int | str, target: Payload | int | str) -> Invocation:
        """A context-menu command on a message or a user (an object or an id)."""
        kind = next((c["type"] for c in self.commands if c["name"] == name and c["type"] != 1), MESSAGE_MENU)
        target_id = str(target["id"] if isinstance(target, Mapping) else target)
        frame = {"op": "command", "channel_id": str(channel), "name": name, "type": kind}
        return await self._invoke({**frame, "options": [], "target_id": target_id})

    async def autocomplete(
        self, name: str, channel: int | str, focused: str, *, timeout: float = 30.0, **typed: Any
    ) -> list[Payload]:
        """The choices offered for the option `focused`, given what is typed so far."""
        root, *path = name.split()
        options = await self._options(self._command(root), path, {focused: "", **typed}, focused=focused)
        nonce = self._nonce()
        frame = {"op": "autocomplete", "nonce": nonce, "channel_id": str(channel), "name": root}
        await self._send({**frame, "options": options})
        told = await self.until(lambda: self._choices.get(nonce), timeout)
        del self._choices[nonce]
        if "error" in told:
            raise InvocationFailed(told["error"])
        choices: list[Payload] = told["choices"]
        return choices

    async def click(
        self,
        message: Payload,
        button: str,
        *,
        values: Sequence[str | int] | None = None,
    ) -> Invocation:
        """Press the button, or choose in the select, with this custom_id or label (or the placeholder)."""
        component = self.find_component(message, button)
        if component is None:
            raise LookupError(f"no component {button!r} in message {message['id']}")
        frame: Payload = {
            "op": "component",
            "channel_id": message["channel_id"],
            "message_id": message["id"],
            "custom_id": component["custom_id"],
            "component_type": component["type"],
        }
        if values is not None:
            frame["values"] = [str(value) for value in values]
        return await self._invoke(frame)

    @staticmethod
    def find_component(message: Payload, name: str) -> Payload | None:
        """By custom_id, label or placeholder; the current state of the message counts."""
        for component in components_of(message):
            if name in (component.get("custom_id"), component.get("label"), component.get("placeholder")):
                return component
        return None

    async def submit_modal(
        self, modal: Payload, values: Mapping[str, Any] | None = None, **named: Any
    ) -> Invocation:
        """Send an open modal; values by custom_id or label, fields not named keep what is filled in."""
        values = {**(values or {}), **named}
        filled: dict[str, Any] = {}
        for component in components_of(modal):
            inner = component.get("component") or component
            if "custom_id" not in inner:
                continue
            for name in (inner["custom_id"], component.get("label")):
                if name in values:
                    filled[inner["custom_id"]] = values[name]
        return await self._invoke({"op": "modal", "custom_id": modal["custom_id"], "components": filled})

    async def say(
        self, channel: int | str, content: str, *files: File, embeds: Sequence[Payload] = ()
    ) -> None:
        """``embeds``: what Discord makes of a link, or what another bot writes; an address
        ``attachment://name`` stands for one of the files."""
        ids = [(await self.upload(file))["id"] for file in files]
        frame = {"op": "message", "channel_id": str(channel), "content": content, "attachments": ids}
        await self._send({**frame, "embeds": list(embeds)} if embeds else frame)

    async def forward(self, message: Payload, channel: int | str) -> None:
        """Put a message that this person sees into another channel."""
        frame = {"op": "forward", "channel_id": message["channel_id"], "message_id": message["id"]}
        await self._send({**frame, "to": str(channel)})

    async def delete(self, message: Payload) -> None:
        frame = {"op": "delete", "channel_id": message["channel_id"], "message_id": message["id"]}
        await self._send(frame)

    async def set_locale(self, locale: str) -> None:
        """The language of this person's client, for the interactions to come."""
        await self._send({"op": "locale", "locale": locale})

    async def upload(self, file: File) -> Payload:
        """Put a file on the server; raises aiohttp.ClientResponseError if it is too large."""
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(file.data), filename=file.filename)
        url = f"{self._base}/client/upload"
        async with self._session.post(url, params={"user": str(self.id)}, data=form) as response:
            response.raise_for_status()
            uploaded: Payload = await response.json()
            return uploaded

    # -- inside --------------------------------------------------------------------------------------------
    def _nonce(self) -> str:
        return f"{self.id}-{next(self._nonces)}"

    def _command(self, name: str) -> Payload:
        found = (c for c in self.commands if c["name"] == name and c["type"] == CHAT_INPUT)
        return next(found, {"name": name, "options": []})

    async def _options(
        self, defined: Payload, path: Sequence[str], options: Mapping[str, Any], *, focused: str | None = None
    ) -> list[Payload]:
        """Discord's `options`, nested for subcommands; what the command does not define is sent as text."""
        known = {option["name"]: option for option in defined.get("options") or []}
        if path:
            inner = known.get(path[0], {"name": path[0], "type": 1})
            nested = await self._options(inner, path[1:], options, focused=focused)
            return [{"name": path[0], "type": inner["type"], "options": nested}]
        result: list[Payload] = []
        for name, value in options.items():
            kind = known.get(name, {}).get("type", 3)
            shown: Payload = {"name": name, "type": kind, "value": await self._option_value(value)}
            if name == focused:
                shown["focused"] = True
            result.append(shown)
        return result

    async def _option_value(self, value: Any) -> Any:
        if isinstance(value, tuple):
            value = File(filename=value[0], data=value[1])
        return (await self.upload(value))["id"] if isinstance(value, File) else value

    async def _invoke(self, frame: Payload) -> Invocation:
        nonce = self._nonce()
        invocation = self._invocations[nonce] = Invocation(self, nonce)
        await self._send({**frame, "nonce": nonce})
        return invocation

    async def _send(self, frame: Payload) -> None:
        if self._socket is None:
            raise ConnectionError("this client is not connected")
        await self._socket.send_str(json.dumps(frame))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        async for frame in socket:
            if frame.type is aiohttp.WSMsgType.TEXT:
                event = json.loads(frame.data)
                self._take(event["t"], event["d"])
                self._ask_waiters()
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(ConnectionError("the server closed the connection"))

    def _ask_waiters(self) -> None:
        for entry in list(self._waiters):
            condition, future = entry
            if future.done():
                continue
            try:
                value = condition()
            except Exception as error:  # noqa: BLE001 - it belongs to the one who waits
                future.set_exception(error)
            else:
                if value:
                    future.set_result(value)

    def _take(self, kind: str, data: Any) -> None:
        if self.keep_events:
            self.events.append((kind, data))
        if kind in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            self._see(data)
        elif kind == "MESSAGE_DELETE":
            self._messages.get(data["channel_id"], {}).pop(data["id"], None)
            self._channel_of.pop(data["id"], None)
        elif kind == "INTERACTION":
            invocation = self._invocations.get(data["nonce"])
            if invocation is not None:
                invocation.update(data)
        elif kind == "AUTOCOMPLETE":
            self._choices[data["nonce"]] = data
        elif kind == "HISTORY":
            for message in data["messages"]:
                self._see(message)
            self._histories.append(data)
        elif kind == "ERROR":
            self.errors.append(data["message"])
        else:
            self._take_place(kind, data)

    def _take_place(self, kind: str, data: Any) -> None:
        if kind in ("CHANNEL_CREATE", "CHANNEL_UPDATE"):
            self.channels[data["id"]] = data
        elif kind == "CHANNEL_DELETE":
            self.channels.pop(data["id"], None)
        elif kind == "COMMANDS":
            self.commands = data
        elif kind == "READY":
            self._start(data)

    def _start(self, data: Payload) -> None:
        self.user, self.bot, self.guild = data["user"], data["bot"], data["guild"] or {}
        self.users = data["users"] or self.users
        self.channels = {channel["id"]: channel for channel in data["channels"]}
        self.commands = data["commands"]

    def _see(self, message: Payload) -> None:
        self._messages.setdefault(message["channel_id"], {})[message["id"]] = message
        self._channel_of[message["id"]] = message["channel_id"]
