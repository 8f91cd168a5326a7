"""What a client of the sockets may send."""

from __future__ import annotations

import time
from typing import NamedTuple

import gevent
from engineio.exceptions import EngineIOError
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
