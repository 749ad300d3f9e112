"""Who goes next: round robin by person, in turns of one picture or of equal GPU time.

By pictures, the fair order of waiting jobs is (tier, turn, tag, sequence):

- *tier*: priority. A person's first turn is lifted by one tier for every ``lift_after`` seconds since
  acceptance, so that nobody starves. Later turns are not lifted before they become the first: of many jobs
  that have waited long, only one goes before a newcomer's;
- *turn*: how many of the same person's jobs, waiting or at a server, were accepted before it. A job whose
  picture is on its way no longer counts: a slow delivery costs no turn. A1,A2,B1,C1,C2,A3 is therefore served
  A1,B1,C1,A2,C2,A3 (the order of InvokeAI's round robin), and somebody with no job at a server is served
  before anybody's second job;
- *tag*: the start tag of start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM
  1996) with every job of cost 1: of two people with equal turns, the one who was served less goes first;
- *sequence*: acceptance.

By GPU seconds, a job costs the seconds that a GPU needs for it, and the order is (tier, tag, sequence): of
pictures that take four times as long, a person gets a quarter as many. A waiting job counts as what it is
expected to cost; what its owner is charged, once a server has made it, is what it did cost.

A job only moves forward in this order, except when somebody new comes before it, or a picture of the same
person has cost more than expected.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice
from typing import Literal, TypeVar

from modules.queue_manager.jobs import BatchKey, Job, JobId, JobState, Need
from modules.queue_manager.scheduling.in_flight import InFlightBatch

Name = TypeVar("Name")

Fairness = Literal["pictures", "gpu_seconds"]
"""What is shared out equally while the GPUs are busy."""

Order = tuple[int, int, float, int]
"""(−tier, turn, tag, sequence): smaller goes first."""


@dataclass(eq=False, slots=True)
class QueueEntry:
    """Where an active job stands. ``cost``: see the module; ``floor`` is the virtual time when it came;
    ``round`` is its turn by pictures, and 0 by GPU seconds. ``in_flight`` is the batch in which a server has
    it, None while it waits; ``failed_on`` names the servers on which it failed alone, once for each failure.
    """

    job: Job
    cost: float
    floor: float
    tag: float
    tier: int
    turn: int = 0
    round: int = 0
    lift_at: float = 0.0
    state: JobState = "taken"
    in_flight: InFlightBatch | None = None
    failed_on: tuple[str, ...] = ()

    @property
    def waiting(self) -> bool:
        return self.state == "waiting"

    @property
    def order(self) -> Order:
        tier = self.job.request.tier if self.turn else self.tier
        return (-tier, self.round, self.tag, self.job.number)


@dataclass(eq=False, slots=True)
class _Person:
    """``served``: the start tag that the person's next job would get if none of their jobs waited or were at
    a server."""

    served: float
    entries: list[QueueEntry] = field(default_factory=list)


class _Line:
    """Orders, sorted: a list for each (−tier, round), since one list of many thousands is slow to change."""

    def __init__(self) -> None:
        self._levels: dict[tuple[int, int], list[Order]] = {}
        self._sorted_levels: list[tuple[int, int]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Order]:
        for level in self._sorted_levels:
            yield from self._levels[level]

    def add(self, order: Order) -> None:
        level = order[:2]
        if level not in self._levels:
            self._levels[level] = []
            insort(self._sorted_levels, level)
        insort(self._levels[level], order)
        self._count += 1

    def remove(self, order: Order) -> None:
        level = order[:2]
        orders = self._levels[level]
        del orders[bisect_left(orders, order)]
        if not orders:
            del self._levels[level]
            self._sorted_levels.remove(level)
        self._count -= 1

    def before(self, order: Order) -> int:
        level = order[:2]
        earlier = self._sorted_levels[: bisect_left(self._sorted_levels, level)]
        return sum(len(self._levels[other]) for other in earlier) + bisect_left(self._levels[level], order)


def _remove(lines: dict[Name, _Line], name: Name, order: Order) -> None:
    """Removes ``order`` from the line ``name``, and the line itself once it is empty."""
    lines[name].remove(order)
    if not lines[name]:
        del lines[name]


class FairQueue:
    """Every active job, and the order of those that wait. ``seconds`` is the GPU time that a job is expected
    to take; without it, turns go by pictures."""

    def __init__(
        self,
        *,
        lift_after: float = 120.0,
        top_tier: int = 0,
        seconds: Callable[[Job], float] | None = None,
    ) -> None:
        self._seconds = seconds
        self._lift_after = lift_after
        self._top_tier = top_tier
        self._entries: dict[JobId, QueueEntry] = {}
        self._by_sequence: dict[int, QueueEntry] = {}
        self._people: dict[int, _Person] = {}
        self._served: dict[int, float] = {}
        self._virtual_time = 0.0
        self._line = _Line()
        self._by_key: dict[BatchKey, _Line] = {}
        self._by_need: dict[Need, _Line] = {}
        self._lifts: list[tuple[float, JobId]] = []
        self._counts: Counter[JobState] = Counter()
        self.version = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return self._counts["waiting"]

    def count(self, state: JobState) -> int:
        return self._counts[state]

    @property
    def people(self) -> int:
        """People with an active job."""
        return len(self._people)

    def entry(self, job_id: JobId) -> QueueEntry | None:
        return self._entries.get(job_id)

    def entries(self) -> Iterator[QueueEntry]:
        """Every active job's entry."""
        return iter(self._entries.values())

    def of_user(self, user_id: int) -> tuple[QueueEntry, ...]:
        """A person's active jobs, in the order of acceptance."""
        person = self._people.get(user_id)
        return tuple(person.entries) if person else ()

    def active_count(self, user_id: int) -> int:
        return len(self.of_user(user_id))

    def batch_keys(self) -> tuple[BatchKey, ...]:
        return tuple(self._by_key)

    def needs(self) -> tuple[Need, ...]:
        """What waiting jobs need: few, however many keys there are."""
        return tuple(self._by_need)

    def waiting_count(self, key: BatchKey) -> int:
        return len(self._by_key.get(key, ()))

    def waiting_for(self, need: Need) -> int:
        """How many jobs wait with this need, whatever their keys."""
        return len(self._by_need.get(need, ()))

    def ahead(self, job_id: JobId) -> int:
        """How many waiting jobs go before this waiting one."""
        return self._line.before(self._entries[job_id].order)

    def head(self, key: BatchKey) -> QueueEntry | None:
        order = next(iter(self._by_key.get(key, ())), None)
        return None if order is None else self._by_sequence[order[-1]]

    def first(self, key: BatchKey, count: int, *, accept: Callable[[Job], bool] | None = None) -> list[Job]:
        """Up to ``count`` waiting jobs of ``key`` that ``accept`` lets through, in fair order."""
        accepted = (entry.job for entry in self._along(self._by_key.get(key), accept))
        return list(islice(accepted, count))

    def first_for(self, need: Need, *, accept: Callable[[Job], bool] | None = None) -> QueueEntry | None:
        """The first waiting job with this need that ``accept`` lets through."""
        return next(self._along(self._by_need.get(need), accept), None)

    def _along(self, line: _Line | None, accept: Callable[[Job], bool] | None) -> Iterator[QueueEntry]:
        entries = (self._by_sequence[order[-1]] for order in line or ())
        return (entry for entry in entries if accept is None or accept(entry.job))

    def in_order(self) -> Iterator[Job]:
        """Every waiting job, in fair order; the queue must not change meanwhile."""
        return (self._by_sequence[order[-1]].job for order in self._line)

    def add(self, job: Job, *, now: float) -> None:
        """A newly accepted job waits. ``job.number`` is its sequence."""
        user_id = job.request.user_id
        person = self._people.get(user_id)
        if person is None:
            person = self._people[user_id] = _Person(self._served.pop(user_id, 0.0))
        if all(entry.state == "arriving" for entry in person.entries):
            person.served = max(self._virtual_time, person.served)
        cost = 1.0 if self._seconds is None else self._seconds(job)
        floor = max(self._virtual_time, person.served)
        entry = QueueEntry(job, cost=cost, floor=floor, tag=floor, tier=job.request.tier)
        insort(person.entries, entry, key=lambda other: other.job.number)
        self._renumber(person)
        self._entries[job.id] = entry
        self._by_sequence[job.number] = entry
        self._counts[entry.state] += 1
        if entry.tier < self._top_tier:
            entry.lift_at = now + self._lift_after
            heappush(self._lifts, (entry.lift_at, job.id))
        self._insert(entry)

    def dispatch(self, *job_ids: JobId, in_flight: InFlightBatch | None = None) -> None:
        """Waiting jobs go to a server in a batch and keep their turns until they end. The virtual time
        becomes the tag of the first job; the others only share its run."""
        entries = [self._entries[job_id] for job_id in job_ids]
        self._virtual_time = max(self._virtual_time, min(entry.tag for entry in entries))
        for entry in entries:
            self._withdraw(entry)
            entry.in_flight = in_flight

    def took(self, job_id: JobId, seconds: float) -> None:
        """Charge the owner what a job really cost, once a server has made it."""
        if self._seconds is not None:
            self._entries[job_id].cost = seconds

    def mark(self, job_id: JobId, state: JobState) -> None:
        """Set the state of a job that does not wait. When one is arriving, no server is busy with it any
        more, so the person is charged for it, and their later jobs move up by a turn."""
        entry = self._entries[job_id]
        person = self._people[entry.job.request.user_id]
        charged = (state == "arriving") - (entry.state == "arriving")
        self._set(entry, state)
        if charged:
            person.served += charged * entry.cost
            self._renumber(person)

    def put_back(self, job: Job) -> None:
        """A job that a server had waits again, in its old place. ``job`` replaces the old value."""
        entry = self._entries[job.id]
        entry.job, entry.in_flight = job, None
        if entry.state == "arriving":
            self.mark(job.id, "taken")
        if not entry.waiting:
            self._insert(entry)

    def end(self, job_id: JobId) -> None:
        """The person's later jobs move up by a turn. One that waited costs nothing."""
        entry = self._entries.pop(job_id)
        del self._by_sequence[entry.job.number]
        user_id = entry.job.request.user_id
        person = self._people[user_id]
        if entry.waiting:
            self._withdraw(entry)
        elif entry.state != "arriving":
            person.served += entry.cost
        self._counts[entry.state] -= 1
        person.entries.remove(entry)
        self._renumber(person)
        if not person.entries:
            del self._people[user_id]
            self._remember(user_id, person.served)

    def lift(self, now: float) -> None:
        """Raise each job by one tier if it has waited long enough."""
        while self._lifts and self._lifts[0][0] <= now:
            due, job_id = heappop(self._lifts)
            entry = self._entries.get(job_id)
            if entry is None or entry.lift_at != due or entry.tier >= self._top_tier:
                continue
            self._move(entry, entry.tier + 1, entry.turn, entry.tag)
            if entry.tier < self._top_tier:
                entry.lift_at = due + self._lift_after
                heappush(self._lifts, (entry.lift_at, job_id))

    def _renumber(self, person: _Person) -> None:
        turn, tag = 0, person.served
        for entry in person.entries:
            if entry.state == "arriving":
                continue
            tag = max(tag, entry.floor)
            if entry.turn != turn or entry.tag != tag:
                self._move(entry, entry.tier, turn, tag)
            turn += 1
            tag += entry.cost

    def _move(self, entry: QueueEntry, tier: int, turn: int, tag: float) -> None:
        waiting = entry.waiting
        if waiting:
            self._withdraw(entry)
        entry.tier, entry.turn, entry.tag = tier, turn, tag
        entry.round = turn if self._seconds is None else 0
        if waiting:
            self._insert(entry)

    def _insert(self, entry: QueueEntry) -> None:
        self._line.add(entry.order)
        self._by_key.setdefault(entry.job.key, _Line()).add(entry.order)
        self._by_need.setdefault(entry.job.key.need, _Line()).add(entry.order)
        self._set(entry, "waiting")
        self.version += 1

    def _withdraw(self, entry: QueueEntry) -> None:
        key, order = entry.job.key, entry.order
        self._line.remove(order)
        _remove(self._by_key, key, order)
        _remove(self._by_need, key.need, order)
        self._set(entry, "taken")
        self.version += 1

    def _set(self, entry: QueueEntry, state: JobState) -> None:
        self._counts[entry.state] -= 1
        self._counts[state] += 1
        entry.state = state

    def _remember(self, user_id: int, served: float) -> None:
        """Keep a person's tag as long as it makes a difference."""
        if served > self._virtual_time:
            self._served[user_id] = served
        if len(self._served) > 1024 + 2 * len(self._people):
            now = self._virtual_time
            self._served = {user: tag for user, tag in self._served.items() if tag > now}
