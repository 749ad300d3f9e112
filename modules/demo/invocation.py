"""A command, click or modal of a simulated person, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Payload = dict[str, Any]
T = TypeVar("T")

LOADING = 1 << 7


class Screen(Protocol):
    """What a person sees, and waiting until it shows something."""

    def message(self, message_id: int | str) -> Payload | None: ...

    def all_messages(self) -> list[Payload]: ...

    async def until(self, condition: Callable[[], T | None], timeout: float = ...) -> T: ...


class InvocationFailed(Exception):
    """The application did not respond, or Discord's client would not have sent this; the text is what the
    user is told."""


class Invocation:
    """A command, click or modal under way, and what has come of it so far."""

    def __init__(self, screen: Screen, nonce: str) -> None:
        self._screen = screen
        self.nonce = nonce
        self.sent_at = time.perf_counter()
        self.acknowledged_at: float | None = None
        self.id: str | None = None
        self.state = "sent"
        self.error: str | None = None
        self.ephemeral = False
        self.message_id: str | None = None
        self.opened_modal: Payload | None = None

    def update(self, told: Payload) -> None:
        if told["state"] == "failed":
            self.error = told.get("error") or "failed"
        elif self.acknowledged_at is None:
            self.acknowledged_at = time.perf_counter()
        self.state = told["state"]
        self.id = told.get("id")
        self.ephemeral = bool(told.get("ephemeral"))
        self.message_id = told.get("message_id") or self.message_id
        self.opened_modal = told.get("modal") or self.opened_modal

    @property
    def message(self) -> Payload | None:
        """The answer as it stands now; while it is "thinking" its LOADING flag is set."""
        return self._screen.message(self.message_id) if self.message_id else None

    @property
    def messages(self) -> list[Payload]:
        """All messages that came of it: the answer and its followups."""
        return [
            m for m in self._screen.all_messages() if m.get("interaction_metadata", {}).get("id") == self.id
        ]

    async def acknowledged(self, timeout: float = 5.0) -> float:
        """Seconds from sending to the first answer; raises InvocationFailed."""
        await self._screen.until(lambda: self._unless_failed(self.acknowledged_at), timeout)
        return (self.acknowledged_at or self.sent_at) - self.sent_at

    async def reply(self, timeout: float = 10.0) -> Payload:
        """The answering message once it is filled; raises InvocationFailed."""
        return await self._screen.until(lambda: self._unless_failed(self._filled()), timeout)

    async def modal(self, timeout: float = 5.0) -> Payload:
        """The modal that opens: `custom_id`, `title`, `components`."""
        return await self._screen.until(lambda: self._unless_failed(self.opened_modal), timeout)

    async def failure(self, timeout: float = 10.0) -> str:
        """What the user is told when it fails."""
        return await self._screen.until(lambda: self.error, timeout)

    def _filled(self) -> Payload | None:
        message = self.message
        return message if message is not None and not message["flags"] & LOADING else None

    def _unless_failed(self, value: T | None) -> T | None:
        if value is None and self.error is not None:
            raise InvocationFailed(self.error)
        return value
