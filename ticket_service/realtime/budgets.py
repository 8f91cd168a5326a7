"""What clients of the sockets may cost: each one, and together all that have not signed in."""

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
    """Frames at once, or packets of a client that polls."""
    per_second: int
    """How many more each second."""
    max_message: int
    """Bytes of one message, or of the body of a client that polls."""


SIGNED_IN = Allowance(burst=400, per_second=50, max_message=100_000)
"""Handlers refuse far less, but answer; this is for those who do not care."""

NEWCOMER = Allowance(burst=40, per_second=0, max_message=10_000)
"""Before the token was accepted: one attempt to sign in, an upgrade, and a few frames."""

SIGN_IN_COST = 20
"""Frames that an attempt to sign in counts for: a token's signature is checked."""

UPGRADE_COST = 10
"""Frames that a handshake counts for with which a client that polls goes over to a WebSocket."""

NEWCOMER_TURNS = 16
"""Newcomers that may do something before everyone else has their turn."""

MAX_NEWCOMERS = 1_000
"""Connections that may be opened at once and have not signed in, on one instance;
NEWCOMERS_PER_SECOND: how many more each second. Whoever signs in does not count any more."""
NEWCOMERS_PER_SECOND = 100

ENTRY_TIMEOUT = 2.0
"""Seconds that a new connection waits when there are too many; then it is refused."""

MAX_ENTERING = 1_000
"""New connections that wait; further ones are refused at once."""

_turns = Semaphore(NEWCOMER_TURNS)


class BudgetSpent(EngineIOError):  # type: ignore[misc] # engineio has no types
    """The client sent more than it may, and is to be disconnected."""


class Budget:
    """What one client has sent of late, against its allowance."""

    __slots__ = ("_at", "_spent", "allowance")

    def __init__(self) -> None:
        self.allowance = NEWCOMER
        self._spent = 0.0
        self._at = time.monotonic()

    def spend(self, cost: int = 1) -> None:
        """Count something that the client sent. Raises BudgetSpent where it is too much."""
        now = time.monotonic()
        regained = (now - self._at) * self.allowance.per_second
        self._spent = max(0.0, self._spent - regained) + cost
        self._at = now
        if self._spent > self.allowance.burst:
            raise BudgetSpent

    def wait_turn(self) -> None:
        """Let the others have their turn. Of newcomers only a few have one in each round, so that
        no number of them can keep the others waiting."""
        if self.allowance is SIGNED_IN:
            gevent.sleep(0)
        else:
            with _turns:
                gevent.sleep(0)


class NewcomerLimit:
    """Connections of an instance that did not sign in: how many may be opened.

    Those that close before they sign in still count, so connecting again gains nothing.
    """

    def __init__(self) -> None:
        self._free = float(MAX_NEWCOMERS)
        self._at = time.monotonic()
        self._line: deque[Event] = deque()
        self._server: Any = None

    def acquire(self) -> bool:
        """Count a new connection, which may have to wait; whether it may be opened."""
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
        """Let in those who wait, the first first."""
        while self._line:
            if self._take():
                self._line.popleft().set()
            else:
                gevent.sleep(1 / NEWCOMERS_PER_SECOND)
