"""What a person may have: jobs at once, pictures a day, priority, and how soon they may ask again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf

from modules.queue_manager.errors import CoolingDown
from modules.queue_manager.ports import Clock
from modules.utils.settings.values import RoleLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What one person may have. ``pictures_a_day`` None: as many as they like."""

    jobs: int
    pictures_a_day: int | None
    tier: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The community's rules. A person with several roles gets the most generous figure of each kind."""

    jobs: int = 2
    pictures_a_day: int | None = None
    roles: tuple[tuple[int, RoleLimit], ...] = ()
    priority_roles: tuple[int, ...] = ()

    def of(self, role_ids: Iterable[int]) -> Allowance:
        """What somebody with these roles may have."""
        held = frozenset(role_ids)
        rules = [rule for role, rule in self.roles if role in held]
        daily = [self.pictures_a_day]
        daily += [rule.pictures_a_day for rule in rules if rule.pictures_a_day is not None]
        return Allowance(
            jobs=max([self.jobs, *(rule.jobs for rule in rules)]),
            pictures_a_day=None if None in daily else max(count for count in daily if count is not None),
            tier=max([int(not held.isdisjoint(self.priority_roles)), *(rule.tier for rule in rules)]),
        )


@dataclass(kw_only=True, eq=False)
class Cooldown:
    """Makes each person wait at least ``seconds`` between two requests."""

    clock: Clock
    seconds: float

    _last: dict[int, float] = field(init=False, default_factory=dict)

    def check(self, user_id: int, last_asked_at: float | None = None) -> None:
        """Take note of a request, or raise `CoolingDown`.

        ``last_asked_at`` (Unix seconds): their last request before this process started.
        """
        if self.seconds <= 0:
            return
        now, since = self.clock.now(), inf
        if user_id in self._last:
            since = now - self._last[user_id]
        elif last_asked_at is not None:
            since = self.clock.unix() - last_asked_at
        if 0 <= since < self.seconds:  # below 0: the wall clock was set back
            raise CoolingDown(seconds=ceil(self.seconds - since))
        if len(self._last) > 10_000:
            self._last = {user: at for user, at in self._last.items() if now - at < self.seconds}
        self._last[user_id] = now

    def knows(self, user_id: int) -> bool:
        """Whether `check` needs no ``last_asked_at``."""
        return self.seconds <= 0 or user_id in self._last

    def undo(self, user_id: int) -> None:
        """The request was not taken: it does not count."""
        self._last.pop(user_id, None)
