"""Every error the bot raises on purpose.

A `RequestRejected` tells a person why their request cannot be taken; a `GenerationError` is a run that
failed, and its `Blame` says what to do next; a `StoreError` concerns the database; a `StartupError` ends the
process with one line that says how to fix it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Blame = Literal["server", "size", "fusion", "content", "nobody"]
"""Where a failed run's cause lies: the server (try another), the batch's size (try fewer), that it was
fused (run its jobs one by one), one of its jobs (split until it stands alone), or none of them (give up)."""


class BotError(Exception):
    """``message_key`` names the sentence in the catalogue, ``fields`` fill its blanks."""

    message_key: ClassVar[str] = "error-unexpected"

    def __init__(self, reason: str = "", /, **fields: str | int | float) -> None:
        super().__init__(reason or type(self).__name__)
        self.reason = reason
        self.fields = fields


class RequestRejected(BotError):
    """The request cannot be taken; nothing was queued. The sentence is for the person who asked."""


class BadPrompt(RequestRejected):
    """Empty, or longer than ``limit`` characters (fields: length, limit)."""

    message_key = "error-bad-prompt"


class BadSize(RequestRejected):
    """The model's card does not allow this size (fields: size, allowed)."""

    message_key = "error-bad-size"


class BadSeed(RequestRejected):
    """Not a whole number from 0 to 2^53 − 1 (fields: seed)."""

    message_key = "error-bad-seed"


class BadSourceImage(RequestRejected):
    """The upload is not a picture that can be read; ``problem`` is one of not-image, truncated,
    too-many-pixels, too-many-bytes, took-too-long, gone."""

    message_key = "error-bad-source-image"

    def __init__(self, problem: str, /, **fields: str | int | float) -> None:
        super().__init__(problem, problem=problem, **fields)


class NoSourceImage(RequestRejected):
    """An edit without a picture, and no earlier one to fall back on."""

    message_key = "error-no-source-image"


class WrongSourceCount(RequestRejected):
    """More or fewer pictures than the model starts from (fields: model, count, such as 1 or 1–2)."""

    message_key = "error-source-count"


class UnknownModel(RequestRejected):
    """No card of this name and kind (fields: model)."""

    message_key = "error-unknown-model"


class ModelUnavailable(RequestRejected):
    """There is a card, but no living server has what it needs (fields: model)."""

    message_key = "error-model-unavailable"


class NotAllowedHere(RequestRejected):
    """The model's card says nsfw and the channel is not age-restricted (fields: model)."""

    message_key = "error-not-allowed-here"


class UserLimitReached(RequestRejected):
    """As many active jobs (queued and running) as the person may have (fields: active, limit, asked)."""

    message_key = "error-user-limit"


class DailyLimitReached(RequestRejected):
    """The person has used today's pictures (fields: limit)."""

    message_key = "error-daily-limit"


class CoolingDown(RequestRejected):
    """Asked again too soon (fields: seconds)."""

    message_key = "error-cooling-down"


class Blocked(RequestRejected):
    """An administrator has blocked this person."""

    message_key = "error-blocked"


class BannedWord(RequestRejected):
    """The prompt contains a word that this community does not allow."""

    message_key = "error-banned-word"


class UnknownJob(RequestRejected):
    """No such job, or it has ended."""

    message_key = "error-unknown-job"


class NotYourJob(RequestRejected):
    """The job is somebody else's."""

    message_key = "error-not-your-job"


class TooManyChannels(RequestRejected):
    """The guild has no room for another channel, and no idle session could be closed."""

    message_key = "error-too-many-channels"


class QueueClosed(RequestRejected):
    """No job is accepted now; ``why`` is one of shutting-down, standby, set-up, wrong-guild, store."""

    message_key = "error-queue-closed"

    def __init__(self, why: str, /, **fields: str | int | float) -> None:
        super().__init__(why, why=why, **fields)


class GenerationError(BotError):
    """A run failed. ``blame`` says what to do next; ``reason`` is for the log, and for people."""

    message_key = "error-generation"
    blame: ClassVar[Blame] = "nobody"

    def __init__(self, reason: str = "", /, **fields: str | int | float) -> None:
        super().__init__(reason, reason=reason, **fields)


class EngineUnavailable(GenerationError):
    """The server refused, could not be reached, or answered something that ComfyUI never answers."""

    message_key = "error-engine-unavailable"
    blame = "server"


class EngineUnauthorized(EngineUnavailable):
    """The server wants a key, or another one (401, 403)."""


class EngineStalled(EngineUnavailable):
    """No progress for a multiple of the learned duration."""


class EngineSick(EngineUnavailable):
    """The server answers and fails every run: its disk is full, or the runs of several different people
    failed on it in a row."""


class EngineForgot(EngineUnavailable):
    """The server does not have a run that it was given: it was restarted."""


class OutOfMemory(GenerationError):
    """The GPU does not have enough memory for a batch of this size."""

    message_key = "error-out-of-memory"
    blame = "size"


class FusionRefused(GenerationError):
    """The jobs cannot run as a batch, only one by one."""

    message_key = "error-fusion-refused"
    blame = "fusion"


class WorkflowRejected(GenerationError):
    """ComfyUI refused the graph; ``reason`` names node, input and what is allowed."""

    message_key = "error-workflow-rejected"
    blame = "content"


class ExecutionFailed(GenerationError):
    """A node raised while running; ``reason`` names node and exception."""

    message_key = "error-execution-failed"
    blame = "content"


class NoOutput(GenerationError):
    """The run ended, and the picture was not where it should be."""

    message_key = "error-no-output"
    blame = "content"


class AttemptsExhausted(GenerationError):
    """Every attempt on every server failed (fields: attempts)."""

    message_key = "error-attempts-exhausted"


class StoreError(BotError):
    """The job store could not do what was asked."""

    message_key = "error-store"


class StoreUnavailable(StoreError):
    """The database cannot be reached or written right now."""


class LeaseLost(StoreError):
    """Another process works on this database now; this one must neither dispatch nor post."""


class StartupError(BotError):
    """The process cannot start; ``str(error)`` is the whole message for the operator."""


class BadSettings(StartupError):
    """Settings are missing or malformed; one line each."""


class BadWorkflow(StartupError):
    """A card or graph in ``flujos/`` is wrong; file and field are named."""
