"""What watchers see of the hall."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from math import inf
from typing import NamedTuple

from chaos.checks.run import Holding, Run, Violation
from chaos.history import Record

PICTURE = "picture"
SHOWN = "shown"

QUIET = 2.0
"""Seconds after the last change by which every watcher has the right picture."""


def check_picture(run: Run) -> Iterator[Violation]:
    """Two seconds after the last change of a seat, each watcher's picture equals the tables.

    Each watcher is connected by then.
    """
    seats = [row for row in run.tables.seats if row["event"] == run.hall]
    changed_at = max(row["updated_at"] for row in seats)
    truth = {row["id"]: row["status"] for row in seats if row["status"] != "available"}
    last = {record.person: record for record in run.history.of("picture")}
    quiet_at = run.settled(changed_at, QUIET)
    for person, record in last.items():
        if record.asked_at < quiet_at:
            late = f"{record.asked_at - changed_at:.3f} s after the last change"
            yield Violation(PICTURE, f"{person} stopped {late}: there was no quiet to look at")
        elif not record.extra["joined"]:
            yield Violation(PICTURE, f"{person} is not connected")
        elif wrong := truth.items() ^ record.answer.items():
            yield Violation(PICTURE, f"{person} sees other seats than the tables: {sorted(wrong)}")


class Shown(NamedTuple):
    """That a watcher was shown the taker of a seat."""

    holding: Holding
    at: float
    paid: bool

    def lasts_until(self, record: Record) -> bool:
        """Whether the taker certainly had the seat from then until this was shown."""
        end = record.answered_at or inf
        if self.paid:  # which ends only by a cancellation, of which the news may be late too
            paid_at = min((window.begin for window in self.holding.payments), default=0.0)
            return not any(window.meets(paid_at, end) for window in self.holding.ends)
        told_at = self.holding.told.answered_at or inf
        return any(
            # Before they were told, and since this was shown, it cannot have been otherwise.
            span.begin <= max(self.at, told_at) and end <= span.end
            for span in self.holding.spans
        )


def check_shown(run: Run) -> Iterator[Violation]:
    """A watcher who was shown that a seat is taken, by a reservation that has it, is not shown that
    it is free while that reservation certainly has it without a break.

    A watcher was shown a reservation if they heard that the seat is taken after it was asked for,
    and any other of that seat had surely ended QUIET before, not counting faults; or if an answer
    to a question that they sent after it was told says that the seat is taken.
    """
    takers = _takers(run)
    streams: dict[str, list[Record]] = defaultdict(list)
    for record in run.history.of("join", "heard"):
        streams[record.person].append(record)
    for person, records in streams.items():
        shown: dict[str, Shown] = {}
        for record in sorted(records, key=lambda one: one.answered_at or inf):
            for seat, status in _news(record, shown):
                holding = _taker(takers[seat], record)
                if status == "available":
                    last = shown.pop(seat, None)
                    if last is not None and last.lasts_until(record):
                        what = f"{seat} as free at {record.answered_at:.3f}"
                        yield Violation(
                            SHOWN, f"{person} was shown {what}; {last.holding.id} has it"
                        )
                elif holding is not None:
                    shown[seat] = Shown(holding, record.answered_at or inf, status == "reserved")


def _news(record: Record, shown: Collection[str]) -> list[tuple[str, str]]:
    """What a watcher was shown: seats and their status."""
    if record.action == "heard":
        return [(record.answer["seatId"], record.answer["status"])]
    if not record.answer["success"] or "seats" not in record.answer:
        return []
    taken = {seat["seatId"]: seat["status"] for seat in record.answer["seats"]}
    return [*taken.items(), *((seat, "available") for seat in shown if seat not in taken)]


def _takers(run: Run) -> dict[str, list[tuple[Holding | None, float, float]]]:
    """By seat, each reservation that can have had it, told or not: the holding, and from when to
    when watchers can have been shown it."""
    found: dict[str, list[tuple[Holding | None, float, float]]] = defaultdict(list)
    for row in run.tables.reservations:
        holding = run.holdings.get(row["id"])
        begin = holding.first.asked_at if holding else row["created_at"]
        over = row["status"] in ("cancelled", "expired")
        for item in run.items[row["id"]]:
            if item["seat"]:
                end = run.settled(row["updated_at"], QUIET) if over else inf
                found[item["seat"]].append((holding, begin, end))
    return found


def _taker(takers: list[tuple[Holding | None, float, float]], record: Record) -> Holding | None:
    """The reservation that a watcher was certainly shown as having the seat."""
    asked = record.action == "join"
    shown_at = record.answered_at or inf
    if asked:
        return next((h for h, *_ in takers if h is not None and h.certainly(record)), None)
    can_be = [holding for holding, begin, end in takers if begin <= shown_at and end > shown_at]
    return can_be[0] if len(can_be) == 1 else None
