"""The state of the embedded Discord in one object: who is there, and the ways to tell them something."""

from __future__ import annotations

from collections import Counter, deque

from modules.demo.discord_server.buckets import RateLimiter
from modules.demo.discord_server.client_sockets import Clients
from modules.demo.discord_server.gateway import Gateway
from modules.demo.discord_server.refusals import Refusal
from modules.demo.discord_server.state.clock import ServerClock, Snowflakes
from modules.demo.discord_server.state.commands import CommandBook
from modules.demo.discord_server.state.faults import Faults
from modules.demo.discord_server.state.files import FileStore
from modules.demo.discord_server.state.guilds import Channel, Guild, Message
from modules.demo.discord_server.state.people import Member, Role, User
from modules.demo.discord_server.state.permissions import ADMINISTRATOR, ALL, ROLE, VIEW_CHANNEL, Overwrite
from modules.demo.discord_server.state.world import DM, BotSpec, ChannelSpec, GuildSpec, UserSpec, WorldSpec


class Hub:
    """Holds everything; the other files of `state` are functions over it."""

    def __init__(self, world: WorldSpec, *, clock: ServerClock, rate_limits: bool, keep_files: bool) -> None:
        self.clock = clock
        self.ids = Snowflakes(clock)
        self.files = FileStore(clock, self.ids, keep=keep_files)
        self.faults = Faults(clock)
        self.limits = RateLimiter(clock, enabled=rate_limits)
        self.counters: Counter[str] = Counter()
        self.violations: list[str] = []
        self.acknowledge_seconds: deque[float] = deque(maxlen=100_000)
        self.bot_spec: BotSpec = world.bot
        self.bot = User(id=world.bot.id or self.ids.make(), name=world.bot.name, global_name=None, bot=True)
        self.users: dict[int, User] = {}
        self.administrators: set[int] = set()
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.dms: dict[int, Channel] = {}
        self.ephemerals: dict[int, Message] = {}
        self.nonces: dict[tuple[int, str], tuple[int, int, float]] = {}
        self.gateway = Gateway(self)
        self.clients = Clients(self)
        self.commands = CommandBook(self)
        self.base_url = ""
        for user in world.users:
            self.add_user(user)
        for guild in world.guilds:
            self.add_guild(guild, world.users)

    @property
    def gateway_url(self) -> str:
        return self.base_url.replace("http://", "ws://") + "/gw"

    @property
    def people(self) -> list[User]:
        return list(self.users.values())

    def add_user(self, spec: UserSpec) -> User:
        user = User(
            id=spec.id or self.ids.make(),
            name=spec.name,
            global_name=spec.display_name,
            accepts_dms=spec.accepts_dms,
            locale=spec.locale,
        )
        self.users[user.id] = user
        if spec.administrator:
            self.administrators.add(user.id)
        return user

    def add_guild(self, spec: GuildSpec, users: tuple[UserSpec, ...]) -> Guild:
        """Build a guild from its description; users are found by their names."""
        by_name = {user.name: user for user in self.people}
        names = [user.name for user in users] if spec.members is None else list(spec.members)
        people = [by_name[name] for name in names]
        administrators = [user for user in people if user.id in self.administrators]
        owner = (administrators or people)[0].id if people else self.ids.make()
        guild = Guild(
            id=spec.id or self.ids.make(),
            name=spec.name,
            owner_id=owner,
            locale=spec.locale,
            premium_tier=spec.premium_tier,
            joined_at=self.clock.now(),
            has_bot=spec.has_bot,
            automod_words=spec.automod_words,
        )
        self.guilds[guild.id] = guild
        roles = self._make_roles(guild, spec)
        wanted = {user.name: user.roles for user in users}
        for user in people:
            granted = [roles["Members"].id, *(roles[name].id for name in wanted.get(user.name, ()))]
            if user.id in self.administrators:
                granted.append(roles["Administrators"].id)
            guild.members[user.id] = Member(user=user, joined_at=self.clock.now(), roles=granted)
        self.add_bot(guild)
        for channel in spec.channels:
            self._make_channel(guild, channel)
        return guild

    def add_bot(self, guild: Guild) -> None:
        """The bot's membership with its managed role, where the guild has it."""
        if not guild.has_bot:
            guild.members.pop(self.bot.id, None)
            return
        role = next((role for role in guild.roles.values() if role.managed), None)
        if role is None:
            role = Role(id=self.ids.make(), name=self.bot.name, permissions=0, position=1, managed=True)
            guild.roles[role.id] = role
        role.permissions = self.bot_spec.permissions
        guild.members[self.bot.id] = Member(user=self.bot, joined_at=self.clock.now(), roles=[role.id])
        guild.forget_viewers()

    def _make_roles(self, guild: Guild, spec: GuildSpec) -> dict[str, Role]:
        everyone = Role(id=guild.id, name="@everyone", permissions=spec.everyone, position=0)
        made = [
            Role(id=self.ids.make(), name="Members", permissions=spec.member_permissions, position=2),
            Role(id=self.ids.make(), name="Administrators", permissions=ADMINISTRATOR, position=50),
        ]
        made += [
            Role(id=self.ids.make(), name=name, permissions=0, position=3 + n)
            for n, name in enumerate(spec.roles)
        ]
        guild.roles = {role.id: role for role in (everyone, *made)}
        return {role.name: role for role in made}

    def _make_channel(self, guild: Guild, spec: ChannelSpec) -> Channel:
        parent = next((c.id for c in guild.channels.values() if c.name == spec.parent), None)
        channel = Channel(
            id=spec.id or self.ids.make(),
            kind=spec.kind,
            name=spec.name,
            guild=guild,
            topic=spec.topic,
            nsfw=spec.nsfw,
            parent_id=parent,
            position=len(guild.channels),
        )
        if spec.administrators_only:
            channel.overwrites[guild.id] = Overwrite(id=guild.id, type=ROLE, deny=VIEW_CHANNEL)
        guild.channels[channel.id] = self.channels[channel.id] = channel
        return channel

    def open_dm(self, user: User) -> Channel:
        """The direct-message channel between the bot and a person; made on first use."""
        channel = self.dms.get(user.id)
        if channel is None:
            channel = Channel(id=self.ids.make(), kind=DM, recipients=(user, self.bot))
            self.dms[user.id] = self.channels[channel.id] = channel
        return channel

    def channel(self, channel_id: int) -> Channel:
        """A channel that exists where the bot is, else 10003."""
        channel = self.channels.get(channel_id)
        if channel is None or (channel.guild is not None and not channel.guild.has_bot):
            raise Refusal(10003)
        return channel

    def guild(self, guild_id: int) -> Guild:
        """A guild that the bot is in: 10004 if there is none, 50001 if the bot is not in it."""
        guild = self.guilds.get(guild_id)
        if guild is None:
            raise Refusal(10004)
        if not guild.has_bot:
            raise Refusal(50001)
        return guild

    def require(self, channel: Channel, needed: int = 0) -> None:
        """The bot sees the channel (else 50001) and has the needed permissions there (else 50013)."""
        if channel.id in self.faults.forbidden_channels:
            raise Refusal(50001)
        if channel.guild is None:
            return
        granted = channel.guild.permissions_in(channel, self.bot.id)
        if not granted & VIEW_CHANNEL:
            raise Refusal(50001)
        if needed & ~granted:
            raise Refusal(50013)

    def viewers(self, channel: Channel) -> frozenset[int]:
        """Ids of the users who see a channel."""
        if channel.guild is None:
            return frozenset(user.id for user in channel.recipients)
        return channel.guild.viewers(channel)

    def permissions(self, user_id: int, channel: Channel) -> int:
        """A user's permissions in a channel; everything in their own DM."""
        if channel.guild is None:
            return ALL if user_id in self.viewers(channel) else 0
        return channel.guild.permissions_in(channel, user_id)
