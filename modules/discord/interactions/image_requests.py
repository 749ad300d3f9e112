"""From an interaction to accepted jobs, and the answer that says where they stand."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from modules.discord.interactions.request_replies import RequestReplies
from modules.discord.requests.requester import Requesters
from modules.discord.requests.submission import ImageRequest, Submissions
from modules.queue_manager.manager import QueueManager


@dataclass(kw_only=True, eq=False)
class ImageRequests:
    """The one way from commands, buttons and forms to the queue."""

    queue: QueueManager
    submissions: Submissions
    replies: RequestReplies
    requesters: Requesters

    async def submit(self, interaction: discord.Interaction, image_request: ImageRequest) -> None:
        """Queue what is asked for and answer with its place. The interaction must be deferred. Raises a
        `RequestRejected` or `StoreError`."""
        person = await self.requesters.of(interaction)
        with self.queue.expecting():
            accepted = await self.submissions.take(person, image_request)
        await self.replies.give(interaction, person, accepted)
