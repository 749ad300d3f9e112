"""From an interaction to accepted jobs, and the answer that says where they stand."""

from __future__ import annotations

import discord

from modules.discord.interactions.request_replies import RequestReplies
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import ImageRequest, Submissions
from modules.queue_manager.manager import QueueManager


class ImageRequests:
    """The one way from commands, buttons and forms to the queue."""

    def __init__(self, *, queue: QueueManager, submissions: Submissions, replies: RequestReplies) -> None:
        self._queue, self._submissions, self._replies = queue, submissions, replies

    async def submit(
        self, interaction: discord.Interaction, person: Requester, image_request: ImageRequest
    ) -> None:
        """Queue what is asked for and answer with its place. The interaction must be deferred. Raises a
        `RequestRejected` or `StoreError`."""
        with self._queue.expecting():
            accepted = await self._submissions.take(person, image_request)
        await self._replies.give(interaction, person, accepted)
