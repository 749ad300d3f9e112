"""An embedded Discord: REST, gateway, attachments and the page's own socket on one loopback port."""

from __future__ import annotations

from collections import Counter
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web
from aiohttp.typedefs import Handler

from modules.demo.departed import client_may_leave
from modules.demo.discord_server.clients.frames import receive_frame
from modules.demo.discord_server.control import Control
from modules.demo.discord_server.gateway import Gateway
from modules.demo.discord_server.interactions import Interactions
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.rest import PREFIX, BodyCheck, RestDoor
from modules.demo.discord_server.routes import account, channels, commands, guilds, interactions, messages
from modules.demo.discord_server.state import guild_life
from modules.demo.discord_server.state.channels import delete_channel
from modules.demo.discord_server.state.clock import ServerClock
from modules.demo.discord_server.state.faults import Faults
from modules.demo.discord_server.state.files import LARGEST_REQUEST, Upload, check_sizes
from modules.demo.discord_server.state.guilds import Channel, Guild, Message
from modules.demo.discord_server.state.hub import Hub
from modules.demo.discord_server.state.message_files import DM_FILE_LIMIT
from modules.demo.discord_server.state.messages import delete_messages
from modules.demo.discord_server.state.people import User
from modules.demo.discord_server.state.world import GuildSpec, UserSpec, WorldSpec, default_world

if TYPE_CHECKING:
    from typing_extensions import Self

PAGE = Path(__file__).parent.parent / "page"
HOST = "127.0.0.1"


class DiscordServer:
    """Serves an unmodified discord.py. Use it as `async with DiscordServer(world) as server`.

    `rate_limits`: 429s as Discord sends them. `clock`: time that tests can advance. `openapi`: Discord's
    OpenAPI file, against which each body is checked as well. `keep_attachments=False` keeps only hashes of
    what the bot sends. For the page: `simulated_gpus`, how many of the GPUs behind the bot are simulated,
    and `status_page`, the address of the bot's; None if that is not known. `violations` must be empty at
    the end of a test: unknown routes, bodies that the OpenAPI file forbids, and calls that failed in here.
    """

    def __init__(
        self,
        world: WorldSpec | None = None,
        *,
        port: int = 0,
        rate_limits: bool = True,
        clock: ServerClock | None = None,
        openapi: Path | None = None,
        keep_attachments: bool = True,
        page: Path = PAGE,
        simulated_gpus: int | None = None,
        status_page: str | None = None,
    ) -> None:
        self.clock = clock or ServerClock()
        self.hub = Hub(
            world or default_world(), clock=self.clock, rate_limits=rate_limits, keep_files=keep_attachments
        )
        self.interactions = Interactions(self.hub)
        self._port = port
        self._page = page
        self._about = {"simulated_gpus": simulated_gpus, "status_page": status_page}
        self._openapi = openapi
        self._runner: web.AppRunner | None = None

    # -- where it is and what happened ---------------------------------------------------------------------
    @property
    def url(self) -> str:
        """The page; also what `SimulatedUser.connect` takes."""
        return self.hub.base_url

    @property
    def api_url(self) -> str:
        """For DISCORD_API_BASE (`discord.http.Route.BASE`)."""
        return f"{self.hub.base_url}{PREFIX}"

    @property
    def gateway_url(self) -> str:
        """For DISCORD_GATEWAY_URL (`DiscordWebSocket.DEFAULT_GATEWAY`)."""
        return self.hub.gateway_url

    @property
    def token(self) -> str:
        return self.hub.bot_spec.token

    @property
    def violations(self) -> list[str]:
        return self.hub.violations

    @property
    def counters(self) -> Counter[str]:
        """ "429", "rest", "code 50013", "rest POST /channels/{channel_id}/messages", … since the start."""
        return self.hub.counters

    @property
    def faults(self) -> Faults:
        return self.hub.faults

    @property
    def gateway(self) -> Gateway:
        return self.hub.gateway

    @property
    def acknowledge_seconds(self) -> list[float]:
        """From INTERACTION_CREATE to its callback, for each interaction that was answered."""
        return list(self.hub.acknowledge_seconds)

    @property
    def bot(self) -> User:
        return self.hub.bot

    @property
    def guild(self) -> Guild:
        """The first guild."""
        return next(iter(self.hub.guilds.values()))

    def user(self, name: str) -> User:
        return next(user for user in self.hub.people if user.name == name)

    def channel(self, name: str, guild: Guild | None = None) -> Channel:
        return next(c for c in (guild or self.guild).channels.values() if c.name == name)

    def messages(self, channel: Channel | int) -> list[Message]:
        """What stands in a channel, oldest first; ephemeral messages are not among them."""
        place = self.hub.channels[channel] if isinstance(channel, int) else channel
        return list(place.messages.values())

    # -- what people do by hand ----------------------------------------------------------------------------
    def advance(self, seconds: float) -> None:
        """Let server time jump; timers that became due have run when this returns."""
        self.clock.advance(seconds)

    def add_user(self, spec: UserSpec, guild: Guild | None = None) -> User:
        user = self.hub.add_user(spec)
        guild_life.member_joins(self.hub, guild or self.guild, user)
        return user

    def add_guild(self, spec: GuildSpec) -> Guild:
        """A further guild of all users; if the spec has the bot in it, the bot is told that it joined."""
        people = tuple(UserSpec(name=user.name) for user in self.hub.people)
        guild = self.hub.add_guild(spec, people)
        if guild.has_bot:
            self.hub.gateway.announce_guild(guild)
        return guild

    def kick_bot(self, guild: Guild) -> None:
        guild_life.bot_leaves(self.hub, guild)

    def member_leaves(self, user: User, *, banned: bool = False, guild: Guild | None = None) -> None:
        guild_life.member_leaves(self.hub, guild or self.guild, user, banned=banned)

    def member_joins(self, user: User, guild: Guild | None = None) -> None:
        guild_life.member_joins(self.hub, guild or self.guild, user)

    def rename(self, user: User, *, name: str | None = None, display_name: str | None = None) -> None:
        guild_life.rename(self.hub, user, name=name, display_name=display_name)

    def set_roles(self, user: User, *names: str, guild: Guild | None = None) -> None:
        guild_life.set_roles(self.hub, guild or self.guild, user, set(names))

    def set_bot_permissions(self, permissions: int, guild: Guild | None = None) -> None:
        guild_life.set_bot_permissions(self.hub, guild or self.guild, permissions)

    def delete_channel(self, channel: Channel | int) -> None:
        """An administrator deletes a channel by hand."""
        place = self.hub.channels[channel] if isinstance(channel, int) else channel
        delete_channel(self.hub, place)

    def delete_message(self, message: Message) -> None:
        """A moderator deletes a message."""
        delete_messages(self.hub, message.channel, [message])

    # -- life ----------------------------------------------------------------------------------------------
    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen on loopback; a port of 0 takes a free one."""
        routes = [
            route for module in (account, guilds, channels, messages, commands) for route in module.ROUTES
        ]
        routes += interactions.routes(self.interactions)
        door = RestDoor(self.hub, routes, _body_check(self._openapi))
        app = web.Application(
            client_max_size=LARGEST_REQUEST + (1 << 20), middlewares=[client_may_leave, _only_own_pages]
        )
        app.router.add_route("*", PREFIX + "/{tail:.*}", door.handle)
        app.router.add_get("/gw", self.hub.gateway.handle)
        app.router.add_get("/gw/", self.hub.gateway.handle)
        app.router.add_get("/client", self._client)
        app.router.add_get("/client/info", self._info)
        app.router.add_post("/client/upload", self._upload)
        app.router.add_get("/attachments/{channel_id}/{attachment_id}/{filename}", self._attachment)
        Control(self.hub).add_routes(app)
        app.router.add_get("/", self._index)
        if self._page.is_dir():
            app.router.add_static("/page", self._page)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port, backlog=2048)
        await site.start()
        port = self._runner.addresses[0][1]
        self.hub.base_url = self.hub.files.base_url = f"http://{HOST}:{port}"

    async def close(self) -> None:
        self.clock.close()
        await self.hub.clients.close()
        await self.hub.gateway.drop(code=1001)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # -- the page's routes ---------------------------------------------------------------------------------
    async def _index(self, _request: web.Request) -> web.StreamResponse:
        index = self._page / "index.html"
        return web.FileResponse(index) if index.is_file() else web.Response(text="No page is installed here.")

    async def _client(self, request: web.Request) -> web.StreamResponse:
        return await self.hub.clients.handle(request, partial(receive_frame, self.interactions))

    async def _info(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self._about)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        """A person's file, before the command or message that uses it; kept in any case."""
        user = self.hub.clients.user_of(request)
        reader = await request.multipart()
        part = await reader.next()
        if not isinstance(part, BodyPartReader):
            raise web.HTTPBadRequest(text="A file is missing")
        data = bytes(await part.read())
        upload = Upload(index=0, filename=part.filename or "unknown", data=data)
        guild = self.hub.clients.home(user.id)
        try:
            check_sizes([upload], guild.file_limit if guild else DM_FILE_LIMIT)
        except Refusal as refusal:
            return web.json_response(refusal.body(), status=refusal.status)
        attachment = self.hub.files.add(upload, channel_id=self.hub.bot.id, ephemeral=True, keep=True)
        return web.json_response(self.hub.files.payload(attachment))

    async def _attachment(self, request: web.Request) -> web.StreamResponse:
        """A file by its signed address (Discord docs, Reference, Signed Attachment CDN URLs)."""
        query = request.query
        attachment_id = request.match_info["attachment_id"]
        attachment = self.hub.files.open(
            int(attachment_id) if attachment_id.isdigit() else 0,
            expires=query.get("ex", ""),
            issued=query.get("is", ""),
            signature=query.get("hm", ""),
        )
        if attachment is None:
            raise web.HTTPNotFound(text="This content is no longer available.")
        if attachment.data is None:
            raise web.HTTPGone(text=f"Only its hash was kept: {attachment.sha256}")
        return web.Response(body=attachment.data, content_type=attachment.content_type)


@web.middleware
async def _only_own_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Other pages in the same browser may not act as the people of this server."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.host}":
        raise web.HTTPForbidden(text="Only this server's own page may do this")
    if request.url.host not in ("127.0.0.1", "localhost"):
        raise web.HTTPForbidden(text="Only loopback")
    return await handler(request)


@cache
def _body_check(openapi: Path | None) -> BodyCheck | None:
    if openapi is None:
        return None
    from modules.demo.discord_server.openapi import OpenApiCheck  # noqa: PLC0415 - jsonschema_rs is for development

    return OpenApiCheck(openapi)
