"""From an interaction to accepted jobs, and the answer that says where they are shown."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from logging import getLogger

import discord

from modules.discord.interactions.replies import TOKEN_GONE, answer, answer_nothing
from modules.discord.requests.requester import Requester, Requesters
from modules.discord.requests.submission import Accepted, ImageRequest, Submissions
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import UnknownJob
from modules.queue_manager.job_log import about
from modules.queue_manager.manager import QueueManager

log = getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class ImageRequests:
    """The one way from commands, buttons and forms to the queue."""

    queue: QueueManager
    submissions: Submissions
    requesters: Requesters
    messages: Translations

    async def submit(self, interaction: discord.Interaction, image_request: ImageRequest) -> None:
        """Queue what is asked for, and say in which channel it is shown; nothing if it was asked for there.
        Call `Deferrals.defer` first. Raises a `RequestRejected` or `StoreError`."""
        person = await self.requesters.of(interaction)
        with self.queue.expecting():
            accepted = await self.submissions.take(person, image_request)
        try:
            if interaction.channel_id == accepted.channel_id:
                await answer_nothing(interaction)
            else:
                await answer(interaction, self._where(person, accepted))
        except discord.HTTPException as error:
            if error.code in TOKEN_GONE and not interaction.response.is_done():
                await self._take_back(accepted)
            raise

    async def _take_back(self, accepted: Accepted) -> None:
        """Cancel what was never acknowledged: Discord told the person that the bot did not respond, and they
        may have asked again."""
        with about(*accepted.jobs):
            log.warning("a request was not acknowledged in time and is taken back")
            for job in accepted.jobs:
                with suppress(UnknownJob):
                    await self.queue.cancel(job.id, by=job.request.user_id)

    def _where(self, person: Requester, accepted: Accepted) -> str:
        return self.messages.text(
            person.locale,
            "queued",
            count=len(accepted.jobs),
            numbers=", ".join(f"#{job.number}" for job in accepted.jobs),
            channel=f"<#{accepted.channel_id}>",
            direct=int(person.preferences.direct_message),
        )
