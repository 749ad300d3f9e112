"""Who goes next: round robin by person, counting the jobs that servers have.

The fair order of waiting jobs is (tier, turn, tag, sequence):

- *tier*: priority; for the first of a person's turns lifted by one for every ``lift_after`` seconds since
  acceptance, so that nobody starves. Later turns are not lifted before they have become the first:
  somebody with many jobs that have waited long goes before no newcomer with more than one of them;
- *turn*: how many of the same person's jobs that wait or that a server has were accepted before it
  (one whose picture is made and on its way counts no longer: a slow delivery costs no turn).
  A1,A2,B1,C1,C2,A3 is therefore served A1,B1,C1,A2,C2,A3 (the order of InvokeAI's round robin), and
  somebody with no job at a server is served before anybody's second;
- *tag*: the start tag of start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing",
  SIGCOMM 1996) with every job of weight one, so that of two people with equal turns the one who was
  served less goes first;
- *sequence*: acceptance.

A job's place in this order only ever moves forward, except when somebody new comes before it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from modules.queue_manager.job_state import JobState
from modules.queue_manager.jobs import BatchKey, Job, JobId
from modules.queue_manager.scheduling.in_flight import InFlightBatch

Order = tuple[int, int, float, int]
"""(−tier, turn, tag, sequence): smaller goes first."""


class QueueEntry:
    """One active job's standing. ``in_flight`` is the batch in which a server has it, None while it waits;
    ``failed_on`` names the servers on which it failed alone, once for each time."""

    __slots__ = (
        "__weakref__", "failed_on", "in_flight", "job", "lift_at", "sequence", "state", "tag", "tier", "turn",
    )  # fmt: skip

    def __init__(self, job: Job, *, sequence: int, tag: float, turn: int) -> None:
        self.job = job
        self.sequence = sequence
        self.tag = tag
        self.turn = turn
        self.tier = job.request.tier
        self.lift_at = 0.0
        self.state: JobState = "taken"
        self.in_flight: InFlightBatch | None = None
        self.failed_on: tuple[str, ...] = ()

    @property
    def waiting(self) -> bool:
        """Whether it is in the queue, and no server has it."""
        return self.state == "waiting"

    @property
    def level(self) -> tuple[int, int]:
        """What goes before tag and sequence."""
        return (-(self.job.request.tier if self.turn else self.tier), self.turn)

    @property
    def order(self) -> Order:
        """Where it stands among all."""
        return (*self.level, self.tag, self.sequence)


class _Person:
    __slots__ = ("entries", "finish_tag")

    def __init__(self, finish_tag: float) -> None:
        self.entries: list[QueueEntry] = []
        self.finish_tag = finish_tag


class FairQueue:
    """Every active job, and the order of those that wait. No I/O, no clock of its own."""

    def __init__(self, *, lift_after: float = 120.0, top_tier: int = 0) -> None:
        self._lift_after = lift_after
        self._top_tier = top_tier
        self._entries: dict[JobId, QueueEntry] = {}
        self._by_sequence: dict[int, QueueEntry] = {}
        self._people: dict[int, _Person] = {}
        self._finish_tags: dict[int, float] = {}
        self._virtual_time = 0.0
        self._levels: dict[tuple[int, int], list[tuple[float, int]]] = {}
        self._level_order: list[tuple[int, int]] = []
        self._by_key: dict[BatchKey, list[tuple[Order, JobId]]] = {}
        self._key_counts: dict[BatchKey, int] = {}
        self._lifts: list[tuple[float, JobId]] = []
        self._counts: Counter[JobState] = Counter()
        self.version = 0

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """Jobs that wait."""
        return self._counts["waiting"]

    def count(self, state: JobState) -> int:
        """Active jobs in this state."""
        return self._counts[state]

    @property
    def active(self) -> int:
        """Jobs that have not ended."""
        return len(self._entries)

    @property
    def people(self) -> int:
        """People with an active job."""
        return len(self._people)

    def entry(self, job_id: JobId) -> QueueEntry | None:
        """The standing of an active job."""
        return self._entries.get(job_id)

    def entries(self) -> Iterator[QueueEntry]:
        """Every active job's entry."""
        return iter(self._entries.values())

    def of_user(self, user_id: int) -> tuple[QueueEntry, ...]:
        """A person's active jobs, in the order of acceptance."""
        person = self._people.get(user_id)
        return tuple(person.entries) if person else ()

    def active_count(self, user_id: int) -> int:
        """How many active jobs a person has."""
        person = self._people.get(user_id)
        return len(person.entries) if person else 0

    def batch_keys(self) -> tuple[BatchKey, ...]:
        """The batch keys of waiting jobs."""
        return tuple(self._key_counts)

    def waiting_count(self, key: BatchKey) -> int:
        """How many jobs of ``key`` wait."""
        return self._key_counts.get(key, 0)

    def ahead(self, job_id: JobId) -> int:
        """How many waiting jobs go before this waiting one in the fair order."""
        entry = self._entries[job_id]
        level = entry.level
        before = bisect_left(self._level_order, level)
        count = sum(len(self._levels[other]) for other in self._level_order[:before])
        return count + bisect_left(self._levels[level], (entry.tag, entry.sequence))

    def head(self, key: BatchKey) -> QueueEntry | None:
        """The first waiting job of ``key``."""
        heap = self._by_key.get(key)
        while heap:
            order, job_id = heap[0]
            entry = self._entries.get(job_id)
            if entry is not None and entry.waiting and entry.order == order:
                return entry
            heappop(heap)
        return None

    def first(self, key: BatchKey, count: int, *, accept: Callable[[Job], bool] | None = None) -> list[Job]:
        """Up to ``count`` waiting jobs of ``key``, in fair order, that ``accept`` lets through."""
        found: list[Job] = []
        passed: dict[JobId, Order] = {}  # a job put back to its old place may stand in the heap twice
        heap = self._by_key.get(key, [])
        while len(found) < count and (entry := self.head(key)):
            order, job_id = heappop(heap)
            if job_id not in passed and (accept is None or accept(entry.job)):
                found.append(entry.job)
            passed[job_id] = order
        for job_id, order in passed.items():
            heappush(heap, (order, job_id))
        return found

    def in_order(self) -> Iterator[Job]:
        """Every waiting job, in fair order; the queue must not change meanwhile."""
        for level in self._level_order:
            for _, sequence in self._levels[level]:
                yield self._by_sequence[sequence].job

    # ── changing ────────────────────────────────────────────────────────────────────────────────

    def add(self, job: Job, *, now: float) -> None:
        """A newly accepted job waits. ``job.number`` is its sequence."""
        user_id = job.request.user_id
        person = self._people.get(user_id)
        if person is None:
            person = self._people[user_id] = _Person(self._finish_tags.pop(user_id, 0.0))
        tag = max(self._virtual_time, person.finish_tag)
        person.finish_tag = tag + 1.0
        entry = QueueEntry(job, sequence=job.number, tag=tag, turn=0)
        person.entries.append(entry)
        if len(person.entries) > 1 and person.entries[-2].sequence > entry.sequence:
            person.entries.sort(key=lambda other: other.sequence)
        self._renumber(person)
        self._entries[job.id] = entry
        self._by_sequence[entry.sequence] = entry
        self._counts[entry.state] += 1
        if entry.tier < self._top_tier:
            entry.lift_at = now + self._lift_after
            heappush(self._lifts, (entry.lift_at, job.id))
        self._insert(entry)

    def dispatch(self, job_id: JobId, in_flight: InFlightBatch | None = None) -> None:
        """A waiting job goes to a server, in a batch; it keeps its turn until it ends."""
        entry = self._entries[job_id]
        self._virtual_time = max(self._virtual_time, entry.tag)
        self._withdraw(entry)
        entry.in_flight = in_flight

    def mark(self, job_id: JobId, state: JobState) -> None:
        """How a job stands that does not wait. With one that is arriving no server is busy any more: the
        person's later ones move up by a turn."""
        entry = self._entries[job_id]
        moves = "arriving" in (entry.state, state)
        self._set(entry, state)
        if moves:
            self._renumber(self._people[entry.job.request.user_id])

    def put_back(self, job: Job) -> None:
        """A job that a server had waits again, in its old place. ``job`` replaces what was known of it."""
        entry = self._entries[job.id]
        entry.job, entry.in_flight = job, None
        if entry.state == "arriving":
            self.mark(job.id, "taken")
        if not entry.waiting:
            self._insert(entry)

    def end(self, job_id: JobId) -> None:
        """The job is over: the person's later ones move up by a turn."""
        entry = self._entries.pop(job_id)
        del self._by_sequence[entry.sequence]
        if entry.waiting:
            self._withdraw(entry)
        self._counts[entry.state] -= 1
        user_id = entry.job.request.user_id
        person = self._people[user_id]
        person.entries.remove(entry)
        self._renumber(person)
        if not person.entries:
            del self._people[user_id]
            self._remember(user_id, person.finish_tag)

    def lift(self, now: float) -> None:
        """Raise by one tier each job whose time for it has come."""
        while self._lifts and self._lifts[0][0] <= now:
            due, job_id = heappop(self._lifts)
            entry = self._entries.get(job_id)
            if entry is None or entry.lift_at != due or entry.tier >= self._top_tier:
                continue
            waiting = entry.waiting
            if waiting:
                self._withdraw(entry)
            entry.tier += 1
            if waiting:
                self._insert(entry)
            if entry.tier < self._top_tier:
                entry.lift_at = due + self._lift_after
                heappush(self._lifts, (entry.lift_at, job_id))

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _renumber(self, person: _Person) -> None:
        turn = 0
        for entry in person.entries:
            if entry.state == "arriving":
                continue
            if entry.turn != turn:
                self._move(entry, turn)
            turn += 1

    def _move(self, entry: QueueEntry, turn: int) -> None:
        waiting = entry.waiting
        if waiting:
            self._withdraw(entry)
        entry.turn = turn
        if waiting:
            self._insert(entry)

    def _insert(self, entry: QueueEntry) -> None:
        level = entry.level
        if level not in self._levels:
            self._levels[level] = []
            insort(self._level_order, level)
        insort(self._levels[level], (entry.tag, entry.sequence))
        key = entry.job.key
        self._key_counts[key] = self._key_counts.get(key, 0) + 1
        heappush(self._by_key.setdefault(key, []), (entry.order, entry.job.id))
        self._set(entry, "waiting")
        self.version += 1

    def _withdraw(self, entry: QueueEntry) -> None:
        level = entry.level
        waiting = self._levels[level]
        del waiting[bisect_left(waiting, (entry.tag, entry.sequence))]
        if not waiting:
            del self._levels[level]
            self._level_order.remove(level)
        key = entry.job.key
        left = self._key_counts[key] - 1
        if left:
            self._key_counts[key] = left
            self._sweep(key, left)
        else:
            del self._key_counts[key], self._by_key[key]
        self._set(entry, "taken")
        self.version += 1

    def _set(self, entry: QueueEntry, state: JobState) -> None:
        self._counts[entry.state] -= 1
        self._counts[state] += 1
        entry.state = state

    def _sweep(self, key: BatchKey, left: int) -> None:
        """Outdated items stay in the heap until they surface; rebuild it when they are the most."""
        heap = self._by_key[key]
        if len(heap) > 64 and len(heap) > 4 * left:
            heap[:] = [item for item in heap if self._holds(item)]
            heapify(heap)

    def _holds(self, item: tuple[Order, JobId]) -> bool:
        entry = self._entries.get(item[1])
        return entry is not None and entry.waiting and entry.order == item[0]

    def _remember(self, user_id: int, finish_tag: float) -> None:
        """Keep what a person was served while it still tells, and forget it when everybody has caught up."""
        if finish_tag > self._virtual_time:
            self._finish_tags[user_id] = finish_tag
        if len(self._finish_tags) > 1024 + 2 * len(self._people):
            now = self._virtual_time
            self._finish_tags = {user: tag for user, tag in self._finish_tags.items() if tag > now}
