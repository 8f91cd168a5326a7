"""The state of Redis as one instance sees it: a circuit breaker that tells hiccups from outages.

| State  | Means                                              | Ends with                      |
|--------|----------------------------------------------------|--------------------------------|
| well   | calls are answered                                 | a failure: hiccup              |
| hiccup | a call failed, and no later one was answered       | an answer: well, or back while |
|        |                                                    | that lasts; time: away         |
| away   | hiccup for OUTAGE_SECONDS and MIN_TRIES            | an answer: back                |
| back   | was away, answers again, for BACK_SECONDS          | time: well; a failure: hiccup  |

A failure is a call without a complete answer in time, or with an error that refuses every write
(LOADING, READONLY after a fail-over, MISCONF and the like). OOM is no failure: a full Redis still
runs the waiting room. Only answers to writes end a hiccup, since a read-only server cannot run it.
The state only changes with a call. An instance that never had an answer stays in hiccup: it cannot
know which events are guarded.

While Redis fails, one call at a time is sent, and the others fail at once, so a hanging Redis costs
few requests its time-out. The first call after a failure is not held back, so one late answer costs
the next requests nothing.
"""

from __future__ import annotations

import logging
import time
from enum import StrEnum

from ticket_service import metrics

OUTAGE_SECONDS = 5.0
"""Seconds without an answer after which Redis is away."""

MIN_TRIES = 3
"""Failed calls in a row before Redis is away. Without it, a process that was suspended for
OUTAGE_SECONDS would see an outage."""

BACK_SECONDS = 10.0
"""Seconds in the state `back`."""

REST_AFTER_FAILURE = 0.5
"""Seconds between two calls to a Redis that fails."""

TRY_TIMEOUT = 2.0
"""Seconds that a call can take: to connect, ask, and ask again with the whole script."""

log = logging.getLogger(__name__)


class State(StrEnum):
    """The names that metrics and logs show."""

    WELL = "well"
    HICCUP = "hiccup"
    AWAY = "away"
    BACK = "back"


class RedisState:
    """The state, fed by every call of every pool of the instance. Times are `time.monotonic`."""

    def __init__(self) -> None:
        self._answered = 0.0
        """When the latest answered call was sent."""
        self._failing_since = 0.0
        self._tries = 0
        """Calls sent since `_failing_since` that failed."""
        self._rest_until = 0.0
        self._back_until = 0.0
        self.current = State.WELL
        self._failing = False
        self._show()

    @property
    def away(self) -> bool:
        """Whether it is an outage."""
        return self.current is State.AWAY

    def may_ask(self, now: float, *, writes: bool) -> bool:
        """Whether to send a call at `now`. Then the caller must call `answered`, for a write, or
        `failed`."""
        if not self._failing:
            return True
        if not writes or now < self._rest_until:
            return False
        self._rest_until = now + TRY_TIMEOUT  # or until this call ends
        return True

    def answered(self, asked: float) -> None:
        """Record that a write was answered. `asked`: when it was sent."""
        self._answered = max(self._answered, asked)
        if self.current is not State.WELL:
            self._recover(time.monotonic())

    def failed(self, asked: float, error: Exception) -> bool:
        """Record that a call failed. `asked`: when it was sent.

        Returns whether the failure counts. It does not if a later call was answered: one slow
        answer among good ones does not change the state.
        """
        metrics.REDIS_FAILURES.labels(type(error).__name__).inc()
        if asked < self._answered:
            return False
        now = time.monotonic()
        if not self._failing:
            self._failing_since, self._rest_until, self._tries = now, now, 0
            self._enter(State.HICCUP, error)
        elif asked >= self._failing_since:
            self._tries += 1
            self._rest_until = now + REST_AFTER_FAILURE
            self._give_up(now, error)
        return True

    def _give_up(self, now: float, error: Exception) -> None:
        long = now - self._failing_since >= OUTAGE_SECONDS and self._tries >= MIN_TRIES
        if self.current is State.HICCUP and self._answered and long:
            self._enter(State.AWAY, error)

    def _recover(self, now: float) -> None:
        if self.current is State.AWAY:
            self._back_until = now + BACK_SECONDS
        state = State.BACK if now < self._back_until else State.WELL
        if self.current is not state:
            self._enter(state)

    def _enter(self, state: State, error: Exception | None = None) -> None:
        self.current = state
        self._failing = error is not None
        extra = {"error": type(error).__name__} if error else {}
        log.log(logging.WARNING if error else logging.INFO, f"redis {state}", extra=extra)
        self._show()

    def _show(self) -> None:
        for state in State:
            metrics.REDIS_STATE.labels(state).set(state is self.current)
