"""Pure: what a job's status message says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import discord

from modules.discord.ui.components import Action, job_buttons, status_mark
from modules.discord.ui.formatting import bar, code_block, moment, plain, quoted
from modules.discord.ui.layout import accent_of, attached, container, gallery, layout, text
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import GenerationError
from modules.queue_manager.jobs import Job
from modules.queue_manager.ports import Cancelled
from modules.queue_manager.status import QueuePosition, Stranded

Ending = Literal["delivered", "kept", "failed", "cancelled", "cancelled-by-other"]
Stage = Literal["queued", "started", "retrying", "finishing", "restarting"] | Ending

ENDED: frozenset[str] = frozenset(get_args(Ending))


@dataclass(frozen=True, slots=True)
class Starting:
    """A server is being started, which takes about this many seconds."""

    seconds: int


Hindrance = Literal["paused", "no-server"] | Starting

_TELLING: tuple[Stage, ...] = (
    "started", "retrying", "queued", "restarting", "finishing",
    "failed", "kept", "cancelled-by-other", "cancelled", "delivered",
)  # fmt: skip
"""The stages, in this order: of jobs that are shown together, the first stage here tells the most."""

SOON = 5.0
"""Seconds before its end at which a countdown becomes "any moment now": it never runs into the past."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusText:
    """All that a status message says. Times are Unix seconds; ``step`` 0: the sampler has not begun.
    ``served``: a server that is up can make it; ``stranded``: none can any more; ``together``: how many jobs
    were in its last run, 0 if it had none; ``error``: why it failed, or is tried again; ``mention``: its
    owner wants to be pinged about a failure."""

    job: Job
    stage: Stage = "queued"
    place: QueuePosition | None = None
    hindrance: Hindrance | None = None
    served: bool = True
    stranded: Stranded | None = None
    together: int = 0
    started_at: float | None = None
    step: int = 0
    steps: int = 0
    expected_at: float | None = None
    error: GenerationError | None = None
    with_prompt: bool = True
    mention: bool = True


def lead(statuses: Iterable[StatusText]) -> StatusText:
    """Of jobs that are shown together, the one that tells most: one that is being made, else one that is to
    be made; when all have ended, one that failed, else one that was not delivered."""
    return min(statuses, key=lambda status: (_TELLING.index(status.stage), status.job.number))


def render(
    messages: Translations,
    statuses: Sequence[StatusText],
    *,
    missing: int = 0,
    now: float = 0.0,
    preview: str | None = None,
    mention: bool = False,
) -> discord.ui.LayoutView:
    """The message about a job, or those of a set, at ``now`` (Unix seconds), which matters only where there
    is a countdown. ``missing``: the number of other jobs of which it is not known how they ended;
    ``preview``: the name of the file with the picture so far; ``mention``: the message begins with its
    owner's name."""
    status = lead(statuses)
    request = status.job.request
    buttons, facts = actions(status), _facts(messages, status, now)
    prompt, alt = "", ""
    if status.with_prompt and request.prompt.strip():
        alt = plain(request.prompt, 1000)
        if status.stage == "failed":
            prompt = code_block(request.prompt)
        else:
            prompt = messages.text(request.locale, "prompt-line", prompt=quoted(request.prompt, 120))
    frame = container(
        text("\n".join(_headlines(messages, statuses, missing))),
        gallery([(attached(preview), alt)]) if preview is not None else None,
        text(prompt) if prompt else None,
        text("\n".join(facts)) if facts else None,
        job_buttons(messages, request.locale, status.job.id, buttons) if buttons else None,
        accent=accent_of(request.model),
        mark=status_mark(status.job.group),
    )
    return layout(text(f"<@{request.user_id}>") if mention else None, frame)


def _headlines(messages: Translations, statuses: Sequence[StatusText], missing: int) -> Iterator[str]:
    """How a job stands; of a set also how many are ready, and each that has ended otherwise."""
    first = lead(statuses)
    together = first.job.request.set
    if together is not None and first.stage not in ENDED:
        others = sum(status.stage != "delivered" for status in statuses)
        ready = together.count - others - missing
        numbers = sorted(status.job.number for status in statuses)
        yield messages.text(
            first.job.request.locale,
            "status-set",
            numbers=f"#{numbers[0]}–#{numbers[-1]}" if len(numbers) > 1 else f"#{numbers[0]}",
            ready=ready,
            count=together.count,
        )
    if first.stage not in ENDED:
        yield _headline(messages, first)
    told = [status for status in statuses if status.stage in ENDED and status.stage != "delivered"]
    yield from (_headline(messages, status) for status in told)


def _facts(messages: Translations, status: StatusText, now: float) -> list[str]:
    """How far it is, what holds it up, when it is expected."""
    stage, locale, facts = status.stage, status.job.request.locale, []
    if stage == "started" and status.steps:
        drawn = bar(status.step, status.steps)
        facts.append(messages.text(locale, "status-steps", bar=drawn, step=status.step, steps=status.steps))
    in_headline = stage == "retrying" and not status.served and status.hindrance == "no-server"
    if stage in ("queued", "retrying") and status.hindrance is not None and not in_headline:
        facts.append(hindrance_text(messages, locale, status.hindrance))
    if stage in ("queued", "retrying") and (gone := status.stranded) is not None:
        facts.append(messages.text(locale, "status-stranded", model=gone.model, when=moment(gone.until)))
    if (expected := _expected_at(status)) is not None:
        facts.append(messages.text(locale, "status-expected", when=countdown(expected, now)))
    return facts


def hindrance_text(messages: Translations, locale: str, hindrance: Hindrance) -> str:
    """Why nothing is being made right now."""
    if isinstance(hindrance, Starting):
        return messages.text(locale, "status-starting", seconds=hindrance.seconds)
    return messages.text(locale, f"status-{hindrance}")


def is_soon(status: StatusText, now: float) -> bool:
    """Whether the picture should be there within a few seconds, or already."""
    expected = _expected_at(status)
    return expected is not None and countdown(expected, now) == "soon"


def countdown(expected_at: float, now: float) -> str:
    """The value of ``when`` in a sentence about an expected time: a countdown, or ``soon``."""
    return "soon" if expected_at - now < SOON else moment(expected_at)


def _expected_at(status: StatusText) -> float | None:
    if status.stage == "started":
        return status.expected_at
    waits = status.stage in ("queued", "retrying") and status.hindrance is None
    return status.place.expected_at if waits and status.place is not None else None


def _headline(messages: Translations, status: StatusText) -> str:
    request, stage = status.job.request, status.stage
    fields: dict[str, str | int] = {"number": str(status.job.number)}
    if stage == "queued":
        fields["ahead"] = standing(status.place)
        fields["waiting"] = status.place.waiting if status.place else 1
    elif stage == "started":
        fields["since"] = moment(status.started_at or 0)
    elif stage == "retrying":
        fields["why"] = _setback(status)
    elif stage == "failed":
        fields["why"] = messages.error(request.locale, status.error or GenerationError(""))
    return messages.text(request.locale, f"status-{stage}", **fields)


def _setback(status: StatusText) -> str:
    """Which sentence about a failed run applies: a variant of ``status-retrying``."""
    error = status.error or GenerationError("")
    if error.blame == "server":
        lacking = error.message_key == "error-server-lacks"
        return ("lacks" if lacking else "server") + ("" if status.served else "-none")
    return "size-alone" if error.blame == "size" and status.together == 1 else error.blame


def standing(place: QueuePosition | None) -> str | int:
    """How many pictures are ahead of a job, or ``taken``: it runs, or waits on a GPU that runs another."""
    if place is None:
        return 0
    return place.ahead if place.waits else "taken"


def cancelled_stage(event: Cancelled) -> Literal["cancelled", "cancelled-by-other"]:
    """Whether its owner cancelled the job (or left the server), or an administrator did."""
    return "cancelled" if event.by in (None, event.job.request.user_id) else "cancelled-by-other"


def actions(status: StatusText) -> tuple[Action, ...]:
    if status.stage == "failed":
        return ("again", "prompt")
    if status.stage in ENDED or status.stage == "finishing":
        return ()
    return ("cancel",) if status.job.request.set is None else ("cancelall",)


def worth_telling(old: QueuePosition | None, new: QueuePosition | None, *, now: float) -> bool:
    """Whether a waiting job's place has changed enough to edit its message. As long as the expected time
    holds, a better place is shown only when half of those ahead are gone: Discord's clients run the countdown
    by themselves. The time holds while it is wrong by no more than five seconds or a fifth of the wait,
    whichever is longer."""
    if old is None or new is None:
        return old is not new
    if (
        old.waits != new.waits
        or new.ahead > old.ahead
        or new.ahead < old.ahead <= 2 * (old.ahead - new.ahead)
    ):
        return True
    if old.expected_at is None or new.expected_at is None:
        return old.expected_at is not new.expected_at or old.ahead != new.ahead
    return abs(old.expected_at - new.expected_at) > max(5.0, 0.2 * (old.expected_at - now))
