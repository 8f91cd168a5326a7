"""The run has what the other checks need: a check that has nothing to look at finds nothing."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.checks import rooms
from chaos.checks.run import Run, Violation

RULE = "evidence"


def counts(run: Run) -> dict[str, int]:
    """How much there is to look at."""
    holdings = run.holdings.values()
    found_again = [tries for tries in run.holds.values() if tries[0].lost and len(tries) > 1]
    return {
        "holds of seats": sum(bool(holding.seats) for holding in holdings),
        "holds of tickets": sum(bool(holding.tickets) for holding in holdings),
        "payments": sum(len(holding.confirmed) for holding in holdings),
        "cancellations": sum(record.status == 200 for record in run.history.of("cancel")),
        "repeats": sum(tries[-1].status == 201 for tries in found_again),
        "looks at the stock": sum(record.status == 200 for record in run.history.of("stock")),
        "looks into rooms": sum(1 for _ in run.history.of("sample")),
        "stays": sum(1 for _ in rooms.stays(run)),
        "waits": sum(1 for _ in rooms.waits(run)),
        "changes that were heard": sum(1 for _ in run.history.of("heard")),
        "pictures": sum(1 for _ in run.history.of("picture")),
    }


def check(run: Run) -> Iterator[Violation]:
    """There is at least one of everything that the other checks look at."""
    for what, count in counts(run).items():
        if count == 0:
            yield Violation(RULE, f"there were no {what}")
