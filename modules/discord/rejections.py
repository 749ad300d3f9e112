"""What only Discord's room refuses, as children of the core's `RequestRejected`.

RequestRejected
├── NegativeUnknown   a negative prompt for a model that knows none
├── RestrictedPicture what it starts from may be shown in age-restricted channels alone
├── NoPictureHere     the message has no picture
├── PictureForgotten  the job is not in the memory any more
├── NotANumber        a form's field should hold a number
├── ForAdministrators the command is not for this person
├── SharingNotSetUp   there is no gallery
├── SharingRefused    the gallery does not take the picture
├── NoSuchGpu         no engine of that name
└── NotAMember        they have left the guild
"""

from __future__ import annotations

from modules.queue_manager.errors import RequestRejected


class NegativeUnknown(RequestRejected):
    """A negative prompt for a model that knows none (fields: model)."""

    message_key = "error-no-negative"


class RestrictedPicture(RequestRejected):
    """What it starts from may be shown in age-restricted channels alone."""

    message_key = "error-restricted-picture"


class NoPictureHere(RequestRejected):
    """The message has no picture."""

    message_key = "error-no-picture-here"


class PictureForgotten(RequestRejected):
    """The job is not in the memory any more."""

    message_key = "error-gone"


class NotANumber(RequestRejected):
    """A form's field should hold a number (fields: value)."""

    message_key = "error-form-number"


class ForAdministrators(RequestRejected):
    """The command is not for this person."""

    message_key = "admin-only"


class SharingNotSetUp(RequestRejected):
    """There is no gallery."""

    message_key = "shared-nowhere"


class SharingRefused(RequestRejected):
    """Discord does not let the picture into the gallery."""

    message_key = "shared-refused"


class NoSuchGpu(RequestRejected):
    """No engine of that name (fields: names)."""

    message_key = "admin-no-gpu"


class NotAMember(RequestRejected):
    """They have left the guild that this bot serves."""

    message_key = "error-not-a-member"
