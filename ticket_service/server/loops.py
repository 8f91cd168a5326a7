"""Loops: work that an instance repeats in the background, with its metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gevent

from ticket_service import metrics
from ticket_service.errors import ServiceUnavailable

RESTART_INTERVAL = 1.0
"""Seconds before a loop that should never end is started again."""

MAX_PAUSE = 5.0
"""The longest pause, in seconds, after failed runs, unless the interval is longer."""

MAX_LAG = 5.0
"""Seconds that a run may take or fail in, beyond two intervals, before the loop is late."""

log = logging.getLogger(__name__)


class Loop:
    """Runs `work` again and again. If it returns a number, that is how much it did."""

    def __init__(
        self,
        name: str,
        work: Callable[[], int | None],
        interval: float,
        *,
        endless: bool = False,
    ) -> None:
        """`interval`: seconds between two runs. `endless`: the work is meant never to return."""
        self.name = name
        self._work = work
        self._interval = interval
        self._failures_in_a_row = 0
        self.failures = 0
        self.done = 0
        self.seconds = 0.0
        self.last_run: datetime | None = None
        self._endless = endless
        self._succeeded_at = time.monotonic()
        if not endless:
            metrics.LOOP_LAG.labels(name).set_function(
                lambda: time.monotonic() - self._succeeded_at
            )

    def run(self) -> None:
        """Run the work until the greenlet is killed, whatever it raises."""
        while True:
            self._run_once()
            pause = self._interval * 2**self._failures_in_a_row
            gevent.sleep(min(pause, max(MAX_PAUSE, self._interval)))

    @property
    def lag(self) -> float | None:
        """Seconds since the last successful run, or since the start; None for endless work."""
        return None if self._endless else time.monotonic() - self._succeeded_at

    @property
    def is_late(self) -> bool:
        """Whether `lag` is more than two intervals and MAX_LAG."""
        return self.lag is not None and self.lag > 2 * self._interval + MAX_LAG

    def details(self) -> dict[str, Any]:
        """The state of the loop and its last run, as the readiness probe shows it."""
        last = self.last_run
        return {
            "name": self.name,
            "lastRun": last.isoformat(timespec="milliseconds")[:-6] + "Z" if last else None,
            "seconds": round(self.seconds, 4),
            "done": self.done,
            "failures": self.failures,
            "lag": None if self.lag is None else round(self.lag, 3),
            "late": self.is_late,
        }

    def _run_once(self) -> None:
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
            self._succeeded_at = time.monotonic()
            self.done += done
            metrics.LOOP_DONE.labels(self.name).inc(done)
        self.last_run = datetime.now(UTC)
        self.seconds = time.perf_counter() - started
        metrics.LOOP_SECONDS.labels(self.name).observe(self.seconds)
