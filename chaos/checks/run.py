"""Everything that is known of a run, and what it says for certain.

Nobody knows when a request was carried out: only that it was not before it was asked, and, if it
was told, not after that. So a check counts as a fault only what cannot be otherwise. `Window` is
the time in which something may have happened, `Span` one through which it was certainly so.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from chaos import tables as tables_file
from chaos.history import History, Record
from chaos.target import FILE, Target

ROUNDING = 0.002
"""Seconds by which a time that was told in milliseconds may be too late."""


class Violation(NamedTuple):
    """A fault that the checker found."""

    rule: str
    """The check that found it."""
    what: str


class Window(NamedTuple):
    """From the earliest to the latest moment at which something can have happened."""

    begin: float
    end: float

    def meets(self, begin: float, end: float) -> bool:
        """Whether it can have happened between these moments."""
        return self.begin < end and begin < self.end


class Span(NamedTuple):
    """A time through which something was certainly so."""

    begin: float
    end: float

    def covers(self, record: Record) -> bool:
        """Whether it was so from the question to the answer."""
        return self.begin <= record.asked_at and (record.answered_at or inf) <= self.end


@dataclass
class Tables:
    """The tables at the end of the run. Times are seconds since the epoch."""

    at: float
    seats: list[dict[str, Any]] = field(default_factory=list)
    ticket_types: list[dict[str, Any]] = field(default_factory=list)
    reservations: list[dict[str, Any]] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    payments: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What the audit of the service found."""


@dataclass
class Holding:
    """A reservation that somebody was told with 201."""

    id: str
    first: Record
    """The first request for it, answered or not."""
    told: Record
    """The first 201."""
    ends: list[Window] = field(default_factory=list)
    """When it may have been ended by a cancellation or a failed payment."""
    payments: list[Window] = field(default_factory=list)
    """When it may have been paid."""
    confirmed: list[Record] = field(default_factory=list)
    """Payments that were told, with the reservation as confirmed."""

    @property
    def person(self) -> str:
        """Who was told."""
        return self.told.person

    @property
    def seats(self) -> list[str]:
        """The seats that were asked for, if any."""
        return list(self.told.ask.get("seats", []))

    @property
    def tickets(self) -> dict[str, int]:
        """How many tickets were asked for, by type."""
        return {item["ticketTypeId"]: item["quantity"] for item in self.told.ask.get("items", [])}

    @property
    def expires_at(self) -> float:
        """When the hold ends, as it was told; if it was over already, a moment before that."""
        text = self.told.answer["reservation"]["expiresAt"]
        return datetime.fromisoformat(text).timestamp() - ROUNDING

    @cached_property
    def spans(self) -> list[Span]:
        """When it was certainly theirs: the hold until its end, and what was paid until it may
        have been cancelled. Sorted and disjoint."""
        found = [self._since(self.told, self.expires_at)]
        found += [self._since(record, inf) for record in self.confirmed]
        return merged([span for span in found if span.begin < span.end])

    def _since(self, record: Record, end: float) -> Span:
        """From when this was told, to `end` or before it can have been ended."""
        told_at = record.answered_at or inf
        for window in self.ends:
            if window.meets(record.asked_at, inf):
                end = min(end, window.begin)
        return Span(told_at, end)

    def certainly(self, record: Record) -> bool:
        """Whether it was theirs from this question to its answer."""
        return any(span.covers(record) for span in self.spans)


def merged(spans: list[Span]) -> list[Span]:
    """The union of the spans."""
    union: list[Span] = []
    for span in sorted(spans):
        if union and span.begin <= union[-1].end:
            union[-1] = Span(union[-1].begin, max(union[-1].end, span.end))
        else:
            union.append(span)
    return union


@dataclass
class Run:
    """A run, for the checks."""

    history: History
    tables: Tables
    threshold: int = 0
    """People who may be inside a waiting room."""
    hall: str = ""
    """The event that the watchers look at."""

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read the folder of a run."""
        target = Target.load(folder / FILE)
        tables = Tables(**json.loads((folder / tables_file.FILE).read_text()))
        return cls(History.read(folder), tables, target.threshold, target.hall.event_id)

    @cached_property
    def holdings(self) -> dict[str, Holding]:
        """The reservations that were told, by id."""
        found: dict[str, Holding] = {}
        for tries in self.holds.values():
            for record in tries:
                if record.status == 201:
                    id_ = record.answer["reservation"]["id"]
                    found.setdefault(id_, Holding(id_, tries[0], record))
        for record in self.history.of("cancel", "pay"):
            holding = found.get(record.ask["reservation"])
            if holding is not None:
                _note(holding, record)
        return found

    @cached_property
    def holds(self) -> dict[tuple[str, str], list[Record]]:
        """The requests for a hold, oldest first, by person and key."""
        tries: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in self.history.of("hold"):
            tries[record.person, record.ask["key"]].append(record)
        return tries

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of the reservations, by id."""
        return {row["id"]: row for row in self.tables.reservations}

    @cached_property
    def items(self) -> dict[str, list[dict[str, Any]]]:
        """The items of each reservation, by its id."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for item in self.tables.items:
            found[item["reservation"]].append(item)
        return found

    def settled(self, moment: float, seconds: float) -> float:
        """So many seconds after this moment, not counting the time of faults."""
        due = moment + seconds
        for fault in self.history.faults:
            over = max(fault.ended_at, fault.well_at or 0)
            if fault.began_at <= due and over >= moment:
                due = max(due, over + seconds)
        return due

    def disturbed(self, record: Record, seconds: float) -> bool:
        """Whether there was a fault while this was answered, or so many seconds before."""
        begin, end = record.asked_at - seconds, record.answered_at or inf
        return any(
            Window(fault.began_at, fault.ended_at).meets(begin, end)
            for fault in self.history.faults
        )

    def redis_lost(self, begin: float, end: float) -> bool:
        """Whether Redis can have lost its memory between these moments."""
        return any(
            fault.loses == "redis" and Window(fault.began_at, fault.ended_at).meets(begin, end)
            for fault in self.history.faults
        )


def _note(holding: Holding, record: Record) -> None:
    """Note what a cancellation or a payment may have done to the holding, or has."""
    if not record.lost and record.status != 200:
        return  # refused
    window = Window(record.asked_at, inf if record.lost else record.answered_at or inf)
    if record.action == "cancel" or record.ask["status"] == "failed":
        holding.ends.append(window)
    elif record.ask["status"] == "completed":
        holding.payments.append(window)
        if record.status == 200 and record.answer["reservation"]["status"] == "confirmed":
            holding.confirmed.append(record)
