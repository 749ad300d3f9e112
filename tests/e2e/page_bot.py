"""A small discord.py bot with one command for each thing that the page must be able to show."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
from discord import app_commands
from PIL import Image

from modules.demo.discord_server import DiscordServer
from tests.discord_wiring import running, wired

MODELS = {"FLUX.2 Klein, four steps": "flux", "Z-Image Turbo": "z-image"}
SPANISH = {"paint": "pinta", "Paint a picture": "Pinta una imagen", "What to see": "Lo que quieres ver"}


def png(color: str = "teal", size: tuple[int, int] = (96, 64)) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, color).save(target, "PNG")
    return target.getvalue()


class Spanish(app_commands.Translator):
    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, context: Any
    ) -> str | None:
        return SPANISH.get(string.message) if locale is discord.Locale.spain_spanish else None


class Question(discord.ui.Modal, title="Change this picture"):
    answer: discord.ui.TextInput[Question] = discord.ui.TextInput(
        label="What should change?", style=discord.TextStyle.paragraph, min_length=3
    )
    note: discord.ui.TextInput[Question] = discord.ui.TextInput(
        label="Note", required=False, default="as before"
    )

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(
            f"Change: {self.answer.value} / {self.note.value}", ephemeral=True
        )


class Form(discord.ui.Modal, title="A form"):
    """What a modal may hold besides text: choices of each kind and files, each under its label."""

    model = discord.ui.Label(
        text="Model",
        description="Which one paints",
        component=discord.ui.Select(
            options=[
                discord.SelectOption(label=name, value=value, default=value == "flux")
                for name, value in MODELS.items()
            ]
        ),
    )
    reference = discord.ui.Label(
        text="Reference", component=discord.ui.FileUpload(required=False, max_values=3)
    )
    shape = discord.ui.Label(
        text="Shape",
        description="Of the picture",
        component=discord.ui.RadioGroup(
            options=[
                discord.RadioGroupOption(label="Wide", description="Like a film"),
                discord.RadioGroupOption(label="Tall"),
            ]
        ),
    )
    extras = discord.ui.Label(
        text="Extras",
        component=discord.ui.CheckboxGroup(
            required=False,
            min_values=0,
            max_values=2,
            options=[discord.CheckboxGroupOption(label=name) for name in ("Grain", "Frame", "Title")],
        ),
    )
    hidden = discord.ui.Label(text="Only for me", component=discord.ui.Checkbox(default=True))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        chosen, files = self.model.component, self.reference.component
        assert isinstance(chosen, discord.ui.Select)
        assert isinstance(files, discord.ui.FileUpload)
        names = [file.filename for file in files.values]
        shape, extras, hidden = (label.component for label in (self.shape, self.extras, self.hidden))
        more = f"{shape.value} {sorted(extras.values)} {hidden.value}"  # type: ignore[attr-defined]
        await interaction.response.send_message(f"Form: {chosen.values[0]} {names} {more}", ephemeral=True)


class Layout(discord.ui.LayoutView):
    """A message of layout components alone (flag 1 << 15)."""

    def __init__(self, pictures: int) -> None:
        super().__init__(timeout=None)
        gallery = discord.ui.MediaGallery[Layout]()
        for number in range(1, pictures + 1):
            gallery.add_item(media=f"attachment://wall{number}.png", description=f"Wall {number}")
        again = discord.ui.Button[Layout](label="Aside", custom_id="aside")
        again.callback = self.pressed  # type: ignore[method-assign]
        self.add_item(
            discord.ui.Container(
                discord.ui.TextDisplay("## Laid out\n-# small print with `seed 7`"),
                discord.ui.Separator(spacing=discord.SeparatorSpacing.large),
                discord.ui.Section[Layout](
                    "Beside a **picture**", accessory=discord.ui.Thumbnail("attachment://wall1.png")
                ),
                discord.ui.Section[Layout]("Beside a **button**", accessory=again),
                gallery,
                discord.ui.File("attachment://notes.txt"),
                accent_color=0x23784C,
            )
        )
        self.add_item(discord.ui.Container(discord.ui.TextDisplay("The end of the film"), spoiler=True))

    async def pressed(self, interaction: discord.Interaction) -> None:
        view = discord.ui.LayoutView()
        view.add_item(discord.ui.TextDisplay("Pressed **aside**"))
        await interaction.response.send_message(view=view, ephemeral=True)


class Panel(discord.ui.View):
    """Buttons of each style and two selects, as a message may carry them."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.clicks = 0
        self.add_item(discord.ui.Button(label="Docs", url="https://example.org/docs"))
        self.add_item(discord.ui.Button(label="Not now", disabled=True, custom_id="never"))

    @discord.ui.button(label="Again", style=discord.ButtonStyle.primary, custom_id="again")
    async def again(self, interaction: discord.Interaction, _button: discord.ui.Button[Panel]) -> None:
        self.clicks += 1
        await interaction.response.edit_message(content=f"Pressed {self.clicks} times")

    @discord.ui.button(label="Ask", style=discord.ButtonStyle.success, custom_id="ask")
    async def ask(self, interaction: discord.Interaction, _button: discord.ui.Button[Panel]) -> None:
        await interaction.response.send_modal(Question())

    @discord.ui.button(label="Delete", style=discord.ButtonStyle.danger, custom_id="delete")
    async def delete(self, interaction: discord.Interaction, _button: discord.ui.Button[Panel]) -> None:
        await interaction.response.defer()
        assert interaction.message is not None
        await interaction.message.delete()

    @discord.ui.select(
        custom_id="shape",
        placeholder="A shape",
        options=[discord.SelectOption(label=name, value=name.lower()) for name in ("Wide", "Tall")],
    )
    async def shape(self, interaction: discord.Interaction, select: discord.ui.Select[Panel]) -> None:
        await interaction.response.send_message(f"Shape: {select.values[0]}", ephemeral=True)

    @discord.ui.select(
        custom_id="colors",
        placeholder="Colours",
        min_values=1,
        max_values=2,
        options=[discord.SelectOption(label=name, value=name) for name in ("red", "green", "blue")],
    )
    async def colors(self, interaction: discord.Interaction, select: discord.ui.Select[Panel]) -> None:
        await interaction.response.send_message(
            f"Colours: {', '.join(sorted(select.values))}", ephemeral=True
        )


class PageBot(discord.Client):
    """`gate` holds /paint's answer back until a test has seen that the bot is thinking."""

    def __init__(self) -> None:
        intents = discord.Intents.default()
        super().__init__(intents=intents, guild_ready_timeout=0.02)
        self.tree = app_commands.CommandTree(self)
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[dict[str, Any]] = []
        self._add_commands()

    def _add_commands(self) -> None:
        said = app_commands.locale_str

        @self.tree.command(name=said("paint"), description=said("Paint a picture"))
        @app_commands.describe(model="Which one paints", prompt=said("What to see"), seed="To repeat it")
        @app_commands.choices(
            aspect=[app_commands.Choice(name=name, value=name.lower()) for name in ("Square", "Wide")]
        )
        async def paint(
            interaction: discord.Interaction,
            model: str,
            prompt: app_commands.Range[str, 1, 400],
            aspect: str | None = None,
            seed: app_commands.Range[int, 0, 1000] | None = None,
        ) -> None:
            await self._paint(interaction, model=model, prompt=prompt, aspect=aspect, seed=seed)

        @paint.autocomplete("model")
        async def models(_: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
            return [
                app_commands.Choice(name=name, value=value)
                for name, value in MODELS.items()
                if typed.lower() in name.lower()
            ]

        @self.tree.command(description="Change a picture")
        async def edit(interaction: discord.Interaction, image: discord.Attachment) -> None:
            data = await image.read()
            await interaction.response.send_message(
                f"Got {image.filename}, {len(data)} bytes", file=discord.File(io.BytesIO(data), "back.png")
            )

        @self.tree.command(description="Show the panel")
        async def panel(interaction: discord.Interaction) -> None:
            embed = discord.Embed(title="Queue", description="**2** waiting", color=0x7C4DDB)
            embed.add_field(name="GPU 1", value="`flux`")
            embed.set_footer(text="A footer")
            embed.set_image(url="attachment://chart.png")
            chart = discord.File(io.BytesIO(png("orange")), "chart.png", description="Jobs by hour")
            await interaction.response.send_message("The panel", embed=embed, file=chart, view=Panel())

        @self.tree.command(description="Never answers")
        async def silent(_: discord.Interaction) -> None:
            return

        @self.tree.command(description="Ask by a form")
        async def form(interaction: discord.Interaction) -> None:
            await interaction.response.send_modal(Form())

        @self.tree.command(description="Show a layout")
        async def layout(interaction: discord.Interaction, pictures: app_commands.Range[int, 1, 9]) -> None:
            colors = ("navy", "teal", "olive", "maroon", "purple", "green", "gray", "black", "orange")
            files = [
                discord.File(io.BytesIO(png(color)), f"wall{number}.png")
                for number, color in enumerate(colors[:pictures], 1)
            ]
            files.append(discord.File(io.BytesIO(b"notes"), "notes.txt"))
            await interaction.response.send_message(view=Layout(pictures), files=files)

        house = app_commands.Group(name="house", description="House rules")

        @house.command(description="Block a person")
        async def block(interaction: discord.Interaction, user: discord.Member, quiet: bool) -> None:
            await interaction.response.send_message(f"Blocked {user.name}, quiet: {quiet}", ephemeral=True)

        self.tree.add_command(house)

        @self.tree.context_menu(name="Edit picture")
        async def edit_picture(interaction: discord.Interaction, _message: discord.Message) -> None:
            await interaction.response.send_modal(Question())

    async def _paint(self, interaction: discord.Interaction, **given: Any) -> None:
        self.seen.append(given)
        await interaction.response.defer(ephemeral=True)
        await self.gate.wait()
        channel = await self._session(interaction)
        ready = int(time.time()) + 30
        await interaction.followup.send(f"Queued, ready <t:{ready}:R>, see {channel.mention}")
        await channel.send(
            f"{interaction.user.mention} here it is\n> {given['prompt']}",
            file=discord.File(io.BytesIO(png()), "picture.png", description=given["prompt"][:1024]),
        )

    async def _session(self, interaction: discord.Interaction) -> discord.TextChannel:
        guild = interaction.guild
        assert guild is not None
        name = f"session-{interaction.user.name}"
        found = discord.utils.get(guild.text_channels, name=name)
        if found is not None:
            return found
        seen = discord.PermissionOverwrite(view_channel=True)
        overwrites: dict[Any, discord.PermissionOverwrite] = {
            guild.default_role: discord.PermissionOverwrite(view_channel=False),
            guild.me: seen,
            interaction.user: seen,
        }
        return await guild.create_text_channel(name, overwrites=overwrites)


@asynccontextmanager
async def running_bot(server: DiscordServer) -> AsyncIterator[PageBot]:
    """The bot, connected to the embedded Discord, its commands registered in the first guild."""
    bot = PageBot()
    with wired(server):
        async with running(bot, server.token):
            await bot.tree.set_translator(Spanish())
            guild = discord.Object(server.guild.id)
            bot.tree.copy_global_to(guild=guild)
            await bot.tree.sync(guild=guild)
            yield bot
