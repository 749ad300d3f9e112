"""How long a run may be silent: by its phase, and by what was learned about the model on that server.

Healthy servers are silent too: while a model loads or is compiled, while another program has the GPU, while a
picture is decoded, and where the socket goes silent though the run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.queue_manager.scheduling.estimates import Duration, Longest
from modules.queue_manager.scheduling.in_flight import InFlightBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """After how many seconds of silence a run is given up.

    ``unknown`` holds for what the server has not done before: its first run of the model or of that size, and
    the first time that it loads the model. Else, the limit is at least ``before`` until the first step,
    ``step`` from one step to the next, and ``after`` once the last step is done; at least ``usual`` times
    what that phase takes there, and ``longest`` times the longest silence that a run survived. The socket
    alone may be silent (ComfyUI#15240), so a run of which no step was heard also gets the time that is left
    of the whole run, and any other run gets at least ``rest`` times what is left. ``doubt`` is the share of
    the limit after which the server gets nothing new.
    """

    unknown: float = 600.0
    before: float = 30.0
    step: float = 10.0
    after: float = 30.0
    usual: float = 5.0
    longest: float = 2.0
    rest: float = 1.5
    doubt: float = 1 / 3

    def limit(self, in_flight: InFlightBatch, own: tuple[Duration, Longest] | None) -> float:
        """For the run, counted from its last sign of life; ``own`` is what was learned on its server."""
        if own is None:
            return self.unknown
        expected, longest = own
        if in_flight.step <= 0:
            least, usual = self.before, expected.load + expected.before + expected.step
            survived = longest.before
        elif in_flight.step < in_flight.steps:
            least, usual = self.step, max(expected.step, in_flight.pace() or 0.0)
            survived = max(longest.step, in_flight.longest_step)
        else:
            least, usual, survived = self.after, expected.after, longest.after
        since = 0.0 if in_flight.started_at is None else in_flight.heard_at - in_flight.started_at
        left = expected.remaining(elapsed=since, step=in_flight.step, since_step=0.0, pace=in_flight.pace())
        limit = max(least, self.usual * usual, self.longest * survived)
        return limit + left if in_flight.step <= 0 else max(limit, self.rest * left)
