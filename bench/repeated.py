"""Doing something again and again beside something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event


@contextmanager
def repeated(act: Callable[[], object], interval: float, after: float = 0.0) -> Iterator[None]:
    """Call `act` in a thread while the block runs. Raises what it raised when the block ends.

    Args:
        act: what to do.
        interval: seconds before each call.
        after: seconds to wait first.
    """
    over = Event()

    def run() -> None:
        over.wait(after)
        while not over.wait(interval):
            act()

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run)
        try:
            yield
        finally:
            over.set()
        running.result()
