"""Shares one run of the same work between concurrent callers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, cast

from gevent.event import AsyncResult

Result = TypeVar("Result")


class Coalescer(Generic[Result]):
    """Lets concurrent callers share one run of the same work.

    A caller never gets the result of a run that began before their call, so the result includes
    everything that was committed before it. For each key at most one run is under way and one is
    pending.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, AsyncResult[Result]] = {}
        self._next: dict[Hashable, AsyncResult[Result]] = {}

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """The result of a run of `work` that begins after this call. Raises what the run raises."""
        shared = self._next.get(key)
        if shared is not None:
            return cast("Result", shared.get())
        mine: AsyncResult[Result] = AsyncResult()
        running = self._running.get(key)
        try:
            if running is not None:
                self._next[key] = mine
                try:
                    running.wait()
                finally:
                    del self._next[key]
            self._running[key] = mine
            try:
                result = work()
            finally:
                del self._running[key]
        except BaseException as error:
            mine.set_exception(error)
            raise
        mine.set(result)
        return result
