"""The errors that packages share; each package may have others of its own.

A `RequestRejected` tells a person why their request cannot be taken; a `GenerationError` is a run that
failed, and its `Blame` says what to do next; a `StoreError` concerns the database; a `StartupError` ends the
process with one line that says how to fix it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Blame = Literal["server", "size", "fusion", "content", "nobody"]
"""Where a failed run's cause lies: the server (try another), the batch's size (try fewer), that it was fused
(run its jobs one by one), one of its jobs (split until that one is alone), or none of them (give up)."""


class BotError(Exception):
    """``message_key``, an argument of the subclass, names the sentence in the catalogue; ``fields`` fill its
    blanks."""

    message_key: ClassVar[str] = "error-unexpected"

    def __init_subclass__(cls, *, message_key: str | None = None) -> None:
        if message_key is not None:
            cls.message_key = message_key

    def __init__(self, reason: str = "", /, **fields: str | int | float) -> None:
        super().__init__(reason or type(self).__name__)
        self.reason = reason
        self.fields = fields


class RequestRejected(BotError):
    """The request cannot be taken; nothing was queued. The sentence is for the person who asked."""


class BadPrompt(RequestRejected, message_key="error-bad-prompt"):
    """Empty, or longer than ``limit`` characters (fields: length, limit)."""


class BadSize(RequestRejected, message_key="error-bad-size"):
    """The model's card does not allow this size (fields: size, allowed)."""


class BadSeed(RequestRejected, message_key="error-bad-seed"):
    """Not a whole number from 0 to 2^53 − 1 (fields: seed)."""


class BadSourceImage(RequestRejected, message_key="error-bad-source-image"):
    """The upload is not a picture that can be read; ``problem`` is one of not-image, truncated,
    too-many-pixels, too-many-bytes, took-too-long, gone."""

    def __init__(self, problem: str, /, **fields: str | int | float) -> None:
        super().__init__(problem, problem=problem, **fields)


class BadMask(RequestRejected, message_key="error-bad-mask"):
    """``problem`` is one of size (not that of the picture), nothing (is marked), outside (what is marked lies
    outside the result) and everything (is marked, so nothing would be kept)."""

    def __init__(self, problem: str, /) -> None:
        super().__init__(problem, problem=problem)


class BadStrength(RequestRejected, message_key="error-bad-strength"):
    """The strength is not between 0.05 and 1 (fields: strength)."""


class CannotStart(RequestRejected, message_key="error-cannot-start"):
    """The model cannot start from a picture (fields: model, others: those that can, maybe none)."""


class CannotMask(RequestRejected, message_key="error-cannot-mask"):
    """The model cannot paint only a part of a picture (fields: model, others: those that can, maybe none)."""


class MaskNeeded(RequestRejected, message_key="error-mask-needed"):
    """The model always paints a part of a picture, and no mask says which (fields: model)."""


class NoSourceImage(RequestRejected, message_key="error-no-source-image"):
    """An edit without a picture, and no earlier one to fall back on."""


class WrongSourceCount(RequestRejected, message_key="error-source-count"):
    """More or fewer pictures than the model starts from (fields: model, count, such as 1 or 1–2)."""


class UnknownModel(RequestRejected, message_key="error-unknown-model"):
    """No card of this name and kind (fields: model)."""


class NoModelFor(UnknownModel, message_key="error-no-model"):
    """No model makes pictures of this kind (fields: kind)."""


class ModelUnavailable(RequestRejected, message_key="error-model-unavailable"):
    """There is a card, but no living server has what it needs (fields: model)."""


class LoraUnavailable(RequestRejected, message_key="error-lora-unavailable"):
    """No living server has both the model and the LoRA's file (fields: lora, model)."""


class VariationUnavailable(RequestRejected, message_key="error-no-variations"):
    """No living server can make a variation of a picture: that needs the node pack."""


class NotAllowedHere(RequestRejected, message_key="error-not-allowed-here"):
    """The model's card says nsfw and the channel is not age-restricted (fields: model)."""


class UserLimitReached(RequestRejected, message_key="error-user-limit"):
    """As many active jobs (queued and running) as the person may have (fields: active, limit, asked)."""


class DailyLimitReached(RequestRejected, message_key="error-daily-limit"):
    """More pictures in a day than the person may ask for (fields: limit, asked)."""


class CoolingDown(RequestRejected, message_key="error-cooling-down"):
    """Asked again too soon (fields: seconds)."""


class Blocked(RequestRejected, message_key="error-blocked"):
    """An administrator has blocked this person."""


class BannedWord(RequestRejected, message_key="error-banned-word"):
    """The prompt contains a word that this community does not allow."""


class UnknownJob(RequestRejected, message_key="error-unknown-job"):
    """No such job, or it has ended."""


class NotYourJob(RequestRejected, message_key="error-not-your-job"):
    """The job is somebody else's."""


class TooManyChannels(RequestRejected, message_key="error-too-many-channels"):
    """The guild has no room for another channel, and no idle session could be closed."""


class QueueClosed(RequestRejected, message_key="error-queue-closed"):
    """No job is accepted now; ``why`` is one of shutting-down, standby, set-up, wrong-guild, store,
    word-list, forgetting."""

    def __init__(self, why: str, /, **fields: str | int | float) -> None:
        super().__init__(why, why=why, **fields)


class GenerationError(BotError):
    """A run failed. ``blame`` says what to do next; ``reason`` is for the log, and for people."""

    message_key = "error-generation"
    blame: ClassVar[Blame] = "nobody"

    def __init_subclass__(cls, *, blame: Blame | None = None, **kwargs: str) -> None:
        super().__init_subclass__(**kwargs)
        if blame is not None:
            cls.blame = blame

    def __init__(self, reason: str = "", /, **fields: str | int | float) -> None:
        super().__init__(reason, reason=reason, **fields)


class EngineUnavailable(GenerationError, message_key="error-engine-unavailable", blame="server"):
    """The server refused, could not be reached, or answered something that ComfyUI never answers."""


class EngineUnauthorized(EngineUnavailable):
    """The server wants a key, or another one (401, 403)."""


class EngineStalled(EngineUnavailable):
    """No progress for a multiple of the learned duration."""


class EngineSick(EngineUnavailable):
    """The server answers and fails every run: its disk is full, or the runs of several different people
    failed on it in a row."""


class EngineForgot(EngineUnavailable):
    """The server does not have a run that it was given: it was restarted, or somebody there ended the run."""


class EngineFull(EngineUnavailable):
    """The server takes no more runs for ``seconds``; those that it has go on."""

    def __init__(self, reason: str = "", /, *, seconds: float = 0.0, **fields: str | int | float) -> None:
        super().__init__(reason, **fields)
        self.seconds = seconds


class OutOfMemory(GenerationError, message_key="error-out-of-memory", blame="size"):
    """The GPU does not have enough memory for a batch of this size."""


class FusionRefused(GenerationError, message_key="error-fusion-refused", blame="fusion"):
    """The jobs cannot run as a batch, only one by one."""


class WorkflowRejected(GenerationError, message_key="error-workflow-rejected", blame="content"):
    """ComfyUI refused the graph; ``reason`` names node, input and what is allowed."""


class ExecutionFailed(GenerationError, message_key="error-execution-failed", blame="content"):
    """A node raised while running; ``reason`` names node and exception."""


class NoOutput(GenerationError, message_key="error-no-output", blame="content"):
    """The run ended, and the picture was not where it should be."""


class ModelGone(GenerationError, message_key="error-model-gone"):
    """No server can run the model any more, and none got it in time (fields: model)."""


class AttemptsExhausted(GenerationError, message_key="error-attempts-exhausted"):
    """Every attempt on every server failed (fields: attempts)."""


class StoreError(BotError, message_key="error-store"):
    """The job store could not do what was asked."""


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
