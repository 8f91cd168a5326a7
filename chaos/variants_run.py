"""Runs a broken variant of the service for a moment, with people, and checks the history."""

from __future__ import annotations

import time
from pathlib import Path

from chaos import checks, tables
from chaos.checks.run import Violation
from chaos.crowd import OBSERVERS, people
from chaos.people import ROLES
from chaos.scene import scene

RED = {
    "seats are not locked": "seats",
    "a commit is lost": "kept",
    "keys are ignored": "repeats",
    "stock is not locked": "stock",
    "a place is given twice": "threshold",
    "the last come first": "order",
    "messages are dropped": "picture",
    "paid seats are told as free": "shown",
}
"""By variant (chaos/variants.py): the check that must find a fault in it."""

SECONDS = 5.0
"""For which people are at work."""

HOLD_SECONDS = 2
"""So that holds expire meanwhile."""

QUIET_SECONDS = HOLD_SECONDS + 3.0


def run(folder: Path, variant: str | None, seed: int) -> list[Violation]:
    """Let people use two instances for SECONDS, and return what the checker finds.

    `variant`: what is broken; None: nothing.
    """
    broken = {"app": "chaos.variants:app", "VARIANT": variant} if variant else {}
    settings = {"HOLD_TTL_SECONDS": str(HOLD_SECONDS), **broken}
    with scene(folder, 2, **settings) as stage, people(folder, seed) as crowd:
        time.sleep(SECONDS)
        crowd.stop([role for role in ROLES if role not in OBSERVERS])
        time.sleep(QUIET_SECONDS)
        crowd.stop(OBSERVERS)
        tables.dump(stage.target, folder)
    return checks.check(folder)
