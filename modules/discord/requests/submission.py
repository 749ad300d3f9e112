"""Takes what a person asks for: checks it against every rule, gives it a channel, submits it to the queue.

Commands, buttons and forms all come this way.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from math import isfinite
from uuid import uuid4

from modules.discord.rejections import (
    NegativeUnknown,
    NobodyPaintsParts,
    RestrictedPicture,
    StrengthAlone,
)
from modules.discord.requests.banned_words import BannedWords
from modules.discord.requests.limits import Allowance, Cooldown, Limits
from modules.discord.requests.loras_and_styles import lora_of, style_of
from modules.discord.requests.requester import Requester
from modules.discord.sessions.channels import SessionChannels
from modules.discord.ui.aspect_ratios import choose_size, sizes_by_shape
from modules.queue_manager.errors import (
    BadStrength,
    Blocked,
    DailyLimitReached,
    NoModelFor,
    NotAllowedHere,
    QueueClosed,
    UnknownModel,
    UserLimitReached,
)
from modules.queue_manager.jobs import (
    MAX_SEED,
    START_STEP,
    GenerationRequest,
    Job,
    Kind,
    MaskUse,
    ModelOffer,
    Origin,
    PictureSet,
    Scaling,
    Size,
    SourceImage,
    Variation,
)
from modules.queue_manager.manager import QueueManager
from modules.queue_manager.ports import Clock
from modules.queue_manager.prompt_text import is_blank
from modules.utils.database.stores.history import History
from modules.utils.database.stores.members import Members, day_of
from modules.utils.images.cleaner import CleanPicture, PictureCleaner

log = getLogger(__name__)

USUAL_STRENGTH = 0.6
"""The strength of a start picture if nobody chooses one: the subject stays, its look changes."""


FOR_PARTS: tuple[MaskUse, ...] = ("best", "must")
"""The ``masks`` of models that were made to paint a part of a picture; other models are better for a whole
one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """What somebody wants, before anything is checked.

    ``model`` None: the one they prefer, or the first of the kind; ``shape`` a word or ``832x1216``;
    ``seed`` None: a new one; of ``count`` pictures each has the next seed. ``age_restricted``: the
    ``sources`` are; ``origin``: where the first of them came from. ``lora`` and ``style`` are names or
    labels, ``none`` for none; None: what they prefer, for a new picture. ``strength`` and ``mask`` as in
    `GenerationRequest`, but before picture and mask are brought to the result's size.
    """

    kind: Kind
    prompt: str
    model: str | None = None
    shape: str | None = None
    size: Size | None = None
    seed: int | None = None
    negative: str = ""
    count: int = 1
    variation: Variation | None = None
    sources: tuple[CleanPicture, ...] = ()
    age_restricted: bool = False
    origin: Origin | None = None
    lora: str | None = None
    lora_strength: float | None = None
    style: str | None = None
    strength: float | None = None
    mask: CleanPicture | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The jobs that a request became, and the channel in which they will appear."""

    jobs: tuple[Job, ...]
    channel_id: int


@dataclass(kw_only=True, eq=False)
class Submissions:
    """Checks the community's rules; the queue checks each picture's."""

    queue: QueueManager
    channels: SessionChannels
    members: Members
    history: History
    limits: Limits
    cooldown: Cooldown
    banned: BannedWords
    cleaner: PictureCleaner
    clock: Clock

    async def take(self, person: Requester, image_request: ImageRequest) -> Accepted:
        """Queue what is asked for, all of it or nothing. Raises a `RequestRejected` or `StoreError`."""
        await self._admit(person.user_id)
        offer = self._offer(person, image_request)
        image_request = replace(image_request, kind=offer.kind)
        image_request = replace(image_request, strength=_strength(person, image_request))
        size = _result_size(image_request, offer, person)
        image_request = await self._fitted(image_request, size)
        allowance = self.limits.of(person.role_ids)
        plain, sources = _requests(person, image_request, size, offer, allowance)
        lora = lora_of(self.queue.offers, person, offer, image_request.lora, image_request.lora_strength)
        style = style_of(self.queue.offers, person, offer, image_request.style)
        requests = [replace(request, lora=lora, style=style) for request in plain]
        self._check(person, image_request, offer)
        for request in requests:
            self.queue.check(request)
        sent = requests[0].full_prompt, requests[0].full_negative
        await self.banned.check(*dict.fromkeys((image_request.prompt, image_request.negative, *sent)))
        # The queue counts again, atomically; this spares those over the limit a new channel.
        active = len(self.queue.active_jobs(person.user_id))
        if active + image_request.count > allowance.jobs:
            raise UserLimitReached(active=active, limit=allowance.jobs, asked=image_request.count)
        before = None
        if not self.cooldown.knows(person.user_id):
            before = await self.history.last_queued_at(person.user_id)
        self.cooldown.check(person.user_id, before)
        day, limit = day_of(self.clock.unix()), allowance.pictures_a_day
        spent = 0
        try:
            if limit is not None:
                if not await self.members.spend(person.user_id, day, image_request.count, limit):
                    raise DailyLimitReached(limit=limit, asked=image_request.count)
                spent = image_request.count
            return await self._submit(person, requests, sources, allowance)
        except BaseException:
            self.cooldown.undo(person.user_id)
            if spent:
                await self.members.refund(person.user_id, day, spent)
            raise

    async def admit(self, user_id: int, *texts: str) -> None:
        """Check what holds for everything that people ask for or show: the queue is open, they are not
        blocked, no banned word is in ``texts``. Raises a `RequestRejected` or `StoreError`."""
        await self._admit(user_id)
        await self.banned.check(*texts)

    async def _admit(self, user_id: int) -> None:
        closed = self.queue.status().closed_because
        if closed is not None:
            raise QueueClosed(closed)
        if await self.members.is_blocked(user_id):
            raise Blocked

    def _offer(self, person: Requester, image_request: ImageRequest) -> ModelOffer:
        """The model asked for, or the preferred one if it can do this at all. A part of a picture may be
        painted by any model that can, whatever the kind of the request."""
        preferred = person.preferences.model
        if image_request.mask is not None:
            if image_request.model is None:
                count = len(image_request.sources)
                return part_painters(self.queue.offers, person, preferred, image_request.kind, count)[0]
            wanted = self.queue.offers.named(image_request.model)
            if wanted is not None and wanted.masks != "none":
                return wanted
        if image_request.model is None and preferred is not None:
            try:
                return find_offer(self.queue.offers, image_request.kind, preferred)
            except UnknownModel:
                log.debug("the preferred model does something else")
        return find_offer(self.queue.offers, image_request.kind, image_request.model)

    def _check(self, person: Requester, image_request: ImageRequest, offer: ModelOffer) -> None:
        if not is_blank(image_request.negative) and offer.negative == "none":
            raise NegativeUnknown(model=offer.label)
        if offer.nsfw and not person.age_restricted:
            raise NotAllowedHere(model=offer.label)
        if image_request.age_restricted and not person.age_restricted:
            raise RestrictedPicture

    async def _fitted(self, image_request: ImageRequest, size: Size) -> ImageRequest:
        """With the picture that the sampler starts from, and its mask, in the size of the result."""
        first, mask = image_request.sources[:1], image_request.mask
        if not first or (image_request.strength is None and mask is None) or first[0].size == size:
            return image_request
        picture, mask = await self.cleaner.fit(first[0], mask, size)
        return replace(image_request, sources=(picture, *image_request.sources[1:]), mask=mask)

    async def _submit(
        self,
        person: Requester,
        requests: Sequence[GenerationRequest],
        sources: Mapping[str, bytes],
        allowance: Allowance,
    ) -> Accepted:
        channel = await self.channels.open(
            person.guild_id,
            person.user_id,
            name=person.name,
            locale=person.locale,
            age_restricted=requests[0].age_restricted,
        )
        placed = [replace(request, channel_id=channel.id) for request in requests]
        jobs = await self.queue.submit(placed, sources=sources, limit=allowance.jobs)
        return Accepted(jobs=jobs, channel_id=channel.id)


def find_offer(offers: Sequence[ModelOffer], kind: Kind, name: str | None) -> ModelOffer:
    """The model that ``name`` (or label, whatever its case) means; without one, the first of the kind, if
    possible not one made for parts. Raises `UnknownModel`.
    """
    fitting = [offer for offer in offers if offer.kind == kind]
    if not name and fitting:
        return min(fitting, key=lambda offer: offer.masks in FOR_PARTS)
    wanted = (name or "").strip()
    for offer in fitting:
        if wanted.casefold() in (offer.name.casefold(), offer.label.casefold()):
            return offer
    raise UnknownModel(model=wanted[:80]) if fitting else NoModelFor(kind=kind)


def part_painters(
    offers: Sequence[ModelOffer], person: Requester, first: str | None, kind: Kind, count: int = 1
) -> list[ModelOffer]:
    """The models that can paint a part of a picture, those that take ``count`` pictures before others: those
    made for it, then ``first``, then those of this kind, then the others. Raises `NobodyPaintsParts`."""
    found = [offer for offer in offers if offer.masks != "none" and (person.age_restricted or not offer.nsfw)]
    if not found:
        raise NobodyPaintsParts

    def rank(offer: ModelOffer) -> tuple[bool, ...]:
        takes = max(1, offer.source_count[1]) >= count
        return not takes, offer.masks == "may", offer.name != first, offer.kind != kind

    return sorted(found, key=rank)


def _strength(person: Requester, image_request: ImageRequest) -> float | None:
    """The strength of a start picture: the one asked for, to the nearest step; else, without a mask, the
    preferred one; None if an edit model paints the marked part. Raises `StrengthAlone` and `BadStrength`."""
    wanted = image_request.strength
    if wanted is not None and not image_request.sources:
        raise StrengthAlone
    if image_request.kind != "imagine" or not image_request.sources:
        return None
    if wanted is None:
        usual = person.preferences.start_strength or USUAL_STRENGTH
        return usual if image_request.mask is None else None
    nearest = round(round(wanted / START_STEP) * START_STEP, 2) if isfinite(wanted) else wanted
    if not START_STEP <= nearest <= 1:
        raise BadStrength(strength=wanted)
    return nearest


def _requests(
    person: Requester, image_request: ImageRequest, size: Size, offer: ModelOffer, allowance: Allowance
) -> tuple[tuple[GenerationRequest, ...], dict[str, bytes]]:
    """The requests, without a channel yet, and the bytes of their pictures by key."""
    sources = [_stored(source) for source in image_request.sources]
    masks = [] if image_request.mask is None else [_stored(image_request.mask)]
    first = secrets.randbelow(MAX_SEED + 1) if image_request.seed is None else image_request.seed
    together = PictureSet(id=uuid4().hex, count=image_request.count) if image_request.count > 1 else None
    seeds = [first, *((first + index) % (MAX_SEED + 1) for index in range(1, image_request.count))]
    requests = tuple(
        GenerationRequest(
            user_id=person.user_id,
            guild_id=person.guild_id,
            channel_id=0,
            locale=person.locale,
            kind=image_request.kind,
            model=offer.name,
            prompt=image_request.prompt.strip(),
            negative="" if is_blank(image_request.negative) else image_request.negative.strip(),
            size=size,
            seed=seed,
            variation=image_request.variation,
            sources=tuple(source for source, _ in sources),
            strength=image_request.strength,
            mask=masks[0][0] if masks else None,
            tier=allowance.tier,
            # noted here, as the model may be another one, or gone, when the picture is there
            age_restricted=image_request.age_restricted or offer.nsfw,
            origin=image_request.origin,
            set=together,
        )
        for seed in seeds
    )
    return requests, {source.key: data for source, data in (*sources, *masks)}


def _stored(picture: CleanPicture) -> tuple[SourceImage, bytes]:
    key = hashlib.sha256(picture.data).hexdigest()
    return SourceImage(key=key, size=picture.size), picture.data


def _fits(size: Size, offer: ModelOffer) -> bool:
    return size.width % offer.size_multiple == 0 and size.height % offer.size_multiple == 0


def _result_size(image_request: ImageRequest, offer: ModelOffer, person: Requester) -> Size:
    """The size of the result. A start picture keeps its own if the model makes that, else it gets the one
    whose proportions are nearest. Raises `BadSize`."""
    start = image_request.sources[0].size if image_request.sources else None
    if image_request.kind != "imagine" and start is not None:
        again = image_request.mask is not None and image_request.size == start
        return start if again and _fits(start, offer) else offer.result_size(start)
    if start is not None and image_request.shape is None:
        return start if start in offer.sizes else Scaling(shapes=offer.sizes).of(start)
    if image_request.size is not None:
        return choose_size(offer, str(image_request.size))
    if image_request.shape is None and person.preferences.aspect is not None:
        return sizes_by_shape(offer).get(person.preferences.aspect, offer.default_size)
    return choose_size(offer, image_request.shape)
