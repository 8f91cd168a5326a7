"""The waiting room: never more people inside than its threshold, and nobody passes another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from math import inf
from typing import NamedTuple

from chaos.checks.run import Run, Span, Violation
from chaos.history import Record

THRESHOLD = "threshold"
ORDER = "order"

CALLS = ("check", "status", "heartbeat", "leave")


def check_threshold(run: Run) -> Iterator[Violation]:
    """Redis never has more people inside a room than the threshold, by its own clock.

    Nor do people: whoever was told twice that they are inside, until the same end of their stay,
    was inside in between, unless they left or Redis lost its memory. At no moment were more people
    inside in this sense than the threshold.
    """
    for record in run.history.of("sample"):
        inside = len(record.answer["inside"])
        if inside > run.threshold:
            room = f"{inside} people were inside {record.ask['event']}"
            yield Violation(THRESHOLD, f"{room} at {record.answer['at']:.3f}")
    by_event: dict[str, list[Span]] = defaultdict(list)
    for event, span in stays(run):
        by_event[event].append(span)
    for event, spans in by_event.items():
        changes = sorted([(span.begin, 1) for span in spans] + [(span.end, -1) for span in spans])
        inside = 0
        for at, change in changes:
            inside += change
            if inside > run.threshold:
                yield Violation(THRESHOLD, f"{inside} people were inside {event} at {at:.3f}")
                break


def check_order(run: Run) -> Iterator[Violation]:
    """Nobody is let in before someone who came earlier and still waits.

    Whoever was told that they are in line, and later that they still are, waited in between, unless
    they left, entered again, or Redis lost its memory. Nobody whose first question about the event
    was asked after the one answer may be told before the other question that they are inside.
    """
    in_line: dict[str, list[Wait]] = defaultdict(list)
    for event, wait in waits(run):
        in_line[event].append(wait)
    entries: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for (event, person), records in _visits(run).items():
        entry = next((one for one in records if _status(one) == "active"), None)
        if entry is not None:
            entries[event].append((records[0].asked_at, entry.answered_at or inf, person))
    for event, waiting in in_line.items():
        for came, entered, person in entries[event]:
            passed = next((w for w in waiting if w.begin < came and entered < w.end), None)
            if passed is not None:
                times = f"came at {came:.3f} and was inside by {entered:.3f}"
                waited = f"waited from {passed.begin:.3f} to {passed.end:.3f}"
                yield Violation(ORDER, f"{person} {times}; {passed.person} {waited}")


class Wait(NamedTuple):
    """A time through which a person certainly stood in the line."""

    begin: float
    end: float
    person: str


def stays(run: Run) -> Iterator[tuple[str, Span]]:
    """The times through which people were certainly inside, with the event."""
    for (event, _), records in _visits(run).items():
        for span in _stays(run, records):
            yield event, span


def waits(run: Run) -> Iterator[tuple[str, Wait]]:
    """The times through which people certainly stood in line, with the event."""
    for (event, person), records in _visits(run).items():
        for wait in _waits(run, person, records):
            yield event, wait


def _visits(run: Run) -> dict[tuple[str, str], list[Record]]:
    """What each person asked about a room, by event and person, oldest first."""
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in run.history.of(*CALLS, "hold"):
        found[record.ask["event"], record.person].append(record)
    return found


def _status(record: Record) -> str:
    """The person's status as it was told, or "" if it was not."""
    if record.status != 200 or record.action not in CALLS:
        return ""
    status: str = record.answer.get("status", "")
    return status


def _stays(run: Run, records: list[Record]) -> Iterator[Span]:
    """The times through which a person was certainly inside."""
    told: list[Record] = []
    for record in records:
        if record.action == "leave":
            told = []
        elif _status(record) == "active" and "stayEndsAt" in record.answer:
            told.append(record)
            if len(told) > 1 and (span := _between(run, *told[-2:])):
                yield span


def _between(run: Run, one: Record, other: Record) -> Span | None:
    """The time between two answers, if both speak of the same stay."""
    same = one.answer["stayEndsAt"] == other.answer["stayEndsAt"]
    begin, end = one.answered_at or inf, other.asked_at
    if not same or begin >= end or run.redis_lost(one.asked_at, other.answered_at or inf):
        return None
    return Span(begin, end)


def _waits(run: Run, person: str, records: list[Record]) -> Iterator[Wait]:
    """The times through which a person certainly stood in line."""
    told: list[Record] = []
    for record in records:
        if record.action in ("check", "leave"):
            yield from _whole(run, person, told)
            told = []
        if _status(record) == "queued":
            told.append(record)
        elif _status(record):
            yield from _whole(run, person, told)
            told = []
    yield from _whole(run, person, told)


def _whole(run: Run, person: str, told: list[Record]) -> Iterator[Wait]:
    """The wait from the first to the last of these answers; in parts if Redis lost its memory."""
    first = 0
    for position, (one, other) in enumerate(pairwise(told)):
        if run.redis_lost(one.asked_at, other.answered_at or inf):
            yield from _part(person, told[first : position + 1])
            first = position + 1
    yield from _part(person, told[first:])


def _part(person: str, told: list[Record]) -> Iterator[Wait]:
    if len(told) > 1:
        yield Wait(told[0].answered_at or inf, told[-1].asked_at, person)
