"""The history checker: from all that people asked and were told, the tables, and Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from chaos.checks import evidence, kept, pictures, repeats, rooms, seats, stock
from chaos.checks.run import Run, Violation

RULES: dict[str, Callable[[Run], Iterator[Violation]]] = {
    evidence.RULE: evidence.check,
    seats.RULE: seats.check,
    kept.RULE: kept.check,
    repeats.RULE: repeats.check,
    stock.RULE: stock.check,
    rooms.THRESHOLD: rooms.check_threshold,
    rooms.ORDER: rooms.check_order,
    pictures.PICTURE: pictures.check_picture,
    pictures.SHOWN: pictures.check_shown,
}
"""The checks by name. Each has a broken variant of the service in which it finds something
(chaos/variants.py)."""


def check(folder: Path) -> list[Violation]:
    """Check the history of a run in this folder. No violation means that all was well."""
    run = Run.load(folder)
    return [violation for rule in RULES.values() for violation in rule(run)]
