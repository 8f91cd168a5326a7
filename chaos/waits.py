"""Waiting for something to become true."""

import time
from collections.abc import Callable


class NeverTrue(Exception):
    """Something did not become true in time."""


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until the condition holds. Raises NeverTrue after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NeverTrue(condition)
        time.sleep(0.02)
