"""Counts, once all is quiet, how every job ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.books import Books, Row, jobs, order_violations
from tests.chaos.crowd import Heard
from tests.chaos.stage import Stage, said


@dataclass(kw_only=True)
class Ledger:
    """The outcome of a run. ``told``: failed or was cancelled by its owner, and a message says so.

    ``untold``: failed or cancelled without a word, or cancelled by nobody.
    ``stale``: status messages that still offer to cancel what has ended, beyond those that live.
    ``met``: jobs whose picture was posted, but not yet in the journal, when a bot was killed. ``bought``:
    runs behind Comfy API v2; ``bought_twice``: those of them that were made there before.
    """

    kills: int
    asked: int
    accepted: int
    delivered: int
    told: int
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    met: int = 0
    unheard: int = 0
    bought: int = 0
    bought_twice: int = 0

    @property
    def sound(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.duplicated or self.untold or self.disorder or self.stale)

    def lines(self) -> list[str]:
        """For people."""
        figures = {
            "kills": self.kills,
            "  jobs caught between a post and its mark": self.met,
            "asked": self.asked,
            "accepted": self.accepted,
            "  of these unheard, as the bot died first": self.unheard,
            "delivered": self.delivered,
            "told": self.told,
            "lost": len(self.lost),
            "duplicated": len(self.duplicated),
            "untold": len(self.untold),
            "order violations": len(self.disorder),
            "stale status messages": len(self.stale),
            "bought": self.bought,
            "bought twice": self.bought_twice,
        }
        table = [f"{name:<42}{value:>7}" for name, value in figures.items()]
        return [*table, *self.lost, *self.duplicated, *self.untold, *self.disorder, *self.stale]


def count(stage: Stage, books: Books, heard: Heard, *, kills: int, met: int) -> Ledger:
    """See the module."""
    rows, results = jobs(books), stage.results()
    told = stage.endings()
    cancelled = {row.group for row in rows if row.number in heard.cancelled}
    known = {row.number for row in rows}
    ledger = Ledger(kills=kills, met=met, asked=heard.asked, accepted=len(rows), delivered=0, told=0)
    if stage.elastic is not None:
        runs = stage.elastic.runs()
        ledger.bought, ledger.bought_twice = runs.total(), runs.total() - len(runs)
    ledger.unheard = len(known - heard.queued)
    ledger.lost = [
        f"#{number}: said to be accepted, and not in the journal" for number in heard.queued - known
    ]
    for row in rows:
        posted = len(results.get(row.id, ()))
        if posted > 1:
            ledger.duplicated.append(f"{_name(row)}: posted {posted} times")
        if posted:
            ledger.delivered += 1
        elif row.number in told and (row.state == "failed" or row.group in cancelled):
            ledger.told += 1
        elif row.state in ("failed", "cancelled"):
            ledger.untold.append(f"{_name(row)}: ended without a word; {_last_word(stage, row)}")
        else:
            ledger.lost.append(
                f"{_name(row)}: has not ended, or its picture is gone; {_last_word(stage, row)}"
            )
    ledger.disorder = order_violations(books)
    ledger.stale = stale_status(stage, rows)
    return ledger


def stale_status(stage: Stage, rows: Sequence[Row]) -> list[str]:
    """Messages of jobs that have ended, which say that the job goes on."""
    ended = {row.id: row for row in rows if row.ended}
    offered = {**stage.buttons("cancel"), **stage.buttons("cancelall")}
    return [
        f"{_name(ended[job_id])}: still shown as {said(messages[0]).splitlines()[0]!r} ({len(messages)}×)"
        for job_id, messages in offered.items()
        if job_id in ended
    ]


def _last_word(stage: Stage, row: Row) -> str:
    about = [text for text in map(said, stage.everything()) if f"#{row.number}**" in text]
    return f"the last word was {about[-1]!r}" if about else "nothing was said"


def _name(row: Row) -> str:
    return f"#{row.number} {row.id} ({row.state}, {row.attempts} attempts)"
