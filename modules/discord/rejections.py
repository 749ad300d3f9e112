"""Refusals of requests that only this package raises."""

from __future__ import annotations

from modules.queue_manager.errors import RequestRejected


class GuildAway(RequestRejected, message_key="error-guild-away"):
    """Discord has not sent the guild's channels: it has an outage, or the bot connected this moment."""


class NegativeUnknown(RequestRejected, message_key="error-no-negative"):
    """A negative prompt for a model that does not use negative prompts (fields: model)."""


class StrengthAlone(RequestRejected, message_key="error-strength-alone"):
    """A strength was given without a picture to start from."""


class NobodyStarts(RequestRejected, message_key="error-no-starts"):
    """No model can start from a picture."""


class NobodyPaintsParts(RequestRejected, message_key="error-no-masks"):
    """No model can paint only a part of a picture."""


class UnknownLora(RequestRejected, message_key="error-unknown-lora"):
    """No LoRA of this name (fields: lora)."""


class LoraForOthers(RequestRejected, message_key="error-lora-roles"):
    """None of the person's roles may use the LoRA (fields: lora)."""


class LoraForOtherModels(RequestRejected, message_key="error-lora-models"):
    """The LoRA does not fit the model (fields: lora, model, models: the labels of those that it fits)."""


class BadLoraStrength(RequestRejected, message_key="error-lora-strength"):
    """Not one of the LoRA's strengths (fields: lora, least, most, step)."""


class StrengthOfNothing(RequestRejected, message_key="error-lora-missing"):
    """A strength was given without a LoRA."""


class UnknownStyle(RequestRejected, message_key="error-unknown-style"):
    """No style of this name (fields: style)."""


class RestrictedPicture(RequestRejected, message_key="error-restricted-picture"):
    """The request starts from a picture that may be shown in age-restricted channels only."""


class NoPictureHere(RequestRejected, message_key="error-no-picture-here"):
    """The message has no picture."""


class MessageUnchanged(RequestRejected, message_key="error-message-unchanged"):
    """Discord did not let the bot change or delete a message, or could not be reached."""


class PictureForgotten(RequestRejected, message_key="error-gone"):
    """The database does not have the job any more."""


class NotANumber(RequestRejected, message_key="error-form-number"):
    """A form's field holds something other than a number (fields: value)."""


class ForAdministrators(RequestRejected, message_key="admin-only"):
    """Only administrators may use the command."""


class ArgumentMissing(RequestRejected, message_key="admin-argument-missing"):
    """A typed command lacks an argument (fields: command, argument)."""


class ArgumentWrong(RequestRejected, message_key="admin-argument-wrong"):
    """An argument of a typed command means nothing (fields: command)."""


class SharingNotSetUp(RequestRejected, message_key="shared-nowhere"):
    """No gallery is set up."""


class AlreadyShared(RequestRejected, message_key="shared-already"):
    """The picture is in the gallery (fields: link)."""


class SharingRefused(RequestRejected, message_key="shared-refused"):
    """Discord does not let the picture into the gallery."""


class NoSuchGpu(RequestRejected, message_key="admin-no-gpu"):
    """No engine of that name (fields: names)."""


class NotAMember(RequestRejected, message_key="error-not-a-member"):
    """The person has left the guild that this bot serves."""
