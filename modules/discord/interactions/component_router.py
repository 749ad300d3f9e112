"""Where a click or a form goes, by what its ``custom_id`` says. The routes are few and all stand here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord

from modules.discord.cogs.account import Account
from modules.discord.delivery.result_message import is_nsfw
from modules.discord.interactions.desk import Desk
from modules.discord.interactions.job_actions import JobActions
from modules.discord.rejections import NoPictureHere
from modules.discord.requests.submission import ImageRequest
from modules.discord.ui.modals import values_of
from modules.queue_manager.errors import NotYourJob
from modules.queue_manager.jobs import JobId
from modules.utils.database.rows import JobRecord


class ComponentRouter:
    """See the module."""

    def __init__(self, desk: Desk, actions: JobActions, account: Account) -> None:
        self._desk, self._actions, self._account = desk, actions, account

    async def component(self, interaction: discord.Interaction, what: str, about: str) -> None:
        """A button or menu was used. Raises a `RequestRejected`."""
        values = [str(value) for value in _data(interaction).get("values", ())]
        if self._actions.knows(what):
            await self._actions.press(interaction, what, JobId(about))
        elif what == "page":
            owner, _, before = about.partition(":")
            _check_owner(interaction, owner)
            await self._account.turn_page(interaction, int(before))
        elif what == "pick" and values:
            await self._account.pick(interaction, JobId(values[0]))
        elif what == "withdraw":
            _check_owner(interaction, about)
            await self._account.withdraw(interaction, values)
        elif what == "setting":
            await self._account.choose(interaction, about, values)
        elif what == "forget":
            await self._account.decide(interaction, about)

    async def form(self, interaction: discord.Interaction, about: str) -> None:
        """A form came back. Raises a `RequestRejected`."""
        kind, _, target = about.partition(":")
        values = values_of(_data(interaction))
        if "-" in target:
            await self._form_about_message(interaction, kind, target, values)
        elif kind == "edit":
            await self._actions.edited(interaction, JobId(target), values)
        elif kind == "prompt":
            await self._actions.reworded(interaction, JobId(target), values)

    async def _form_about_message(
        self, interaction: discord.Interaction, kind: str, target: str, values: Mapping[str, str]
    ) -> None:
        """The form of a menu on somebody's message, named by channel and message."""
        await self._desk.deferrals.defer(interaction)
        channel_id, message_id = (int(part) for part in target.split("-", 1))
        prompt = values.get("prompt", "")
        if kind == "edit":
            self._check_sees(interaction, channel_id)
            picture = await self._desk.posted_picture(channel_id, message_id)
            record = await self._desk.database.history.by_message(message_id)
            own = record is not None and record.request.user_id == interaction.user.id
            image_request = ImageRequest(
                kind="edit",
                prompt=prompt,
                sources=(picture,),
                age_restricted=self._is_restricted(record, channel_id),
                origin=record.request.as_origin("edit") if record is not None and own else None,
            )
        else:
            image_request = ImageRequest(kind="imagine", prompt=prompt)
        await self._actions.submit(interaction, await self._desk.person(interaction), image_request)

    def _is_restricted(self, record: JobRecord | None, channel_id: int) -> bool:
        """Whether a message's picture is for age-restricted channels alone: of a result that is known by its
        model, else by where it stands."""
        desk, home = self._desk, self._desk.home()
        if record is not None:
            return is_nsfw(desk.offers, record.request)
        return home is not None and desk.channels.is_age_restricted(home.id, channel_id)

    def _check_sees(self, interaction: discord.Interaction, channel_id: int) -> None:
        """A ``custom_id`` comes from outside: whether its sender may see that channel is looked up."""
        home, user = self._desk.home(), interaction.user
        channel = home.get_channel_or_thread(channel_id) if home is not None else None
        if channel is None or not isinstance(user, discord.Member):
            raise NoPictureHere
        may = channel.permissions_for(user)
        if not (may.view_channel and may.read_message_history):
            raise NoPictureHere


def _data(interaction: discord.Interaction) -> Mapping[str, Any]:
    return interaction.data or {}


def _check_owner(interaction: discord.Interaction, owner: str) -> None:
    if owner != str(interaction.user.id):
        raise NotYourJob
