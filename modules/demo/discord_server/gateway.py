"""The gateway: HELLO, IDENTIFY, heartbeats, events by intent, RESUME with replay (Discord docs, Gateway)."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from modules.demo.discord_server.frame_writer import FrameWriter
from modules.demo.discord_server.state.clock import ServerClock
from modules.demo.discord_server.state.guilds import Channel, Guild
from modules.demo.discord_server.state.people import Payload, User
from modules.demo.discord_server.state.permissions import VIEW_CHANNEL
from modules.demo.discord_server.state.world import BotSpec

log = logging.getLogger(__name__)

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE_STATE, RESUME, RECONNECT = 0, 1, 2, 3, 4, 6, 7
REQUEST_MEMBERS, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 8, 9, 10, 11

GUILDS, GUILD_MEMBERS, GUILD_MODERATION, GUILD_PRESENCES = 1 << 0, 1 << 1, 1 << 2, 1 << 8
GUILD_MESSAGES, GUILD_TYPING, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 9, 1 << 11, 1 << 12, 1 << 15
ALWAYS = 0
KNOWN_INTENTS = (1 << 26) - 1

UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED, AUTHENTICATION_FAILED = 4001, 4002, 4003, 4004
ALREADY_AUTHENTICATED, INVALID_SEQ, RATE_LIMITED, SESSION_TIMED_OUT = 4005, 4007, 4008, 4009
INVALID_INTENTS, DISALLOWED_INTENTS = 4013, 4014
"""Close codes (Discord docs, Opcodes and Status Codes)."""

HEARTBEAT_SECONDS = 41.25
ACK_SECONDS = 0.02
"""No network is quicker. discord.py notes the time of a heartbeat only once it is sent, in another thread: an
earlier answer would count as one to the previous heartbeat, "41 s behind"."""
REPLAY_LENGTH = 5000
SESSION_SECONDS = 300.0
"""For how long a dropped session can be resumed (community; the documentation gives no number)."""
EVENTS_PER_MINUTE = 120


class Session:
    """What a client is told, numbered; it outlives its socket so that it can be resumed."""

    def __init__(self, intents: int) -> None:
        self.id = secrets.token_hex(16)
        self.intents = intents
        self.sequence = 0
        self.sent: deque[tuple[int, str]] = deque(maxlen=REPLAY_LENGTH)
        self.connection: Connection | None = None
        self.dropped_at: float | None = None

    def dispatch(self, event: str, data: str) -> None:
        """`data` is the event's JSON text, made once for all sessions."""
        self.sequence += 1
        frame = f'{{"op":0,"t":"{event}","s":{self.sequence},"d":{data}}}'
        self.sent.append((self.sequence, frame))
        if self.connection is not None:
            self.connection.put(frame)

    def missed_since(self, sequence: int) -> list[str] | None:
        """The frames after `sequence`; None if they are no longer kept or were never sent."""
        if sequence > self.sequence or (self.sent and sequence < self.sent[0][0] - 1):
            return None
        return [frame for number, frame in self.sent if number > sequence]


class Connection(FrameWriter):
    """One socket of the bot."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        super().__init__(socket)
        self.session: Session | None = None
        self.ended_by_client = False
        """Closed with 1000 or 1001: the session is over (Gateway, Initiating a Disconnect)."""
        self.received: deque[float] = deque(maxlen=EVENTS_PER_MINUTE)

    def put_op(self, op: int, data: Any) -> None:
        self.put(json.dumps({"op": op, "d": data, "s": None, "t": None}))


class Home(Protocol):
    """Whom the gateway serves: one bot, in the guilds that it may hear of."""

    clock: ServerClock
    bot_spec: BotSpec
    bot: User
    guilds: dict[int, Guild]

    @property
    def gateway_url(self) -> str: ...


class Gateway:
    """All sessions of the bot. Several may be connected at once, and each hears everything, as at Discord."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()
        self.counters: Counter[str] = Counter()
        self.heartbeat_seconds = HEARTBEAT_SECONDS
        self.guild_delay = 0.0
        """Server seconds between READY and its GUILD_CREATEs, at each IDENTIFY."""

    @property
    def connected(self) -> bool:
        return any(session.connection is not None for session in self.sessions.values())

    def dispatch(
        self,
        event: str,
        data: Payload,
        *,
        intents: int,
        channel: Channel | None = None,
        redacted: Payload | None = None,
    ) -> None:
        """Tell every session that asked for one of `intents` (0: everyone).

        With `channel` only if the bot sees it; `redacted` is what sessions without MESSAGE_CONTENT get.
        """
        if channel is not None and not self._sees(channel):
            return
        self._drop_expired()
        texts: dict[bool, str] = {}
        for session in self.sessions.values():
            if intents and not session.intents & intents:
                continue
            full = redacted is None or bool(session.intents & MESSAGE_CONTENT)
            if full not in texts:
                texts[full] = json.dumps(data if full else redacted)
            session.dispatch(event, texts[full])

    async def drop(self, *, resumable: bool = True, code: int = 4000) -> None:
        """Close every socket; with `resumable=False` their sessions are forgotten too."""
        for connection in list(self.connections):
            if not resumable and connection.session is not None:
                self.sessions.pop(connection.session.id, None)
            await connection.socket.close(code=code)

    def ask_to_reconnect(self) -> None:
        """Opcode 7: the client should reconnect and resume."""
        for connection in self.connections:
            connection.put_op(RECONNECT, None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20, timeout=1.0)
        await socket.prepare(request)
        connection = Connection(socket)
        self.connections.add(connection)
        writer = asyncio.ensure_future(connection.write())
        connection.put_op(HELLO, {"heartbeat_interval": int(self.heartbeat_seconds * 1000)})
        try:
            await self._read(connection)
        finally:
            self._detach(connection)
            connection.stop()
            await writer
        return socket

    async def _read(self, connection: Connection) -> None:
        socket = connection.socket
        while True:
            try:
                message = await socket.receive(timeout=self.heartbeat_seconds * 2)
            except asyncio.TimeoutError:
                await socket.close(code=SESSION_TIMED_OUT)
                return
            if message.type is not WSMsgType.TEXT:
                connection.ended_by_client = message.type is WSMsgType.CLOSE and message.data in (1000, 1001)
                return
            code = self._receive(connection, message.data)
            if code is not None:
                self.counters[f"close {code}"] += 1
                await socket.close(code=code)
                return

    def _receive(self, connection: Connection, text: str) -> int | None:
        """Handle one frame; the code to close with if it breaks a rule."""
        now = self._home.clock.now()
        if len(connection.received) == EVENTS_PER_MINUTE and now - connection.received[0] < 60.0:
            return RATE_LIMITED
        connection.received.append(now)
        try:
            frame = json.loads(text)
            return self._handle(connection, frame["op"], frame.get("d"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return DECODE_ERROR

    def _handle(self, connection: Connection, op: Any, data: Any) -> int | None:
        if op == HEARTBEAT:
            asyncio.get_running_loop().call_later(ACK_SECONDS, connection.put_op, HEARTBEAT_ACK, None)
            return None
        handlers: dict[int, Callable[[Connection, Any], int | None]] = {
            IDENTIFY: self._identify,
            RESUME: self._resume,
            REQUEST_MEMBERS: self._request_members,
            PRESENCE: lambda _connection, _data: None,
            VOICE_STATE: lambda _connection, _data: None,
        }
        if op not in handlers:
            return UNKNOWN_OPCODE
        if connection.session is None and op not in (IDENTIFY, RESUME):
            return NOT_AUTHENTICATED
        return handlers[op](connection, data)

    def _identify(self, connection: Connection, data: Any) -> int | None:
        if connection.session is not None:
            return ALREADY_AUTHENTICATED
        bot = self._home.bot_spec
        if data.get("token") != bot.token:
            return AUTHENTICATION_FAILED
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~KNOWN_INTENTS:
            return INVALID_INTENTS
        switches = {
            GUILD_MEMBERS: bot.members_intent,
            GUILD_PRESENCES: bot.presences_intent,
            MESSAGE_CONTENT: bot.message_content_intent,
        }
        if any(intents & intent and not allowed for intent, allowed in switches.items()):
            return DISALLOWED_INTENTS
        session = Session(intents)
        self.sessions[session.id] = session
        self._attach(connection, session)
        self.counters["identify"] += 1
        self._say_hello(session)
        return None

    def _say_hello(self, session: Session) -> None:
        """READY with unavailable guilds, then, after `guild_delay`, a GUILD_CREATE for each.

        Gateway Events, Ready; Guild Create: the guilds of READY are loaded lazily, after it.
        """
        home = self._home
        guilds = [guild for guild in home.guilds.values() if guild.has_bot]
        ready = {
            "v": 10,
            "user": {**home.bot.payload(), "verified": True, "mfa_enabled": False, "email": None, "flags": 0},
            "user_settings": {},
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "private_channels": [],
            "relationships": [],
            "presences": [],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": home.gateway_url,
            "shard": [0, 1],
            "application": {"id": str(home.bot.id), "flags": 0},
        }
        session.dispatch("READY", json.dumps(ready))
        if session.intents & GUILDS:
            for guild in guilds:
                show = partial(self._show_guild, session, guild)
                if self.guild_delay:
                    home.clock.call_at(home.clock.now() + self.guild_delay, show)
                else:
                    show()

    def _show_guild(self, session: Session, guild: Guild) -> None:
        """The guild becomes available, unless the bot has left it meanwhile."""
        if guild.has_bot:
            session.dispatch("GUILD_CREATE", json.dumps(self.guild_create(guild, session.intents)))

    def guild_create(self, guild: Guild, intents: int, *, joined: bool = False) -> Payload:
        """Members beyond the bot come only with GUILD_PRESENCES (Gateway Events, Guild Create)."""
        bot_member = guild.members[self._home.bot.id]
        members = list(guild.members.values()) if intents & GUILD_PRESENCES else [bot_member]
        return guild.gateway_payload(members, joined=joined)

    def announce_guild(self, guild: Guild) -> None:
        """The bot has joined a guild."""
        for session in self.sessions.values():
            if session.intents & GUILDS:
                text = json.dumps(self.guild_create(guild, session.intents, joined=True))
                session.dispatch("GUILD_CREATE", text)

    def _resume(self, connection: Connection, data: Any) -> int | None:
        if data.get("token") != self._home.bot_spec.token:
            return AUTHENTICATION_FAILED
        self._drop_expired()
        session = self.sessions.get(str(data.get("session_id")))
        sequence = data.get("seq")
        if session is None:
            connection.put_op(INVALID_SESSION, False)
            self.counters["invalid session"] += 1
            return None
        missed = session.missed_since(sequence) if isinstance(sequence, int) else None
        if missed is None:
            del self.sessions[session.id]
            return INVALID_SEQ
        self.counters["resume"] += 1
        for frame in missed:
            connection.put(frame)
        self._attach(connection, session)
        session.dispatch("RESUMED", "{}")
        return None

    def _request_members(self, connection: Connection, data: Any) -> int | None:
        """GUILD_MEMBERS_CHUNK in pieces of 1000; all of them only with the members intent."""
        session = connection.session
        guild = self._home.guilds.get(int(data["guild_id"]))
        if session is None or guild is None or not guild.has_bot:
            return None
        query, wanted, limit = data.get("query"), data.get("user_ids"), int(data.get("limit") or 0)
        members = list(guild.members.values())
        if wanted is not None:
            ids = {int(each) for each in (wanted if isinstance(wanted, list) else [wanted])}
            members = [member for member in members if member.user.id in ids]
        elif query or limit:
            lowered = str(query or "").lower()
            members = [m for m in members if m.user.name.lower().startswith(lowered)][: limit or 100]
        elif not session.intents & GUILD_MEMBERS:
            return DISALLOWED_INTENTS
        pieces = [members[at : at + 1000] for at in range(0, len(members), 1000)] or [[]]
        for index, piece in enumerate(pieces):
            chunk: Payload = {
                "guild_id": str(guild.id),
                "members": [member.payload() for member in piece],
                "chunk_index": index,
                "chunk_count": len(pieces),
                "not_found": [],
                "presences": [],
            }
            if data.get("nonce"):
                chunk["nonce"] = data["nonce"]
            session.dispatch("GUILD_MEMBERS_CHUNK", json.dumps(chunk))
        return None

    def _attach(self, connection: Connection, session: Session) -> None:
        session.connection, session.dropped_at, connection.session = connection, None, session

    def _detach(self, connection: Connection) -> None:
        self.connections.discard(connection)
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection, session.dropped_at = None, self._home.clock.now()
            if connection.ended_by_client:
                self.sessions.pop(session.id, None)

    def _drop_expired(self) -> None:
        now = self._home.clock.now()
        for session in list(self.sessions.values()):
            if session.dropped_at is not None and now - session.dropped_at > SESSION_SECONDS:
                del self.sessions[session.id]

    def _sees(self, channel: Channel) -> bool:
        if channel.guild is None:
            return True
        bot = self._home.bot.id
        return bool(channel.guild.permissions_in(channel, bot) & VIEW_CHANNEL)
