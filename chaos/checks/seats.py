"""No seat is told to two people as theirs at overlapping times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from chaos.checks.run import Run, Span, Violation

RULE = "seats"


def check(run: Run) -> Iterator[Violation]:
    """Each seat is part of at most one reservation at any moment.

    A reservation is somebody's from the moment they were told 201, until the told end of the hold
    or, once a payment was told, for ever; but not after the moment at which a cancellation or a
    failed payment was first sent that was not refused. Two reservations of a seat must not overlap
    in that, whether they are of one person or of two. Nor may one reservation be told to two.
    """
    taken: dict[str, list[tuple[Span, str]]] = defaultdict(list)
    for holding in run.holdings.values():
        for seat in holding.seats:
            taken[seat] += [(span, holding.id) for span in holding.spans]
    for seat, spans in taken.items():
        yield from _overlaps(seat, sorted(spans))
    owners: dict[str, str] = {}
    for tries in run.holds.values():
        for record in tries:
            if record.status == 201:
                id_ = record.answer["reservation"]["id"]
                if owners.setdefault(id_, record.person) != record.person:
                    yield Violation(RULE, f"{id_} was told to {owners[id_]} and {record.person}")


def _overlaps(seat: str, spans: list[tuple[Span, str]]) -> Iterator[Violation]:
    """Spans that overlap, sorted by their beginning. Those of one reservation are disjoint."""
    last, holder = Span(0, 0), ""
    for span, id_ in spans:
        if span.begin < last.end:
            both = f"{holder} until {last.end:.3f} and {id_} from {span.begin:.3f}"
            yield Violation(RULE, f"seat {seat} was told as theirs to the owners of {both}")
        if span.end > last.end:
            last, holder = span, id_
