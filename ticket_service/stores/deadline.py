"""The deadline of a request. All its waits end by then, since the gateway gives up after 10 s.

The deadline is set for the greenlet that handles the request. Greenlets that it starts, loops and
socket handlers have no deadline: each of their waits has only its own time-out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

REQUEST_SECONDS = 7.5
"""Seconds that a request may take, counted from its head, or from the end of its body if it has
one. A call to Redis that began before the deadline may end up to 2 s after it
(`redis_state.TRY_TIMEOUT`)."""

LAST_SECONDS = 1.0
"""The last of these seconds, in which only Redis is called. So even if PostgreSQL does not answer a
write in time, the cached answers about that event can still be invalidated."""

_ends_at: ContextVar[float] = ContextVar("deadline", default=inf)


def start() -> None:
    """Set the deadline of a request that begins now."""
    _ends_at.set(time.monotonic() + REQUEST_SECONDS)


def lift() -> None:
    """Remove the deadline, for a request that may take longer."""
    _ends_at.set(inf)


def left(limit: float, keep: float = 0.0) -> float:
    """How many seconds a wait may take: `limit`, or the time until the deadline if that is less.

    `keep`: seconds before the deadline that are kept for later work. The result is never negative.
    """
    ends_at = _ends_at.get()
    if ends_at == inf:
        return limit
    return max(0.0, min(limit, ends_at - keep - time.monotonic()))


def over(keep: float = 0.0) -> bool:
    """Whether the deadline is no more than `keep` seconds away."""
    return left(1.0, keep=keep) == 0


@contextmanager
def shared() -> Iterator[None]:
    """Give the work of this block the deadline of a request that begins now, unless it has an
    earlier one.

    For work whose result several callers share. The one who does the work came first, so it ends
    before the deadline of any other.
    """
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + REQUEST_SECONDS))
    try:
        yield
    finally:
        _ends_at.reset(token)
