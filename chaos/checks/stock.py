"""Stock adds up at each moment of the history, not only at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import inf

from chaos.checks.run import Run, Span, Violation, Window
from chaos.history import Record

RULE = "stock"

NOTICE = 3.0
"""Seconds after the end of a reservation within which an answer may still count it."""

STALE = 1.0
"""Seconds that an answer may be old where a sale could not tell Redis of it (docs/operations.md,
"version not changed"), and a little more for the way."""

Spans = list[tuple[Span, int]]


def check(run: Run) -> Iterator[Violation]:
    """At no moment do people certainly hold more tickets of a type than there are.

    An answer about the stock says no more than the total without what people certainly held all
    the while, and during a fault STALE before. It says no less than the total without everything
    that anybody may have held then or NOTICE before, not counting faults. In the end the books
    balance, by the rules of the service's own audit.
    """
    totals = {row["id"]: row["total"] for row in run.tables.ticket_types}
    held: dict[str, Spans] = defaultdict(list)
    for holding in run.holdings.values():
        for type_id, quantity in holding.tickets.items():
            held[type_id] += [(span, quantity) for span in holding.spans]
    for type_id, spans in held.items():
        at, most = _most(spans)
        if most > totals[type_id]:
            yield Violation(
                RULE, f"{most} of {totals[type_id]} tickets of {type_id} were held at {at:.3f}"
            )
    yield from _answers(run, totals, held)
    for fault in run.tables.faults:
        yield Violation(RULE, f"in the end {fault}")


def _most(spans: Spans) -> tuple[float, int]:
    """When the most tickets were held, and how many."""
    changes = [(span.begin, quantity) for span, quantity in spans]
    changes += [(span.end, -quantity) for span, quantity in spans]
    now, most = 0, (0.0, 0)
    for at, change in sorted(changes):
        now += change
        most = max(most, (at, now), key=lambda one: one[1])
    return most


def _answers(run: Run, totals: dict[str, int], held: dict[str, Spans]) -> Iterator[Violation]:
    """Answers that are out of bounds."""
    possible = _possible(run)
    for record in run.history.of("stock"):
        if record.status != 200:
            continue
        for shown in record.answer["ticketTypes"]:
            type_id, available = shown["id"], shown["available_quantity"]
            total = totals[type_id]
            since = record.asked_at - (STALE if run.disturbed(record, STALE) else 0)
            most = total - sum(
                n for span, n in held[type_id] if span.begin <= since and span.covers(record)
            )
            least = total - sum(n for window, n in possible[type_id] if _meets(window, record))
            if not least <= available <= most:
                yield Violation(
                    RULE,
                    f"{available} of {type_id} were shown at {record.asked_at:.3f}, and there were"
                    f" {least} to {most}",
                )


def _meets(window: Window, record: Record) -> bool:
    return window.meets(record.asked_at, record.answered_at or inf)


def _possible(run: Run) -> dict[str, list[tuple[Window, int]]]:
    """By ticket type: when answers can have counted how many tickets of each reservation."""
    found: dict[str, list[tuple[Window, int]]] = defaultdict(list)
    for row in run.tables.reservations:
        over = row["status"] in ("cancelled", "expired")
        # created_at is when the transaction began, updated_at when the last change began.
        end = run.settled(row["updated_at"], NOTICE) if over else inf
        window = Window(row["created_at"], end)
        for item in run.items[row["id"]]:
            if item["ticket_type"]:
                found[item["ticket_type"]].append((window, item["quantity"]))
    return found
