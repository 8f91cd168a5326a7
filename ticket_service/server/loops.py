"""Loops: work that an instance does again and again, and how it goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gevent

from ticket_service import metrics
from ticket_service.errors import ServiceUnavailable

MAX_PAUSE = 5.0
"""Seconds between two tries of a loop that fails again and again."""

MAX_LAG = 5.0
"""Seconds by which a loop may be late, and have failed once, before the probe names it."""

log = logging.getLogger(__name__)


class Loop:
    """One loop. What its work returns, if anything, is how much was done."""

    def __init__(
        self,
        name: str,
        work: Callable[[], int | None],
        interval: float,
        *,
        endless: bool = False,
    ) -> None:
        """`interval`: seconds between two runs; `endless`: the work is never to end by itself."""
        self.name = name
        self._work = work
        self._interval = interval
        self._failures_in_a_row = 0
        self.failures = 0
        self.done = 0
        self.seconds = 0.0
        self.last_run: datetime | None = None
        self._endless = endless
        self._good_at = time.monotonic()
        if not endless:
            metrics.LOOP_LAG.labels(name).set_function(lambda: time.monotonic() - self._good_at)

    def run(self) -> None:
        """Work and rest, whatever happens, until the greenlet is killed."""
        while True:
            self._once()
            rest = self._interval * 2**self._failures_in_a_row
            gevent.sleep(min(rest, max(MAX_PAUSE, self._interval)))

    @property
    def lag(self) -> float | None:
        """Seconds since the last run that went well, or since the start; None where the work is
        never to end."""
        return None if self._endless else time.monotonic() - self._good_at

    @property
    def late(self) -> bool:
        """Whether it is longer ago than two rests and a few seconds."""
        return self.lag is not None and self.lag > 2 * self._interval + MAX_LAG

    def details(self) -> dict[str, Any]:
        """The last run, for people who look."""
        last = self.last_run
        return {
            "name": self.name,
            "lastRun": last.isoformat(timespec="milliseconds")[:-6] + "Z" if last else None,
            "seconds": round(self.seconds, 4),
            "done": self.done,
            "failures": self.failures,
            "lag": None if self.lag is None else round(self.lag, 3),
            "late": self.late,
        }

    def _once(self) -> None:
        started = time.perf_counter()
        try:
            done = self._work() or 0
        except Exception as error:
            self._failures_in_a_row = min(self._failures_in_a_row + 1, 10)
            self.failures += 1
            metrics.LOOP_FAILURES.labels(self.name).inc()
            if isinstance(error, ServiceUnavailable):
                log.warning("loop without a dependency", extra={"loop": self.name})
            else:
                log.exception("unhandled", extra={"loop": self.name})
        else:
            self._failures_in_a_row = 0
            self._good_at = time.monotonic()
            self.done += done
            metrics.LOOP_DONE.labels(self.name).inc(done)
        self.last_run = datetime.now(UTC)
        self.seconds = time.perf_counter() - started
        metrics.LOOP_SECONDS.labels(self.name).observe(self.seconds)
