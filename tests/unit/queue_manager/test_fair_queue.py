"""Fair turns: the order of InvokeAI's round robin, in-flight jobs counted, nobody starved."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from modules.queue_manager.jobs import Job, JobId, JobState, batch_key
from modules.queue_manager.scheduling.fair_queue import FairQueue
from tests.fakes import offer, request


def job(number: int, user: int, *, model: str = "flux", tier: int = 0) -> Job:
    image_request = request(user, model=model, tier=tier)
    return Job(
        id=JobId(f"{number:032x}"),
        number=number,
        request=image_request,
        key=batch_key(image_request, offer(model)),
        queued_at=0.0,
    )


def landed(queue: FairQueue, job: Job) -> bool:
    entry = queue.entry(job.id)
    assert entry is not None
    return entry.state == "arriving"


def numbers(queue: FairQueue) -> list[int]:
    return [job.number for job in queue.in_order()]


def test_serves_in_turns_by_person() -> None:
    queue = FairQueue()
    for number, user in enumerate("AABCCA", start=1):
        queue.add(job(number, ord(user)), now=0.0)
    served = [f"{chr(j.request.user_id)}{j.number}" for j in queue.in_order()]
    # A1,A2,B1,C1,C2,A3 is served A1,B1,C1,A2,C2,A3.
    assert served == ["A1", "B3", "C4", "A2", "C5", "A6"]


def test_counts_jobs_in_flight() -> None:
    queue = FairQueue()
    for number in range(1, 6):
        queue.add(job(number, user=1), now=0.0)
    for number in (1, 2):
        queue.dispatch(JobId(f"{number:032x}"))
    queue.add(job(6, user=2), now=0.0)
    queue.add(job(7, user=2), now=0.0)
    # Person 1 has two in flight: both of person 2's go first.
    assert numbers(queue) == [6, 7, 3, 4, 5]


def test_a_picture_on_its_way_to_its_owner_costs_no_turn() -> None:
    queue = FairQueue()
    for number in (1, 2):
        queue.add(job(number, user=1), now=0.0)
    queue.dispatch(JobId(f"{1:032x}"))
    queue.mark(JobId(f"{1:032x}"), "arriving")
    queue.add(job(3, user=2), now=0.0)
    assert numbers(queue) == [3, 2]  # equal turns; person 2 was served less
    queue.add(job(4, user=2), now=0.0)
    assert numbers(queue) == [3, 2, 4]
    assert queue.active_count(1) == 2


def test_of_two_with_equal_turns_the_one_who_was_served_less_goes_first() -> None:
    queue = FairQueue()
    for number in range(1, 5):
        queue.add(job(number, user=1), now=0.0)
    for number in range(1, 4):
        queue.dispatch(JobId(f"{number:032x}"))
        queue.end(JobId(f"{number:032x}"))
    queue.add(job(5, user=2), now=0.0)
    assert numbers(queue) == [5, 4]


def test_a_job_put_back_stands_where_it_stood() -> None:
    queue = FairQueue()
    for number, user in enumerate((1, 1, 2, 3), start=1):
        queue.add(job(number, user), now=0.0)
    before = numbers(queue)
    first = next(iter(queue.in_order()))
    queue.dispatch(first.id)
    queue.put_back(replace(first, attempts=1))
    assert numbers(queue) == before
    assert next(iter(queue.in_order())).attempts == 1


def test_priority_goes_first_until_the_others_have_waited_long() -> None:
    queue = FairQueue(lift_after=60.0, top_tier=1)
    queue.add(job(1, user=1), now=0.0)
    queue.add(job(2, user=2, tier=1), now=30.0)
    assert numbers(queue) == [2, 1]
    queue.lift(61.0)
    assert numbers(queue) == [1, 2]


operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "dispatch", "back", "land", "end", "lift"]),
        st.integers(1, 5),
        st.integers(0, 9),
    ),
    max_size=60,
)


@given(operations)
def test_order_places_and_heads_agree_with_their_definition(steps: list[tuple[str, int, int]]) -> None:
    queue = FairQueue(lift_after=3.0, top_tier=2)
    active: list[Job] = []
    for number, (what, user, pick) in enumerate(steps, start=1):
        now = float(number)
        chosen = active[pick % len(active)] if active else None
        entry = queue.entry(chosen.id) if chosen else None
        if what == "add":
            active.append(new := job(number, user, model=("flux", "z-image")[pick % 2], tier=pick % 3))
            queue.add(new, now=now)
        elif what == "lift":
            queue.lift(now)
        elif chosen and entry and what == "dispatch" and entry.waiting:
            queue.dispatch(chosen.id)
        elif chosen and entry and what == "back" and not entry.waiting:
            queue.put_back(chosen)
        elif chosen and entry and what == "land" and not entry.waiting:
            queue.mark(chosen.id, "arriving")
        elif chosen and what == "end":
            queue.end(chosen.id)
            active.remove(chosen)

    entries = {j.number: queue.entry(j.id) for j in active}
    waiting = [e for e in entries.values() if e and e.waiting]
    for j in active:
        entry = entries[j.number]
        assert entry is not None
        earlier = [
            o.number
            for o in active
            if o.request.user_id == j.request.user_id and o.number < j.number and not landed(queue, o)
        ]
        assert entry.state == "arriving" or entry.turn == len(earlier)
    expected = [e.job.number for e in sorted(waiting, key=lambda e: e.order)]
    assert numbers(queue) == expected
    assert [queue.ahead(JobId(f"{n:032x}")) for n in expected] == list(range(len(expected)))
    for key in queue.batch_keys():
        of_key = [n for n in expected if entries[n].job.key == key]  # type: ignore[union-attr]
        assert [j.number for j in queue.first(key, 99)] == of_key
        assert [j.number for j in queue.first(key, 2, accept=lambda j: j.number % 2 == 0)] == [
            n for n in of_key if n % 2 == 0
        ][:2]
        assert queue.waiting_count(key) == len(of_key)
    assert len(queue) == len(waiting)
    assert sum(queue.count(state) for state in get_args(JobState)) == len(active)


@given(st.lists(st.integers(1, 4), min_size=5, max_size=40), st.integers(1, 3))
def test_nobody_gets_two_turns_more_than_somebody_who_waits(users: list[int], at_once: int) -> None:
    """While two people both have jobs waiting, the numbers of their jobs served differ by little."""
    queue = FairQueue()
    for number, user in enumerate(users, start=1):
        queue.add(job(number, user), now=0.0)
    served: dict[int, int] = dict.fromkeys(set(users), 0)
    while len(queue):
        batch = [j for j, _ in zip(queue.in_order(), range(at_once), strict=False)]
        for j in batch:
            queue.dispatch(j.id)
        for j in batch:
            queue.end(j.id)
            served[j.request.user_id] += 1
        still = [u for u in served if any(e.waiting for e in queue.of_user(u))]
        if len(still) > 1:
            assert max(served[u] for u in still) - min(served[u] for u in still) <= 1


def by_seconds(costs: dict[int, float]) -> FairQueue:
    """Turns by GPU seconds; ``costs`` by person."""
    return FairQueue(seconds=lambda job: costs[job.request.user_id])


def test_by_gpu_seconds_who_asks_for_slow_pictures_gets_fewer() -> None:
    queue = by_seconds({1: 4.0, 2: 1.0})
    for number in range(1, 9):
        queue.add(job(number, user=1 if number <= 3 else 2), now=0.0)
    assert numbers(queue) == [1, 4, 5, 6, 7, 2, 8, 3]


def test_by_gpu_seconds_a_person_is_charged_what_their_picture_did_take() -> None:
    queue = by_seconds({1: 1.0, 2: 1.0})
    for number in range(1, 9):
        queue.add(job(number, user=1 if number <= 3 else 2), now=0.0)
    first = JobId(f"{1:032x}")
    queue.dispatch(first)
    queue.took(first, 3.5)
    queue.mark(first, "arriving")
    assert numbers(queue) == [4, 5, 6, 7, 2, 8, 3]


def test_by_gpu_seconds_a_cancelled_job_costs_nothing() -> None:
    queue = by_seconds({1: 10.0, 2: 1.0})
    for number in range(1, 5):
        queue.add(job(number, user=1), now=0.0)
    queue.add(job(5, user=2), now=0.0)
    queue.add(job(6, user=2), now=0.0)
    for number in range(1, 4):
        queue.end(JobId(f"{number:032x}"))
    assert numbers(queue) == [4, 5, 6]


def test_by_gpu_seconds_nobody_saves_up_turns_behind_a_job_that_cannot_run() -> None:
    queue = by_seconds({1: 1.0, 2: 1.0})
    queue.add(job(1, user=1, model="gone"), now=0.0)
    for number in range(2, 52):
        queue.add(job(number, user=2), now=0.0)
        queue.dispatch(JobId(f"{number:032x}"))
        queue.end(JobId(f"{number:032x}"))
    for number in range(60, 64):
        queue.add(job(number, user=2 if number % 2 else 1), now=0.0)
    # Person 1's job for the lost model stays first; the others have no more turns than person 2's.
    assert numbers(queue) == [1, 60, 61, 62, 63]


@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=2, max_size=5),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_by_gpu_seconds_everybody_gets_equal_time(costs: list[float], rows: int, servers: int) -> None:
    """People who always have jobs waiting, each of their own batch key: their GPU times differ by no more
    than what a few full batches take."""
    queue = by_seconds(dict(enumerate(costs)))
    spent = dict.fromkeys(range(len(costs)), 0.0)
    number, running = 0, list[list[Job]]()
    for _ in range(100):
        for user in spent:
            while sum(entry.waiting for entry in queue.of_user(user)) < rows:
                number += 1
                queue.add(job(number, user, model=f"model {user}"), now=0.0)
        head = next(iter(queue.in_order()))
        batch = queue.first(head.key, rows)
        queue.dispatch(*(j.id for j in batch))
        running.append(batch)
        if len(running) == servers:
            for j in running.pop(0):
                queue.mark(j.id, "arriving")
                queue.end(j.id)
                spent[j.request.user_id] += costs[j.request.user_id]
    assert max(spent.values()) - min(spent.values()) <= 2 * rows * servers * max(costs)
