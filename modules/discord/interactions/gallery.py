"""Shares a person's picture in the gallery, for everybody to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord

from modules.discord.delivery.result_message import is_nsfw, label_of, made_of
from modules.discord.rejections import AlreadyShared, NoPictureHere, SharingNotSetUp, SharingRefused
from modules.discord.requests.submission import Submissions
from modules.discord.sessions.channels import SessionChannels
from modules.discord.transport.attachments import AttachmentReader
from modules.discord.transport.message_client import FileUpload, MessageClient, MessageError, OutgoingMessage
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.components import job_buttons
from modules.discord.ui.formatting import message_link, nonce, plain, quoted
from modules.discord.ui.layout import accent_of, attached, container, gallery, layout, small, text
from modules.discord.ui.message_parts import file_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import NotAllowedHere
from modules.queue_manager.jobs import Job, ModelOffer
from modules.utils.database.stores.key_values import SHARED, KeyValues


@dataclass(kw_only=True, eq=False)
class Gallery:
    """``channel_id`` None: there is no gallery. ``facts`` remembers what was shared."""

    channel_id: int | None
    submissions: Submissions
    facts: KeyValues
    channels: SessionChannels
    reader: AttachmentReader
    message_client: MessageClient
    messages: Translations
    offers: Sequence[ModelOffer]

    async def share(self, interaction: discord.Interaction, job: Job) -> int:
        """Post the picture above the button that was pressed, once; returns the gallery's id.

        Raises `SharingNotSetUp`, `AlreadyShared`, `NotAllowedHere`, `NoPictureHere`, `SharingRefused`,
        `BadSourceImage`, or what `Submissions.admit` raises.
        """
        if self.channel_id is None:
            raise SharingNotSetUp
        request = job.request
        await self.submissions.admit(
            interaction.user.id, request.maker.full_prompt, request.maker.full_negative
        )
        known = await self.facts.get(SHARED + job.id)
        if known is not None:
            raise AlreadyShared(link=message_link(request.guild_id, self.channel_id, int(known)))
        restricted = is_nsfw(self.offers, job.request)
        if restricted and not self.channels.is_age_restricted(job.request.guild_id, self.channel_id):
            raise NotAllowedHere(model=label_of(self.offers, job.request.model))
        message = interaction.message
        file = file_of(message, job.id) if message is not None else None
        if file is None:
            raise NoPictureHere
        data = await self.reader.read(file.url)
        size = file.size or job.request.size
        locale = str(interaction.guild_locale) if interaction.guild_locale else None
        name = quoted(interaction.user.display_name, 80)
        facts = made_of(self.messages, locale, self.offers, request, size)
        said = self.messages.text(locale, "prompt-line", prompt=quoted(request.prompt))
        outgoing = OutgoingMessage(
            files=(FileUpload(name=file.name, data=data),),
            view=layout(
                text(self.messages.text(locale, "shared-by", name=name)),
                container(
                    gallery([(attached(file.name), plain(request.prompt, 1000))]),
                    text(said) if request.prompt.strip() else None,
                    small(" · ".join(facts)),
                    job_buttons(self.messages, locale, job.id, ("prompt",)),
                    accent=accent_of(request.model),
                ),
            ),
        )
        try:
            once = nonce(job.id, self.channel_id, "shared")
            posted = await self.message_client.post(
                self.channel_id, outgoing, level=Priority.DELIVER, nonce=once
            )
        except MessageError as error:
            raise SharingRefused(str(error)) from error
        await self.facts.put(SHARED + job.id, str(posted.message_id))
        return self.channel_id
