"""An answer that was lost is found by its Idempotency-Key, once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import inf
from typing import Any

from chaos.checks.run import Run, Violation
from chaos.history import Record

RULE = "repeats"

UNDER_WAY = 12.0
"""Seconds after the beginning of its transaction by which a reservation is surely committed: four
statements of two seconds each, and a connection that is given up for lost."""


Wanted = tuple[Any, ...]
"""A person, an event, and what of it, in a form that can be compared."""


def check(run: Run) -> Iterator[Violation]:
    """All tries with one key are told of the same reservation.

    In the tables a person has, of each thing that they asked for, only reservations that they were
    told of, and at most one for each key whose answers were all lost. Whoever repeated a request
    and was refused at last has no reservation that was there when they repeated it.
    """
    for (person, key), tries in run.holds.items():
        told = {one.answer["reservation"]["id"] for one in tries if one.status == 201}
        if len(told) > 1:
            yield Violation(RULE, f"{person} was told of {sorted(told)} under the key {key}")
    lost = _lost(run)
    for wanted, made in _untold(run).items():
        what = f"{len(made)} times {wanted[1:]}, and was not told of it"
        early = [at for at in made if run.settled(at, UNDER_WAY) < min(lost[wanted], default=inf)]
        if len(made) > len(lost[wanted]):
            lost_keys = f"only {len(lost[wanted])} keys had lost answers"
            yield Violation(RULE, f"{wanted[0]} has {what}: {lost_keys}")
        elif len(early) > lost[wanted].count(inf):
            yield Violation(RULE, f"{wanted[0]} has {what}: they were refused at last")


def _lost(run: Run) -> dict[Wanted, list[float]]:
    """The keys of which no try was told of a reservation and one was lost: by what was wanted, when
    the try was asked that was refused at last; infinite if the last one was lost too."""
    found: dict[Wanted, list[float]] = defaultdict(list)
    for (person, _), tries in run.holds.items():
        if any(one.lost for one in tries) and all(one.status != 201 for one in tries):
            asked_at = inf if tries[-1].lost else tries[-1].asked_at
            found[person, *_wanted(tries[0])].append(asked_at)
    return found


def _untold(run: Run) -> dict[Wanted, list[float]]:
    """The reservations in the tables that their owners were not told of: when they were made."""
    people = {person for person, _ in run.holds}
    found: dict[Wanted, list[float]] = defaultdict(list)
    for row in run.tables.reservations:
        if row["person"] in people and row["id"] not in run.holdings:
            found[row["person"], *_had(run, row)].append(row["created_at"])
    return found


def _wanted(record: Record) -> tuple[Any, ...]:
    """What a request asked for, in a form that can be compared."""
    items = record.ask.get("items", [])
    things = [(seat, 1) for seat in record.ask.get("seats", [])]
    things += [(item["ticketTypeId"], item["quantity"]) for item in items]
    return record.ask["event"], tuple(sorted(things))


def _had(run: Run, row: dict[str, Any]) -> tuple[Any, ...]:
    """What a reservation has, in the same form."""
    things = [
        (item["seat"] or item["ticket_type"], item["quantity"]) for item in run.items[row["id"]]
    ]
    return row["event"], tuple(sorted(things))
