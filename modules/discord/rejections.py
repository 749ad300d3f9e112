"""What only Discord's side of the bot refuses."""

from __future__ import annotations

from modules.queue_manager.errors import RequestRejected


class NegativeUnknown(RequestRejected):
    """A negative prompt for a model that does not use negative prompts (fields: model)."""

    message_key = "error-no-negative"


class RestrictedPicture(RequestRejected):
    """The request starts from a picture that may be shown in age-restricted channels only."""

    message_key = "error-restricted-picture"


class NoPictureHere(RequestRejected):
    """The message has no picture."""

    message_key = "error-no-picture-here"


class PictureForgotten(RequestRejected):
    """The database does not have the job any more."""

    message_key = "error-gone"


class NotANumber(RequestRejected):
    """A form's field holds something other than a number (fields: value)."""

    message_key = "error-form-number"


class ForAdministrators(RequestRejected):
    """Only administrators may use the command."""

    message_key = "admin-only"


class SharingNotSetUp(RequestRejected):
    """No gallery is set up."""

    message_key = "shared-nowhere"


class SharingRefused(RequestRejected):
    """Discord does not let the picture into the gallery."""

    message_key = "shared-refused"


class NoSuchGpu(RequestRejected):
    """No engine of that name (fields: names)."""

    message_key = "admin-no-gpu"


class NotAMember(RequestRejected):
    """The person has left the guild that this bot serves."""

    message_key = "error-not-a-member"
