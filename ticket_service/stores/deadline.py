"""The time by which a request is answered, whatever it waits for: the gateway gives up after 10 s.

The deadline belongs to the greenlet that answers. A greenlet that it starts has none, and neither
have the loops and the handlers of sockets: each of their waits only has a limit of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

REQUEST_SECONDS = 7.5
"""Seconds from the head of a request, or from the end of its body, until it waits for nothing more.
A call to Redis that was begun before may take 2 s longer (`redis_state.TRY_TIMEOUT`)."""

LAST_SECONDS = 1.0
"""Of these, the last for Redis alone: when the answer of PostgreSQL to a write is given up, kept
answers are still made stale."""

_ends_at: ContextVar[float] = ContextVar("deadline", default=inf)


def start() -> None:
    """Begin the time of a request."""
    _ends_at.set(time.monotonic() + REQUEST_SECONDS)


def lift() -> None:
    """Have no deadline: this greenlet may serve a request that may take longer."""
    _ends_at.set(inf)


def left(limit: float, keep: float = 0.0) -> float:
    """Seconds to wait at most: `limit`, or what is left of the time if that is less; never below 0.

    `keep`: seconds to leave for what comes after the wait.
    """
    ends_at = _ends_at.get()
    if ends_at == inf:
        return limit
    return max(0.0, min(limit, ends_at - keep - time.monotonic()))


def over(keep: float = 0.0) -> bool:
    """Whether no more than `keep` seconds are left."""
    return left(1.0, keep=keep) == 0


@contextmanager
def shared() -> Iterator[None]:
    """Work that a request may come to share has a deadline like that of a request.

    So nobody who shares it waits longer than for their own: who came first ends first.
    """
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + REQUEST_SECONDS))
    try:
        yield
    finally:
        _ends_at.reset(token)
