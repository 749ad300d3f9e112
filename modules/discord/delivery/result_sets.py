"""Shows the pictures of a set in one message: the first one is posted, which notifies; each edit adds those
that are there by then, in the order of their numbers.

All that changes such a message waits for its turn here. An edit names the files that stay, so repeating it
after a lost answer adds no picture twice. A post carries one picture alone, as its nonce is the picture's
own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from modules.discord.delivery.job_records import job_of
from modules.discord.delivery.message_search import messages_since
from modules.discord.delivery.result_message import REMARK, ResultMessages, ResultPicture
from modules.discord.transport.message_client import (
    BLOCKED_BY_AUTOMOD,
    EDITABLE_FOR,
    OLD_MESSAGE_EDITS,
    DiscordAway,
    MessageClient,
    OutgoingMessage,
    Posted,
    Refused,
    Unreachable,
)
from modules.discord.transport.rate_limiter import Priority
from modules.discord.ui.components import MORE, custom_id, jobs_named
from modules.discord.ui.formatting import nonce
from modules.discord.ui.layout import GALLERY_LIMIT, SMALL
from modules.discord.ui.message_parts import (
    AnyMessage,
    ShownFile,
    custom_ids_of,
    files_of,
    options_of,
    texts_of,
)
from modules.queue_manager.jobs import Job, JobId, PictureSet, Size
from modules.queue_manager.ports import Clock, Finished
from modules.utils.database.stores.history import History

REQUEST_LIMIT = 24 * 1024 * 1024
"""Bytes of files in one request; Discord takes 25 MiB with all around them."""

SETS = 500
"""How many sets are remembered; the message of any other set is read again."""

_FILE = re.compile(r"(\d+)-([0-9a-f]{32})\.")


@dataclass(slots=True)
class _SetMessage:
    """What is known of a set's message. ``waiting``: pictures to be added; ``unsure``: those whose post was
    not answered; ``done``: all that have ever been shown, and where; ``remark``: what it says of all its
    pictures."""

    user_id: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: dict[JobId, ResultPicture] = field(default_factory=dict)
    unsure: set[JobId] = field(default_factory=set)
    done: dict[JobId, tuple[Posted, Size]] = field(default_factory=dict)
    posted: Posted | None = None
    pictures: dict[JobId, ResultPicture] = field(default_factory=dict)
    chosen: JobId | None = None
    remark: str | None = None

    @property
    def in_use(self) -> bool:
        """Whether something is being changed, or may have been."""
        return bool(self.waiting or self.unsure or self.lock.locked())

    def forget(self) -> None:
        """Its message is not there any more, or stays as it is."""
        self.posted, self.pictures, self.chosen, self.remark = None, {}, None, None

    def about(self, where: Posted) -> _SetMessage:
        """This, or an empty one if ``where`` is another message with pictures of the set."""
        same = self.posted is None or self.posted == where
        return self if same else _SetMessage(user_id=self.user_id, done=self.done)

    def shown(self, taken: Mapping[JobId, ResultPicture], posted: Posted) -> None:
        """The message is there with its own pictures and those of ``taken``."""
        there = {**self.pictures, **taken}
        self.posted = posted
        self.pictures = {job_id: replace(picture, file=None) for job_id, picture in there.items()}
        self.done.update({job_id: (posted, picture.size) for job_id, picture in taken.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Addition:
    """A picture to show in this channel. ``part`` tells repeated posts from other ones."""

    job: Job
    channel_id: int
    part: str
    notify: bool
    remark: str | None
    with_prompt: bool


@dataclass(kw_only=True, eq=False)
class ResultSets:
    """`add`, `choose` and `remove` raise a `MessageError` or `StoreError`. ``began``: when this process did
    (Unix seconds)."""

    message_client: MessageClient
    result_messages: ResultMessages
    history: History
    clock: Clock
    began: float
    _sets: dict[str, _SetMessage] = field(init=False, default_factory=dict)

    async def add(
        self,
        finished: Finished,
        channel_id: int,
        *,
        limit: int,
        part: str,
        notify: bool,
        remark: str | None = None,
        with_prompt: bool = True,
    ) -> tuple[Posted, Size]:
        """Show the picture with those of its set; returns where, and its size. ``part`` tells repeated posts
        from other ones; a ``remark`` is shown if the picture is the first in its message."""
        job = finished.job
        addition = _Addition(
            job=job,
            channel_id=channel_id,
            part=part,
            notify=notify,
            remark=remark,
            with_prompt=with_prompt,
        )
        picture = await self.result_messages.picture(finished, limit=limit)
        known = self._known(job)
        known.waiting[job.id] = picture
        try:
            async with known.lock:
                if job.id not in known.done:
                    await self._bring(known, addition)
                if job.request.set is not None and len(known.done) >= job.request.set.count:
                    self._sets.pop(job.group, None)
                return known.done[job.id]
        finally:
            known.waiting.pop(job.id, None)

    async def choose(
        self,
        where: Posted,
        job: Job,
        *,
        notify: bool,
        more: str = MORE[0],
        seen: AnyMessage | None = None,
    ) -> None:
        """Make the message's controls apply to this one of its pictures; its menu of further actions is
        called ``more`` (see `MORE`). ``seen``: the message as it was a moment ago."""
        known = self._known(job)
        async with known.lock:
            if job.request.set is not None:
                seen = None  # pictures may have been added since
            message = await self._read(known.about(where), where, seen)
            if job.id in message.pictures:
                message.chosen = job.id
                await self._show(message, where, notify=notify, more=more)

    def forget(self, user_id: int) -> None:
        """Forget this person, who has no active jobs."""
        self._sets = {group: known for group, known in self._sets.items() if known.user_id != user_id}

    async def remove(self, where: Posted, job: Job, *, notify: bool) -> None:
        """Take this picture out of the message; if it was the last one, delete the message."""
        known = self._known(job)
        async with known.lock:
            message = await self._read(known.about(where), where)
            message.pictures.pop(job.id, None)
            if message.pictures:
                await self._show(message, where, notify=notify)
            else:
                message.forget()
                await self.message_client.delete(where, level=Priority.ACKNOWLEDGE)

    def _known(self, job: Job) -> _SetMessage:
        if len(self._sets) > SETS:
            idle = [group for group, one in self._sets.items() if not one.in_use]
            for group in idle[: SETS // 2]:
                del self._sets[group]
        return self._sets.setdefault(job.group, _SetMessage(user_id=job.request.user_id))

    async def _bring(self, known: _SetMessage, new: _Addition) -> None:
        """Edit the set's message, or post one if there is none that can be edited."""
        if new.job.id not in known.unsure:
            if known.posted is None:
                await self._recall(known, new)
            if known.posted is not None and await self._edited(known, known.posted, new):
                return
            known.forget()
        picture = known.waiting[new.job.id]
        outgoing = self.result_messages.message(
            [picture],
            new.job.id,
            notify=new.notify,
            remark=new.remark,
            with_prompt=new.with_prompt,
        )
        once = nonce(new.job.id, new.channel_id, new.part)
        try:
            posted = await self.message_client.post(
                new.channel_id, outgoing, level=Priority.DELIVER, nonce=once
            )
        except DiscordAway:
            known.unsure.add(new.job.id)  # so that it is repeated and not added to another message
            raise
        known.unsure.discard(new.job.id)
        if known.posted is not None:
            # meanwhile the set has got another message, and that one stays the one to be edited
            known.done[new.job.id] = (posted, picture.size)
            return
        known.chosen, known.remark = new.job.id, new.remark
        known.shown({new.job.id: picture}, posted)

    async def _edited(self, known: _SetMessage, posted: Posted, new: _Addition) -> bool:
        """Add the picture and those that wait with it; false if this message cannot have it."""
        old = self.clock.unix() - posted.written_at > EDITABLE_FOR
        if old or posted.channel_id != new.channel_id or len(known.pictures) >= GALLERY_LIMIT:
            return False
        try:
            async with self.message_client.turn_to_edit(posted, level=Priority.DELIVER):
                taken = _taken(known, new.job)
                outgoing = self._message(known, taken, notify=new.notify, with_prompt=new.with_prompt)
                known.shown(taken, await self.message_client.edit_now(posted, outgoing))
        except Unreachable:  # deleted
            return False
        except Refused as error:
            if error.code != OLD_MESSAGE_EDITS:
                raise
            return False
        return True

    def _message(
        self,
        known: _SetMessage,
        taken: dict[JobId, ResultPicture],
        *,
        notify: bool,
        more: str = MORE[0],
        with_prompt: bool = True,
    ) -> OutgoingMessage:
        pictures = sorted({**known.pictures, **taken}.values(), key=lambda picture: picture.job.number)
        if known.chosen not in {picture.job.id for picture in pictures}:
            known.chosen = pictures[0].job.id
        stay = {picture.name for job_id, picture in known.pictures.items() if job_id not in taken}
        files = known.posted.files if known.posted is not None else ()
        return self.result_messages.message(
            pictures,
            known.chosen,
            notify=notify,
            kept=tuple(file for file in files if file.name in stay),
            remark=known.remark,
            more=more,
            with_prompt=with_prompt,
        )

    async def _show(self, known: _SetMessage, where: Posted, *, notify: bool, more: str = MORE[0]) -> None:
        message = partial(self._message, known, {}, notify=notify, more=more)
        async with self.message_client.turn_to_edit(where, level=Priority.ACKNOWLEDGE):
            try:
                posted = await self.message_client.edit_now(where, message())
            except Refused as error:
                if error.code != BLOCKED_BY_AUTOMOD:
                    raise
                posted = await self.message_client.edit_now(where, message(with_prompt=False))
        known.shown({}, posted)

    async def _recall(self, known: _SetMessage, new: _Addition) -> None:
        """Find the message that a former process began, if there is one in this channel."""
        request, number, channel_id = new.job.request, new.job.number, new.channel_id
        assert request.set is not None
        for record in await self.history.of_user(request.user_id, before=number + request.set.count):
            message_id = record.message_id
            if record.request.set == request.set and record.channel_id == channel_id and message_id:
                with suppress(Unreachable):
                    await self._read(known, Posted(channel_id=channel_id, message_id=message_id))
                    return
        known.forget()
        if new.job.queued_at < self.began:  # it may have posted one and not lived to note it
            found = messages_since(self.message_client, channel_id, new.job.queued_at)
            async with aclosing(found) as messages:
                async for message in messages:
                    if await self._is_of(request.set, number, message):
                        where = Posted(channel_id=channel_id, message_id=int(message["id"]))
                        await self._read(known, where, message)
                        return

    async def _is_of(self, together: PictureSet, number: int, message: AnyMessage) -> bool:
        """Whether a message shows a picture from the set of the picture with this number."""
        for file in files_of(message):
            match = _FILE.match(file.name)
            if match is not None and abs(int(match[1]) - number) < together.count:
                record = await self.history.job(JobId(match[2]))
                if record is not None and record.request.set == together:
                    return True
        return False

    async def _read(self, known: _SetMessage, where: Posted, seen: AnyMessage | None = None) -> _SetMessage:
        """What the message shows right now, with edits whose answer was lost; ``seen``: the message, if it
        cannot have changed since it was read."""
        message = seen if seen is not None else await self.message_client.message(where)
        files = {JobId(match[2]): file for file in files_of(message) if (match := _FILE.match(file.name))}
        remarks = {number: said.removeprefix(SMALL) for number, said in texts_of(message).items()}
        # a picture that could not be sent has no file, but is in the menu of several
        named = dict.fromkeys([*files, *map(JobId, options_of(message, custom_id("which")))])
        pictures = {job_id: await self._picture(job_id, files.get(job_id), remarks) for job_id in named}
        known.forget()
        known.shown(pictures, replace(where, files=tuple(files.values())))
        known.chosen = next((one for one in jobs_named(custom_ids_of(message)) if one in named), None)
        known.remark = remarks.get(REMARK)
        return known

    async def _picture(
        self, job_id: JobId, file: ShownFile | None, remarks: Mapping[int, str]
    ) -> ResultPicture:
        record = await self.history.job(job_id)
        if record is None:  # an edit would lose its picture
            raise Unreachable(f"job {job_id} is not remembered")
        size = (file.size if file is not None else None) or record.size or record.request.size
        return ResultPicture(
            job=job_of(record),
            report=record.report,
            size=size,
            name=file.name if file is not None else None,
            remark=remarks.get(REMARK + record.number),
        )


def _taken(known: _SetMessage, job: Job) -> dict[JobId, ResultPicture]:
    """The job's picture, and those that wait with it, as many as fit into the message and the request."""
    taken = {job.id: known.waiting[job.id]}
    room, settled = REQUEST_LIMIT - _bytes(taken[job.id]), {job.id, *known.done, *known.unsure}
    for job_id, picture in known.waiting.items():
        if job_id in settled or len(known.pictures) + len(taken) >= GALLERY_LIMIT:
            continue
        room -= _bytes(picture)
        if room < 0:
            break
        taken[job_id] = picture
    return taken


def _bytes(picture: ResultPicture) -> int:
    return len(picture.file.data) if picture.file is not None else 0
