"""What goes wrong on demand: outages, slowness, forbidden channels, answers lost after the work was done."""

from __future__ import annotations

from typing import Literal

from modules.demo.discord_server.state.clock import ServerClock

Block = Literal["cloudflare", "global", "denied"]
"""How a blocked address is answered: Cloudflare's 429 page with 1015 for too many requests, the API's own
global 429 with the seconds to wait, Cloudflare's 403 page."""


class Faults:
    """Switches for tests; all are off at the start. Durations are in server seconds."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._refuse_until = 0.0
        self._hang_up_until = 0.0
        self._slow_until = 0.0
        self._block: Block = "cloudflare"
        self._block_until = 0.0
        self._delay = 0.0
        self._lost_answers, self._lost_of, self.cuts = 0, "", False
        self.forbidden_channels: set[int] = set()
        self.write_limited_channels: set[int] = set()

    def refuse(self, seconds: float) -> None:
        """Every REST call is answered 503, and nothing is done; 0 ends it."""
        self._refuse_until = self._clock.now() + seconds

    def hang_up(self, seconds: float) -> None:
        """Every REST call ends without an answer, and nothing is done; 0 ends it."""
        self._hang_up_until = self._clock.now() + seconds

    def block(self, how: Block, seconds: float) -> None:
        """The bot's address is blocked: every REST call, the login too, gets this answer; 0 ends it."""
        self._block, self._block_until = how, self._clock.now() + seconds

    def slow(self, delay: float, seconds: float) -> None:
        """Every REST call takes `delay` real seconds longer."""
        self._delay = delay
        self._slow_until = self._clock.now() + seconds

    def lose_answers(self, times: int = 1, *, of: str = "/messages", cut: bool = False) -> None:
        """The next POSTs to a route that ends with `of` are carried out, but their answer is a 502 or, with
        `cut`, none at all: a repeat needs its nonce."""
        self._lost_answers, self._lost_of, self.cuts = times, of, cut

    def forbid(self, channel_id: int) -> None:
        """403 (50001) for everything in a channel; `allow` ends it."""
        self.forbidden_channels.add(channel_id)

    def allow(self, channel_id: int) -> None:
        self.forbidden_channels.discard(channel_id)

    @property
    def refusing(self) -> bool:
        return self._clock.now() < self._refuse_until

    @property
    def hanging_up(self) -> bool:
        return self._clock.now() < self._hang_up_until

    @property
    def blocked(self) -> tuple[Block, float] | None:
        """How the address is blocked, and for how many more seconds."""
        left = self._block_until - self._clock.now()
        return (self._block, left) if left > 0 else None

    @property
    def delay(self) -> float:
        return self._delay if self._clock.now() < self._slow_until else 0.0

    def take_lost_answer(self, method: str, template: str) -> bool:
        if self._lost_answers <= 0 or method != "POST" or not template.endswith(self._lost_of):
            return False
        self._lost_answers -= 1
        return True
