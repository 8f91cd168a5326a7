"""Limits on what Socket.IO clients send, and on how many connect without signing in.

A *newcomer* is a connection that has not signed in.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

import gevent
from engineio.exceptions import EngineIOError
from gevent.event import Event
from gevent.lock import Semaphore


class Allowance(NamedTuple):
    """What one client may send."""

    burst: int
    """Frames at once; for a client that polls, packets."""
    per_second: int
    """Further frames or packets each second."""
    max_message: int
    """Bytes of one message; for a client that polls, of one request body."""


SIGNED_IN = Allowance(burst=400, per_second=50, max_message=100_000)
"""Far above what the handlers allow. It stops clients that ignore the handlers' refusals."""

NEWCOMER = Allowance(burst=40, per_second=0, max_message=10_000)
"""Enough for one attempt to sign in, an upgrade, and a few frames."""

SIGN_IN_COST = 20
"""Frames that an attempt to sign in counts for, because a signature is checked."""

UPGRADE_COST = 10
"""Frames that the upgrade from polling to a WebSocket counts for."""

NEWCOMER_TURNS = 16
"""Newcomers served in each round of the event loop."""

MAX_NEWCOMERS = 1_000
"""Newcomers that may connect at once, on one instance."""

NEWCOMERS_PER_SECOND = 100
"""Further newcomers that may connect each second."""

ENTRY_TIMEOUT = 2.0
"""Seconds that a new connection waits when there are too many; then it is refused."""

MAX_ENTERING = 1_000
"""New connections that may wait; further ones are refused at once."""

_turns = Semaphore(NEWCOMER_TURNS)


class BudgetSpent(EngineIOError):  # type: ignore[misc] # engineio has no types
    """The client sent more than it may and must be disconnected."""


class Budget:
    """Counts what one client sends against its allowance (a leaky bucket)."""

    __slots__ = ("_at", "_spent", "allowance")

    def __init__(self) -> None:
        self.allowance = NEWCOMER
        self._spent = 0.0
        self._at = time.monotonic()

    def spend(self, cost: int = 1) -> None:
        """Count `cost` frames or packets. Raises BudgetSpent when they are too many."""
        now = time.monotonic()
        regained = (now - self._at) * self.allowance.per_second
        self._spent = max(0.0, self._spent - regained) + cost
        self._at = now
        if self._spent > self.allowance.burst:
            raise BudgetSpent

    def wait_turn(self) -> None:
        """Let other greenlets run. Only NEWCOMER_TURNS newcomers continue in each round, so no
        number of them can keep the others waiting."""
        if self.allowance is SIGNED_IN:
            gevent.sleep(0)
        else:
            with _turns:
                gevent.sleep(0)


class NewcomerLimit:
    """Limits how many newcomers may connect to this instance.

    A connection that closes before it signs in still counts, so connecting again gains nothing.
    """

    def __init__(self) -> None:
        self._free = float(MAX_NEWCOMERS)
        self._at = time.monotonic()
        self._line: deque[Event] = deque()
        self._server: Any = None

    def acquire(self) -> bool:
        """Count a new connection. Returns whether it may be opened; waits up to ENTRY_TIMEOUT."""
        if not self._line and self._take():
            return True
        if len(self._line) >= MAX_ENTERING:
            return False
        turn = Event()
        self._line.append(turn)
        if not self._server:
            self._server = gevent.spawn(self._serve)
        turn.wait(ENTRY_TIMEOUT)
        if not turn.is_set():
            self._line.remove(turn)
        return turn.is_set()

    def release(self) -> None:
        """Stop counting a connection: it has signed in."""
        self._free = min(self._free + 1, MAX_NEWCOMERS)

    def _take(self) -> bool:
        now = time.monotonic()
        self._free = min(self._free + (now - self._at) * NEWCOMERS_PER_SECOND, MAX_NEWCOMERS)
        self._at = now
        if self._free < 1:
            return False
        self._free -= 1
        return True

    def _serve(self) -> None:
        """Admit waiting connections, first come, first served."""
        while self._line:
            if self._take():
                self._line.popleft().set()
            else:
                gevent.sleep(1 / NEWCOMERS_PER_SECOND)
