"""Redis as one instance sees it: whether an answer may be hoped for, and whether it is an outage.

| State  | Means                                              | Ends with                      |
|--------|----------------------------------------------------|--------------------------------|
| well   | questions are answered                             | a failure: hiccup              |
| hiccup | a question failed, and no younger one was answered | an answer: well, or back as    |
|        |                                                    | long as that lasts; time: away |
| away   | so for OUTAGE_SECONDS and MIN_TRIES                | an answer: back                |
| back   | was away, answers again, for BACK_SECONDS          | time: well; a failure: hiccup  |

A failure is an answer that came late, broke off, or refused every write (LOADING, READONLY after a
fail-over, MISCONF and the like). Only calls count, never the time between them, and only answers to
writes end a hiccup: a server that can only be read is no waiting room. One that is merely full
(OOM) still runs it, so that is an answer. An instance that never had one stays in hiccup: it does
not know what it would open.

While Redis fails, one question at a time goes out, and the others fail at once: so a hanging Redis
costs few requests its time-out. The first question after a failure is not held back, so that one
late answer costs the next requests nothing.
"""

from __future__ import annotations

import logging
import time
from enum import StrEnum

from ticket_service import metrics

OUTAGE_SECONDS = 5.0
"""Seconds without an answer after which Redis is away."""

MIN_TRIES = 3
"""Questions, one after the other, that failed before Redis is away: a process that was stopped for
OUTAGE_SECONDS has seen no outage."""

BACK_SECONDS = 10.0
"""Seconds for which a Redis that was away is called back."""

REST_AFTER_FAILURE = 0.5
"""Seconds between two questions to a Redis that fails."""

TRY_LIMIT = 2.0
"""Seconds that a question can take: to connect, ask, and ask again with the whole script."""

log = logging.getLogger(__name__)


class State(StrEnum):
    """The names, as metrics and logs show them."""

    WELL = "well"
    HICCUP = "hiccup"
    AWAY = "away"
    BACK = "back"


class RedisState:
    """The state, fed by every call of every pool of the instance. Times are `time.monotonic`."""

    def __init__(self) -> None:
        self._answered = 0.0
        """When the youngest question that was answered was asked."""
        self._failing_since = 0.0
        self._tries = 0
        """Questions asked since then that failed."""
        self._rest_until = 0.0
        self._back_until = 0.0
        self.current = State.WELL
        self._failing = False
        self._show()

    @property
    def away(self) -> bool:
        """Whether it is an outage, not a hiccup."""
        return self.current is State.AWAY

    def may_ask(self, now: float, *, writes: bool) -> bool:
        """Whether to send a question now; the caller then reports `answered` or `failed`."""
        if not self._failing:
            return True
        if not writes or now < self._rest_until:
            return False
        self._rest_until = now + TRY_LIMIT  # or until this question's end
        return True

    def answered(self, asked: float) -> None:
        """A write that was asked at this time was answered."""
        self._answered = max(self._answered, asked)
        if self.current is not State.WELL:
            self._recover(time.monotonic())

    def failed(self, asked: float, error: Exception) -> bool:
        """A question that was asked at this time failed; whether that says something of Redis.

        It does not where a younger question was answered: so one slow answer among good ones
        changes nothing for others.
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
