"""From an interaction to accepted jobs, and the answer that says where they are shown."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from modules.discord.interactions.replies import answer, answer_nothing
from modules.discord.requests.requester import Requester, Requesters
from modules.discord.requests.submission import Accepted, ImageRequest, Submissions
from modules.discord.ui.translations import Translations
from modules.queue_manager.manager import QueueManager


@dataclass(kw_only=True, eq=False)
class ImageRequests:
    """The one way from commands, buttons and forms to the queue."""

    queue: QueueManager
    submissions: Submissions
    requesters: Requesters
    messages: Translations

    async def submit(self, interaction: discord.Interaction, image_request: ImageRequest) -> None:
        """Queue what is asked for, and say in which channel it is shown; nothing if it was asked for there.
        The interaction must be deferred. Raises a `RequestRejected` or `StoreError`."""
        person = await self.requesters.of(interaction)
        with self.queue.expecting():
            accepted = await self.submissions.take(person, image_request)
        if interaction.channel_id == accepted.channel_id:
            await answer_nothing(interaction)
        else:
            await answer(interaction, self._where(person, accepted))

    def _where(self, person: Requester, accepted: Accepted) -> str:
        return self.messages.text(
            person.locale,
            "queued",
            count=len(accepted.jobs),
            numbers=", ".join(f"#{job.number}" for job in accepted.jobs),
            channel=f"<#{accepted.channel_id}>",
            direct=int(person.preferences.direct_message),
        )
