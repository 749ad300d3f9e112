"""The simulated people's side: the WebSocket of the page and of `SimulatedUser`, and their uploads."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from modules.demo.discord_server.frame_writer import FrameWriter
from modules.demo.discord_server.state.guilds import Channel, Guild
from modules.demo.discord_server.state.people import Payload, User


class Client(FrameWriter):
    """One open page or simulated user."""

    def __init__(self, user: User, socket: web.WebSocketResponse) -> None:
        super().__init__(socket)
        self.user = user

    def put_event(self, event: str, data: Any) -> None:
        self.put(f'{{"t":"{event}","d":{json.dumps(data)}}}')


FrameReader = Callable[[Client, str], None]


class Commands(Protocol):
    """What the bot offers to whom."""

    def visible(self, user_id: int, guild: Guild | None) -> list[Payload]: ...


class Community(Protocol):
    """Everyone and everything that a page may show."""

    bot: User
    users: dict[int, User]
    administrators: set[int]
    guilds: dict[int, Guild]
    dms: dict[int, Channel]

    @property
    def people(self) -> list[User]: ...

    @property
    def commands(self) -> Commands: ...


class Clients:
    """Who is connected, by user; an event's text is made once for all who get it."""

    def __init__(self, community: Community) -> None:
        self._community = community
        self._by_user: defaultdict[int, set[Client]] = defaultdict(set)
        self._people: tuple[int, str] = (-1, "")

    def tell(self, users: Iterable[int], event: str, data: Payload) -> None:
        frame = ""
        for user in users:
            for client in self._by_user.get(user, ()):
                frame = frame or f'{{"t":"{event}","d":{json.dumps(data)}}}'
                client.put(frame)

    def tell_commands(self, scope: int | None) -> None:
        """Everyone in the guild (or everywhere) gets the list of commands that they may use now."""
        for user, clients in self._by_user.items():
            guild = self.home(user)
            if clients and (scope is None or (guild is not None and guild.id == scope)):
                commands = self._community.commands.visible(user, guild)
                for client in clients:
                    client.put_event("COMMANDS", commands)

    def home(self, user_id: int) -> Guild | None:
        """The guild that a user's page shows: the first one that they are in."""
        return next((guild for guild in self._community.guilds.values() if user_id in guild.members), None)

    async def close(self) -> None:
        for clients in list(self._by_user.values()):
            for client in list(clients):
                await client.socket.close(code=1001)

    async def handle(self, request: web.Request, receive: FrameReader) -> web.StreamResponse:
        """`GET /client?user=ID`: without an id it is the first user; `brief=1` leaves out READY's users."""
        user = self.user_of(request)
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20, timeout=1.0)
        await socket.prepare(request)
        client = Client(user, socket)
        client.put(self._ready(user, brief="brief" in request.query))
        self._by_user[user.id].add(client)
        writer = asyncio.ensure_future(client.write())
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                receive(client, message.data)
        finally:
            self._by_user[user.id].discard(client)
            client.stop()
            await writer
        return socket

    def user_of(self, request: web.Request) -> User:
        wanted = request.query.get("user")
        people = self._community.people
        user = (
            people[0] if wanted is None else self._community.users.get(int(wanted) if wanted.isdigit() else 0)
        )
        if user is None:
            raise web.HTTPNotFound(text="No such user")
        return user

    def show(self, client: Client, guild: Guild | None) -> None:
        """Send READY once more, for another guild or after a change of members."""
        client.put(self._ready(client.user, brief=False, guild=guild))

    def _ready(self, user: User, *, brief: bool, guild: Guild | None = None) -> str:
        community = self._community
        guild = guild or self.home(user.id)
        channels: list[Payload] = []
        shown: Payload | None = None
        if guild is not None:
            shown = {**guild.payload(), "administrator": guild.is_administrator(user.id)}
            channels = [c.payload() for c in guild.channels.values() if user.id in guild.viewers(c)]
        dm = community.dms.get(user.id)
        if dm is not None:
            channels.append(dm.payload(viewer=user.id))
        ready = json.dumps(
            {
                "user": self._person(user),
                "bot": community.bot.payload(),
                "guild": shown,
                "channels": channels,
                "commands": community.commands.visible(user.id, guild),
                "locale": user.locale,
            }
        )
        people = "[]" if brief else self._people_text()
        return f'{{"t":"READY","d":{ready[:-1]},"users":{people}}}}}'

    def _person(self, user: User) -> Payload:
        return {**user.payload(), "administrator": user.id in self._community.administrators}

    def _people_text(self) -> str:
        """All users as JSON, made again only when there are more of them or one has another name."""
        people = self._community.people
        version = hash(tuple((user.id, user.name, user.global_name) for user in people))
        if self._people[0] != version:
            self._people = (version, json.dumps([self._person(user) for user in people]))
        return self._people[1]
