"""The menus on anybody's message: "Edit picture", "Use as start" and "Make again", and their forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import discord

from modules.discord.delivery.result_message import is_nsfw
from modules.discord.interactions.deferral import Deferrals
from modules.discord.interactions.image_requests import ImageRequests
from modules.discord.interactions.job_actions import JobActions
from modules.discord.interactions.job_lookup import JobLookup
from modules.discord.interactions.prompt_forms import about_message
from modules.discord.rejections import NoPictureHere
from modules.discord.requests.requester import Requesters
from modules.discord.requests.source_pictures import SourcePictures
from modules.discord.requests.submission import ImageRequest
from modules.discord.sessions.channels import SessionChannels
from modules.discord.ui.message_parts import pictures_of
from modules.discord.ui.modals import Typed, strength_of
from modules.queue_manager.jobs import Kind, ModelOffer
from modules.utils.database.rows import JobRecord
from modules.utils.database.stores.history import History

FORMS_OPEN = 1000
"""For how many open forms the picture's address is remembered."""


@dataclass(kw_only=True, eq=False)
class MessageMenus:
    """A form names the message by channel and id. ``home`` gives the guild that is served."""

    jobs: JobLookup
    actions: JobActions
    pictures: SourcePictures
    history: History
    requesters: Requesters
    deferrals: Deferrals
    requests: ImageRequests
    channels: SessionChannels
    home: Callable[[], discord.Guild | None]
    offers: Sequence[ModelOffer]
    _brought: dict[str, str] = field(init=False, default_factory=dict)
    """The address of the picture, for each message for which a form was opened. The interaction alone brings
    it: to read other people's messages, the bot would need the Message Content Intent."""

    async def edit_picture(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Ask what should change in a message's picture. Raises `NoPictureHere`."""
        await self._ask(interaction, "edit", message)

    async def use_as_start(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Show the form that asks what to make from a message's picture. Raises `NoPictureHere` and
        `NobodyStarts`."""
        await self._ask(interaction, "start", message)

    async def _ask(self, interaction: discord.Interaction, kind: str, message: discord.Message) -> None:
        self._brought[about_message(message)] = _first_picture(message)
        if len(self._brought) > FORMS_OPEN:
            del self._brought[next(iter(self._brought))]
        person = await self.requesters.of(interaction)
        form = await self.actions.forms.short(person, kind, about_message(message))
        await interaction.response.send_modal(form)

    async def make_again(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Ask for a picture like that of a message. Raises `NoPictureHere`."""
        _first_picture(message)
        person = await self.requesters.of(interaction)
        job = await self.jobs.of_message(message)
        if job is None or (job.request.maker.sources and job.request.user_id != person.user_id):
            form = await self.actions.forms.short(person, "again", about_message(message))
        else:
            form = await self.actions.forms.about(job, person, message)
        await interaction.response.send_modal(form)

    async def reopen(self, interaction: discord.Interaction, kind: str, target: str, typed: Typed) -> None:
        """Open a form about a message again, filled in with what was typed before."""
        person = await self.requesters.of(interaction)
        await interaction.response.send_modal(await self.actions.forms.short(person, kind, target, typed))

    async def answered(
        self,
        interaction: discord.Interaction,
        kind: str,
        target: str,
        values: Typed,
        uploads: Sequence[str],
    ) -> None:
        """A form came back. Raises a `RequestRejected`."""
        await self.deferrals.defer(interaction)
        channel_id, message_id = (int(part) for part in target.split("-", 1))
        prompt = values.get("prompt", "")
        if kind in ("edit", "start"):
            self._check_sees(interaction, channel_id)
            brought = self._brought.get(target)
            picture, mask = (
                await self.pictures.painted_in(brought)
                if brought is not None
                else await self.pictures.of_message(channel_id, message_id)
            )
            record = await self.history.by_message(message_id)
            own = record is not None and record.request.user_id == interaction.user.id
            does: Kind = "edit" if kind == "edit" else "imagine"
            image_request = ImageRequest(
                kind=does,
                prompt=prompt,
                model=values.get("model"),
                sources=(picture, *[await self.pictures.upload(url) for url in uploads]),
                age_restricted=self._is_restricted(record, channel_id),
                origin=record.request.as_origin(does) if record is not None and own else None,
                strength=strength_of(values),
                mask=mask,
            )
        else:
            image_request = ImageRequest(kind="imagine", prompt=prompt)
        await self.requests.submit(interaction, image_request)

    def _is_restricted(self, record: JobRecord | None, channel_id: int) -> bool:
        """Whether a message's picture is for age-restricted channels only: the model of a known result
        decides, otherwise the channel."""
        home = self.home()
        if record is not None:
            return is_nsfw(self.offers, record.request)
        return home is not None and self.channels.is_age_restricted(home.id, channel_id)

    def _check_sees(self, interaction: discord.Interaction, channel_id: int) -> None:
        """A ``custom_id`` can be forged: check that its sender may see that channel."""
        home, user = self.home(), interaction.user
        channel = home.get_channel_or_thread(channel_id) if home is not None else None
        if channel is None or not isinstance(user, discord.Member):
            raise NoPictureHere
        may = channel.permissions_for(user)
        if not (may.view_channel and may.read_message_history):
            raise NoPictureHere


def _first_picture(message: discord.Message) -> str:
    """The address of the message's first picture. Raises `NoPictureHere`."""
    pictures = pictures_of(message)
    if not pictures:
        raise NoPictureHere
    return pictures[0].url
