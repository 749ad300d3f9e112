"""Pictures that could be posted nowhere: shown at their owner's next command."""

from __future__ import annotations

from logging import getLogger

from modules.discord.courier import Courier, CourierError
from modules.discord.delivery import FILE_LIMIT
from modules.discord.pacing import Priority
from modules.discord.prose import nonce
from modules.discord.recalled import job_of
from modules.discord.results import ResultNotes
from modules.discord.traces import find_result
from modules.queue_manager.ports import Finished
from modules.utils.database.history import History
from modules.utils.database.preferences import Preferences

log = getLogger(__name__)


class KeptPictures:
    """See the module."""

    def __init__(
        self, *, history: History, preferences: Preferences, notes: ResultNotes, courier: Courier
    ) -> None:
        self._history, self._preferences = history, preferences
        self._notes, self._courier = notes, courier
        self._busy: set[int] = set()

    async def show(self, user_id: int, channel_id: int) -> None:
        """Post what is kept for somebody in their channel; what cannot be posted stays kept."""
        if user_id in self._busy:
            return
        self._busy.add(user_id)
        try:
            kept = await self._history.kept(user_id)
            wanted = await self._preferences.get(user_id) if kept else None
            for record, picture in kept:
                if record.report is None or wanted is None:
                    continue
                finished = Finished(job=job_of(record), picture=picture, report=record.report)
                note = await self._notes.of(finished, where="channel", limit=FILE_LIMIT, wanted=wanted)
                # A former process may have posted it and died before it could note so.
                since = record.ended_at or record.queued_at
                message_id = await find_result(self._courier, channel_id, record.job_id, since=since)
                if message_id is None:
                    once = nonce(record.job_id, channel_id, "kept")
                    posted = await self._courier.post(channel_id, note, level=Priority.DELIVER, nonce=once)
                    message_id = posted.message_id
                await self._history.kept_done(record.job_id, channel_id=channel_id, message_id=message_id)
        except CourierError as error:
            log.info("kept pictures of %s stay kept: %s", user_id, error)
        finally:
            self._busy.discard(user_id)
