"""Runs a broken variant of the service for a moment, with people, and checks the history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chaos import checks, tables
from chaos.checks.run import Violation
from chaos.crowd import OBSERVERS, people
from chaos.history import SUFFIX
from chaos.people import ROLES
from chaos.scene import scene


class Red(NamedTuple):
    """What must be found in a variant."""

    rule: str
    """The check that finds it."""
    roles: Sequence[str]
    """The people by whom it is found. The others would only take time."""


TRADERS = ("buyers", "payers", "cancellers")

RED = {
    "nothing is sold": Red("evidence", ROLES),
    "seats are not locked": Red("seats", TRADERS),
    "a commit is lost": Red("kept", TRADERS),
    "keys are ignored": Red("repeats", TRADERS),
    "tickets come back twice": Red("stock", TRADERS),
    "a place is given twice": Red("threshold", ("line", "sampler")),
    "the last come first": Red("order", ("line",)),
    "messages are dropped": Red("picture", ("buyers", "watchers")),
    "paid seats are told as free": Red("shown", ("payers", "watchers")),
}
"""By variant (chaos/variants.py)."""

RECORDS = 400
"""After so many records people go home, or MORE if nothing is broken: after a few seconds on a
machine with nothing else to do."""

MORE = 2_000

MOST_SECONDS = 60.0
"""They go then in any case."""

HOLD_SECONDS = 2
"""So that holds expire meanwhile."""

QUIET_SECONDS = 2.5
"""Without a change, in which watchers hear of the last one."""


def run(
    folder: Path, seed: int, variant: str | None = None, roles: Sequence[str] = ROLES
) -> list[Violation]:
    """Let people use two instances for a moment, and return what the checker finds.

    `variant`: what is broken; None: nothing.
    """
    broken = {"app": "chaos.variants:app", "VARIANT": variant} if variant else {}
    settings = {"HOLD_TTL_SECONDS": str(HOLD_SECONDS), **broken}
    with scene(folder, 2, **settings) as stage, people(folder, seed, roles) as crowd:
        _wait_for_records(folder, RECORDS if variant else MORE)
        crowd.stop([role for role in roles if role not in OBSERVERS])
        if "watchers" in roles:
            tables.wait_until_quiet(stage.target, QUIET_SECONDS, MOST_SECONDS)
        crowd.stop([role for role in roles if role in OBSERVERS])
        tables.dump(stage.target, folder)
    return checks.check(folder)


def _wait_for_records(folder: Path, count: int) -> None:
    """Wait until the people have written so many records, MOST_SECONDS at most."""
    gives_up_at = time.monotonic() + MOST_SECONDS
    while time.monotonic() < gives_up_at:
        lines = sum(path.read_bytes().count(b"\n") for path in folder.glob(f"*{SUFFIX}"))
        if lines >= count:
            break
        time.sleep(0.2)
