"""Bodies that answer interactions (Discord docs, Receiving and Responding)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from modules.demo.discord_server.bodies.base import Body, CustomId, text
from modules.demo.discord_server.bodies.commands import Choice
from modules.demo.discord_server.bodies.components import ModalComponent

PONG, MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, AUTOCOMPLETE, MODAL = 1, 4, 5, 6, 7, 8, 9


class Answer(Body):
    """The envelope; what `data` must be depends on the type."""

    type: Annotated[int, Field(ge=1, le=12)]
    data: Mapping[str, Any] | None = None


class DeferData(Body):
    """A defer carries nothing but the EPHEMERAL flag."""

    flags: Annotated[int, Field(ge=0)] | None = None


class AutocompleteData(Body):
    choices: Annotated[tuple[Choice, ...], Field(max_length=25)]


class ModalData(Body):
    """Up to five components (Receiving and Responding, Modal; the OpenAPI file allows 40)."""

    custom_id: CustomId
    title: Annotated[str, text(45, 1)]
    components: Annotated[tuple[ModalComponent, ...], Field(min_length=1, max_length=5)]
