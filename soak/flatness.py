"""What was measured again and again, and whether it has stayed the same.

The samples after the warm-up are cut into four quarters. A quantity is *flat* if its median in the
last quarter is above the one in the first by no more than is allowed: a part of it, or a number if
that is more. A quantity that has a hard limit must only stay below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.report import columns

MIN_SAMPLES = 8
"""After the warm-up."""


@dataclass(frozen=True)
class Quantity:
    """Something that is measured, and what is allowed."""

    name: str
    unit: str
    share: float = 0.0
    """Allowed growth, as a part of the median in the first quarter."""
    number: float = 0.0
    """Allowed growth, if that is more."""
    limit: float | None = None
    """If set, growth is allowed up to here."""


@dataclass(frozen=True)
class Judgement:
    """How a quantity has changed."""

    quantity: Quantity
    first: float
    """The median of the first quarter."""
    last: float
    highest: float
    """Of all samples after the warm-up."""

    @property
    def growth(self) -> float:
        """From the first quarter to the last."""
        return self.last - self.first

    @property
    def allowed(self) -> float:
        """The growth that is allowed. It has no meaning where there is a limit."""
        return max(self.quantity.share * self.first, self.quantity.number)

    @property
    def good(self) -> bool:
        """Whether it is flat, or below its limit."""
        if self.quantity.limit is not None:
            return self.highest <= self.quantity.limit
        return self.growth <= self.allowed


def judge(
    quantities: Sequence[Quantity], samples: Sequence[Mapping[str, float]]
) -> list[Judgement]:
    """Judge each quantity by the samples after the warm-up, MIN_SAMPLES at least. A sample has the
    numbers by the quantities' names."""
    quarter = len(samples) // 4
    found = []
    for quantity in quantities:
        numbers = [sample[quantity.name] for sample in samples]
        found.append(
            Judgement(
                quantity,
                first=median(numbers[:quarter]),
                last=median(numbers[-quarter:]),
                highest=max(numbers),
            )
        )
    return found


def table(judgements: Sequence[Judgement]) -> list[str]:
    """One line for each quantity."""
    head = ("", "first quarter", "last quarter", "growth", "allowed", "highest", "")
    return columns([head, *map(_cells, judgements)], text=(0, 6))


def _cells(judgement: Judgement) -> tuple[str, ...]:
    quantity = judgement.quantity
    limit = quantity.limit
    good, bad = ("flat", "GROWS") if limit is None else ("below", "ABOVE")
    return (
        f"{quantity.name}, {quantity.unit}" if quantity.unit else quantity.name,
        _number(judgement.first),
        _number(judgement.last),
        f"{'+' if judgement.growth > 0 else ''}{_number(judgement.growth)}",
        _number(judgement.allowed) if limit is None else f"at most {_number(limit)}",
        _number(judgement.highest),
        good if judgement.good else bad,
    )


def _number(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.2f}"
